# SPDX-License-Identifier: Apache-2.0
"""Hedging by the package's own rules and nothing else: no adapter, no event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from benchmarks.tail_cases import Policy
from livekit_fallback.core.hedging import HedgeBudget, HedgeDelay
from livekit_fallback.core.latency import Bound, LatencyPolicy, Pace, Sample


@dataclass(frozen=True)
class Delay:
    """What a policy made of the delay over a run, to be compared with what it was meant to be."""

    median: float
    mean: float
    exceeded: int
    """Requests whose first provider was silent for longer."""


@dataclass(frozen=True)
class Run:
    """What the requests of one trace under one policy came to.

    Args:
        waits: Seconds to the first token, request by request.
        extra_calls: Calls beyond one per request.
        delay: How the delay turned out, where there was one and it was looked at.
    """

    waits: list[float]
    extra_calls: int
    delay: Delay | None = None


def simulate(policy: Policy, primary: Sequence[float], backup: Sequence[float]) -> Run:
    """Make one request after the other.

    Args:
        policy: When the backup is asked.
        primary: How long the primary would take, request by request.
        backup: How long the backup would.
    """
    delay = policy.delay
    if delay is None:
        return Run(list(primary), 0)
    race = _Race(delay, HedgeBudget(policy.budget))
    waits = [race.run(first, second) for first, second in zip(primary, backup, strict=True)]
    seen = Delay(median(race.delays), fmean(race.delays), race.exceeded)
    return Run(waits, race.hedges, seen)


class _Race:
    """The rules by which adapters race two attempts, without the adapters."""

    def __init__(self, delay: HedgeDelay, budget: HedgeBudget) -> None:
        self._delay = delay
        self._budget = budget
        self._primary = Pace(LatencyPolicy())
        self.delays: list[float] = []
        self.hedges = 0
        self.exceeded = 0

    def run(self, first: float, second: float) -> float:
        """Make a request that the two would take so long for; return how long it took."""
        self._budget.earn()
        due = self._due()
        if due is not None and first > due:
            self.exceeded += 1
            if not self._budget.is_spent:
                self._budget.spend()
                self.hedges += 1
                if due + second < first:
                    self._primary.add(Sample(due + second, Bound.OVERTAKEN))
                    return due + second
        self._primary.add(Sample(first))
        return first

    def _due(self) -> float | None:
        if self._delay.percentile is None:
            due = self._delay.seconds
        else:
            due = self._primary.hedge_delay(self._delay.percentile)
        if due is not None:
            self.delays.append(due)
        return due
