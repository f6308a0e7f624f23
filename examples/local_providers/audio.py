# SPDX-License-Identifier: Apache-2.0
"""Plain 16 bit mono audio: resampling, WAV in and out, and encoding for the wire."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Any, ClassVar, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from numpy.typing import NDArray

SAMPLE_BYTES = 2


def resample(pcm: bytes, source: int, target: int) -> bytes:
    """Return ``pcm`` converted from ``source`` to ``target`` Hz."""
    if source == target or not pcm:
        return pcm
    resampler = AudioResampler(format="s16", layout="mono", rate=target)
    frames = resampler.resample(_frame(pcm, source)) + resampler.resample(None)
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


def samples(pcm: bytes) -> NDArray[np.float32]:
    """Return the samples of ``pcm`` as numbers in [-1, 1)."""
    return np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0


def seconds(pcm: bytes, rate: int) -> float:
    """Return how long ``pcm`` plays at ``rate`` Hz."""
    return len(pcm) / (SAMPLE_BYTES * rate)


def read_wav(data: bytes) -> tuple[bytes, int]:
    """Return the samples (first channel) and the rate of a 16 bit WAV file.

    Raises:
        ValueError: ``data`` is not 16 bit PCM in a WAV container.
    """
    try:
        with wave.open(io.BytesIO(data)) as source:
            if source.getsampwidth() != SAMPLE_BYTES:
                raise ValueError("only 16 bit samples are understood")
            frames = np.frombuffer(source.readframes(source.getnframes()), np.int16)
            return frames[:: source.getnchannels()].tobytes(), source.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from error


def wav_header(rate: int) -> bytes:
    """Return the header of a WAV file of unknown length, as streaming services send it."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(SAMPLE_BYTES)
        target.setframerate(rate)
    header = bytearray(buffer.getvalue())
    header[4:8] = header[40:44] = b"\xff\xff\xff\xff"
    return bytes(header)


def slices(pcm: bytes, rate: int, duration: float) -> Iterator[bytes]:
    """Cut ``pcm`` into pieces of ``duration`` seconds."""
    size = max(1, int(rate * duration)) * SAMPLE_BYTES
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


class Encoder:
    """Turns PCM into the audio format a client asked for, a piece at a time."""

    CONTENT_TYPES: ClassVar = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}

    def __init__(self, name: str, rate: int) -> None:
        self._rate = rate
        self._head = wav_header(rate) if name == "wav" else b""
        self._codec = _mp3(rate) if name == "mp3" else None

    def encode(self, pcm: bytes) -> bytes:
        """Return what can be sent now; an encoder with look-ahead may return nothing yet."""
        head, self._head = self._head, b""
        if self._codec is None:
            return head + pcm
        return b"".join(bytes(packet) for packet in self._codec.encode(_frame(pcm, self._rate)))

    def flush(self) -> bytes:
        """Return what the encoder still held back."""
        packets = self._codec.encode(None) if self._codec else []
        return b"".join(bytes(packet) for packet in packets)


def _mp3(rate: int) -> AudioCodecContext:
    codec = av.CodecContext.create("libmp3lame", "w")
    codec.sample_rate = rate
    codec.format = cast("Any", "s16p")
    codec.layout = cast("Any", "mono")
    codec.bit_rate = 64_000
    return codec


def _frame(pcm: bytes, rate: int) -> av.AudioFrame:
    values = np.frombuffer(pcm, np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(values, format="s16p", layout="mono")
    frame.sample_rate = rate
    return frame
