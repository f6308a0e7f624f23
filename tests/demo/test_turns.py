# SPDX-License-Identifier: Apache-2.0
"""The figures of a call: the silence of each turn, what was answered, what the adapter did."""

from __future__ import annotations

import pytest

from examples.demo.scenario import ANSWER_WITHIN, REJECTED
from examples.demo.tally import Words
from examples.demo.turns import Verdict, turn_facts, verdict
from tests.support.demo_call import (
    at,
    availability,
    call,
    failover,
    health_changed,
    logged,
    probed,
    recovery,
    sound,
    turn,
    understood,
)

WINDOW = 0.005  # seconds, to which the figures are measured


@pytest.mark.parametrize("wait", [0.1, 0.64, 3.1, 6.9])
def test_dead_air_is_the_wait_for_the_first_sound(wait: float):
    """It is counted from the caller's last sound, not from the start of the line."""
    record = call([turn(1, 5.0, 20.0)], (5.0 + wait, 15.0))

    (facts,) = turn_facts(record)

    assert facts.answered
    assert facts.dead_air == pytest.approx(wait, abs=WINDOW)
    assert list(facts.silences) == [pytest.approx((5.0, 5.0 + wait), abs=WINDOW)]


def test_a_long_gap_inside_an_answer_is_dead_air():
    """A voice that stops for more than a second leaves the caller waiting once more."""
    record = call([turn(1, 5.0, 20.0)], (5.5, 8.0), (10.0, 12.0), (13.5, 14.0))

    (facts,) = turn_facts(record)

    assert facts.dead_air == pytest.approx(0.5 + 2.0 + 1.5, abs=3 * WINDOW)
    assert len(facts.silences) == 3


def test_a_pause_between_sentences_is_no_dead_air():
    """Half a second of silence is how people speak."""
    record = call([turn(1, 5.0, 20.0)], (5.5, 8.0), (8.5, 10.0), (10.9, 12.0))

    (facts,) = turn_facts(record)

    assert facts.dead_air == pytest.approx(0.5, abs=WINDOW)


def test_a_turn_without_an_answer_is_a_wait_in_vain():
    """No figure is made up for it, and the time until the caller gave up counts as waited."""
    record = call([turn(1, 5.0, 5.0 + ANSWER_WITHIN + 0.4)])

    (facts,) = turn_facts(record)

    assert (facts.dead_air, facts.answered) == (None, False)
    assert facts.waited == pytest.approx(ANSWER_WITHIN)
    assert list(facts.silences) == [pytest.approx((5.0, 5.0 + ANSWER_WITHIN))]


def test_an_answer_to_a_caller_who_has_given_up_is_none():
    """It comes before the next line, but the caller has stopped waiting by then."""
    late = 5.0 + ANSWER_WITHIN + 0.2
    record = call([turn(1, 5.0, late + 0.2)], (late, late + 1.0))

    (facts,) = turn_facts(record)

    assert not facts.answered
    assert facts.waited == pytest.approx(ANSWER_WITHIN)


def test_an_answer_may_go_on_after_the_time_it_had_to_begin_in():
    """Only its first sound has to be in time: a long gap in it is dead air, not another answer."""
    record = call([turn(1, 5.0, 20.0)], (6.0, 8.0), (14.0, 16.0))

    (facts,) = turn_facts(record)

    assert facts.dead_air == pytest.approx(1.0 + 6.0, abs=2 * WINDOW)


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param((3.0, 3.9), id="before-the-line"),
        pytest.param((4.8, 6.0), id="the-end-of-an-earlier-answer"),
        pytest.param((12.1, 12.9), id="in-the-next-turn"),
    ],
)
def test_sound_from_outside_the_turn_is_no_answer(heard: tuple[float, float]):
    """An answer begins after the caller's last sound and before the caller gave up."""
    record = call([turn(1, 5.0, 12.0)], heard)

    assert [facts.answered for facts in turn_facts(record)] == [False]


def test_noise_is_no_answer():
    """What nobody hears does not end a silence."""
    record = call([turn(1, 5.0, 12.0)])
    record.heard = sound(13.0, (5.5, 11.0), level=60)

    assert [facts.answered for facts in turn_facts(record)] == [False]


def test_each_turn_gets_its_own_answer():
    """The sound of one turn is neither missing there nor counted in another."""
    marks = [turn(1, 2.0, 5.0), turn(2, 7.0, 14.0), turn(3, 16.0, 20.0)]
    record = call(marks, (2.6, 4.0), (16.7, 19.0))

    waits = [facts.dead_air for facts in turn_facts(record)]

    assert waits == [pytest.approx(0.6, abs=WINDOW), None, pytest.approx(0.7, abs=WINDOW)]


def test_a_turn_that_goes_on_is_not_judged():
    """A call that is watched shows figures of finished turns only."""
    record = call([turn(1, 2.0, 5.0), turn(2, 7.0, None)], (2.6, 4.0))

    assert [facts.mark.number for facts in turn_facts(record)] == [1]
    assert verdict(record).turns == 1


@pytest.mark.parametrize(
    ("waits", "median", "longest"),
    [
        pytest.param([3.0, 0.5, 0.75], 0.75, 3.0, id="odd"),
        pytest.param([0.5, 3.0, 0.75, 0.6], 0.675, 3.0, id="even"),
        pytest.param([0.5, None, 0.75], 0.75, ANSWER_WITHIN, id="one-unanswered"),
        pytest.param([None, 0.5, None], ANSWER_WITHIN, ANSWER_WITHIN, id="most-unanswered"),
    ],
)
def test_median_and_longest_are_over_all_turns(
    waits: list[float | None], median: float, longest: float
):
    """A turn without an answer counts with its wait: leaving it out would flatter the call."""
    marks = [turn(n, 10.0 * n, 10.0 * n + 8.0) for n in range(1, len(waits) + 1)]
    heard = [
        (mark.speech_end + wait, mark.speech_end + 5.0)
        for mark, wait in zip(marks, waits, strict=True)
        if wait is not None
    ]

    result = verdict(call(marks, *heard))

    assert result.dead_air_p50 == pytest.approx(median, abs=WINDOW)
    assert result.dead_air_max == pytest.approx(longest, abs=WINDOW)


@pytest.mark.parametrize(
    ("heard_until", "second", "good"),
    [
        pytest.param(9.0, "Hello there.", True, id="all-well"),
        pytest.param(4.0, "Hello there.", False, id="a-turn-in-vain"),
        pytest.param(9.0, "Hello.", False, id="a-word-lost"),
        pytest.param(9.0, "Hello hello there.", False, id="a-word-twice"),
        pytest.param(9.0, "Yellow there.", True, id="a-word-misheard"),
    ],
)
def test_a_call_is_good_if_every_turn_was_answered_and_no_word_lost_or_said_twice(
    heard_until: float, second: str, good: bool
):
    """One turn in vain, or one word, is one too many; ears that mistake one are no failover's."""
    record = call(
        [turn(1, 2.0, 5.0), turn(2, 7.0, 14.0)], (2.6, 4.0), (min(8.0, heard_until), heard_until)
    )
    record.session_events = [understood(2.1, "Hello there."), understood(7.1, second)]

    assert verdict(record).good is good


def test_a_call_without_turns_has_no_figures():
    """Nothing was measured, so nothing is claimed."""
    assert verdict(call([])) == Verdict(
        turns=0, answered=0, heard_whole=0, dead_air_p50=None, dead_air_max=None,
        failovers=0, recoveries=0, health_changes=0, probes_good=0, probes_bad=0, rejections=0,
        ended_on_primaries=False, ears=Words(), voice=Words(),
    )  # fmt: skip


def test_a_failover_is_counted_once_though_it_is_reported_twice():
    """Our adapter says how traffic moved, and whose availability changed as LiveKit's does."""
    record = call([turn(1, 2.0, 5.0)])
    record.adapter_events = [
        availability(2.0, "llm", "openai", False),
        failover(2.0, "llm", "openai", "cerebras"),
        availability(4.0, "llm", "openai", True),
        recovery(4.1, "llm", "openai"),
        availability(4.2, "tts", "cartesia", False),
    ]

    result = verdict(record)

    assert (result.failovers, result.recoveries) == (1, 1)


def test_an_adapter_that_reports_availability_only_is_counted_by_it():
    """LiveKit's adapters say no more than who became unavailable and who came back."""
    record = call([turn(1, 2.0, 5.0)], adapter="livekit")
    record.adapter_events = [
        availability(2.0, "llm", "openai", False),
        availability(3.0, "tts", "cartesia", False),
        availability(4.0, "llm", "openai", True),
    ]

    result = verdict(record)

    assert (result.failovers, result.recoveries) == (2, 1)
    assert (result.health_changes, result.probes_good, result.probes_bad) == (None, None, None)


def test_a_call_without_failovers_has_none_though_a_provider_was_left():
    """Our adapter names its failovers: a probe that found a provider ill has moved nobody."""
    record = call([turn(1, 2.0, 5.0)])
    record.adapter_events = [
        availability(2.0, "llm", "openai", False),
        availability(4.0, "llm", "openai", True),
    ]

    result = verdict(record)

    assert (result.failovers, result.recoveries) == (0, 0)


def test_changes_of_health_are_counted_and_move_nobody():
    """Traffic moves by failovers: a provider may cool down while nobody is asking."""
    record = call([turn(1, 2.0, 5.0)])
    record.adapter_events = [
        health_changed(2.0, "llm", "openai", "healthy", "cooling_down"),
        health_changed(4.0, "llm", "openai", "cooling_down", "probing"),
    ]

    result = verdict(record)

    assert (result.health_changes, result.failovers, result.recoveries) == (2, 0, 0)


def test_other_events_are_no_moves():
    """Giving up and losing output are told apart from moving on."""
    record = call([turn(1, 2.0, 5.0)])
    record.adapter_events = [
        failover(2.0, "tts", "cartesia", "openai"),
        at(3.0, "output_lost", component="tts", provider="openai", reason="stall"),
        at(3.1, "exhausted", component="tts"),
        probed(3.2, "tts", "cartesia", good=True),
    ]

    result = verdict(record)

    assert (result.failovers, result.recoveries) == (1, 0)


@pytest.mark.parametrize(
    ("heard", "whole"),
    [
        pytest.param(["Yes that sounds GREAT"], True, id="spelling"),
        pytest.param(["Yes, that", "sounds great."], True, id="in-two-parts"),
        pytest.param(["that sounds great."], False, id="a-word-lost"),
        pytest.param(["Yes, yes, that sounds great."], False, id="a-word-twice"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_a_line_is_heard_whole_if_no_word_is_lost_or_repeated(heard: list[str], whole: bool):
    """Only words count, and interim transcripts do not."""
    record = call([turn(1, 5.0, 9.0, said="Yes, that sounds great.")])
    record.session_events = [
        at(4.5, "user_input_transcribed", transcript="Yes"),
        *(understood(5.0 + 0.1 * number, text) for number, text in enumerate(heard)),
    ]

    assert verdict(record).heard_whole == int(whole)


def test_probes_are_counted_by_what_they_found():
    """Each with its own figure, and neither is a change of health."""
    record = call([turn(1, 2.0, 5.0)])
    record.adapter_events = [
        probed(2.0, "llm", "openai", good=False),
        probed(3.0, "llm", "openai", good=False),
        probed(4.0, "stt", "deepgram", good=True),
    ]

    result = verdict(record)

    assert (result.probes_good, result.probes_bad, result.health_changes) == (1, 2, 0)


def test_a_rejected_key_is_counted_where_it_was_rejected():
    """Whatever the adapter says of it, and however other requests failed."""
    record = call([turn(1, 2.0, 5.0)], adapter="livekit")
    record.provider_log = [
        {**logged(2.0 + number, "fault", "llm", "together", number), "status": REJECTED}
        for number in (1, 2)
    ]
    record.provider_log += [
        {**logged(2.0, "fault", "llm", "openai", 1), "status": 503},
        logged(2.0, "fault", "tts", "cartesia", 1),
        {**logged(2.0, "finished", "llm", "cerebras", 1), "status": REJECTED},
    ]

    assert verdict(record).rejections == 2
