# SPDX-License-Identifier: Apache-2.0
"""The replay buffer keeps the newest audio, in order, and never more than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.adapters._replay import ReplayBuffer
from tests.support.audio import number_of, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livekit import rtc


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
