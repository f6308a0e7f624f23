# SPDX-License-Identifier: Apache-2.0
"""Having a text spoken, and hearing from the tones how much was spoken, and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit.agents import APIError

from examples.local_providers.dialogue import TURNS
from examples.local_providers.voice import ToneVoice

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.tts import TTS, ChunkedStream, SynthesizeStream

    Samples = np.ndarray[Any, np.dtype[np.float64]]

TEXT = str(TURNS[6].answer)
WORDS = len(TEXT.split())
WORD_SEC = ToneVoice.WORD + ToneVoice.GAP


@dataclass
class Heard:
    """What a caller heard of one reply.

    Args:
        frames: the audio, in order.
        error: what ended the reply, if it did not end by itself.
    """

    frames: list[rtc.AudioFrame] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def seconds(self) -> float:
        return sum(frame.duration for frame in self.frames)

    @property
    def words(self) -> int:
        """How many words were begun: every word is a tone, with a gap behind it."""
        return [loud for loud, _ in groupby(self._loudness() > 0.1)].count(True)

    @property
    def whole_words(self) -> int:
        """How many words were heard to their end, give or take a quarter.

        Where one voice goes on after another there may be no gap between two words.
        """
        word = ToneVoice.WORD * 100
        runs = [(loud, len(list(run))) for loud, run in groupby(self._loudness() > 0.1)]
        return sum(int((length + 0.25 * word) / word) for loud, length in runs if loud)

    @property
    def voices(self) -> list[str]:
        """The vendors that spoke, in order, told by the pitch of every tenth of a second."""
        piece = self._rate // 10
        samples = self._samples()
        pieces = [samples[i : i + piece] for i in range(0, len(samples) - piece + 1, piece)]
        # a piece that is partly gap has no pitch to be sure of
        loud = [p for p in pieces if np.abs(p).max() > 2000 and np.abs(p[-100:]).max() > 2000]
        return [vendor for vendor, _ in groupby(self._whose(p) for p in loud)]

    @property
    def _rate(self) -> int:
        return self.frames[0].sample_rate if self.frames else 24_000

    def _samples(self) -> Samples:
        data = b"".join(bytes(frame.data) for frame in self.frames)
        return np.frombuffer(data, np.int16).astype(float)

    def _loudness(self) -> Samples:
        """Peak of every hundredth of a second, 1.0 for the loudest."""
        size = self._rate // 100
        samples = np.abs(self._samples())
        peaks = samples[: len(samples) // size * size].reshape(-1, size).max(axis=1)
        relative: Samples = peaks / max(1.0, peaks.max(initial=0.0))
        return relative

    def _whose(self, samples: Samples) -> str:
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        pitch = np.argmax(spectrum) * self._rate / len(samples)
        return min(ToneVoice.PITCH, key=lambda vendor: abs(ToneVoice.PITCH[vendor] - pitch))


def said(tts: TTS, how: str = "stream") -> ChunkedStream | SynthesizeStream:
    """Have the text spoken, all at once or word by word."""
    if how == "synthesize":
        return tts.synthesize(TEXT)
    stream = tts.stream()
    for word in TEXT.split():
        stream.push_text(word + " ")
    stream.end_input()
    return stream


async def heard(stream: ChunkedStream | SynthesizeStream) -> Heard:
    """Listen to a reply to its end."""
    reply = Heard()
    try:
        async with stream:
            async for audio in stream:
                reply.frames.append(audio.frame)
    except APIError as error:
        reply.error = error
    return reply


def assert_whole(reply: Heard, vendor: str) -> None:
    """Every word was spoken, once, in one voice."""
    assert reply.error is None
    assert (reply.voices, reply.words) == ([vendor], WORDS)
    # an MP3 encoder pads each sentence a little
    assert reply.seconds == pytest.approx(WORDS * WORD_SEC, abs=0.3)
