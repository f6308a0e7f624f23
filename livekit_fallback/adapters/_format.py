# SPDX-License-Identifier: Apache-2.0
"""The audio that sessions are promised, whichever voice made it."""

from __future__ import annotations

from collections.abc import Sequence

from livekit import rtc
from livekit.agents.tts import TTS, SynthesizedAudio


class Format:
    """The audio an adapter has promised to its session, and how to keep that promise.

    Args:
        sample_rate: In Hz.
        num_channels: 1 for mono.
    """

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        self.sample_rate = sample_rate
        self.num_channels = num_channels

    def check(self, frame: rtc.AudioFrame) -> None:
        """Refuse audio that cannot be converted.

        Raises:
            ValueError: The frame has another number of channels.
        """
        if frame.num_channels != self.num_channels:
            raise ValueError(
                f"{frame.num_channels} channels of audio where {self.num_channels} were declared"
            )


def check_audio(voices: Sequence[TTS], sample_rate: int | None) -> None:
    """Refuse voices that cannot be made to sound as one.

    Raises:
        ValueError: They differ in channels, or the sample rate is none.
    """
    channels = sorted({voice.num_channels for voice in voices})
    if len(channels) > 1:
        raise ValueError(f"tts: num_channels={channels}: must be the same for all providers")
    if sample_rate is not None and (isinstance(sample_rate, bool) or sample_rate <= 0):
        raise ValueError(f"sample_rate={sample_rate!r}: must be a number of Hz greater than 0")


class Resampling:
    """Converts one voice's audio, by the rate of its frames: what it declares may be outdated.

    Args:
        target: What to convert to.
    """

    def __init__(self, target: Format) -> None:
        self._target = target
        self._resampler: rtc.AudioResampler | None = None
        self._rate = 0  # that the resampler converts from

    def convert(self, audio: SynthesizedAudio) -> list[SynthesizedAudio]:
        """Return the audio at the target's rate; the final mark stays."""
        if audio.frame.sample_rate == self._target.sample_rate:
            return [*self._wrap(self._flush(), audio, is_final=False), audio]
        return self._wrap(self._resample(audio), audio, is_final=audio.is_final)

    def _wrap(
        self, frames: list[rtc.AudioFrame], audio: SynthesizedAudio, *, is_final: bool
    ) -> list[SynthesizedAudio]:
        last = len(frames) - 1
        return [
            SynthesizedAudio(resampled, audio.request_id, is_final and i == last)
            for i, resampled in enumerate(frames)
        ]

    def _flush(self) -> list[rtc.AudioFrame]:
        resampler, self._resampler = self._resampler, None
        return [] if resampler is None else resampler.flush()

    def _resample(self, audio: SynthesizedAudio) -> list[rtc.AudioFrame]:
        rest: list[rtc.AudioFrame] = []
        if self._resampler is None or self._rate != audio.frame.sample_rate:
            rest = self._flush()
            self._rate = audio.frame.sample_rate
            self._resampler = rtc.AudioResampler(
                self._rate, self._target.sample_rate, num_channels=self._target.num_channels
            )
        frames = rest + self._resampler.push(audio.frame)
        return frames + self._resampler.flush() if audio.is_final else frames


def is_silence(frame: rtc.AudioFrame) -> bool:
    """Return whether all of its samples are zero."""
    return not bytes(frame.data).strip(b"\0")
