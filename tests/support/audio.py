# SPDX-License-Identifier: Apache-2.0
"""Audio for tests: tones, silence, and frames that carry a number."""

from __future__ import annotations

import math
from array import array

import numpy as np
from livekit import rtc

AMPLITUDE = 8000


def tone(seconds: float, *, pitch: float = 440.0, rate: int = 24_000) -> bytes:
    """16-bit mono samples of a sine; a pitch of 0 is silence."""
    step = 2 * math.pi * pitch / rate
    count = round(seconds * rate)
    return array("h", (int(AMPLITUDE * math.sin(step * i)) for i in range(count))).tobytes()


def frame(samples: bytes, *, rate: int = 16_000) -> rtc.AudioFrame:
    """One mono frame of these samples."""
    return rtc.AudioFrame(samples, rate, 1, len(samples) // 2)


def frames(
    seconds: float, *, pitch: float = 440.0, rate: int = 16_000, frame_ms: int = 20
) -> list[rtc.AudioFrame]:
    """A tone, or silence for a pitch of 0, cut as a microphone delivers it."""
    size = 2 * rate * frame_ms // 1000
    samples = tone(seconds, pitch=pitch, rate=rate)
    return [frame(samples[i : i + size], rate=rate) for i in range(0, len(samples), size)]


def numbered(number: int, *, rate: int = 16_000, frame_ms: int = 20) -> rtc.AudioFrame:
    """A loud frame whose first sample is the number, so that a listener can say what it got."""
    loud = array("h", [AMPLITUDE]).tobytes() * (rate * frame_ms // 1000 - 1)
    return frame(array("h", [number]).tobytes() + loud, rate=rate)


def number_of(numbered_frame: rtc.AudioFrame) -> int:
    """The number that such a frame carries."""
    return int(numbered_frame.data[0])


def is_loud(some_frame: rtc.AudioFrame) -> bool:
    """Whether a tone, not silence, is in the frame."""
    return max(some_frame.data, default=0) > AMPLITUDE // 8


def pitch_of(heard: list[rtc.AudioFrame]) -> float:
    """The pitch of the tone in these mono frames, in Hz, silence around it left aside."""
    samples = np.concatenate([np.asarray(f.data) for f in heard])
    (loud,) = np.nonzero(abs(samples) > AMPLITUDE // 8)
    spoken = samples[loud[0] : loud[-1] + 1]
    waves = np.count_nonzero((spoken[:-1] < 0) & (spoken[1:] >= 0))
    return float(waves * heard[0].sample_rate / len(spoken))
