# SPDX-License-Identifier: Apache-2.0
"""A listener that hears what its script says."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)
from livekit.agents.types import TimedString

from tests.support.provider import Scripted
from tests.support.script import Call, News, ScriptSource, Step, perform

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class AfterAudio(Step):
    """Go on when so many seconds of audio came in all, or the audio ended."""

    seconds: float


@dataclass(frozen=True)
class AfterFrames(Step):
    """Go on when so many frames came in all, or the audio ended."""

    count: int


@dataclass(frozen=True)
class AfterFlush(Step):
    """Go on when the caller flushed so many times, or the audio ended."""

    count: int = 1


@dataclass(frozen=True)
class SpeechStart(Step):
    """START_OF_SPEECH."""


@dataclass(frozen=True)
class SpeechEnd(Step):
    """END_OF_SPEECH."""


@dataclass(frozen=True)
class AudioUsage(Step):
    """RECOGNITION_USAGE: the client's own count of seconds, no sign of life of the server."""

    seconds: float = 5.0


@dataclass(frozen=True)
class Transcript(Step):
    """Text with its times in seconds of the stream's audio; with words if it has a length."""

    text: str
    start: float = 0.0
    end: float = 0.0
    confidence: float = 1.0
    language: str = "en"


class Interim(Transcript):
    """INTERIM_TRANSCRIPT."""


class Preflight(Transcript):
    """PREFLIGHT_TRANSCRIPT."""


class Final(Transcript):
    """FINAL_TRANSCRIPT; the result of `recognize`. Without times it ends where the audio does."""


class UntimedFinal(Transcript):
    """FINAL_TRANSCRIPT of a recogniser that does not say which audio it covers."""


EVENT_TYPES = {
    SpeechStart: stt.SpeechEventType.START_OF_SPEECH,
    SpeechEnd: stt.SpeechEventType.END_OF_SPEECH,
    AudioUsage: stt.SpeechEventType.RECOGNITION_USAGE,
    Interim: stt.SpeechEventType.INTERIM_TRANSCRIPT,
    Preflight: stt.SpeechEventType.PREFLIGHT_TRANSCRIPT,
    Final: stt.SpeechEventType.FINAL_TRANSCRIPT,
    UntimedFinal: stt.SpeechEventType.FINAL_TRANSCRIPT,
}


class ScriptedSTT(Scripted, stt.STT):
    """See `Scripted`. A stream whose script ran out listens on until its audio ends.

    Scripts also serve `recognize`, where the result is the last `Final` and steps that wait for
    audio have nothing to wait for.

    Args:
        streaming, interim_results, aligned_transcript: the capabilities it claims, with `others`.
    """

    happy_path = (AfterAudio(0.2), SpeechStart(), Interim("hello"), Final("hello", 0.0, 0.2))

    def __init__(
        self,
        *scripts: ScriptSource,
        name: str = "stt",
        stubborn: float = 0.0,
        on_close: Step | None = None,
        streaming: bool = True,
        interim_results: bool = True,
        **others: Any,
    ) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=streaming, interim_results=interim_results, **others
            )
        )
        self._script_as(scripts, name, stubborn, on_close)
        self.keyterms: list[str] = []
        self.conversation: list[Any] = []

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> ScriptedRecognizeStream:
        call = self.open_call("stream", language=language, conn_options=conn_options)
        call.script = (*call.script, AfterAudio(math.inf))
        return ScriptedRecognizeStream(self, call)

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        call = self.open_call("recognize", language=language, conn_options=conn_options)
        call.frames = list(buffer) if isinstance(buffer, list) else [buffer]
        call.input_ended = True
        result = stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT)

        async def output(step: Step) -> None:
            if isinstance(step, Final):
                result.alternatives = [_speech(step, offset=0.0)]

        try:
            await perform(call, output, stubborn=self.stubborn)
        finally:
            call.closed_at = call.ended_at
        return result

    def prewarm(self) -> None:
        self.prewarmed += 1

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self.keyterms = keyterms

    def _push_conversation_item(self, ev: Any) -> None:
        self.conversation.append(ev)


class ScriptedRecognizeStream(stt.RecognizeStream):
    """Plays one script as speech events."""

    def __init__(self, provider: ScriptedSTT, call: Call) -> None:
        self._call = call
        self._provider = provider
        self._news = News()
        super().__init__(stt=provider, conn_options=call.kwargs["conn_options"])

    async def _run(self) -> None:
        reader = asyncio.create_task(self._read(), name=f"{self._provider.name} listens")
        try:
            await perform(self._call, self._output, stubborn=self._provider.stubborn)
        finally:
            await utils.aio.cancel_and_wait(reader)

    async def _read(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._call.frames.append(item)
            else:
                self._call.flushes += 1
            self._news.tell()
        self._call.input_ended = True
        self._news.tell()

    async def _output(self, step: Step) -> None:
        if (reached := self._awaited(step)) is not None:
            await self._news.until(lambda: self._call.input_ended or reached())
            return
        event_type = EVENT_TYPES.get(type(step))
        if event_type is None:
            raise TypeError(f"a listener cannot do {step!r}")
        self._event_ch.send_nowait(self._event(event_type, step))

    def _awaited(self, step: Step) -> Callable[[], bool] | None:
        call = self._call
        match step:
            case AfterAudio():
                # Half a sample at 16 kHz: sums of frame lengths are not exact.
                return lambda: call.audio_seconds >= step.seconds - 3e-5
            case AfterFrames():
                return lambda: len(call.frames) >= step.count
            case AfterFlush():
                return lambda: call.flushes >= step.count
        return None

    def _event(self, event_type: stt.SpeechEventType, step: Step) -> stt.SpeechEvent:
        event = stt.SpeechEvent(event_type, f"{self._provider.name}-{self._call.number}")
        if isinstance(step, UntimedFinal):
            event.alternatives = [_speech(step, offset=0.0)]
        elif isinstance(step, Transcript):
            event.alternatives = [_speech(step, offset=self.start_time_offset)]
            if type(step) is Final and not step.end:
                event.alternatives[0].end_time += self._call.audio_seconds
        if isinstance(step, AudioUsage):
            event.recognition_usage = stt.RecognitionUsage(audio_duration=step.seconds)
        return event

    async def aclose(self) -> None:
        await self._provider.close_call(self._call, super().aclose)


def _speech(step: Transcript, *, offset: float) -> stt.SpeechData:
    return stt.SpeechData(
        language=LanguageCode(step.language),
        text=step.text,
        start_time=step.start + offset,
        end_time=step.end + offset,
        confidence=step.confidence,
        words=_words(step, offset) if step.end > step.start else None,
    )


def _words(step: Transcript, offset: float) -> list[TimedString]:
    words = step.text.split()
    each = (step.end - step.start) / max(len(words), 1)
    starts = (offset + step.start + i * each for i in range(len(words)))
    return [
        TimedString(word, start_time=start, end_time=start + each, start_time_offset=offset)
        for word, start in zip(words, starts, strict=True)
    ]


async def hear(
    listener: stt.STT, audio: list[rtc.AudioFrame], **options: Any
) -> list[stt.SpeechEvent]:
    """Push this audio through `stream()`, all at once, and end it; the events that came back."""
    async with listener.stream(**options) as stream:
        for frame in audio:
            stream.push_frame(frame)
        stream.end_input()
        return [event async for event in stream]


def finals_of(events: list[stt.SpeechEvent]) -> list[str]:
    """The final texts among these events."""
    return [
        event.alternatives[0].text
        for event in events
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives
    ]
