# SPDX-License-Identifier: Apache-2.0
"""A voice that speaks what its script says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, tts, utils
from livekit.agents.types import TimedString

from tests.support.audio import tone
from tests.support.provider import Scripted
from tests.support.script import Call, End, News, Script, ScriptSource, Step, perform
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from livekit import rtc


class Sound(Step):
    """Something that makes audio or goes with it."""


@dataclass(frozen=True)
class Audio(Sound):
    """A tone."""

    seconds: float
    pitch: float = 440.0


@dataclass(frozen=True)
class Silence(Sound):
    """Audio in which nothing is heard."""

    seconds: float


@dataclass(frozen=True)
class Words(Sound):
    """Timings for words of the audio that follows, as an aligned transcript has them."""

    text: str
    start: float = 0.0
    each: float = 0.2


@dataclass(frozen=True)
class Sentence(Sound):
    """The timing of a sentence of which only the start is known, as some voices have them."""

    text: str
    start: float = 0.0


@dataclass(frozen=True)
class Speak(Sound):
    """Wait for the end of the text, then speak so many seconds for each of its words."""

    each: float = 0.2


@dataclass(frozen=True)
class Flush(Step):
    """Send on what LiveKit's emitter still holds back to fill a frame."""


@dataclass(frozen=True)
class AwaitText(Step):
    """Go on when so many words came, or the text ended. Nothing to wait for in `synthesize`."""

    words: int = 1


@dataclass(frozen=True)
class BeforeText(Step):
    """As the first step: what follows is done at once, not when the first text has come."""


class ScriptedTTS(Scripted, tts.TTS):
    """See `Scripted`. In a stream every script starts when the first text has come.

    Before a step that is not audio (a pause, a failure ...) what was spoken is flushed, so that
    the listener has heard exactly the audio that the script says.

    Args:
        streaming, aligned_transcript: the capabilities it claims.
        sample_rate: the rate it declares, in Hz.
        frame_rate: the rate that its frames really have; the declared one by default.
        frame_ms: length of its frames, in ms; LiveKit's default.
    """

    happy_path = (Speak(),)

    def __init__(
        self,
        *scripts: ScriptSource,
        name: str = "tts",
        stubborn: float = 0.0,
        on_close: Step | None = None,
        streaming: bool = True,
        aligned_transcript: bool = False,
        sample_rate: int = 24_000,
        num_channels: int = 1,
        frame_rate: int | None = None,
        frame_ms: int = 200,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(
                streaming=streaming, aligned_transcript=aligned_transcript
            ),
            sample_rate=sample_rate,
            num_channels=num_channels,
        )
        self._script_as(scripts, name, stubborn, on_close)
        self.frame_rate = frame_rate or sample_rate
        self.frame_ms = frame_ms

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> ScriptedChunkedStream:
        call = self.open_call("synthesize", conn_options=conn_options)
        call.tokens.append(text)
        call.input_ended = True
        return ScriptedChunkedStream(self, call)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> ScriptedSynthesizeStream:
        call = self.open_call("stream", conn_options=conn_options)
        if not (call.script and isinstance(call.script[0], BeforeText)):
            call.script = (AwaitText(), *call.script)
        return ScriptedSynthesizeStream(self, call)

    def prewarm(self) -> None:
        self.prewarmed += 1

    def start_emitter(self, emitter: tts.AudioEmitter, *, stream: bool) -> None:
        """Open LiveKit's emitter for audio of the real frame rate."""
        emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self.frame_rate,
            num_channels=self.num_channels,
            mime_type="audio/pcm",
            frame_size_ms=self.frame_ms,
            stream=stream,
        )


class _Mouth:
    """Turns steps into calls of LiveKit's emitter, for both kinds of stream."""

    def __init__(
        self, provider: ScriptedTTS, call: Call, emitter: tts.AudioEmitter, news: News
    ) -> None:
        self._provider = provider
        self._call = call
        self._emitter = emitter
        self._news = news

    async def perform(self) -> None:
        self._call.script = _with_flushes(self._call.script)
        await perform(self._call, self._output, stubborn=self._provider.stubborn)

    async def _output(self, step: Step) -> None:
        match step:
            case Audio():
                self._push(step.seconds, step.pitch)
            case Silence():
                self._push(step.seconds, 0.0)
            case Words():
                self._emitter.push_timed_transcript(_timed(step))
            case Sentence(text, start):
                self._emitter.push_timed_transcript(TimedString(text, start_time=start))
            case Speak():
                await self._news.until(lambda: self._call.input_ended)
                self._push(step.each * len(self._call.text.split()), 440.0)
            case Flush():
                self._emitter.flush()
            case AwaitText():
                await self._news.until(lambda: self._has_words(step.words))
            case BeforeText():
                return
            case _:
                raise TypeError(f"a voice cannot do {step!r}")
        # The emitter is a task of its own; what was pushed is on its way before the next step.
        await turns(3)

    def _has_words(self, count: int) -> bool:
        return self._call.input_ended or len(self._call.text.split()) >= count

    def _push(self, seconds: float, pitch: float) -> None:
        samples = tone(seconds, pitch=pitch, rate=self._provider.frame_rate)
        self._emitter.push(samples)


class ScriptedChunkedStream(tts.ChunkedStream):
    """Plays one script as the audio of one text."""

    def __init__(self, provider: ScriptedTTS, call: Call) -> None:
        self._call = call
        self._provider = provider
        super().__init__(
            tts=provider, input_text=call.text, conn_options=call.kwargs["conn_options"]
        )

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        self._provider.start_emitter(output_emitter, stream=False)
        await _Mouth(self._provider, self._call, output_emitter, News()).perform()

    async def aclose(self) -> None:
        await self._provider.close_call(self._call, super().aclose)


class ScriptedSynthesizeStream(tts.SynthesizeStream):
    """Plays one script as the audio of a text that arrives bit by bit."""

    def __init__(self, provider: ScriptedTTS, call: Call) -> None:
        self._call = call
        self._provider = provider
        self._news = News()
        super().__init__(tts=provider, conn_options=call.kwargs["conn_options"])

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        self._provider.start_emitter(output_emitter, stream=True)
        output_emitter.start_segment(segment_id=utils.shortuuid())
        # A retry by LiveKit's base class gets the whole text again.
        self._call.tokens.clear()
        self._call.input_ended = False
        reader = asyncio.create_task(self._read(), name=f"{self._provider.name} reads")
        try:
            await _Mouth(self._provider, self._call, output_emitter, self._news).perform()
        finally:
            await utils.aio.cancel_and_wait(reader)

    async def _read(self) -> None:
        async for token in self._input_ch:
            if isinstance(token, str):
                self._mark_started()
                self._call.tokens.append(token)
            else:
                self._call.flushes += 1
            self._news.tell()
        self._call.input_ended = True
        self._news.tell()

    async def aclose(self) -> None:
        await self._provider.close_call(self._call, super().aclose)


def _with_flushes(script: Script) -> Script:
    flushed: list[Step] = []
    for step, following in pairwise([*script, End()]):
        flushed.append(step)
        if isinstance(step, Sound) and not isinstance(following, Sound | Flush | End):
            flushed.append(Flush())
    return flushed


def _timed(step: Words) -> list[TimedString]:
    starts = (step.start + i * step.each for i in range(len(step.text.split())))
    return [
        TimedString(f"{word} ", start_time=start, end_time=start + step.each)
        for word, start in zip(step.text.split(), starts, strict=True)
    ]


async def say(
    voice: tts.TTS, *tokens: str, conn_options: APIConnectOptions | None = None
) -> list[rtc.AudioFrame]:
    """Speak these tokens through `stream()`, all at once; the audio that came back."""
    options = {} if conn_options is None else {"conn_options": conn_options}
    async with voice.stream(**options) as stream:
        for token in tokens:
            stream.push_text(token)
        stream.end_input()
        return [audio.frame async for audio in stream]


def seconds_of(heard: list[rtc.AudioFrame]) -> float:
    """How long this audio plays."""
    return sum(frame.duration for frame in heard)
