# SPDX-License-Identifier: Apache-2.0
"""Where a voice pauses: the only trace of its sentences, for voices that tell no word timings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from livekit import rtc

from ..core.delivery import Pause

WINDOW_SEC = 0.02

# Longer than the closure of a consonant, shorter than what stands between two sentences.
_SHORTEST_SEC = 0.1

_QUIET_PART = 0.06  # of the loudest sample: breath and room are quieter, soft syllables louder


def pauses_in(frames: Sequence[rtc.AudioFrame]) -> list[Pause]:
    """Return the pauses in a voice's audio: 16 bit PCM, one sample rate, any channels."""
    peaks = peaks_of(frames)
    if not peaks.size:
        return []
    quiet = peaks <= peaks.max() * _QUIET_PART
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    spans = zip(edges[::2] * WINDOW_SEC, edges[1::2] * WINDOW_SEC, strict=True)
    return [Pause(float(a), float(b)) for a, b in spans if b - a >= _SHORTEST_SEC - 1e-9]


def peaks_of(frames: Sequence[rtc.AudioFrame], *, to_end: bool = False) -> np.ndarray:
    """Return the loudest sample of each window of 20 ms.

    Args:
        frames: 16 bit PCM, one sample rate, any channels.
        to_end: The last window ends with the audio, instead of the first beginning with it.
    """
    if not frames:
        return np.zeros(0)
    samples = np.concatenate([np.frombuffer(frame.data, dtype=np.int16) for frame in frames])
    width = max(1, int(frames[0].sample_rate * WINDOW_SEC)) * frames[0].num_channels
    left = len(samples) % width
    whole = samples[left:] if to_end else samples[: len(samples) - left]
    peaks: np.ndarray = np.abs(whole.astype(np.int32)).reshape(-1, width).max(axis=1)
    return peaks
