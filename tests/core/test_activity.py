# SPDX-License-Identifier: Apache-2.0
"""Starts and ends of speech stay in pairs, and positions grow, whoever tells them."""

from __future__ import annotations

from hypothesis import given, strategies as st

from livekit_fallback.core.activity import Activity, Verdict

KNOWN, NEW, BEGINS, ENDS = Verdict.KNOWN, Verdict.NEW, Verdict.BEGINS, Verdict.ENDS


def speaking_at(position: float) -> Activity:
    """Somebody speaks, as one detector has told up to here."""
    activity = Activity()
    activity.window(position, is_voiced=True)
    assert activity.start(position)
    return activity


def test_one_detector_is_passed_on():
    """With nobody to take over from, everything is told as it is."""
    activity = Activity()

    assert activity.window(0.1, is_voiced=False) is NEW
    assert activity.window(0.2, is_voiced=True) is NEW
    assert activity.start(0.2) is True
    assert activity.is_open
    assert activity.window(0.3, is_voiced=False) is NEW
    assert activity.end() is True
    assert activity.at_rest


def test_what_was_told_is_not_told_again():
    """The next detector hears the newest second again."""
    activity = Activity()
    activity.window(1.0, is_voiced=False)

    activity.detector_changed(0.5, 1.1)

    assert activity.window(0.9, is_voiced=False) is KNOWN
    assert activity.window(1.0, is_voiced=False) is KNOWN
    assert activity.window(1.05, is_voiced=False) is NEW


def test_a_second_start_is_swallowed():
    """Speech that is open does not begin."""
    activity = speaking_at(1.0)
    activity.detector_changed(0.5, 1.1)

    assert activity.start(0.8) is False
    assert activity.window(2.0, is_voiced=False) is NEW
    assert activity.end() is True


def test_speech_that_ended_while_detectors_changed_is_ended():
    """The next detector hears silence, and cannot end what it has not heard begin."""
    activity = speaking_at(1.0)
    activity.detector_changed(0.5, 1.3)

    assert activity.window(1.2, is_voiced=False) is NEW
    assert activity.window(1.3, is_voiced=False) is ENDS
    assert activity.at_rest
    assert activity.window(1.4, is_voiced=False) is NEW


def test_silence_counts_only_after_enough_of_it():
    """Somebody may only have paused where the audio begins."""
    activity = speaking_at(1.0)
    activity.detector_changed(1.0, 1.0)

    assert activity.window(1.5, is_voiced=False) is NEW
    assert activity.window(1.6, is_voiced=False) is ENDS


def test_a_voice_keeps_speech_open():
    """Whoever goes on speaking is heard to begin before long."""
    activity = speaking_at(1.0)
    activity.detector_changed(0.5, 1.1)

    assert activity.window(1.2, is_voiced=True) is NEW
    assert activity.is_open


def test_a_start_about_the_past_is_held_until_a_voice_is_heard_now():
    """The last detector has told of that audio, and heard no speech, or its end."""
    activity = Activity()
    activity.window(1.0, is_voiced=False)
    activity.detector_changed(0.5, 1.1)

    assert activity.start(0.8) is False
    assert activity.is_held
    assert not activity.at_rest
    assert activity.window(0.9, is_voiced=True) is KNOWN
    assert activity.window(1.05, is_voiced=True) is BEGINS
    assert activity.is_open
    assert not activity.is_held


def test_speech_of_the_past_is_not_told_twice():
    """It had been told to the end, and the next detector waits longer for the silence."""
    activity = Activity()
    activity.window(1.0, is_voiced=False)
    activity.detector_changed(0.5, 1.1)
    activity.start(0.8)

    assert activity.window(1.1, is_voiced=False) is NEW
    assert activity.end() is False
    assert activity.at_rest


def test_a_held_start_goes_with_its_detector():
    """The next one has its own view."""
    activity = Activity()
    activity.window(1.0, is_voiced=False)
    activity.detector_changed(0.5, 1.1)
    activity.start(0.8)

    activity.detector_changed(0.6, 1.2)

    assert activity.window(1.15, is_voiced=True) is NEW
    assert not activity.is_open


def test_an_end_without_a_start_is_swallowed():
    """Every end has its start."""
    assert Activity().end() is False


def test_closing_says_whether_an_end_is_due():
    """Once."""
    activity = speaking_at(1.0)

    assert activity.close() is True
    assert activity.close() is False


def test_where_a_voice_was_heard_last_is_known():
    """It is when speech ended, should no detector say so."""
    activity = speaking_at(1.0)
    activity.window(1.5, is_voiced=False)
    assert activity.voiced_at == 1.0

    activity.end()
    activity.start(2.0)
    assert activity.voiced_at == 2.0


def test_a_start_that_was_told_is_not_told_again_for_one_that_was_held():
    """A detector that starts twice has the first one held, because it lies in the past."""
    activity = Activity()
    activity.window(0.5, is_voiced=False)
    activity.detector_changed(0.0, 0.5)
    assert activity.start(0.0) is False

    assert activity.start(0.5) is True
    assert activity.window(1.0, is_voiced=True) is NEW


STEPS = st.one_of(
    st.tuples(st.just("window"), st.floats(0.01, 0.5), st.booleans()),
    st.tuples(st.just("change"), st.floats(0.0, 1.0), st.booleans()),
    st.tuples(st.just("start"), st.just(0.0), st.booleans()),
    st.tuples(st.just("end"), st.just(0.0), st.booleans()),
)


@given(st.lists(STEPS, max_size=80))
def test_starts_and_ends_take_turns_whatever_detectors_say(steps):
    """Also of detectors that start twice, end what never began, and are changed at any time."""
    activity, position, told, marks = Activity(), 0.0, 0.0, ""
    for kind, seconds, is_voiced in steps:
        if kind == "window":
            position += seconds
            verdict = activity.window(position, is_voiced=is_voiced)
            if verdict is not KNOWN:
                assert position > told
                told = position
            marks += {BEGINS: "(", ENDS: ")"}.get(verdict, "")
        elif kind == "change":
            position = max(0.0, position - seconds)
            activity.detector_changed(position, activity.reported)
        elif kind == "start":
            marks += "(" * activity.start(position)
        else:
            marks += ")" * activity.end()
    marks += ")" * activity.close()

    assert marks == "()" * (len(marks) // 2)
