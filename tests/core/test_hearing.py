# SPDX-License-Identifier: Apache-2.0
"""What a detector hears and what a recogniser says, joined to a latency where there is one."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.hearing import Hearing

NOW = 1000.0


class Began(NamedTuple):
    """The detector hears speech."""

    at: float


class Ended(NamedTuple):
    """The detector believes in the end of speech: it was a while ago, and is told now."""

    at: float


class Words(NamedTuple):
    """The recogniser gives words that it may still change."""

    at: float


class Settled(NamedTuple):
    """The recogniser gives words for good."""

    at: float


class Changed(NamedTuple):
    """Another recogniser is at work."""

    at: float


Event = Began | Ended | Words | Settled | Changed


def latencies(*events: Event, hearing: Hearing | None = None) -> list[float | None]:
    """What is known after each of those events that may tell a latency."""
    hearing = hearing or Hearing()
    told: list[float | None] = []
    for event in events:
        match event:
            case Began():
                hearing.speech_began()
            case Ended(at=at):
                told.append(hearing.speech_ended(NOW + at))
            case Words():
                hearing.words_came()
            case Settled(at=at):
                told.append(hearing.words_settled(NOW + at))
            case Changed():
                hearing.recogniser_changed()
    return told


# --- the usual courses -------------------------------------------------------------------------


def test_latency_is_from_the_end_of_speech_to_the_words():
    """Whatever was given on the way, and however long the detector took to believe in the end."""
    told = latencies(Began(0), Words(0.5), Words(1.0), Ended(1.0), Settled(1.75))

    assert told == [None, 0.75]


def test_quick_words_come_before_the_detector_believes_in_the_end():
    """The end of speech is told afterwards, and lies before the words."""
    told = latencies(Began(0), Words(0.5), Settled(1.25), Ended(1.0))

    assert told == [None, 0.25]


def test_words_at_the_very_end_took_no_time():
    """The caller stops with the last word that is settled."""
    assert latencies(Began(0), Settled(1.0), Ended(1.0)) == [None, 0.0]


def test_words_that_were_settled_before_the_end_are_of_an_earlier_part():
    """A long sentence is settled piece by piece; its last piece is the one that is waited for."""
    told = latencies(Began(0), Settled(2.0), Words(2.5), Ended(3.0), Settled(3.5))

    assert told == [None, None, 0.5]


def test_end_is_waited_for_though_everything_so_far_is_settled():
    """Words before the end do not stand for those up to the end."""
    told = latencies(Began(0), Settled(0.9), Ended(1.0), Settled(1.5))

    assert told == [None, None, 0.5]


def test_open_words_are_still_owed_when_the_end_is_heard():
    """Some were settled after the end of speech, but not the last ones."""
    told = latencies(Began(0), Settled(1.1), Words(1.2), Ended(1.0), Settled(1.75))

    assert told == [None, None, 0.75]


def test_each_utterance_has_a_latency_of_its_own():
    """The next one begins with nothing left over."""
    told = latencies(Began(0), Ended(1), Settled(1.5), Began(3), Ended(4), Settled(4.25))

    assert told == [None, 0.5, None, 0.25]


def test_only_the_first_words_after_the_end_are_timed():
    """What a recogniser adds to it afterwards was not waited for."""
    assert latencies(Began(0), Ended(1), Settled(1.5), Words(2), Settled(3)) == [None, 0.5, None]


def test_nothing_more_is_owed_after_quick_words():
    """The words that settled the utterance were there before its end was heard."""
    told = latencies(Began(0), Settled(1.25), Ended(1.0), Words(2), Settled(3))

    assert told == [None, 0.25, None]


# --- what is no latency ------------------------------------------------------------------------


def test_noise_is_followed_by_nothing_and_times_nobody():
    """The detector took it for speech, the recogniser did not: the next words are others."""
    told = latencies(Began(0), Ended(0.3), Began(5), Ended(6), Settled(6.5))

    assert told == [None, None, 0.5]


def test_pause_in_the_middle_of_a_sentence_is_nobodys_latency():
    """A recogniser that waits for the end of the turn rightly says nothing then."""
    told = latencies(Began(0), Ended(1), Began(1.8), Settled(2.5), Ended(3), Settled(3.5))

    assert told == [None, None, None, 0.5]


def test_words_that_come_while_the_caller_speaks_settle_an_earlier_part():
    """The caller went on before they came: they are of before the pause, at an unknown moment."""
    assert latencies(Began(0), Ended(1), Began(1.2), Settled(1.6)) == [None, None]


def test_words_of_before_an_utterance_do_not_settle_it():
    """A detector hears the beginning late, and so may hear of it after the end of a short word."""
    assert latencies(Began(0), Settled(2.0), Began(2.25), Ended(1.75)) == [None, None]


def test_words_without_speech_are_not_timed():
    """It can be too soft to be detected."""
    assert latencies(Words(0), Settled(1), Words(2), Settled(3)) == [None, None]


@pytest.mark.parametrize(("late", "latency"), [(10.0, 10.0), (10.1, None)])
def test_what_is_settled_much_later_belongs_to_other_words(late, latency):
    """Nobody waits for ten seconds; such words were spoken unheard by the detector."""
    assert latencies(Began(0), Ended(1.0), Settled(1.0 + late)) == [None, latency]


def test_late_words_settle_the_debt_all_the_same():
    """What comes after them is not timed from the same end."""
    assert latencies(Began(0), Ended(1), Settled(15), Settled(16)) == [None, None, None]


def test_no_latency_is_negative():
    """Detectors and recognisers disagree by some milliseconds about when the end was."""
    assert latencies(Began(0), Ended(1.01), Settled(1.0)) == [None, 0.0]


# --- another recogniser ------------------------------------------------------------------------


def test_next_recogniser_does_not_owe_what_the_last_one_did():
    """It was asked later: what it settles is not timed from an end it has not heard live."""
    assert latencies(Began(0), Ended(1), Changed(2), Settled(2.5)) == [None, None]


def test_words_of_the_last_recogniser_settle_nothing_of_the_next():
    """Neither those it gave for good, nor those it left open."""
    told = latencies(Began(0), Settled(1.25), Changed(1.5), Ended(1.0), Settled(1.75))
    assert told == [None, None, 0.75]

    told = latencies(Began(0), Words(0.5), Changed(0.75), Settled(1.25), Ended(1.0))
    assert told == [None, 0.25]


def test_caller_who_speaks_while_recognisers_change_still_speaks():
    """What the next one settles meanwhile is of an earlier part."""
    told = latencies(Began(0), Changed(0.5), Settled(0.8), Ended(2), Settled(2.5))

    assert told == [None, None, 0.5]


# --- whatever happens --------------------------------------------------------------------------

gaps = st.sampled_from([0.0, 0.1, 0.5, 3.0, 11.0])
kinds = st.sampled_from([Began, Ended, Words, Settled, Changed])


@given(course=st.lists(st.tuples(kinds, gaps), max_size=40))
def test_latency_is_always_one_between_an_end_and_settled_words(course):
    """In any order of events: never negative, never two for one end, never over ten seconds."""
    hearing, now, ends, settled = Hearing(), 0.0, [], []
    for kind, gap in course:
        now += gap
        event = kind(now)
        if kind is Ended:
            ends.append(NOW + now)
        elif kind is Settled:
            settled.append(NOW + now)
        for latency in latencies(event, hearing=hearing):
            if latency is None:
                continue
            matches = [end for end in ends if any(s - end == latency for s in settled)]
            assert 0.0 <= latency <= 10.0
            assert ends[-1] in matches, "of another end than the newest"
            ends.clear()
            ends.append(-NOW)  # it has had its latency
