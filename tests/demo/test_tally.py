# SPDX-License-Identifier: Apache-2.0
"""Words lost, repeated and changed are told from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from examples.demo.record import FaultMark
from examples.demo.spoken import Played
from examples.demo.tally import Words, compare, total, words
from examples.demo.turns import turn_facts, verdict
from examples.demo.words import lost_and_repeated, missed
from tests.support.demo_call import call, logged, replied, turn, understood

if TYPE_CHECKING:
    from examples.demo.record import CallRecord

LINE = "there will be four of us"


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ("There will be four of us.", Words()),
        ("", Words(lost=6)),
        ("four of us", Words(lost=3)),
        ("there will be", Words(lost=3)),
        ("there will of us", Words(lost=2)),
        ("there will be there will be four of us", Words(repeated=3)),
        ("there will be four four of us", Words(repeated=1)),
        ("there will be for of us", Words(changed=1)),
        ("there will be four of us people", Words(changed=1)),
        ("there will there will four of us", Words(lost=1, repeated=2)),
        ("hello", Words(lost=5, changed=1)),
    ],
)
def test_a_sentence_is_told_word_by_word(arrived: str, expected: Words):
    """Lost: not there. Repeated: there once more. Changed: another in its place."""
    assert compare(words(LINE), words(arrived)) == expected


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@given(WORDS, st.data())
def test_what_is_left_out_is_lost_and_nothing_else(said: list[str], data: st.DataObject):
    """Whatever part of a sentence goes missing, exactly that many words are lost."""
    start = data.draw(st.integers(0, len(said)))
    end = data.draw(st.integers(start, len(said)))

    assert compare(said, said[:start] + said[end:]) == Words(lost=end - start)


@given(WORDS, st.data())
def test_what_is_said_again_is_repeated_and_nothing_else(said: list[str], data: st.DataObject):
    """A part that comes twice counts with all its words."""
    start = data.draw(st.integers(0, len(said)))
    end = data.draw(st.integers(start, len(said)))

    assert compare(said, said[:end] + said[start:]) == Words(repeated=end - start)


@given(WORDS, WORDS)
def test_no_word_is_counted_twice_or_forgotten(said: list[str], arrived: list[str]):
    """What arrived is what was said, less what was lost, and what came on top."""
    told = compare(said, arrived)

    assert told.lost <= len(said)
    assert told.repeated <= len(arrived)
    assert (told == Words()) == (said == arrived)


def _killed() -> CallRecord:
    """A call whose voice dies, and whose model is called off for it."""
    mark = turn(1, 2.0, 9.0, faults=[FaultMark("cartesia", "tts", "dropped", on=0.9)])
    mark.reply = "Good evening to you all."
    record = call([mark], (2.5, 4.0))
    record.session_events = [understood(2.1, "Hello there.")]
    record.played = {1: [Played("Good", 2.6), Played("evening", 2.8)]}
    return record


def test_a_reply_that_was_called_off_was_still_owed():
    """The model would have gone on, if its voice had been there."""
    record = _killed()
    record.provider_log = [
        {**logged(2.2, "request", "llm", "openai", 1), "text": "Hello there."},
        logged(2.3, "first_output", "llm", "openai", 1),
        {**logged(2.4, "closed_by_client", "llm", "openai", 1), "text": "Good evening to"},
    ]

    (facts,) = turn_facts(record)

    assert facts.voice == Words(lost=3)
    assert missed(facts) == "of the reply: 3 lost"


def test_a_model_that_never_answered_owed_the_voice_nothing():
    """That the turn went unanswered is told elsewhere."""
    record = _killed()
    record.played = {1: []}
    record.provider_log = [{**logged(2.2, "request", "llm", "openai", 1), "text": "Hello there."}]

    assert verdict(record).voice == Words()


def test_probes_are_no_replies():
    """What a model says to a probe was never meant to be heard."""
    record = _killed()
    record.provider_log = replied(2.2, "Good evening.") + replied(5.0, "Pardon?", "Ping.", 2)

    assert verdict(record).voice == Words()


def test_a_slip_of_the_recogniser_is_no_loss():
    """What it makes of the line when nothing disturbs it is what can be expected of it."""
    record = _killed()
    record.session_events = [understood(2.1, "Yellow there.")]
    record.turns[0].reference = "Yellow there."

    assert verdict(record).ears == Words()


def test_before_the_end_of_the_call_the_voice_is_not_judged():
    """The words are looked for in the whole recording, and no zero is made up before."""
    record = _killed()
    record.played = None

    (facts,) = turn_facts(record)

    assert facts.voice is None
    assert lost_and_repeated(facts.voice) == "-"
    assert total([facts.ears, facts.voice]) == facts.ears
