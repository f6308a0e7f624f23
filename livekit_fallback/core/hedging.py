# SPDX-License-Identifier: Apache-2.0
"""When a second provider is asked while the first is still silent, and how often."""

from __future__ import annotations

from dataclasses import dataclass

# Hedges that may follow each other at once. As many as the slow outputs in a row that, by
# default, it takes to leave a provider: until then each of its requests can be hedged.
_BURST = 3.0

_SLACK = 1e-9  # of floating point


@dataclass(frozen=True, slots=True)
class HedgeDelay:
    """For how long a provider may be silent before a second one is asked as well.

    Args:
        seconds: A fixed time; or
        percentile: the latency that so many percent of its outputs keep to.
    """

    seconds: float | None = None
    percentile: float | None = None


class HedgeBudget:
    """A token bucket: each request earns a part of a hedge, and each hedge spends a whole one.

    When every provider is slow, hedging every request would double the load on all of them at
    the worst moment. With this, hedges stay a fixed part of the requests.

    Args:
        share: Part of the requests that may be hedged, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _BURST if share > 0 else 0.0

    def earn(self) -> None:
        """Take note of a request."""
        self._tokens = min(_BURST, self._tokens + self._share)

    @property
    def is_spent(self) -> bool:
        """Whether there is no hedge left."""
        return self._tokens < 1.0 - _SLACK

    def spend(self) -> None:
        """Take note of a hedge."""
        self._tokens -= 1.0
