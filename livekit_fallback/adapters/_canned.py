# SPDX-License-Identifier: Apache-2.0
"""Speech that is ready before it is needed: for when no voice speaks, or none yet."""

from __future__ import annotations

import asyncio
import os
import wave
from collections.abc import Callable, Sequence

from livekit import rtc
from livekit.agents.tts import TTS, SynthesizedAudio
from livekit.agents.utils import shortuuid

from ..core.script import Script
from ..errors import CutShortError, DigitalSilenceError
from ..log import logger
from ._base import patient_options
from ._chain import Chain
from ._format import Format, Resampling, is_silence

Source = str | os.PathLike[str] | Sequence[rtc.AudioFrame]

_FRAME_SEC = 0.1
_SAMPLE_BYTES = 2

# A phrase is made beside the conversation, so it may take its time; but it is made some time.
_PATIENCE_SEC = 15.0

# Each try is billed, and a voice that cannot do it once rarely can later.
_MAX_TRIES = 3


class Canned:
    """A phrase as audio, in the format that sessions were promised.

    Args:
        option: The name of the option, for messages.
        source: A WAV file of 16 bit PCM (a path, or a text that ends with ``.wav``), audio
            frames, or a text, which a voice has to speak before it can be used.
        audio_format: What sessions were promised.

    Raises:
        ValueError: The file cannot be read, or the audio has another number of channels.
    """

    def __init__(self, option: str, source: Source, audio_format: Format) -> None:
        self._format = audio_format
        self._frames: list[rtc.AudioFrame] = []
        self._text = ""
        self._tries = 0
        self._task: asyncio.Task[None] | None = None
        if isinstance(source, str) and not source.lower().endswith(".wav"):
            self._text = source
            return
        try:
            given = _read(source) if isinstance(source, str | os.PathLike) else list(source)
            self._frames = self._converted(given)
        except (OSError, EOFError, ValueError, wave.Error) as error:
            raise ValueError(
                f"{option}={source!r}: must be a text, audio frames, or a WAV file of 16 bit PCM "
                f"with {audio_format.num_channels} channel(s): {error}"
            ) from None
        if not self._frames:
            raise ValueError(f"{option}={source!r}: must not be empty")

    @property
    def is_ready(self) -> bool:
        """Whether it can be played."""
        return bool(self._frames)

    def play(self, deliver: Callable[[SynthesizedAudio], None]) -> bool:
        """Hand all of it over; return whether there was anything."""
        request_id = shortuuid("canned_")
        for frame in self._frames:
            # sessions write into the frames they are given
            copy = rtc.AudioFrame(
                frame.data, frame.sample_rate, frame.num_channels, frame.samples_per_channel
            )
            deliver(SynthesizedAudio(copy, request_id))
        return self.is_ready

    def prepare(self, chain: Chain[TTS]) -> None:
        """Have the text spoken, if that is needed and not under way. Idempotent."""
        if self.is_ready or chain.closed or self._tries == _MAX_TRIES:
            return
        if self._task is not None and not self._task.done():
            return
        self._tries += 1
        self._task = chain.tasks.spawn(self._render(chain), "fallback canned phrase")

    async def _render(self, chain: Chain[TTS]) -> None:
        voice: TTS = chain.next_member.original
        try:
            async with asyncio.timeout(_PATIENCE_SEC):
                stream = voice.synthesize(self._text, conn_options=patient_options())
                async with stream:
                    frames = [audio.frame async for audio in stream]
            self._check_spoken(frames)
            self._frames = self._converted(frames)
        except Exception as error:
            logger.warning("a phrase could not be prepared", extra={"lk.pii.error": repr(error)})

    def _check_spoken(self, frames: Sequence[rtc.AudioFrame]) -> None:
        # it is kept for as long as the adapter is: what a sick voice made of it is no phrase
        script = Script.of(self._text)
        seconds = sum(frame.duration for frame in frames if not is_silence(frame))
        if script.has_words and not seconds:
            raise DigitalSilenceError()
        if script.is_cut_short(seconds):
            raise CutShortError()

    def _converted(self, frames: Sequence[rtc.AudioFrame]) -> list[rtc.AudioFrame]:
        resampling = Resampling(self._format)
        converted: list[rtc.AudioFrame] = []
        for i, frame in enumerate(frames):
            self._format.check(frame)
            audio = SynthesizedAudio(frame, "", is_final=i == len(frames) - 1)
            converted += [part.frame for part in resampling.convert(audio)]
        return converted


def _read(path: str | os.PathLike[str]) -> list[rtc.AudioFrame]:
    with wave.open(os.fspath(path), "rb") as file:
        rate, channels = file.getframerate(), file.getnchannels()
        if file.getsampwidth() != _SAMPLE_BYTES:
            raise ValueError(f"{8 * file.getsampwidth()} bit samples")
        size = int(rate * _FRAME_SEC)
        pieces = iter(lambda: file.readframes(size), b"")
        width = _SAMPLE_BYTES * channels
        return [rtc.AudioFrame(piece, rate, channels, len(piece) // width) for piece in pieces]
