# SPDX-License-Identifier: Apache-2.0
"""The audio and the length of the speech segment that is open, as far as detectors told it."""

from __future__ import annotations

from collections.abc import Iterable

from livekit import rtc

# Detectors keep as much of a segment.
_MAX_SEC = 60.0


class Segment:
    """One segment of speech, which several detectors may have heard parts of."""

    def __init__(self) -> None:
        self.began_at = 0.0  # position of its first sample of speech
        self.is_joined = False  # no detector has heard all of it
        self._frames: list[rtc.AudioFrame] = []
        self._seconds = 0.0

    @property
    def frames(self) -> list[rtc.AudioFrame]:
        """Its audio as one frame, of the newest format if it changed; nothing if none was told."""
        if not self._frames:
            return []
        newest = _format(self._frames[-1])
        return [rtc.combine_audio_frames([f for f in self._frames if _format(f) == newest])]

    def begin(self, frames: Iterable[rtc.AudioFrame], began_at: float) -> None:
        """Begin anew, with the audio of a START."""
        self.clear()
        self.began_at = began_at
        self._frames.extend(frames)
        self._seconds = sum(frame.duration for frame in self._frames)

    def add(self, frames: Iterable[rtc.AudioFrame], newest: float) -> None:
        """Add the newest seconds of a window."""
        if self._seconds >= _MAX_SEC:
            return
        for frame in frames:
            new = _newest(frame, newest)
            self._frames.append(new)
            self._seconds += new.duration

    def clear(self) -> None:
        """Forget it."""
        self._frames.clear()
        self._seconds = 0.0
        self.is_joined = False


def _format(frame: rtc.AudioFrame) -> tuple[int, int]:
    return frame.sample_rate, frame.num_channels


def _newest(frame: rtc.AudioFrame, seconds: float) -> rtc.AudioFrame:
    kept = round(seconds * frame.sample_rate)
    if kept >= frame.samples_per_channel:
        return frame
    data = frame.data[(frame.samples_per_channel - kept) * frame.num_channels :]
    return rtc.AudioFrame(data.tobytes(), frame.sample_rate, frame.num_channels, kept)
