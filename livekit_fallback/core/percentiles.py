# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest latencies, some of which are only known to be longer than something.

An attempt that was cut off after half a second took at least half a second: leaving it out would
make a slow provider look fast, and counting it as half a second would, too. This is what the
product-limit estimator is for (E. L. Kaplan, P. Meier: Nonparametric Estimation from Incomplete
Observations, 1958): at each latency that was measured it asks how many of those that were still
waited for ended there. Without cut-off attempts it is the plain nearest rank.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from math import ceil

# A 95th percentile of a heavy tail is then known to some 7 %; half of that takes four times as
# many. 100 kB per provider, once there were so many outputs.
_KEPT = 1024

_SLACK = 1e-9  # of floating point


class Percentiles:
    """The newest latencies of one provider, in bounded memory.

    Adding one costs next to nothing, as most are never asked for. Asking costs a microsecond for
    each that is new, and above the first that was cut off a tenth of one for each in between.
    """

    def __init__(self) -> None:
        self._new: deque[tuple[float, bool]] = deque(maxlen=_KEPT)  # not sorted in yet
        self._newest: deque[tuple[float, list[float]]] = deque()  # and the list it stands in
        self._measured: list[float] = []  # sorted
        self._cut_off: list[float] = []  # sorted
        self.measured = 0  # ever, those cut off not counted

    def add(self, seconds: float, *, is_cut_off: bool = False) -> None:
        """Take a latency into account.

        Args:
            seconds: How long it took.
            is_cut_off: It was not waited for any longer: it would have taken more than that.
        """
        self.measured += not is_cut_off
        self._new.append((seconds, is_cut_off))

    def at(self, percent: float) -> float | None:
        """Return the latency in seconds that so many percent of the newest outputs kept to.

        Args:
            percent: Greater than 0, up to 100.

        Returns:
            One of the latencies measured; ``None`` before the first, and while so many were cut
            off that it can only be said to be longer than all that were measured.
        """
        self._sort_in()
        share = percent / 100 - _SLACK
        known = self._measured_before_any_cut_off
        rank = max(1, ceil(share * len(self._newest)))
        return self._measured[rank - 1] if rank <= known else self._beyond(known, share)

    def at_least(self, percent: float) -> float | None:
        """Return the same, or where it cannot be said the longest latency that it exceeds."""
        known = self.at(percent)
        if known is None and self._measured:
            return self._measured[-1]
        return known

    def _sort_in(self) -> None:
        while self._new:
            seconds, is_cut_off = self._new.popleft()
            if len(self._newest) == _KEPT:
                oldest, kept = self._newest.popleft()
                del kept[bisect_left(kept, oldest)]
            kept = self._cut_off if is_cut_off else self._measured
            self._newest.append((seconds, kept))
            insort(kept, seconds)

    @property
    def _measured_before_any_cut_off(self) -> int:
        if not self._cut_off:
            return len(self._measured)
        return bisect_right(self._measured, self._cut_off[0])

    def _beyond(self, known: int, share: float) -> float | None:
        """Go on where plain ranks are no longer enough."""
        if known == len(self._measured):
            return None
        waited = 1.0 - known / len(self._newest)  # for how many, as a share
        gone = 0  # cut off by then
        for index in range(known, len(self._measured)):
            seconds = self._measured[index]
            gone = bisect_left(self._cut_off, seconds, lo=gone)
            at_risk = len(self._newest) - index - gone
            waited *= (at_risk - 1) / at_risk
            if 1.0 - waited >= share:
                return seconds
        return None
