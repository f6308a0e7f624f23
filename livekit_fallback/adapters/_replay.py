# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: audio that no final transcript has settled yet, kept for the next provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from livekit import rtc

from ._pauses import WINDOW_SEC, peaks_of

# What nobody has been given yet is not dropped for age, but memory has an end: 19 MB at 16 kHz.
_MAX_UNHEARD_SEC = 600.0

_SLACK_SEC = 1e-6  # of floating point

# 1 % of full scale: above the noise of a quiet line, and far below the peaks of soft speech.
_LOUD = 327

# A pause in speech: longer than the silence within a word, shorter than that before an answer.
PAUSE_SEC = 0.2
_PAUSE_WINDOWS = round(PAUSE_SEC / WINDOW_SEC)
_QUIET_PART = 0.15  # of the loudest sample near it
_PAUSE_WITHIN_SEC = 5.0

# From less than this nobody can say that nothing was said.
_ENOUGH_TO_JUDGE_SEC = 5.0


class ReplayBuffer:
    """The newest audio, and where it was flushed (``None`` among the frames).

    Args:
        capacity_sec: Seconds of audio to keep once a provider has been given it; older frames
            are dropped. Audio that nobody has been given yet is kept, up to ten minutes.
    """

    def __init__(self, capacity_sec: float) -> None:
        self._capacity = capacity_sec
        self._kept: deque[rtc.AudioFrame | None] = deque()
        self._seconds = 0.0
        self._end = 0.0
        self.lost_until = 0.0  # where the newest speech ends that was dropped for its age

    @property
    def end(self) -> float:
        """How many seconds of audio were pushed in all."""
        return self._end

    @property
    def start(self) -> float:
        """How many seconds of audio were pushed before the oldest that is kept."""
        return self._end - self._seconds

    @property
    def seconds(self) -> float:
        """Length of the audio kept."""
        return self._seconds

    @property
    def content(self) -> tuple[rtc.AudioFrame | None, ...]:
        """The audio kept, oldest first; ``None`` marks a flush."""
        return tuple(self._kept)

    @property
    def is_silent(self) -> bool:
        """Whether no sample of the audio kept is loud enough to be speech, as far as is known."""
        return self.is_silent_since(self.start)

    def is_silent_since(self, position: float) -> bool:
        """Likewise, of the audio after a position; see :attr:`end`."""
        if self._capacity < _ENOUGH_TO_JUDGE_SEC:
            return False
        return self._loud_since(position) is None

    @property
    def speech_start(self) -> float:
        """Where the audio kept is loud enough to be speech for the first time; else its end."""
        loud = self._loud_since(self.start)
        return self._end if loud is None else loud

    def _loud_since(self, position: float) -> float | None:
        begin = self.start
        for frame in self._kept:
            if frame is None:
                continue
            if begin >= position - _SLACK_SEC and _is_loud(frame):
                return begin
            begin += frame.samples_per_channel / frame.sample_rate
        return None

    def push(self, frame: rtc.AudioFrame) -> None:
        """Keep a frame. Call :meth:`trim` once a provider has been given it."""
        self._kept.append(frame)
        seconds = frame.samples_per_channel / frame.sample_rate
        self._seconds += seconds
        self._end += seconds
        if self._seconds > _MAX_UNHEARD_SEC:
            self._trim_to(_MAX_UNHEARD_SEC)

    def mark_flush(self) -> None:
        """Keep note that the session flushed here."""
        if not self._kept or self._kept[-1] is not None:
            self._kept.append(None)

    def trim(self) -> None:
        """Drop what exceeds the capacity, oldest first."""
        self._trim_to(self._capacity)

    def drop_before(self, position: float) -> None:
        """Drop the frames whose audio lies wholly before a position; see :attr:`end`."""
        while self._kept:
            oldest = self._kept[0]
            length = 0.0 if oldest is None else oldest.samples_per_channel / oldest.sample_rate
            if self.start + length > position + _SLACK_SEC:
                return
            self._kept.popleft()
            self._seconds -= length

    def pause_before(self, position: float) -> float | None:
        """Return where the newest pause in speech ends; ``position`` itself if it goes on.

        What is quiet is judged by the loudest audio near it, so noise on the line does not
        matter. ``None``: people spoke without a pause, as far as audio is kept.
        """
        return next(self.pauses_before(position), None)

    def pauses_before(self, position: float) -> Iterator[float]:
        """Iterate over where the pauses in the last seconds of speech end, the newest first."""
        frames, end = self._until(position)
        peaks = peaks_of(frames, to_end=True)
        quiet = peaks <= max(_LOUD, peaks.max(initial=0) * _QUIET_PART)
        length = 0
        for n, is_quiet in enumerate(quiet[::-1].tolist()):
            length = length + 1 if is_quiet else 0
            if length == _PAUSE_WINDOWS:
                yield end - (n + 1 - length) * WINDOW_SEC

    def _until(self, position: float) -> tuple[list[rtc.AudioFrame], float]:
        # the frames before it that can hold its pause, and where they end
        found: list[rtc.AudioFrame] = []
        begin = end = self._end
        for frame in reversed(self._kept):
            if frame is None:
                continue
            if begin > position + _SLACK_SEC:
                end = begin - frame.samples_per_channel / frame.sample_rate
            else:
                found.append(frame)
            begin -= frame.samples_per_channel / frame.sample_rate
            if begin < position - _PAUSE_WITHIN_SEC:
                break
        return found[::-1], end

    def _trim_to(self, seconds: float) -> None:
        while self._seconds > seconds + _SLACK_SEC and self._kept:
            oldest = self._kept.popleft()
            if oldest is not None:
                self._seconds -= oldest.samples_per_channel / oldest.sample_rate
                if _is_loud(oldest):
                    self.lost_until = self.start

    def clear(self) -> None:
        """Drop everything: its words are settled."""
        self._kept.clear()
        self._seconds = 0.0

    def tail(self, seconds: float) -> tuple[rtc.AudioFrame, ...]:
        """Return the newest frames, as many as make up ``seconds`` if there are so many."""
        taken: list[rtc.AudioFrame] = []
        length = 0.0
        for frame in reversed(self._kept):
            if length >= seconds:
                break
            if frame is not None:
                taken.append(frame)
                length += frame.samples_per_channel / frame.sample_rate
        return tuple(reversed(taken))


def _is_loud(frame: rtc.AudioFrame) -> bool:
    return _peak(frame) > _LOUD


def _peak(frame: rtc.AudioFrame) -> int:
    samples = np.frombuffer(frame.data, dtype=np.int16)
    return max(int(samples.max()), -int(samples.min())) if samples.size else 0
