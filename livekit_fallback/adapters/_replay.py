# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: audio that no final transcript has settled yet, kept for the next provider."""

from __future__ import annotations

from collections import deque

from livekit import rtc


class ReplayBuffer:
    """The newest frames, up to a number of seconds.

    Args:
        capacity_sec: Seconds of audio to keep; older frames are dropped. 0 keeps none.
    """

    def __init__(self, capacity_sec: float) -> None:
        self._capacity = capacity_sec
        self._frames: deque[rtc.AudioFrame] = deque()
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """Length of the audio kept."""
        return self._seconds

    @property
    def frames(self) -> tuple[rtc.AudioFrame, ...]:
        """The audio kept, oldest first."""
        return tuple(self._frames)

    def push(self, frame: rtc.AudioFrame) -> None:
        self._frames.append(frame)
        self._seconds += frame.samples_per_channel / frame.sample_rate
        while self._seconds > self._capacity and self._frames:
            oldest = self._frames.popleft()
            self._seconds -= oldest.samples_per_channel / oldest.sample_rate

    def clear(self) -> None:
        self._frames.clear()
        self._seconds = 0.0

    def tail(self, seconds: float) -> tuple[rtc.AudioFrame, ...]:
        """Return the newest frames, at least ``seconds`` of them if there are so many."""
        taken: list[rtc.AudioFrame] = []
        length = 0.0
        for frame in reversed(self._frames):
            if length >= seconds:
                break
            taken.append(frame)
            length += frame.samples_per_channel / frame.sample_rate
        return tuple(reversed(taken))
