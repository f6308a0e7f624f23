# SPDX-License-Identifier: Apache-2.0
"""Hears when a caller speaks: how long does a recogniser take, and is it there at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import inference
from livekit.agents.stt import SpeechEventType
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from ..core.hearing import Hearing
from ..core.silence import Moment, SilenceWatch
from ..log import logger
from . import _clock
from ._listen import ListenAttempt
from ._tasks import TaskHolder
from ._timing import Timing

# Longer than most utterances; whether the event loop was blocked after it cannot be said of others.
_WATCHED_SEC = 30.0


class Endpointing:
    """Watches the recognisers of one caller with a voice activity detector beside them.

    Neither LiveKit's metrics nor the recognisers' own events say how late a transcript is, or
    that one is missing. Should the detector fail, nothing is watched any more, and the call goes
    on.

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
        self._pushed = 0.0  # seconds of audio
        self._stream: VADStream | None = detector.stream()
        self._is_closed = False
        self._task = tasks.spawn(self._listen(self._stream), "fallback endpointing")

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hear the next frame."""
        if self._stream is None:
            return
        self._pushed += frame.samples_per_channel / frame.sample_rate
        try:
            self._stream.push_frame(frame)
        except Exception as error:
            self._give_up(error)

    def recogniser_changed(self, attempt: ListenAttempt) -> None:
        """Another recogniser hears the caller from now on."""
        self._attempt = attempt
        self._hearing.recogniser_changed()
        if self._silence is not None:
            gives_words = attempt.member.instance.capabilities.interim_results
            self._silence.recogniser_changed(self._moment(), gives_words_meanwhile=gives_words)

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
            silence.settled(self._moment())
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
        if not self._is_closed:  # a second cancellation would break off the closing
            self._is_closed = True
            self._task.cancel()

    def _moment(self, ago: float = 0.0) -> Moment:
        return Moment(_clock.now() - ago, self._pushed - ago)

    async def _listen(self, stream: VADStream) -> None:
        try:
            async for event in stream:
                self._hear(event)
        except Exception as error:
            self._give_up(error)
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
        if self._silence is not None:
            self._silence.speech_began(self._moment(event.speech_duration))
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

    def _give_up(self, error: Exception) -> None:
        if self._stream is not None:
            self._stream = None
            _warn_of(error)


def endpointing(
    detector: VAD | None,
    tasks: TaskHolder,
    timing: Timing[Any] | None,
    silence_timeout: float | None,
    went_silent: Callable[[float], None],
) -> Endpointing | None:
    """Return what watches one caller's recognisers; ``None`` if nothing does."""
    if detector is None:
        return None
    silence = None if silence_timeout is None else SilenceWatch(silence_timeout)
    try:
        return Endpointing(detector, tasks, timing, silence, went_silent)
    except Exception as error:
        _warn_of(error)
        return None


def _warn_of(error: Exception) -> None:
    logger.warning(
        "the voice activity detector failed, recognisers are not watched",
        extra={"lk.pii.error": repr(error)},
    )


def bundled_detector() -> VAD | None:
    """Return the detector that livekit-agents brings along; ``None`` if it cannot be loaded."""
    try:
        return inference.VAD()
    except Exception as error:
        logger.warning(
            "the bundled voice activity detector cannot be loaded, recognisers are not watched: "
            "pass vad=",
            extra={"lk.pii.error": repr(error)},
        )
        return None
