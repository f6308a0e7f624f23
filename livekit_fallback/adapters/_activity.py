# SPDX-License-Identifier: Apache-2.0
"""One caller's audio, heard by one detector after the other: the stream of the VAD adapter."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial

from livekit import rtc
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from ..core.activity import Activity, Verdict
from ..errors import AllProvidersFailedError
from ._assignment import Assignment
from ._chain import Chain
from ._detect import DetectAttempt, probe_with
from ._outbox import OutboxStream
from ._replay import ReplayBuffer
from ._request import Request
from ._segment import Segment

# So much audio, heard in time, counts as a request served. Also how long it has to be quiet
# before a detector is left for a better one.
_SERVED_SEC = 1.0

_PROBE_SEC = 0.5

# More audio than this lies before a detector only if it came faster than people speak.
_USUAL_BACKLOG_SEC = 0.5

_SLACK_SEC = 1e-6  # of floating point

# Between two searches for a detector. The first waits are worth more than the cost of asking.
_FIRST_WAIT_SEC = 0.5
_MAX_WAIT_SEC = 5.0


class FallbackVADStream(OutboxStream[VADEvent], VADStream):
    """One caller's audio: it goes straight to the detector at work, and the newest is kept.

    The stream ends when the session says so, or when the adapter is closed, and in no other case:
    while no detector can be had, one is looked for again and again.
    """

    def __init__(self, vad: VAD, chain: Chain[VAD], *, replay_buffer_sec: float) -> None:
        super().__init__(vad)
        self._chain = chain
        self._kept = ReplayBuffer(replay_buffer_sec)
        self._usual_backlog = max(replay_buffer_sec, _USUAL_BACKLOG_SEC)
        self._activity = Activity()
        self._segment = Segment()
        self._pushed = 0.0  # position after the newest frame
        self._flushes: deque[float] = deque()  # positions that no window beyond was told of
        self._flushed_at = 0.0  # position of the newest other one
        self._input_rate = 0
        self._rate: float | None = None  # that the session's sample indices are counted in
        self._counted = 0.0  # position up to which audio heard was counted as served
        self._attempt: DetectAttempt | None = None
        self._is_lost = False  # what comes: nobody could be found to hear it
        self._request: Request | None = None
        self._read_from_outbox(self._task)

    @property
    def input_ended(self) -> bool:
        """Whether the session has said that no more audio comes."""
        return self._input_ch.closed

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand over the next frame; see :meth:`livekit.agents.vad.VADStream.push_frame`."""
        self._check_input_not_ended()
        self._check_not_closed()
        if frame.sample_rate != self._input_rate:
            self._input_rate = frame.sample_rate
            self._kept.clear()  # detectors take one rate
        self._kept.push(frame)
        self._pushed += frame.duration
        if self._attempt is not None:
            self._attempt.push_frame(frame, self._pushed)
        self._trim()

    def flush(self) -> None:
        """End the segment without an END_OF_SPEECH: what follows begins a new one."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._flushes.append(self._pushed)
        if self._attempt is not None:
            self._attempt.flush(self._pushed)

    def end_input(self) -> None:
        """Say that no more audio comes. An open segment gets its END_OF_SPEECH."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        if self._attempt is not None:
            self._attempt.end_input()

    async def _main_task(self) -> None:
        self._chain.when_reordered.add(self._leave_if_at_rest)
        wait, heard_until = _FIRST_WAIT_SEC, 0.0
        try:
            while not await self._has_heard_all():
                if self._activity.reported > heard_until:
                    wait, heard_until = _FIRST_WAIT_SEC, self._activity.reported
                await self._chain.pause(wait)
                wait = min(2.0 * wait, _MAX_WAIT_SEC)
        finally:
            self._chain.when_reordered.discard(self._leave_if_at_rest)
            self._attempt = None
            self._close_segment()

    async def _has_heard_all(self) -> bool:
        self._request = Request(self._chain, self._make_attempt, may_hedge=False)
        try:
            await self._request.run()
        except AllProvidersFailedError:
            self._attempt = None
            self._is_lost = True
            self._kept.trim()
            self._close_segment()
            return self.input_ended
        return True

    def _make_attempt(self, given: Assignment) -> DetectAttempt:
        # to begin anew helps a detector that hangs, but none that lacks processor time
        is_alone = len(self._chain.members) == 1
        alone_for = self._chain.options["total_timeout"] if is_alone else None
        self._attempt = DetectAttempt(given, self, self._begin, alone_for=alone_for)
        return self._attempt

    def _begin(self, stream: VADStream) -> None:
        """Give a detector the newest audio."""
        attempt = self._attempt
        assert attempt is not None
        position = self._pushed - self._kept.seconds
        begins_at = max(position, self._flushed_at)
        self._activity.detector_changed(begins_at, self._pushed)
        self._segment.is_joined = self._activity.is_open
        self._counted = max(self._counted, self._activity.reported)
        attempt.begin_at(begins_at)
        flushes = deque(self._flushes)
        for frame in filter(None, self._kept.content):
            if position > begins_at - _SLACK_SEC:
                _flush_at(position, flushes, attempt, stream)
                stream.push_frame(frame)
                attempt.was_given(frame, position + frame.duration)
            position += frame.duration
        _flush_at(position, flushes, attempt, stream)
        self._is_lost = False
        if self.input_ended:
            stream.end_input()

    def _trim(self) -> None:
        """Drop old audio, but none that a detector is going to judge and has not."""
        attempt = self._attempt
        is_given = attempt is not None and attempt.stream is not None
        behind = self._pushed - self._activity.reported
        is_judged = behind <= self._usual_backlog or (
            attempt is not None and not attempt.is_watched
        )
        if self._is_lost or (is_given and is_judged):
            self._kept.trim()

    def hear(self, attempt: DetectAttempt, event: VADEvent, position: float) -> None:
        """Take an event of the detector at work, and hand it to the session."""
        if attempt is not self._attempt:
            return
        if self._flushes and position > self._flushes[0] + _SLACK_SEC:
            self._begin_segment(position)
        if self._rate is None and event.timestamp > 0.0:
            self._rate = event.samples_index / event.timestamp
        if event.type is VADEventType.INFERENCE_DONE:
            self._hear_window(attempt, event, position)
        elif event.type is VADEventType.START_OF_SPEECH:
            self._hear_start(event, position)
        elif self._activity.end():
            self._tell(event, position)
            self._segment.clear()

    def _begin_segment(self, position: float) -> None:
        """Forget what was before the flushes that this position lies beyond."""
        while self._flushes and position > self._flushes[0] + _SLACK_SEC:
            self._flushed_at = self._flushes.popleft()
        self._activity.close()
        self._segment.clear()

    def _hear_window(self, attempt: DetectAttempt, event: VADEvent, position: float) -> None:
        new = position if self._activity.is_held else position - self._activity.reported
        is_voiced = event.raw_accumulated_speech > 0.0 or event.probability >= 0.5
        if new > 0.0 and not self._activity.at_rest:
            self._segment.add(event.frames, new)
        verdict = self._activity.window(position, is_voiced=is_voiced)
        if verdict is Verdict.KNOWN:
            return
        self._tell(event, position)
        if verdict is Verdict.BEGINS:
            self._segment.is_joined = True
            self._tell_of_segment(VADEventType.START_OF_SPEECH)
        elif verdict is Verdict.ENDS:
            self._end_segment()
        if position - self._counted >= _SERVED_SEC:
            self._count(attempt, position)

    def _hear_start(self, event: VADEvent, position: float) -> None:
        was_open = self._activity.is_open
        is_told = self._activity.start(position)
        if not was_open:
            self._segment.begin(event.frames, position - event.speech_duration)
        if is_told:
            self._tell(event, position)

    def _count(self, attempt: DetectAttempt, position: float) -> None:
        """Take note that a detector has heard for a while, and look whether to go on with it."""
        self._counted = position
        if self._request is not None:
            self._request.renew(attempt)
        self._chain.remember(partial(probe_with, self._kept.tail(_PROBE_SEC)))
        self._leave_if_at_rest()

    def _leave_if_at_rest(self) -> None:
        """Go to a detector that is better by now, if nobody has spoken for a while."""
        attempt, request, activity = self._attempt, self._request, self._activity
        if attempt is None or request is None or self.input_ended or not activity.at_rest:
            return
        is_quiet = activity.reported - activity.voiced_at >= _SERVED_SEC or not activity.voiced_at
        if is_quiet and request.would_leave(attempt):
            attempt.hand_over()

    def _tell(self, event: VADEvent, position: float) -> None:
        """Hand on an event, counted on from the ones before."""
        position = max(position, self._activity.reported)
        index = self._index(position)
        joined = self._segment.is_joined
        if index != event.samples_index or position != event.timestamp:
            event = replace(event, samples_index=index, timestamp=position)
        if joined and event.type is VADEventType.END_OF_SPEECH:
            spoken = position - event.silence_duration - self._segment.began_at
            frames = self._segment.frames or event.frames
            event = replace(event, speech_duration=max(spoken, 0.0), frames=frames)
        elif joined:
            spoken = position - self._segment.began_at
            event = replace(event, speech_duration=spoken, speaking=True, silence_duration=0.0)
        self._outbox.put(event)

    def _tell_of_segment(self, kind: VADEventType) -> None:
        """Tell what no detector has told."""
        position, voiced_at = self._activity.reported, self._activity.voiced_at
        event = VADEvent(
            type=kind,
            samples_index=self._index(position),
            timestamp=position,
            speech_duration=max(0.0, voiced_at - self._segment.began_at),
            silence_duration=max(0.0, position - voiced_at),
            frames=self._segment.frames,
            speaking=kind is VADEventType.START_OF_SPEECH,
        )
        self._outbox.put(event)

    def _index(self, position: float) -> int:
        return round(position * (self._rate or 0.0))

    def _end_segment(self) -> None:
        self._tell_of_segment(VADEventType.END_OF_SPEECH)
        self._segment.clear()

    def _close_segment(self) -> None:
        if self._activity.close():
            self._end_segment()

    def _end_input(self) -> None:
        self._input_ch.close()


def _flush_at(
    position: float, flushes: deque[float], attempt: DetectAttempt, stream: VADStream
) -> None:
    while flushes and flushes[0] <= position + _SLACK_SEC:
        stream.flush()
        attempt.was_flushed(flushes.popleft())
