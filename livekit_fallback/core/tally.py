# SPDX-License-Identifier: Apache-2.0
"""What one provider has done so far, in numbers."""

from __future__ import annotations

from collections import Counter

from .outcome import FailureKind, Outcome, Status


class Tally:
    """Counts of one provider's requests and probes.

    Every request ends in exactly one of ``successes``, ``failures``, ``cancelled`` and
    ``overtaken``; what is missing in their sum is under way.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.successes = 0
        self.failures: Counter[FailureKind] = Counter()
        self.cancelled = 0
        self.overtaken = 0  # cancelled because another, asked for the same, answered first
        self.hedges = 0  # of the requests: made while another was still silent
        self.probes = 0
        self.heard_at: float | None = None  # monotonic seconds of the newest request's end

    def add_request(self, outcome: Outcome, now: float) -> None:
        """Count how a request ended."""
        if outcome.status is Status.CANCELLED:
            self.cancelled += 1
            return
        if outcome.status is Status.OVERTAKEN:
            self.overtaken += 1
            return
        self.heard_at = now
        if outcome.failure is not None:
            self.failures[outcome.failure.kind] += 1
            return
        self.successes += 1

    def add_probe(self) -> None:
        """Count a probe."""
        self.probes += 1
