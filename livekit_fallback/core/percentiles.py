# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest latencies, some of which are only known to be longer than something.

An attempt that was cut off after half a second took at least half a second: leaving it out would
make a slow provider look fast, and counting it as half a second would, too. This is what the
product-limit estimator is for (E. L. Kaplan, P. Meier: Nonparametric Estimation from Incomplete
Observations, 1958): at each latency that was measured it asks how many of those that were still
waited for ended there. Without cut-off attempts it is the plain nearest rank.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

# Enough for a 95th percentile that one odd sample does not move much; 22 kB per provider.
_KEPT = 256

_SLACK = 1e-9  # of floating point


class Percentiles:
    """The newest latencies of one provider, in bounded memory.

    Asking costs some 40 microseconds after a new latency, and next to nothing before the next.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[float, bool]] = deque(maxlen=_KEPT)
        self._reached: list[float] = []  # by the estimate: 0 to 1, rising
        self._latencies: list[float] = []  # at which it reaches that
        self._is_stale = False
        self.measured = 0  # ever, those cut off not counted

    def add(self, seconds: float, *, is_cut_off: bool = False) -> None:
        """Take a latency into account.

        Args:
            seconds: How long it took.
            is_cut_off: It was not waited for any longer: it would have taken more than that.
        """
        self._kept.append((seconds, is_cut_off))
        self._is_stale = True
        self.measured += not is_cut_off

    def at(self, percent: float) -> float | None:
        """Return the latency in seconds that so many percent of the newest outputs kept to.

        Args:
            percent: Greater than 0, up to 100.

        Returns:
            One of the latencies measured; ``None`` before the first, and while so many were cut
            off that it can only be said to be longer than all that were measured.
        """
        if self._is_stale:
            self._estimate()
        found = bisect_left(self._reached, percent / 100 - _SLACK)
        return self._latencies[found] if found < len(self._latencies) else None

    def at_least(self, percent: float) -> float | None:
        """Return the same, or where it cannot be said the longest latency that it exceeds."""
        known = self.at(percent)
        if known is None and self._latencies:
            return self._latencies[-1]
        return known

    def _estimate(self) -> None:
        self._is_stale = False
        self._reached, self._latencies = [], []
        beyond = 1.0
        waiting = len(self._kept)
        for seconds, is_cut_off in sorted(self._kept):
            if not is_cut_off:
                beyond *= (waiting - 1) / waiting
                self._reached.append(1.0 - beyond)
                self._latencies.append(seconds)
            waiting -= 1
