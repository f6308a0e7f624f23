# SPDX-License-Identifier: Apache-2.0
"""Voices whose audio says which word it is of, with and without timings, until they are killed."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, tts, utils
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString

from livekit_fallback.core.alignment import tokens_of
from tests.support.errors import gone

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterable, Mapping

    from livekit import rtc

RATE = 8_000
AMPLITUDE = 8_000  # of a word: its number is added, and so much for each voice before
TONE = 100
BREATH = 1  # between sentences: not silence, but quiet

Way = Literal["error", "end", "stall", "silence"]

SYLLABLES = ("ba", "den", "for", "gil", "ham", "jo", "kur", "lan", "mir", "nos", "pel", "tra", "vi")


def reply(fate: random.Random, sentences: int = 4) -> tuple[str, list[str]]:
    """A text of so many sentences in which no word comes twice, and its words."""
    words: list[str] = []
    text = ""
    for _ in range(sentences):
        sentence = [_word(fate, words) for _ in range(fate.randrange(4, 9))]
        text += " ".join(sentence).capitalize() + ". "
    return text.strip(), words


def _word(fate: random.Random, words: list[str]) -> str:
    while True:
        word = "".join(fate.choice(SYLLABLES) for _ in range(fate.randrange(1, 4)))
        if len(word) > 2 and word not in words:
            words.append(word)
            return word


@dataclass
class Kill:
    """How a stream is lost: after so many seconds of its audio."""

    after: float
    how: Way


@dataclass
class WordVoice(tts.TTS):
    """Speaks the words of a known text; each of its streams may have a kill of its own.

    Args:
        words: All words there are; the number of a word is its place in here.
        letters_per_sec: Its pace.
        pause: Seconds between two sentences.
        timed: Whether it tells when each word is spoken.
        speed: How much faster than real time its audio comes.
        kills: For one stream after the other.
    """

    words: list[str]
    letters_per_sec: float = 13.0
    pause: float = 0.3
    timed: bool = True
    speed: float = 8.0
    kills: list[Kill | None] = field(default_factory=list)
    name: str = "voice"
    asked: list[str] = field(default_factory=list)
    streaming: bool = True
    number: int = 0

    @property
    def base(self) -> int:
        return AMPLITUDE + TONE * self.number

    def __post_init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(
                streaming=self.streaming, aligned_transcript=self.timed
            ),
            sample_rate=RATE,
            num_channels=1,
        )

    def __hash__(self) -> int:
        return id(self)

    def next_kill(self) -> Kill | None:
        return self.kills.pop(0) if self.kills else None

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return WordStream(tts=self, conn_options=conn_options)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> WordChunks:
        return WordChunks(tts=self, input_text=text, conn_options=conn_options)

    async def speak(self, text: str, emitter: tts.AudioEmitter) -> None:
        """Speak a text, or until killed."""
        self.asked.append(text)
        kill = self.next_kill()
        at = await self.go_on(text, emitter, kill, 0.0)
        if kill is not None and at is not None:
            self.kills.insert(0, kill)

    async def go_on(
        self, text: str, emitter: tts.AudioEmitter, kill: Kill | None, since: float
    ) -> float | None:
        """Speak a text from that second of the audio on; return where it ends unless killed."""
        at = since
        for starts, ends, samples, word in self._spoken(text):
            start, at = since + starts, since + ends
            if self.timed and word:
                emitter.push_timed_transcript(TimedString(f"{word} ", start, at))
            if kill is not None and at > kill.after:
                whole = round((kill.after - start) * RATE)
                await self._push(emitter, samples[: max(0, whole)])
                await self._die(kill, emitter)
                return None
            await self._push(emitter, samples)
        return at

    async def _die(self, kill: Kill, emitter: tts.AudioEmitter) -> None:
        emitter.flush()
        await asyncio.sleep(0.001)
        if kill.how == "error":
            raise gone()
        if kill.how == "stall":
            await asyncio.Event().wait()
        if kill.how == "silence":
            emitter.push(bytes(2 * 2 * RATE))

    async def _push(self, emitter: tts.AudioEmitter, samples: np.ndarray) -> None:
        if samples.size:
            emitter.push(samples.astype(np.int16).tobytes())
            await asyncio.sleep(samples.size / RATE / self.speed)

    def _spoken(self, text: str) -> Iterable[tuple[float, float, np.ndarray, str]]:
        at = 0.0
        for token in tokens_of(text):
            length = len(token.word) / self.letters_per_sec
            number = self.words.index(token.word) + 1 if token.word in self.words else 0
            yield at, at + length, np.full(round(length * RATE), self.base + number), token.word
            at += length
            if text[: token.end].endswith(".") and self.pause:
                yield at, at + self.pause, np.full(round(self.pause * RATE), BREATH), ""
                at += self.pause


@dataclass(eq=False)
class SpellingVoice(WordVoice):
    """Speaks, and tells, some things in other words than the text has them.

    Args:
        spelled: What it says for what.
    """

    spelled: Mapping[str, str] = field(default_factory=dict)

    async def speak(self, text: str, emitter: tts.AudioEmitter) -> None:
        await super().speak(respelled(text, self.spelled), emitter)


def respelled(text: str, spelled: Mapping[str, str]) -> str:
    """The text with other words for some things."""
    for short, long in spelled.items():
        text = text.replace(short, long)
    return text


@dataclass(eq=False)
class EagerVoice(WordVoice):
    """Speaks each sentence as soon as it sees the next one begin, while more text comes."""

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return EagerStream(tts=self, conn_options=conn_options)


class WordStream(tts.SynthesizeStream):
    """One connection of such a voice."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, WordVoice)
        _start(output_emitter, stream=True)
        output_emitter.start_segment(segment_id=utils.shortuuid())
        text = ""
        async for token in self._input_ch:
            if isinstance(token, str):
                self._mark_started()
                text += token
        await voice.speak(text, output_emitter)


class EagerStream(tts.SynthesizeStream):
    """One connection of a voice that does not wait for the end of the text."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, EagerVoice)
        _start(output_emitter, stream=True)
        output_emitter.start_segment(segment_id=utils.shortuuid())
        kill, at = voice.next_kill(), 0.0
        async for sentence in self._sentences():
            voice.asked.append(sentence)
            end = await voice.go_on(sentence, output_emitter, kill, at)
            if end is None:
                return
            output_emitter.flush()
            at = end
        if kill is not None:
            voice.kills.insert(0, kill)

    async def _sentences(self) -> AsyncIterator[str]:
        text = ""
        async for token in self._input_ch:
            if isinstance(token, str):
                self._mark_started()
                text += token
            *complete, text = re.split(r"(?<=[.] )(?=\S)", text)
            for sentence in complete:
                yield sentence
        yield text


class WordChunks(tts.ChunkedStream):
    """One request of such a voice."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, WordVoice)
        _start(output_emitter, stream=False)
        await voice.speak(self.input_text, output_emitter)


def _start(emitter: tts.AudioEmitter, *, stream: bool) -> None:
    emitter.initialize(
        request_id=utils.shortuuid(),
        sample_rate=RATE,
        num_channels=1,
        mime_type="audio/pcm",
        stream=stream,
    )


@dataclass(frozen=True)
class Heard:
    """What a listener makes of audio: its words, and what was only a part of one."""

    words: list[str]
    fragments: list[tuple[str, float]]


def heard_in(frames: list[rtc.AudioFrame], voices: list[WordVoice]) -> Heard:
    """Tell whole words from fragments, which lack more than 50 ms and a tenth of their word."""
    samples = np.concatenate([np.frombuffer(f.data, dtype=np.int16) for f in frames])
    cuts = np.flatnonzero(np.diff(samples)) + 1
    words: list[str] = []
    fragments: list[tuple[str, float]] = []
    for run in np.split(samples, cuts):
        voice, number = divmod(int(run[0]) - AMPLITUDE, TONE)
        if not (0 <= voice < len(voices) and number):
            continue
        word = voices[0].words[number - 1]
        length = len(word) / voices[voice].letters_per_sec
        part = len(run) / RATE / length
        if (1 - part) * length <= 0.05 or part > 0.9:
            words.append(word)
        else:
            fragments.append((word, round(part, 2)))
    return Heard(words, fragments)


def transcript_of(frames: list[rtc.AudioFrame]) -> list[TimedString]:
    """The timed transcript that came with this audio."""
    return [t for f in frames for t in f.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]


def start_of(timing: TimedString) -> float:
    """When a word begins, which every voice here tells."""
    assert utils.is_given(timing.start_time)
    return timing.start_time
