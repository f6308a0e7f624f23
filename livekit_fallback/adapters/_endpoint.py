# SPDX-License-Identifier: Apache-2.0
"""Hears when a caller speaks: how long does a recogniser take, and is it there at all?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import inference
from livekit.agents.stt import SpeechEventType
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from ..core.hearing import Hearing
from ..core.silence import Moment, SilenceWatch
from ..errors import EndedEarlyError
from ..log import logger
from . import _clock
from ._listen import ListenAttempt
from ._tasks import TaskHolder
from ._timing import Timing
from .energy_vad import EnergyVAD

# Longer than most utterances; whether the event loop was blocked after it cannot be said of others.
_WATCHED_SEC = 30.0

# A silent recogniser is found out in seconds, and waking the detector for each frame is dear. Where
# latencies are timed it hears at once.
_BATCH_SEC = 0.1


class Endpointing:
    """Watches the recognisers of one caller with a voice activity detector beside them.

    Neither LiveKit's metrics nor the recognisers' own events say how late a transcript is, or
    that one is missing. Should the detector fail, loudness alone has to tell speech from then on:
    good enough to say that somebody speaks, but not to time anybody by.

    Args:
        detector: Makes the stream that hears the caller.
        tasks: Holds the task that listens to it.
        timing: Is told the latencies, and whose they are; ``None``: nobody is.
        silence: Judges whether the recogniser is there at all; ``None``: nobody does.
        went_silent: Called with the seconds for which the recogniser has owed an answer.
    """

    def __init__(
        self,
        detector: VAD,
        tasks: TaskHolder,
        timing: Timing[Any] | None,
        silence: SilenceWatch | None,
        went_silent: Callable[[float], None],
    ) -> None:
        self._timing = timing
        self._hearing = Hearing()
        self._silence = silence
        self._went_silent = went_silent
        self._attempt: ListenAttempt | None = None  # whose words come
        self.new_speech_at: float | None = None  # when speech began since, for the first time
        self._pushed = 0.0  # seconds of audio
        self._tasks = tasks
        self._is_last_resort = False
        self._stream: VADStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[rtc.AudioFrame] = []  # that the detector was not given yet
        self._given = 0.0  # seconds of audio that it was
        self._hear_with(detector)

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hear the next frame."""
        stream = self._stream
        if stream is None:
            return
        self._pushed += frame.samples_per_channel / frame.sample_rate
        self._waiting.append(frame)
        if self._timing is None and self._pushed - self._given < _BATCH_SEC:
            return
        waiting, self._waiting, self._given = self._waiting, [], self._pushed
        try:
            for waited in waiting:
                stream.push_frame(waited)
        except Exception as error:
            self._give_up(stream, error)

    def recogniser_changed(self, attempt: ListenAttempt) -> None:
        """Another recogniser hears the caller from now on."""
        self._attempt, self.new_speech_at = attempt, None
        self._hearing.recogniser_changed()
        if self._silence is not None:
            self._silence.recogniser_changed(
                self._moment(),
                patience=attempt.member.limits.silence_timeout,
                gives_words_meanwhile=attempt.member.instance.capabilities.interim_results,
            )

    def recognised(self, event_type: SpeechEventType, *, has_text: bool) -> None:
        """The recogniser gave a sign of life."""
        if has_text and event_type is SpeechEventType.INTERIM_TRANSCRIPT:
            self._hearing.words_came()
        elif has_text:
            self._told(self._hearing.words_settled(_clock.now()))
        silence = self._silence
        if silence is None:
            return
        if event_type in (SpeechEventType.FINAL_TRANSCRIPT, SpeechEventType.END_OF_SPEECH):
            silence.settled(self._moment(), has_words=has_text)
        elif has_text:
            silence.words_came(self._moment())
        else:
            silence.began(self._moment())

    def forgive(self) -> None:
        """What was taken for speech holds no words: nobody owes any."""
        if self._silence is not None:
            self._silence.forgive()

    def close(self) -> None:
        """Stop hearing. Idempotent."""
        self._stream = None
        task, self._task = self._task, None  # a second cancellation would break off the closing
        if task is not None:
            task.cancel()

    def _hear_with(self, detector: VAD) -> None:
        try:
            stream = detector.stream()
        except Exception as error:
            self._go_on_without(error)
            return
        self._stream = stream
        self._task = self._tasks.spawn(self._listen(stream), "fallback endpointing")

    def _go_on_without(self, error: Exception) -> None:
        self._stream = self._task = None
        if not self._is_last_resort:
            self._is_last_resort = True
            self._timing = None  # for latencies, loudness is too coarse a measure
            _warn_of(error)
            self._hear_with(EnergyVAD())

    def _moment(self, ago: float = 0.0) -> Moment:
        return Moment(_clock.now() - ago, self._pushed - ago)

    async def _listen(self, stream: VADStream) -> None:
        try:
            async for event in stream:
                if stream is self._stream:
                    self._hear(event)
            self._give_up(stream, EndedEarlyError("audio was still coming"))
        except Exception as error:
            self._give_up(stream, error)
        finally:
            await stream.aclose()

    def _hear(self, event: VADEvent) -> None:
        if event.type is VADEventType.START_OF_SPEECH:
            self._speech_began(event)
        elif event.type is VADEventType.END_OF_SPEECH:
            self._speech_ended(event)
        silence = self._silence
        if silence is not None and silence.is_owed:
            overdue = silence.overdue(self._moment())
            if overdue is not None:
                self._went_silent(overdue)

    def _speech_began(self, event: VADEvent) -> None:
        began = self._moment(event.speech_duration)
        if self.new_speech_at is None:
            self.new_speech_at = began.now
        if self._silence is not None:
            self._silence.speech_began(began)
        self._hearing.speech_began()
        timing = self._timing
        if timing is None:
            return
        # the loop may be blocked before the detector is sure that speech has ended
        timing.watch(_clock.now() + _WATCHED_SEC)
        if timing.turn is not None:
            timing.turn.speech_began()

    def _speech_ended(self, event: VADEvent) -> None:
        if self._silence is not None:
            self._silence.speech_ended(self._moment(event.silence_duration))
        ended_at = _clock.now() - event.silence_duration
        if self._timing is not None:
            self._timing.watch(ended_at)
            if self._timing.turn is not None:
                self._timing.turn.speech_ended(ended_at)
        self._told(self._hearing.speech_ended(ended_at))

    def _told(self, latency: float | None) -> None:
        attempt, timing = self._attempt, self._timing
        if latency is not None and attempt is not None and timing is not None:
            timing.heard(attempt.member, latency, attempt.permit)

    def _give_up(self, stream: VADStream, error: Exception) -> None:
        if stream is self._stream:
            if self._task is not asyncio.current_task():
                self._tasks.spawn(stream.aclose(), "fallback closes a detector")
            self._go_on_without(error)


def endpointing(
    detector: VAD | None,
    tasks: TaskHolder,
    timing: Timing[Any] | None,
    watches_silence: bool,
    went_silent: Callable[[float], None],
) -> Endpointing | None:
    """Return what watches one caller's recognisers; ``None`` if nothing does."""
    if detector is None:
        return None
    silence = SilenceWatch() if watches_silence else None
    return Endpointing(detector, tasks, timing, silence, went_silent)


def _warn_of(error: Exception) -> None:
    logger.warning(
        "the voice activity detector failed, speech is told by its loudness",
        extra={"lk.pii.error": repr(error)},
    )


def bundled_detector() -> VAD:
    """Return the detector that livekit-agents brings along, or one by loudness in its place."""
    try:
        return inference.VAD()
    except Exception as error:
        logger.warning(
            "the bundled voice activity detector cannot be loaded, speech is told by its "
            "loudness: pass vad=",
            extra={"lk.pii.error": repr(error)},
        )
        return EnergyVAD()
