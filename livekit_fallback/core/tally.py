# SPDX-License-Identifier: Apache-2.0
"""What one provider has done so far: counts and latencies, in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from math import ceil

from .outcome import FailureKind, Outcome, Status

# Enough for a 95th percentile that one odd sample does not move much; 2 kB per provider.
_LATENCIES_KEPT = 256


class Tally:
    """Counts of one provider's requests and probes.

    Every request ends in exactly one of ``successes``, ``failures`` and ``cancelled``; what is
    missing in their sum is under way.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.successes = 0
        self.failures: Counter[FailureKind] = Counter()
        self.cancelled = 0
        self.probes = 0
        self.heard_at: float | None = None  # monotonic seconds of the newest request's end
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def add_request(self, outcome: Outcome, now: float) -> None:
        """Count how a request ended."""
        if outcome.status is Status.CANCELLED:
            self.cancelled += 1
            return
        self.heard_at = now
        if outcome.failure is not None:
            self.failures[outcome.failure.kind] += 1
            return
        self.successes += 1
        if outcome.latency is not None:
            self._latencies.append(outcome.latency)

    def add_probe(self) -> None:
        """Count a probe. Its latency is not that of a request."""
        self.probes += 1

    def percentile(self, percent: float) -> float | None:
        """Return the latency in seconds that so many percent of the newest requests kept to.

        Args:
            percent: Greater than 0, up to 100.

        Returns:
            One of the latencies measured (the nearest rank); ``None`` before the first.
        """
        if not self._latencies:
            return None
        rank = ceil(percent / 100 * len(self._latencies))
        return sorted(self._latencies)[rank - 1]
