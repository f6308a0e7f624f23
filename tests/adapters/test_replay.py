# SPDX-License-Identifier: Apache-2.0
"""The replay buffer keeps the newest audio, in order, and never more than it may."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, strategies as st
from livekit import rtc

from livekit_fallback.adapters._replay import ReplayBuffer
from tests.support.audio import number_of, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable


def _filled(capacity: float, count: int, *, frame_ms: int = 20) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity)
    for number in range(count):
        buffer.push(numbered(number, frame_ms=frame_ms))
        buffer.trim()
    return buffer


def _numbers(kept: Iterable[rtc.AudioFrame | None]) -> list[int]:
    return [number_of(frame) for frame in kept if frame is not None]


@given(
    capacity_ms=st.integers(0, 300),
    lengths=st.lists(st.integers(1, 60), max_size=30),
)
def test_it_keeps_the_newest_frames_that_fit(capacity_ms: int, lengths: list[int]):
    """Kept are the last frames pushed, whole and in order, as many as fit and no more."""
    buffer = ReplayBuffer(capacity_ms / 1000)

    for number, frame_ms in enumerate(lengths):
        buffer.push(numbered(number, frame_ms=frame_ms))
        buffer.trim()

    kept = _numbers(buffer.content)
    first = kept[0] if kept else len(lengths)
    assert kept == list(range(first, len(lengths)))
    assert sum(lengths[first:]) <= capacity_ms
    # lengths are added as fractions, so one that would fit exactly may be taken for too long
    assert first == 0 or sum(lengths[first - 1 :]) >= capacity_ms
    assert buffer.seconds == pytest.approx(sum(lengths[first:]) / 1000)


def test_audio_that_nobody_has_been_given_is_kept_beyond_the_capacity():
    """Only trimming drops, and the adapter trims when a listener has had the audio."""
    buffer = ReplayBuffer(0.1)
    for number in range(10):
        buffer.push(numbered(number))

    assert _numbers(buffer.content) == list(range(10))
    buffer.trim()
    assert _numbers(buffer.content) == [5, 6, 7, 8, 9]


def test_an_hour_of_audio_leaves_no_more_than_the_capacity():
    """Sums of frame lengths do not drift: the bound holds after many frames as well."""
    buffer = _filled(1.0, 30_000, frame_ms=100)

    assert _numbers(buffer.content) == list(range(29_990, 30_000))
    assert buffer.seconds == pytest.approx(1.0)


def test_clearing_forgets_everything():
    """What a final has settled is not kept for anybody."""
    buffer = _filled(1.0, 10)
    buffer.mark_flush()

    buffer.clear()

    assert buffer.content == ()
    assert buffer.seconds == 0.0


def test_a_flush_keeps_its_place_and_leaves_with_the_audio_before_it():
    """A flush stands where it was made, and is not kept longer than what it flushed."""
    buffer = ReplayBuffer(0.1)
    for number in range(8):
        buffer.push(numbered(number))
        if number in (1, 4):
            buffer.mark_flush()

    flushes = [i for i, kept in enumerate(buffer.content) if kept is None]
    buffer.trim()

    assert flushes == [2, 6]
    assert [None if kept is None else number_of(kept) for kept in buffer.content] == [
        3, 4, None, 5, 6, 7,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, []), (0.01, [9]), (0.02, [9]), (0.05, [7, 8, 9]), (9.0, list(range(10)))],
)
def test_a_tail_is_the_newest_frames(seconds: float, expected: list[int]):
    """At least so many seconds from the end, or all there is; a flush is no audio."""
    buffer = _filled(1.0, 10)
    buffer.mark_flush()

    assert _numbers(buffer.tail(seconds)) == expected


def test_taken_frames_are_not_changed_by_what_follows():
    """A listener that is being given the kept frames is not disturbed by newer ones."""
    buffer = _filled(0.2, 10)
    taken, tail = buffer.content, buffer.tail(0.04)

    buffer.push(numbered(10))
    buffer.clear()

    assert _numbers(taken) == list(range(10))
    assert _numbers(tail) == [8, 9]


def test_a_flush_of_nothing_new_is_no_flush():
    """A session may flush a muted caller again and again."""
    buffer = _filled(0.2, 1)
    for _ in range(1000):
        buffer.mark_flush()

    assert buffer.content[1:] == (None,)


# --- positions ---------------------------------------------------------------------------------


def _mixed(*parts: tuple[int, float], rate: int = 16_000, channels: int = 1) -> ReplayBuffer:
    """A buffer with audio of these peaks and lengths, in frames of 20 ms, noise in all of it."""
    fate = np.random.default_rng(1)
    buffer = ReplayBuffer(60.0)
    for peak, seconds in parts:
        size = rate // 50
        for _ in range(round(seconds * 50)):
            samples = fate.integers(-peak, peak, size * channels, np.int16, endpoint=True)
            samples[0] = -peak
            buffer.push(rtc.AudioFrame(samples.tobytes(), rate, channels, size))
    return buffer


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=30),
    at=st.integers(0, 2000),
    flushes=st.sets(st.integers(0, 30)),
)
def test_no_audio_from_a_position_on_is_dropped(lengths: list[int], at: int, flushes: set[int]):
    """Frames are kept whole; the only one before the position is the one it lies in."""
    buffer = ReplayBuffer(60.0)
    for number, frame_ms in enumerate(lengths):
        if number in flushes:
            buffer.mark_flush()
        buffer.push(numbered(number, frame_ms=frame_ms))

    buffer.drop_before(at / 1000)

    kept = _numbers(buffer.content)
    ends = list(accumulate(lengths))
    assert kept == [number for number, end in enumerate(ends) if end > at]
    assert buffer.end == pytest.approx(ends[-1] / 1000)
    assert buffer.start == pytest.approx(ends[-1] / 1000 - buffer.seconds)
    assert buffer.seconds == pytest.approx(sum(lengths[number] for number in kept) / 1000)
    later = [n for n in flushes if kept and kept[0] < n < len(lengths)]
    assert sum(f is None for f in buffer.content) - len(later) in (0, 1)


def test_dropping_goes_on_from_where_it_was():
    """Positions are those of the whole stream, whatever is kept of it."""
    buffer = _filled(60.0, 10)

    buffer.drop_before(0.1)
    buffer.drop_before(0.04)
    assert _numbers(buffer.content) == [5, 6, 7, 8, 9]

    buffer.push(numbered(10))
    buffer.drop_before(0.16)
    assert _numbers(buffer.content) == [8, 9, 10]
    assert buffer.start == pytest.approx(0.16)


SPEECH, NOISE, SOFT = 8000, 200, 900


def test_speech_starts_with_the_first_loud_sound():
    """Whatever silence is kept before it; where there is none, at the end of the audio."""
    assert _mixed((NOISE, 3.0), (SOFT, 0.5), (0, 1.0)).speech_start == pytest.approx(3.0)
    assert _mixed((NOISE, 3.0)).speech_start == pytest.approx(3.0)

    buffer = _mixed((NOISE, 3.0), (SPEECH, 0.5), (0, 1.0), (SPEECH, 0.5))
    buffer.mark_flush()
    buffer.drop_before(3.6)
    assert buffer.speech_start == pytest.approx(4.5)


def test_silence_since_a_position():
    """What was loud before it does not count."""
    buffer = _mixed((NOISE, 1.0), (SPEECH, 0.5), (0, 1.0))

    assert not buffer.is_silent_since(1.4)
    assert buffer.is_silent_since(1.5)
    assert buffer.is_silent_since(9.0)


@pytest.mark.parametrize("noise", [0, NOISE, 600, 1100])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 1), (48_000, 2)])
def test_a_pause_is_found_on_a_noisy_line(noise: int, rate: int, channels: int):
    """It is quieter than the speech around it, whatever the line is like."""
    buffer = _mixed((SPEECH, 1.0), (noise, 0.3), (SPEECH, 0.5), rate=rate, channels=channels)

    assert buffer.pause_before(1.8) == pytest.approx(1.3)


def test_a_pause_that_lasts_ends_where_one_asks():
    """Nothing has been said since."""
    buffer = _mixed((SPEECH, 1.0), (NOISE, 0.3))

    assert buffer.pause_before(1.3) == pytest.approx(1.3)


def test_a_short_quiet_is_within_a_word():
    """Stops and breaths are no pauses."""
    buffer = _mixed((SPEECH, 0.5), (NOISE, 0.18), (SPEECH, 0.5))

    assert buffer.pause_before(buffer.end) is None


def test_soft_speech_is_no_pause():
    """It is judged by what is loudest near it."""
    assert _mixed((SOFT, 2.0)).pause_before(2.0) is None


def test_the_newest_pause_counts():
    """What came before it is settled as well."""
    buffer = _mixed((SPEECH, 0.5), (0, 0.3), (SPEECH, 0.5), (0, 0.3), (SPEECH, 0.5))

    assert buffer.pause_before(2.1) == pytest.approx(1.6)
    assert buffer.pause_before(1.2) == pytest.approx(0.8)


def test_each_pause_is_found_once():
    """However long it is."""
    buffer = _mixed((SPEECH, 0.5), (0, 0.3), (SPEECH, 0.5), (0, 1.0), (SPEECH, 0.5), (0, 0.3))

    assert list(buffer.pauses_before(buffer.end)) == pytest.approx([3.1, 2.3, 0.8])


def test_speech_long_past_does_not_make_speech_quiet():
    """A shout of ten seconds ago says nothing about how loud people speak now."""
    buffer = _mixed((30_000, 1.0), (SPEECH, 1.0), (0, 0.3), (1500, 8.0))

    assert buffer.pause_before(buffer.end) is None


def test_without_audio_there_is_no_pause():
    """Nothing is known of it."""
    assert ReplayBuffer(1.0).pause_before(0.0) is None
