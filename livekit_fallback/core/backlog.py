# SPDX-License-Identifier: Apache-2.0
"""Audio that a detector was given and has not judged yet: how much, and since when it is late."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

# How much faster than people speak a detector has to be where audio waits for it. Who is no faster
# than that would never catch up; those in use are ten times as fast and more.
_CATCH_UP = 2.0

# Detectors that resample hold back a sample or so (the bundled one 0.25 ms at 8 kHz), and nothing
# pushes it out when a caller is muted.
_HELD_BACK_SEC = 0.002


class _Piece(NamedTuple):
    end: float
    """Position of its last sample, in seconds."""

    expected_at: float
    """When a detector that is fast enough to catch up has judged it."""


class Backlog:
    """What a detector owes.

    Audio may come faster than people speak: when a detector is told what has been said so far,
    or after the event loop was blocked. So each piece is expected when a detector that is twice as
    fast as people speak is through with it and all before it.

    Positions are seconds of audio, times are monotonic seconds.

    Args:
        window: Seconds of audio that are judged at once: less than that is never owed.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._judged = 0.0
        self._flushed = 0.0
        self._pieces: deque[_Piece] = deque()

    @property
    def is_owed(self) -> bool:
        """Whether a whole window of audio waits to be judged."""
        return bool(self._pieces)

    @property
    def expected_at(self) -> float | None:
        """When the oldest audio that is owed is expected to be judged; ``None``: none is owed."""
        return self._pieces[0].expected_at if self._pieces else None

    def begin(self, position: float) -> None:
        """The detector owes nothing that lies before this position."""
        self._pieces.clear()
        self._judged = self._flushed = position

    def flushed(self, position: float) -> None:
        """The detector begins a new window here; what is no whole one before it is never judged."""
        self._flushed = position

    def given(self, end: float, seconds: float, now: float) -> None:
        """The detector was given audio.

        Args:
            end: Position of its last sample.
            seconds: Its length.
            now: When.
        """
        if end <= self._settled_by(max(self._judged, self._flushed)):
            return
        # a window that comes alone is expected at once
        busy_until = (
            self._pieces[-1].expected_at if self._pieces else now - self._window / _CATCH_UP
        )
        self._pieces.append(_Piece(end, max(now, busy_until + seconds / _CATCH_UP)))

    def judged(self, position: float) -> None:
        """The detector has judged all audio up to this position."""
        self._judged = max(self._judged, position)
        while self._pieces and self._pieces[0].end <= self._settled_by(self._judged):
            self._pieces.popleft()

    def _settled_by(self, position: float) -> float:
        """Up to where nothing is owed once all before a position is judged or dropped."""
        return position + self._window + _HELD_BACK_SEC
