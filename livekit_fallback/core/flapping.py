# SPDX-License-Identifier: Apache-2.0
"""Notices when traffic moves between providers too often."""

from __future__ import annotations

from collections import deque

WINDOW_SEC = 60.0


class FlappingWatch:
    """Counts failovers in a sliding window of a minute.

    Args:
        limit: How many a minute are still normal; ``None``: any number.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._times: deque[float] = deque()
        self._quiet_until = float("-inf")

    def failed_over(self, now: float) -> int | None:
        """Count a failover.

        Returns:
            How many there were within the window, if they are more than the limit and this has
            not been said within the window; else ``None``.
        """
        if self._limit is None:
            return None
        self._times.append(now)
        while self._times[0] <= now - WINDOW_SEC:
            self._times.popleft()
        if len(self._times) <= self._limit or now < self._quiet_until:
            return None
        self._quiet_until = now + WINDOW_SEC
        return len(self._times)
