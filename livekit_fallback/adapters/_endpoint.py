# SPDX-License-Identifier: Apache-2.0
"""Hears when a caller stops speaking, to tell how long a recogniser takes to say what was said."""

from __future__ import annotations

from typing import Any

from livekit import rtc
from livekit.agents import inference
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from ..core.hearing import Hearing
from ..log import logger
from . import _clock
from ._listen import ListenAttempt
from ._tasks import TaskHolder
from ._timing import Timing

# Longer than most utterances; whether the event loop was blocked after it cannot be said of others.
_WATCHED_SEC = 30.0


class Endpointing:
    """Times the recognisers of one caller with a voice activity detector beside them.

    Neither LiveKit's metrics nor the recognisers' own events say how late a transcript is. Should
    the detector fail, nothing is timed any more, and the call goes on.

    Args:
        detector: Makes the stream that hears the caller.
        tasks: Holds the task that listens to it.
        timing: Is told the latencies, and whose they are.
    """

    def __init__(self, detector: VAD, tasks: TaskHolder, timing: Timing[Any]) -> None:
        self._timing = timing
        self._hearing = Hearing()
        self._attempt: ListenAttempt | None = None  # whose words come
        self._stream: VADStream | None = detector.stream()
        self._is_closed = False
        self._task = tasks.spawn(self._listen(self._stream), "fallback endpointing")

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hear the next frame."""
        if self._stream is None:
            return
        try:
            self._stream.push_frame(frame)
        except Exception as error:
            self._give_up(error)

    def recogniser_changed(self, attempt: ListenAttempt | None) -> None:
        """Another recogniser hears the caller from now on."""
        self._attempt = attempt
        self._hearing.recogniser_changed()

    def words_came(self) -> None:
        """The recogniser gave words that it may still change."""
        self._hearing.words_came()

    def words_settled(self) -> None:
        """The recogniser gave words for good, or such as an answer may begin with."""
        self._told(self._hearing.words_settled(_clock.now()))

    def close(self) -> None:
        """Stop hearing. Idempotent."""
        self._stream = None
        if not self._is_closed:  # a second cancellation would break off the closing
            self._is_closed = True
            self._task.cancel()

    async def _listen(self, stream: VADStream) -> None:
        try:
            async for event in stream:
                self._hear(event)
        except Exception as error:
            self._give_up(error)
        finally:
            await stream.aclose()

    def _hear(self, event: VADEvent) -> None:
        turn = self._timing.turn
        if event.type is VADEventType.START_OF_SPEECH:
            self._hearing.speech_began()
            # the loop may be blocked before the detector is sure that speech has ended
            self._timing.watch(_clock.now() + _WATCHED_SEC)
            if turn is not None:
                turn.speech_began()
        elif event.type is VADEventType.END_OF_SPEECH:
            ended_at = _clock.now() - event.silence_duration
            self._timing.watch(ended_at)
            if turn is not None:
                turn.speech_ended(ended_at)
            self._told(self._hearing.speech_ended(ended_at))

    def _told(self, latency: float | None) -> None:
        attempt = self._attempt
        if latency is not None and attempt is not None:
            self._timing.heard(attempt.member, latency, attempt.permit)

    def _give_up(self, error: Exception) -> None:
        if self._stream is not None:
            self._stream = None
            _warn_of(error)


def endpointing(detector: VAD | None, tasks: TaskHolder, timing: Timing[Any]) -> Endpointing | None:
    """Return what times one caller's recognisers; ``None`` if nothing does."""
    if detector is None:
        return None
    try:
        return Endpointing(detector, tasks, timing)
    except Exception as error:
        _warn_of(error)
        return None


def _warn_of(error: Exception) -> None:
    logger.warning(
        "the voice activity detector failed, recognisers are not timed",
        extra={"lk.pii.error": repr(error)},
    )


def bundled_detector() -> VAD | None:
    """Return the detector that livekit-agents brings along; ``None`` if it cannot be loaded."""
    try:
        return inference.VAD()
    except Exception as error:
        logger.warning(
            "the bundled voice activity detector cannot be loaded, recognisers are not timed: "
            "pass vad=, or attach(session)",
            extra={"lk.pii.error": repr(error)},
        )
        return None
