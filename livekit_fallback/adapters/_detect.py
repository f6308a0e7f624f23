# SPDX-License-Identifier: Apache-2.0
"""One voice activity detector hearing a caller, or a sample: the attempts of the VAD adapter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from livekit import rtc
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from ..core.backlog import Backlog
from ..errors import EndedEarlyError, StallError
from ._assignment import Assignment
from ._lasting import LastingAttempt, end_input, flush

_PING_RATE = 16_000
_PING_SEC = 0.5

_SLACK_SEC = 1e-6  # of floating point


class Listener(Protocol):
    """Who an attempt hears for: the session's stream."""

    @property
    def input_ended(self) -> bool:
        """Whether the session has said that no more audio comes."""

    def hear(self, attempt: DetectAttempt, event: VADEvent, position: float) -> None:
        """Take an event of the detector, with its position in the caller's audio (seconds)."""


class DetectAttempt(LastingAttempt[VADEvent]):
    """One detector hearing one caller, until it fails, is no longer needed, or audio ends.

    It owes one INFERENCE_DONE for each window of audio, and audio is owed nothing but that: a
    caller who is muted sends none.

    Args:
        given: What to work with.
        listener: Who to hear for; ``None`` for a probe.
        prime: Gives the opened stream the audio so far.
        alone_for: How late it may be where there is no other detector at all; ``None``: there is.
    """

    stream: VADStream | None = None  # open, and given the audio so far

    def __init__(
        self,
        given: Assignment,
        listener: Listener | None,
        prime: Callable[[VADStream], None],
        *,
        alone_for: float | None = None,
    ) -> None:
        super().__init__(given, self._open, self._begin)
        detector: VAD = given.member.instance
        self.window = detector.capabilities.update_interval
        self._listener = listener
        self._give_audio_so_far = prime
        self._backlog = Backlog(self.window)
        limits = given.member.limits
        self._patience = limits.stall_timeout
        if alone_for is not None and self._patience is not None:
            self._patience = max(self._patience, alone_for)
        # whether it is held to judge its audio in time
        self.is_watched = limits.attempt_timeout is not None and limits.stall_timeout is not None
        self._base = 0.0  # position that the detector counts from
        self._flushes: deque[float] = deque()  # positions, until the detector is beyond them
        self._newest = 0.0  # its newest own timestamp

    def begin_at(self, position: float) -> None:
        """The first sample that it is given lies at this position."""
        self._base = position
        self._backlog.begin(position)

    def was_given(self, frame: rtc.AudioFrame, end: float) -> None:
        """Take note that the detector was given a frame that ends at a position."""
        if not self.is_watched:
            return
        self._backlog.given(end, frame.duration, self._loop.time())
        if self._backlog.is_owed:
            self.owe()
            self._watch.look()

    def push_frame(self, frame: rtc.AudioFrame, end: float) -> None:
        """Give the detector the next frame, which ends at a position."""
        if self.stream is not None and self.feed(self.stream.push_frame, frame):
            self.was_given(frame, end)

    def flush(self, position: float) -> None:
        """Tell the detector that a segment ends here."""
        if self.stream is not None:
            self.feed(flush, self.stream)
            self.was_flushed(position)

    def was_flushed(self, position: float) -> None:
        """Take note that the detector was told that a segment ends at a position."""
        self._flushes.append(position)
        self._backlog.flushed(position)

    def end_input(self) -> None:
        """Tell the detector that no more audio comes."""
        if self.stream is not None:
            self.feed(end_input, self.stream)

    def _open(self) -> aclosing[VADStream]:
        detector: VAD = self.member.instance
        return aclosing(detector.stream())

    def _begin(self, stream: VADStream) -> None:
        self._give_audio_so_far(stream)
        self.stream = stream

    def _due(self) -> float | None:
        if self._closing_due is not None:
            return self._closing_due
        expected_at = self._backlog.expected_at
        if expected_at is None:
            return None
        if not self.committed:
            return self._first_output_due
        return None if self._patience is None else expected_at + self._patience

    def _overdue(self) -> Exception:
        if not self.committed:
            return super()._overdue()
        expected_at = self._backlog.expected_at
        now = self._loop.time()
        return StallError(now - (now if expected_at is None else expected_at))

    def _position(self, event: VADEvent) -> float:
        is_window = event.type is VADEventType.INFERENCE_DONE
        least = self._newest + _SLACK_SEC if is_window else self._newest - _SLACK_SEC
        if self._flushes and event.timestamp < least:
            # a flush makes most detectors count from 0 again, and drops what is no whole window
            self._base = self._flushes.popleft()
            while self._flushes and self._flushes[0] < self._base + self.window:
                self._base = self._flushes.popleft()
        self._newest = event.timestamp
        position = self._base + event.timestamp
        while self._flushes and self._flushes[0] < position - self.window:
            self._flushes.popleft()  # it counts on
        return position

    def _receive(self, event: VADEvent) -> None:
        position = self._position(event)
        if event.type is VADEventType.INFERENCE_DONE:
            self._backlog.judged(position)
            if not self._backlog.is_owed:
                self._watch.renew_grace()
        self._output()
        if self._listener is not None:
            self._listener.hear(self, event, position)

    def _judge_end(self) -> BaseException | None:
        if self._listener is not None and self._listener.input_ended:
            return None
        return EndedEarlyError("audio was still coming")


class SampleAttempt(DetectAttempt):
    """A probe: the detector has to judge a whole sample in time, not only its first window."""

    def __init__(self, given: Assignment, sample: Sequence[rtc.AudioFrame]) -> None:
        super().__init__(given, None, self._give_sample)
        self._sample = sample
        # frames need not be made up of whole windows
        self._enough = sum(frame.duration for frame in sample) - 1.5 * self.window

    def _give_sample(self, stream: VADStream) -> None:
        self.owe()
        for frame in self._sample:
            stream.push_frame(frame)

    def _due(self) -> float | None:
        return self._closing_due or self._first_output_due

    def _receive(self, event: VADEvent) -> None:
        if event.type is VADEventType.INFERENCE_DONE and event.timestamp >= self._enough:
            self._output()


def probe_with(sample: Sequence[rtc.AudioFrame], given: Assignment) -> SampleAttempt | None:
    """Return a probe that hears a sample of the caller's audio; ``None`` if there is none."""
    return SampleAttempt(given, sample) if sample else None


def ping_with(given: Assignment) -> SampleAttempt:
    """Return a probe that hears half a second of silence."""
    count = round(_PING_SEC * _PING_RATE)
    return SampleAttempt(given, [rtc.AudioFrame(bytes(2 * count), _PING_RATE, 1, count)])
