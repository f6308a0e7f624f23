# SPDX-License-Identifier: Apache-2.0
"""START and END stay balanced over a change of recogniser, and the place to change is found."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.speech import Mark, Utterance

START, INTERIM, FINAL, END = Mark.START, Mark.INTERIM, Mark.FINAL, Mark.END
CHANGE = "another provider"


def passed_on(utterance: Utterance, *events: Mark | str) -> list[Mark]:
    """What the session receives of these events, added ENDs included."""
    received = []
    for event in events:
        if not isinstance(event, Mark):
            received += [END] * utterance.provider_changed()
            continue
        forward, close = utterance.accept(event)
        received += [event] * forward + [END] * close
    return received


def test_one_provider_is_passed_on_as_it_is():
    """Without a change of provider nothing is added, dropped or reordered."""
    events = [START, INTERIM, FINAL, END, START, FINAL, INTERIM, FINAL, END, START, END]

    assert passed_on(Utterance(), *events) == events


def test_provider_without_marks_is_passed_on_as_it_is():
    """Some recognisers send text only; no START or END is invented for them."""
    events = [INTERIM, FINAL, INTERIM, INTERIM, FINAL]

    assert passed_on(Utterance(), *events) == events


@pytest.mark.parametrize(
    ("events", "received"),
    [
        # the next provider opens the same utterance a second time
        (
            [START, INTERIM, CHANGE, START, INTERIM, FINAL, END],
            [START, INTERIM, INTERIM, FINAL, END],
        ),
        # the next provider sends text only: nobody else would close the utterance
        ([START, CHANGE, INTERIM, FINAL, FINAL], [START, INTERIM, FINAL, END, FINAL]),
        # the next provider hears the end only
        ([START, INTERIM, CHANGE, END], [START, INTERIM, END]),
        # the next provider sends marks of its own, so its END is the end
        (
            [START, CHANGE, START, FINAL, INTERIM, FINAL, END],
            [START, FINAL, INTERIM, FINAL, END],
        ),
        # every word was settled: the next provider will hear only silence
        ([START, INTERIM, FINAL, CHANGE], [START, INTERIM, FINAL, END]),
        ([START, FINAL, CHANGE, START, FINAL, END], [START, FINAL, END, START, FINAL, END]),
        # the provider after the next closes it
        ([START, CHANGE, CHANGE, FINAL], [START, FINAL, END]),
        # a late END of an utterance that was closed for it
        ([START, CHANGE, FINAL, END], [START, FINAL, END]),
        # nothing was open at the change
        ([START, FINAL, END, CHANGE, FINAL, START, END], [START, FINAL, END, FINAL, START, END]),
        # a provider that opens twice by itself
        ([START, START, FINAL, END, END], [START, FINAL, END]),
    ],
)
def test_change_of_provider_keeps_start_and_end_balanced(events, received):
    """Every START gets one END, whoever sends it, and none comes twice."""
    assert passed_on(Utterance(), *events) == received


def test_a_final_without_words_does_not_end_what_another_provider_began():
    """The words that were begun are still to come."""
    utterance = Utterance()
    passed_on(utterance, START, INTERIM, CHANGE)

    assert utterance.accept(FINAL, has_words=False) == (True, False)
    assert not utterance.at_rest
    assert passed_on(utterance, FINAL) == [FINAL, END]


def test_an_utterance_that_the_next_provider_does_not_hear_is_abandoned():
    """Ten seconds of audio after the last sign of it, but not the provider's own."""
    utterance = Utterance()
    utterance.accept(START, 1.0)
    assert not utterance.is_abandoned(100.0)
    utterance.provider_changed(100.0)
    assert not utterance.is_abandoned(109.0)

    utterance.accept(INTERIM, 109.0)
    utterance.accept(FINAL, 115.0, has_words=False)
    assert not utterance.is_abandoned(119.0)
    assert utterance.is_abandoned(119.1)

    assert utterance.close()
    assert not utterance.is_abandoned(200.0)


@given(st.lists(st.sampled_from([START, INTERIM, FINAL, END, CHANGE]), max_size=30))
def test_no_sequence_of_events_breaks_the_balance(events):
    """The session never sees two STARTs in a row, nor an END without START, and loses no text."""
    utterance = Utterance()

    received = passed_on(utterance, *events)

    marks = [mark for mark in received if mark in (START, END)]
    assert marks == [START, END] * (len(marks) // 2) + [START] * (len(marks) % 2)
    assert utterance.is_open == (len(marks) % 2 == 1)
    text = [mark for mark in received if mark in (INTERIM, FINAL)]
    assert text == [mark for mark in events if mark in (INTERIM, FINAL)]


@pytest.mark.parametrize("events", [[], [START, END], [START, FINAL, END], [FINAL], [INTERIM]])
def test_closing_without_an_open_utterance_sends_nothing(events):
    """A stream that ends between utterances owes the session no END."""
    utterance = Utterance()
    passed_on(utterance, *events)

    assert utterance.close() is False


def test_closing_an_open_utterance_sends_its_end_once():
    """A stream that ends in the middle of a word still ends the word."""
    utterance = Utterance()
    passed_on(utterance, START, INTERIM)

    assert utterance.close() is True
    assert utterance.close() is False
    assert utterance.at_rest
    assert passed_on(utterance, END) == []


@pytest.mark.parametrize(
    ("events", "at_rest"),
    [
        ([], True),
        ([START], False),
        ([START, INTERIM, FINAL], False),
        ([START, INTERIM, FINAL, END], True),
        # the text of an utterance may come after its end
        ([START, INTERIM, END], False),
        ([START, INTERIM, END, FINAL], True),
        # recognisers that send text only
        ([INTERIM], False),
        ([INTERIM, FINAL], True),
        ([INTERIM, FINAL, INTERIM], False),
        # closed for a provider that had failed
        ([START, INTERIM, CHANGE, FINAL], True),
        # what the failed provider had begun is not settled by the change
        ([INTERIM, CHANGE], False),
    ],
)
def test_place_to_change_back_is_between_utterances(events, at_rest):
    """Moving unforced waits until no word is open and none is still to be settled."""
    utterance = Utterance()
    passed_on(utterance, *events)

    assert utterance.at_rest is at_rest


@pytest.mark.parametrize(
    ("events", "since"),
    [
        ([START, INTERIM, CHANGE, START], 1.0),
        ([START, INTERIM, FINAL], None),
        ([START, FINAL, INTERIM, INTERIM, END], 3.0),
        ([START, CHANGE], 1.0),
        # a cough, and words long after it
        ([START, END], None),
        ([START, END, START, INTERIM], 3.0),
        ([INTERIM, START], 1.0),
    ],
)
def test_where_words_that_are_not_settled_were_begun_is_known(events, since):
    """From the first sign of them, by whichever recogniser."""
    utterance = Utterance()
    for at, event in enumerate(events, start=1):
        if isinstance(event, Mark):
            utterance.accept(event, float(at))
        else:
            utterance.provider_changed(float(at))

    assert utterance.unheard_since == since
