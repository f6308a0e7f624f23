# SPDX-License-Identifier: Apache-2.0
"""What a voice is: text in, speech with the time of every word out; and a voice made of tones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np

from . import audio

RATE = 24_000
"""Sample rate in Hz of every voice here, the one that the speech services default to."""


class EngineMissingError(Exception):
    """A recogniser or synthesiser is not installed; the text says what to install."""


@dataclass(frozen=True)
class Word:
    """One word and when it is heard, in seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """Spoken text: 16 bit mono ``pcm`` at ``RATE`` Hz and its words."""

    pcm: bytes
    words: tuple[Word, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return audio.seconds(self.pcm, RATE)


class Voice(Protocol):
    """Something that can speak. Each vendor is given a sound of its own."""

    async def say(self, text: str, vendor: str) -> Speech:
        """Return ``text`` as speech in the voice of ``vendor``."""

    async def aclose(self) -> None:
        """Release the engine; closing twice is fine."""


class ToneVoice:
    """A tone for every word, as long as a spoken word: free, instant and easy to measure.

    The pitch tells the vendor, so a test can see in the samples who spoke.
    """

    PITCH: ClassVar = {
        "openai": 400.0,
        "cerebras": 500.0,
        "deepgram": 600.0,
        "together": 700.0,
        "cartesia": 800.0,
    }
    WORD, GAP = 0.2, 0.05

    async def say(self, text: str, vendor: str) -> Speech:
        """Return one tone per word of ``text``."""
        tokens = text.split()
        step = self.WORD + self.GAP
        words = [Word(t, i * step, i * step + self.WORD) for i, t in enumerate(tokens)]
        return Speech(_tone(self.PITCH[vendor], self.WORD, self.GAP) * len(tokens), tuple(words))

    async def aclose(self) -> None:
        """Do nothing: there is no engine."""


@lru_cache
def _tone(pitch: float, duration: float, gap: float) -> bytes:
    """Return a faded sine of ``duration`` seconds followed by ``gap`` seconds of silence."""
    times = np.arange(int(duration * RATE)) / RATE
    fade = np.minimum(1.0, np.minimum(times, duration - times) / 0.01)
    wave = (8_000 * fade * np.sin(2 * np.pi * pitch * times)).astype(np.int16)
    return wave.tobytes() + bytes(int(gap * RATE) * audio.SAMPLE_BYTES)
