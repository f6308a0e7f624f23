# SPDX-License-Identifier: Apache-2.0
"""When a detector is late: measured by the pace at which people speak, not by that of the input."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.backlog import Backlog

WINDOW = 0.03
FRAME = 0.02
NOW = 1000.0


def live(backlog: Backlog, frames: int, *, since: float = 0.0, now: float = NOW) -> float:
    """Frames as a microphone delivers them; returns the position after the last."""
    for i in range(1, frames + 1):
        backlog.given(since + i * FRAME, FRAME, now + i * FRAME)
    return since + frames * FRAME


def test_nothing_is_owed_without_audio():
    """A caller who is muted sends none."""
    backlog = Backlog(WINDOW)

    assert not backlog.is_owed
    assert backlog.expected_at is None


def test_less_than_a_window_is_never_owed():
    """Nobody can judge it yet."""
    backlog = Backlog(WINDOW)

    backlog.given(0.02, 0.02, NOW)
    backlog.given(0.029, 0.009, NOW + 0.009)

    assert not backlog.is_owed


def test_a_window_is_owed_when_it_is_complete():
    """And expected at once."""
    backlog = Backlog(WINDOW)

    live(backlog, 2)

    assert backlog.is_owed
    assert backlog.expected_at == pytest.approx(NOW + 2 * FRAME)


def test_what_was_judged_is_not_owed():
    """The rest is less than a window."""
    backlog = Backlog(WINDOW)
    live(backlog, 5)

    backlog.judged(0.03)
    assert backlog.expected_at == pytest.approx(NOW + 4 * FRAME)
    backlog.judged(0.09)
    assert not backlog.is_owed


def test_a_sample_that_is_held_back_is_not_owed():
    """Detectors that resample complete a window with the next frame, and there may be none."""
    backlog = Backlog(WINDOW)
    backlog.given(0.03, 0.03, NOW)
    assert not backlog.is_owed

    backlog.given(0.06, 0.03, NOW + 0.03)
    assert backlog.is_owed
    backlog.judged(0.03)
    assert not backlog.is_owed


def test_what_is_no_whole_window_before_a_flush_is_not_owed():
    """It is dropped, and does not count towards the next window."""
    backlog = Backlog(WINDOW)
    live(backlog, 4)
    backlog.judged(0.06)

    backlog.flushed(0.08)
    backlog.given(0.1, FRAME, NOW + 0.1)
    assert not backlog.is_owed
    backlog.given(0.12, FRAME, NOW + 0.12)
    assert backlog.is_owed


def test_a_flush_excuses_nobody():
    """Whole windows before it are judged, flush or not."""
    backlog = Backlog(WINDOW)
    live(backlog, 4)

    backlog.flushed(0.08)

    assert backlog.expected_at == pytest.approx(NOW + 2 * FRAME)


def test_much_audio_in_one_frame_is_much():
    """It is expected as if it had come in many."""
    backlog = Backlog(WINDOW)

    backlog.given(10.0, 10.0, NOW)

    assert backlog.expected_at == pytest.approx(NOW + 5.0, abs=WINDOW)


def test_a_late_repetition_changes_nothing():
    """Positions of the judged never go back."""
    backlog = Backlog(WINDOW)
    live(backlog, 5)
    backlog.judged(0.09)

    backlog.judged(0.03)
    backlog.given(0.11, 0.01, NOW + 0.11)

    assert not backlog.is_owed


def test_a_burst_is_expected_at_twice_the_pace_of_speech():
    """Ten seconds at once are not to be judged at once."""
    backlog = Backlog(WINDOW)
    for i in range(1, 501):
        backlog.given(i * FRAME, FRAME, NOW)
    assert backlog.expected_at == NOW

    backlog.judged(5.0)

    assert backlog.expected_at == pytest.approx(NOW + 2.5, abs=0.1)


def test_who_has_caught_up_is_expected_to_keep_up():
    """The patience with a burst ends with it."""
    backlog = Backlog(WINDOW)
    for i in range(1, 51):
        backlog.given(i * FRAME, FRAME, NOW)
    backlog.judged(1.0)

    live(backlog, 3, since=1.0, now=NOW + 0.1)

    assert backlog.expected_at == pytest.approx(NOW + 0.1 + 2 * FRAME)


def test_who_is_slower_than_speech_falls_behind():
    """Twice as slow: after two seconds one second is owed, the oldest since a second."""
    backlog = Backlog(WINDOW)
    for i in range(1, 101):
        backlog.given(i * FRAME, FRAME, NOW + i * FRAME)
        backlog.judged(i * FRAME / 2)

    assert backlog.expected_at == pytest.approx(NOW + 1.0, abs=2 * WINDOW)


def test_a_new_beginning_owes_nothing():
    """After a flush, or with audio that begins in mid-call."""
    backlog = Backlog(WINDOW)
    live(backlog, 5)

    backlog.begin(7.0)
    assert not backlog.is_owed
    backlog.given(7.02, FRAME, NOW)
    assert not backlog.is_owed
    backlog.given(7.04, FRAME, NOW)
    assert backlog.is_owed


@given(st.lists(st.tuples(st.floats(0.001, 0.3), st.floats(0.0, 0.5)), max_size=60))
def test_who_is_twice_as_fast_as_speech_is_never_late(pieces):
    """However the audio comes: half a second for each second is on time."""
    backlog, now, end, free_at = Backlog(WINDOW), NOW, 0.0, NOW
    done: list[tuple[float, float]] = []
    for seconds, pause in pieces:
        now += pause
        while done and done[0][0] <= now:
            backlog.judged(done.pop(0)[1])
        end += seconds
        free_at = max(free_at, now) + seconds / 2
        done.append((free_at, end))
        backlog.given(end, seconds, now)
        expected_at = backlog.expected_at
        if expected_at is not None:
            assert now - expected_at <= 0.3 + WINDOW + 1e-6
