# SPDX-License-Identifier: Apache-2.0
"""Sound as arrays of samples: loading the caller's lines, and where somebody can be heard."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from livekit import rtc

if TYPE_CHECKING:
    from pathlib import Path

Samples: TypeAlias = npt.NDArray[np.int16]
Span: TypeAlias = tuple[float, float]
"""Start and end in seconds."""

RATE = 48_000
"""Samples per second on the console line, fixed by LiveKit's protocol."""

FILE_RATE = 24_000
"""Of the recording: what the agent's voice is made at, so halving the line's rate loses nothing."""

AUDIBLE_RMS = 100.0
"""About -50 dBFS: well under the quietest speech, well above dither and codec noise."""

WINDOW = RATE // 200
"""Samples per loudness measurement (5 ms): the resolution of every dead-air figure."""


def load_wav(path: Path) -> Samples:
    """Read a mono 16-bit WAV of any rate and bring it to `RATE`."""
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path} is not mono 16-bit PCM")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        return resample(samples, file.getframerate(), RATE)


def resample(samples: Samples, source: int, target: int) -> Samples:
    """Change the sample rate of a whole mono recording."""
    if source == target or not len(samples):
        return samples
    resampler = rtc.AudioResampler(source, target, num_channels=1)
    frames = resampler.push(bytearray(samples.tobytes())) + resampler.flush()
    return np.frombuffer(b"".join(bytes(frame.data) for frame in frames), dtype=np.int16)


def loudness(samples: Samples) -> npt.NDArray[np.float64]:
    """Root mean square of each `WINDOW`."""
    whole = len(samples) // WINDOW * WINDOW
    squares = samples[:whole].astype(np.float64).reshape(-1, WINDOW) ** 2
    rms: npt.NDArray[np.float64] = np.sqrt(squares.mean(axis=1))
    return rms


def audible_spans(samples: Samples, join: float = 0.25) -> list[Span]:
    """Where something can be heard; pauses of up to `join` seconds do not divide speech."""
    loud = np.flatnonzero(loudness(samples) > AUDIBLE_RMS)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > join * RATE / WINDOW)
    starts = loud[np.concatenate(([0], breaks + 1))]
    ends = loud[np.concatenate((breaks, [len(loud) - 1]))] + 1
    seconds = WINDOW / RATE
    return [(float(a * seconds), float(b * seconds)) for a, b in zip(starts, ends, strict=True)]


def write_call(path: Path, caller: Samples, agent: Samples) -> None:
    """Write the call in stereo: left is what the caller said, right what the caller heard."""
    tracks = [resample(track, RATE, FILE_RATE) for track in (caller, agent)]
    length = min(len(track) for track in tracks)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(FILE_RATE)
        file.writeframes(np.column_stack([track[:length] for track in tracks]).tobytes())
