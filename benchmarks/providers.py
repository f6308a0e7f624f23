# SPDX-License-Identifier: Apache-2.0
"""Providers that cost next to nothing, so that what is measured is what stands around them.

Each answers with a given number of units (chunks, frames). Between two of them it either yields
to the event loop, as a provider does that waits for its socket, so that every unit wakes whoever
reads it; or it does not, so that units pile up and are read in bursts.
"""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    llm,
    stt,
    tts,
    utils,
)

SAMPLE_RATE = 24_000
FRAME_MS = 20
PCM = b"\x01\x00" * (SAMPLE_RATE * FRAME_MS // 1000)
FRAME = rtc.AudioFrame(PCM, SAMPLE_RATE, 1, len(PCM) // 2)


class Pace:
    """How many units the next request is answered with, and whether each wakes its reader."""

    def __init__(self) -> None:
        self.units = 1
        self.wakes_reader = True

    async def pause(self) -> None:
        """Call after each unit."""
        if self.wakes_reader:
            await asyncio.sleep(0)


class BenchLLM(llm.LLM):
    """Answers with `pace.units` chunks of text and one of usage."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _BenchLLMStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class _BenchLLMStream(llm.LLMStream):
    _llm: BenchLLM

    async def _run(self) -> None:
        pace = self._llm.pace
        for _ in range(pace.units):
            delta = llm.ChoiceDelta(role="assistant", content="word ")
            self._event_ch.send_nowait(llm.ChatChunk(id="request", delta=delta))
            await pace.pause()
        usage = llm.CompletionUsage(
            completion_tokens=pace.units, prompt_tokens=1, total_tokens=pace.units + 1
        )
        self._event_ch.send_nowait(llm.ChatChunk(id="request", usage=usage))


class BenchTTS(tts.TTS):
    """Speaks any text as `pace.units` frames of 20 ms."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        self.pace = pace

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return _BenchTTSStream(tts=self, conn_options=conn_options)


class _BenchTTSStream(tts.SynthesizeStream):
    _tts: BenchTTS

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        async for _ in self._input_ch:
            self._mark_started()
        output_emitter.initialize(
            request_id="request",
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=FRAME_MS,
            stream=True,
        )
        output_emitter.start_segment(segment_id="segment")
        for _ in range(self._tts.pace.units):
            output_emitter.push(PCM)
            await self._tts.pace.pause()


class BenchSTT(stt.STT):
    """Counts the frames it is given and says one final word at the end."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.pace = pace
        self.frames = 0

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _BenchSTTStream(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        await self.pace.pause()
        return final_word()


class _BenchSTTStream(stt.RecognizeStream):
    _stt: BenchSTT

    async def _run(self) -> None:
        async for item in self._input_ch:
            self._stt.frames += isinstance(item, rtc.AudioFrame)
        self._event_ch.send_nowait(final_word())


def final_word() -> stt.SpeechEvent:
    """A transcript that any reader takes for a good one."""
    word = stt.SpeechData(language=LanguageCode("en"), text="word")
    return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, "request", [word])
