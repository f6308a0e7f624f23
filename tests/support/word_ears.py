# SPDX-License-Identifier: Apache-2.0
"""Speech whose words carry numbers, and recognisers of every make that hear them, until killed."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

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

from tests.support.audio import AMPLITUDE
from tests.support.errors import gone

if TYPE_CHECKING:
    import random

Way = Literal["error", "end", "hang"]

RATE = 8_000
FRAME_SEC = 0.04
SAMPLES = int(RATE * FRAME_SEC)

SILENCE = rtc.AudioFrame(bytes(2 * SAMPLES), RATE, 1, SAMPLES)

# A recogniser understands a word of which it missed no more than this.
UNDERSTOOD = 0.7


def word_frames(number: int, length: int) -> list[rtc.AudioFrame]:
    """A word that lasts so many frames; each says which word it is of, and of how many frames."""
    loud = array("h", [AMPLITUDE] * (SAMPLES - 3))
    return [
        rtc.AudioFrame((array("h", [number, i, length]) + loud).tobytes(), RATE, 1, SAMPLES)
        for i in range(length)
    ]


def speech(
    fate: random.Random, utterances: int, has_long_pauses: bool = False
) -> tuple[list[rtc.AudioFrame], list[str]]:
    """A caller's utterances with pauses between them, some of them long, and the words in them."""
    audio: list[rtc.AudioFrame] = [SILENCE] * fate.randrange(5, 20)
    words: list[str] = []
    for _ in range(utterances):
        for _ in range(fate.randrange(1, 9)):
            words.append(f"w{len(words) + 1}")
            audio += word_frames(len(words), fate.randrange(7, 14))
            audio += [SILENCE] * fate.randrange(4)
        is_long = has_long_pauses and fate.random() < 0.3
        audio += [SILENCE] * (fate.randrange(500, 900) if is_long else fate.randrange(20, 60))
    return audio, words


@dataclass
class Make:
    """How a recogniser behaves.

    Args:
        timed: Its transcripts say when their words were spoken.
        interims: It gives words before they are final.
        marks: It says when speech begins and ends.
        chunk: It finalises after so many words, speech going on or not; 0: at pauses only.
        latency: Seconds from a word to its transcript.
        pause: Seconds of silence that end an utterance for it.
        promotes: When its connection breaks it gives its partial transcript as final first.
    """

    timed: bool
    interims: bool
    marks: bool
    chunk: int
    latency: float
    pause: float
    promotes: bool

    @classmethod
    def drawn(cls, fate: random.Random) -> Make:
        """Any make there is."""
        timed = fate.random() < 0.5
        interims = fate.random() < 0.7
        return cls(
            timed=timed,
            interims=interims,
            marks=fate.random() < 0.6,
            chunk=fate.choice((0, 0, 3)) if timed else 0,
            latency=fate.choice((0.0, 0.1, 0.4)),
            pause=fate.choice((0.2, 0.4)),
            promotes=interims and not timed and fate.random() < 0.6,
        )


@dataclass
class Kill:
    """How a stream is lost: after so many frames, with an error, an end, or without a word."""

    after: int
    how: Way


@dataclass
class WordSTT(stt.STT):
    """Recognises numbered words as its make does; each of its streams may have its own kill."""

    make: Make
    kills: list[Kill | None] = field(default_factory=list)
    name: str = "ears"
    streams: int = 0

    def __post_init__(self) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True,
                interim_results=self.make.interims,
                aligned_transcript="word" if self.make.timed else False,
            )
        )

    def __hash__(self) -> int:
        return id(self)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> WordStream:
        kill = self.kills[self.streams] if self.streams < len(self.kills) else None
        self.streams += 1
        return WordStream(self, kill, conn_options)

    async def _recognize_impl(self, buffer: utils.AudioBuffer, **_: Any) -> stt.SpeechEvent:
        raise NotImplementedError


@dataclass
class _Word:
    number: int
    start: float
    end: float
    heard: int
    length: int

    @property
    def is_understood(self) -> bool:
        return self.heard >= UNDERSTOOD * self.length


class WordStream(stt.RecognizeStream):
    """One connection of such a recogniser."""

    def __init__(self, ears: WordSTT, kill: Kill | None, conn_options: APIConnectOptions) -> None:
        self._make = ears.make
        self._kill = kill
        self._frames = 0
        self._words: list[_Word] = []  # that are not final yet
        self._shown = ""
        self._quiet = 0.0
        self._speaking = False
        self._lines: asyncio.Queue[stt.SpeechEvent | None] = asyncio.Queue()
        super().__init__(stt=ears, conn_options=conn_options)

    async def _run(self) -> None:
        sender = asyncio.create_task(self._send(), name="words come late")
        try:
            async for item in self._input_ch:
                if not isinstance(item, rtc.AudioFrame):
                    continue
                if self._kill is not None and self._frames >= self._kill.after:
                    await self._die(self._kill)
                    return
                self._frames += 1
                self._hear(item)
            self._final()
            self._lines.put_nowait(None)
            await sender
        finally:
            await utils.aio.cancel_and_wait(sender)

    async def _die(self, kill: Kill) -> None:
        if kill.how == "hang":
            async for _ in self._input_ch:
                pass
            await asyncio.Event().wait()
        if self._make.promotes and self._shown:
            self._event_ch.send_nowait(self._event("final_transcript", self._shown_words()))
            if self._make.marks:
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))
        if kill.how == "error":
            raise gone()

    async def _send(self) -> None:
        while (event := await self._lines.get()) is not None:
            await asyncio.sleep(max(0.0, event.created_at - asyncio.get_running_loop().time()))
            if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                self._shown = event.alternatives[0].text
            elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                self._shown = ""
            self._event_ch.send_nowait(event)

    def _hear(self, frame: rtc.AudioFrame) -> None:
        number, _, length, *_ = frame.data
        end = self._frames * FRAME_SEC
        if number == 0:
            self._pause()
            return
        self._quiet = 0.0
        if not self._speaking:
            self._speaking = True
            if self._make.marks:
                self._emit(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
        last = self._words[-1] if self._words else None
        if last is not None and last.number == number:
            last.heard, last.end = last.heard + 1, end
        else:
            if self._make.chunk and len(self._understood()) >= self._make.chunk:
                self._final()
            elif self._make.interims and self._understood():
                self._emit(self._event("interim_transcript", self._understood()))
            self._words.append(_Word(number, end - FRAME_SEC, end, 1, length))

    def _pause(self) -> None:
        self._quiet += FRAME_SEC
        if self._speaking and self._quiet >= self._make.pause:
            self._final()
            self._speaking = False
            if self._make.marks:
                self._emit(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))

    def _final(self) -> None:
        words, self._words = self._understood(), []
        if words:
            self._emit(self._event("final_transcript", words))

    def _understood(self) -> list[_Word]:
        return [word for word in self._words if word.is_understood]

    def _shown_words(self) -> list[_Word]:
        return [_Word(int(text[1:]), 0.0, 0.0, 1, 1) for text in self._shown.split()]

    def _emit(self, event: stt.SpeechEvent) -> None:
        event.created_at = asyncio.get_running_loop().time() + self._make.latency
        self._lines.put_nowait(event)

    def _event(self, kind: str, words: list[_Word]) -> stt.SpeechEvent:
        data = stt.SpeechData(
            language=LanguageCode("en"), text=" ".join(f"w{word.number}" for word in words)
        )
        if self._make.timed:
            zero = self.start_time_offset
            data.start_time, data.end_time = zero + words[0].start, zero + words[-1].end
            data.words = [
                TimedString(f"w{w.number}", start_time=zero + w.start, end_time=zero + w.end)
                for w in words
            ]
        return stt.SpeechEvent(stt.SpeechEventType(kind), alternatives=[data])
