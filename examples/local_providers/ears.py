# SPDX-License-Identifier: Apache-2.0
"""What ears are: audio in, words out; and how a stream is cut into utterances.

Every websocket and every upload gets one ``Listener``. It finds speech by its energy, hands it to
a ``Decoder`` while it comes in, and returns events on the clock of the audio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from . import audio, dialogue
from .voice import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor

RATE = 16_000
"""Sample rate in Hz that every decoder hears."""
FRAME = 0.02
FRAME_BYTES = int(RATE * FRAME) * audio.SAMPLE_BYTES


@dataclass(frozen=True)
class Heard:
    """Something the ears noticed, in seconds from the start of the stream."""

    kind: Literal["start", "interim", "final"]
    start: float
    end: float
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        """The transcript as a speech service writes it."""
        return " ".join(word.text for word in self.words)

    @property
    def final(self) -> str | None:
        """The transcript if it will not change any more."""
        return self.text if self.kind == "final" else None


class Decoder(Protocol):
    """Recognises one utterance after the other; all times count from its ``begin``."""

    def begin(self) -> None:
        """Start an utterance."""

    def hear(self, pcm: bytes) -> None:
        """Take in more of the utterance."""

    def words(self) -> tuple[Word, ...]:
        """Return what was recognised so far."""

    def finish(self) -> tuple[Word, ...]:
        """End the utterance and return its words."""


class Ears(Protocol):
    """Makes decoders; one per stream, because a decoder keeps state."""

    def decoder(self) -> Decoder:
        """Return a decoder of its own for one stream."""

    def close(self) -> None:
        """Release files; closing twice is fine."""


class Endpointer:
    """Says for every frame whether somebody speaks, from its energy alone."""

    LOUD = 0.01  # about -40 dBFS: speech on a phone line is above, its noise below
    ONSET = 2  # frames in a row that start speech, so that a click does not
    HANGOVER = 15  # quiet frames that end it: 0.3 s, longer than the pause of a comma

    def __init__(self) -> None:
        self.speaking = False
        self._run = 0

    def update(self, frame: bytes) -> bool:
        """Return whether ``speaking`` changed with ``frame``."""
        loud = float(np.sqrt(np.mean(np.square(audio.samples(frame))))) >= self.LOUD
        self._run = 0 if loud is self.speaking else self._run + 1
        if self._run < (self.HANGOVER if self.speaking else self.ONSET):
            return False
        self.speaking, self._run = not self.speaking, 0
        return True


class Listener:
    """Listens to one stream of audio at ``rate`` Hz."""

    LEAD = 10  # frames kept from before the onset: soft consonants come before the energy
    INTERIM = 10  # frames between two interim results, 0.2 s

    def __init__(self, decoder: Decoder, rate: int, executor: ThreadPoolExecutor) -> None:
        self._decoder = decoder
        self._rate = rate
        self._executor = executor
        self._pending = bytearray()
        self._lead: deque[bytes] = deque(maxlen=self.LEAD)
        self._endpointer = Endpointer()
        self._frames = 0  # since the start of the stream
        self._began = 0.0  # when the current utterance's first frame was heard
        self._shown: tuple[Word, ...] = ()

    @property
    def position(self) -> float:
        """Seconds of audio heard so far."""
        return self._frames * FRAME

    async def hear(self, pcm: bytes) -> list[Heard]:
        """Return what happened in the next ``pcm`` of the stream."""
        return await self._run(self._hear, pcm)

    async def finish(self) -> list[Heard]:
        """End an utterance that is still open, as at a flush or the end of the stream."""
        return await self._run(self._finish, b"")

    async def _run(self, work: Callable[[bytes], list[Heard]], pcm: bytes) -> list[Heard]:
        # In a thread: an upload takes 100 ms, and other streams get their turn between its frames.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, work, pcm)

    def _hear(self, pcm: bytes) -> list[Heard]:
        self._pending += audio.resample(pcm, self._rate, RATE)
        heard: list[Heard] = []
        while len(self._pending) >= FRAME_BYTES:
            frame = bytes(self._pending[:FRAME_BYTES])
            del self._pending[:FRAME_BYTES]
            heard += self._hear_frame(frame)
        return heard

    def _hear_frame(self, frame: bytes) -> list[Heard]:
        self._frames += 1
        changed = self._endpointer.update(frame)
        if changed and self._endpointer.speaking:
            return self._begin(frame)
        if changed:
            return self._end()
        if not self._endpointer.speaking:
            self._lead.append(frame)
            return []
        self._decoder.hear(frame)
        return self._interim() if self._frames % self.INTERIM == 0 else []

    def _begin(self, frame: bytes) -> list[Heard]:
        self._began = self.position - FRAME * (len(self._lead) + 1)
        self._shown = ()
        self._decoder.begin()
        self._decoder.hear(b"".join((*self._lead, frame)))
        self._lead.clear()
        return [Heard("start", self._began, self.position)]

    def _interim(self) -> list[Heard]:
        words = self._timed(self._decoder.words())
        if not words or words == self._shown:
            return []
        self._shown = words
        return [Heard("interim", self._began, self.position, words)]

    def _end(self) -> list[Heard]:
        return [Heard("final", self._began, self.position, self._timed(self._decoder.finish()))]

    def _finish(self, _: bytes) -> list[Heard]:
        if not self._endpointer.speaking:
            return []
        self._endpointer = Endpointer()
        return self._end()

    def _timed(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Move ``words`` to the clock of the stream and give them capitals and marks."""
        texts = dialogue.written(" ".join(word.text for word in words)).split()
        return tuple(
            Word(text, self._began + word.start, self._began + word.end)
            for text, word in zip(texts, words, strict=True)
        )


class ScriptedEars:
    """Ears that know beforehand what they will hear: no recogniser, any sound will do.

    Every utterance with energy in it is the next of ``lines``; its words come one by one while
    it lasts. All streams read the same script, as all vendors hear the same caller.
    """

    def __init__(self, lines: Sequence[str] = dialogue.LINES) -> None:
        self.lines = [dialogue.spoken(line) for line in lines]
        self.place = 0

    def decoder(self) -> Decoder:
        """Return a decoder that reads the script."""
        return _ScriptedDecoder(self)

    def close(self) -> None:
        """Do nothing: there is no engine."""


class _ScriptedDecoder:
    PACE = 0.2  # seconds per word

    def __init__(self, ears: ScriptedEars) -> None:
        self._ears = ears
        self._heard = 0.0

    def begin(self) -> None:
        self._heard = 0.0

    def hear(self, pcm: bytes) -> None:
        self._heard += audio.seconds(pcm, RATE)

    def words(self) -> tuple[Word, ...]:
        return self._all()[: int(self._heard / self.PACE)]

    def finish(self) -> tuple[Word, ...]:
        words = self._all()
        self._ears.place += 1
        return words

    def _all(self) -> tuple[Word, ...]:
        line = self._ears.lines[self._ears.place % len(self._ears.lines)]
        return tuple(
            Word(text, i * self.PACE, (i + 1) * self.PACE) for i, text in enumerate(line.split())
        )
