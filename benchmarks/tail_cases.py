# SPDX-License-Identifier: Apache-2.0
"""What the tail is measured with: how long providers take, and when a second one is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import Any

from livekit_fallback._policies import hedge_delay
from livekit_fallback.core.hedging import HedgeDelay

NORMAL = NormalDist()

USUAL, SLOW = 0.35, 4.0  # seconds
SLOW_SHARE = 0.03
SPREAD = 0.15  # sigma of a lognormal: 95 of 100 are within a third of the median
LONG_TAILED = log(SLOW / USUAL) / NORMAL.inv_cdf(0.99)  # sigma that makes SLOW the 99th percentile


def lognormal(part: float, median: float, sigma: float) -> float:
    """Seconds that this part (0 to 1) of the outputs keeps to."""
    return median * exp(sigma * NORMAL.inv_cdf(part))


def bimodal(part: float) -> float:
    """Nearly always quick, sometimes ten times as slow: a cold start, or a full queue."""
    usual = 1.0 - SLOW_SHARE
    if part < usual:
        return lognormal(part / usual, USUAL, SPREAD)
    return lognormal((part - usual) / SLOW_SHARE, SLOW, SPREAD)


def long_tailed(part: float) -> float:
    """No two kinds of outputs, but the longer the rarer, as over a network."""
    return lognormal(part, USUAL, LONG_TAILED)


def slow(part: float) -> float:
    """An outage of all that there is: nothing can be won, only load added."""
    return lognormal(part, SLOW, SPREAD)


@dataclass(frozen=True)
class Trace:
    """How long the providers take; the backup as long as the primary, independently of it.

    Args:
        name: In tables and pictures.
        quantile: Seconds that a part of the outputs keeps to.
        p99_bound: What hedging at the live p95 is promised to bring the 99th percentile under,
            as a part of the unhedged.
    """

    name: str
    quantile: Callable[[float], float]
    p99_bound: float | None = None

    def draw(self, count: int, who: str, seed: int) -> list[float]:
        """Seconds of so many requests, in an order of chance.

        They are the quantiles themselves, shuffled, so that the trace has the tail that it is
        named for: among 10,000 independent draws it is chance whether 80 or 120 of them are beyond
        the 99th percentile, and that would decide which promises are kept.
        """
        seconds = [self.quantile((i + 0.5) / count) for i in range(count)]
        Random(f"{seed} {self.name} {who}").shuffle(seconds)
        return seconds


@dataclass(frozen=True)
class Policy:
    """When a second provider is asked: an adapter's ``hedge_after_ms`` and ``hedge_budget``."""

    name: str
    after_ms: str | float | None
    budget: float = 0.1

    @property
    def delay(self) -> HedgeDelay | None:
        """The same as core knows it."""
        return hedge_delay({"hedge_after_ms": self.after_ms}, {})

    @property
    def options(self) -> dict[str, Any]:
        """The same as an adapter's options."""
        return {"hedge_after_ms": self.after_ms, "hedge_budget": self.budget}


TRACES = (
    Trace("bimodal", bimodal, p99_bound=0.40),
    # with the delay at the 95th percentile itself it would be 63 %
    Trace("lognormal", long_tailed, p99_bound=0.65),
    Trace("every provider slow", slow),
)

UNHEDGED = Policy("no hedging", None)
P95 = Policy("p95", "p95")  # what is promised
P90 = Policy("p90", "p90")
P90_UNBOUND = Policy("p90, budget 1.0", "p90", 1.0)
POLICIES = (
    UNHEDGED,
    Policy("p99", "p99"),
    P95,
    P90,
    P90_UNBOUND,
    Policy("p75", "p75"),
    Policy("fixed 800 ms", 800.0),
)
