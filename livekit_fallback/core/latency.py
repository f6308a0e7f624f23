# SPDX-License-Identifier: Apache-2.0
"""How fast one provider is, and when it is too slow to be kept at work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from math import ceil, inf
from typing import NamedTuple

from .percentiles import Percentiles

# What fewer outputs than this say of a provider's usual latency is chance. As many calls as
# adaptive hedging waits for elsewhere (the hedge library for Go).
WARM_AFTER = 20

# Fewer will do to tell who is the faster of two.
_COMPARABLE_AFTER = 3

# For how long a slow output is held against a provider: some turns of a conversation.
_BELIEVED_SEC = 60.0

# What is known of a stand-in may not be older than this: outages move fast.
_FRESH_SEC = 30.0

# An adaptive deadline is twice what 95 of 100 outputs keep to: further from the usual than noise
# is, and near enough to be worth having.
_DEADLINE_PERCENTILE = 95
_DEADLINE_FACTOR = 2.0

_SLACK = 1e-9  # of floating point


class Bound(Enum):
    """What a latency says of the provider's own."""

    EXACT = "exact"
    """It is the provider's."""
    AT_LEAST = "at_least"
    """It was waited for no longer: the caller left, or a deadline passed."""
    AT_MOST = "at_most"
    """Part of the time was not the provider's: the event loop was blocked, or only a complete
    tool call could be seen."""
    OVERTAKEN = "overtaken"
    """As ``AT_LEAST``, because another that was asked later answered first: that is slow by any
    threshold."""


class Sample(NamedTuple):
    """How long one output took, as far as is known.

    Args:
        seconds: From the debt to the first useful output, or to the end of the wait for it.
        bound: What that says.
    """

    seconds: float
    bound: Bound = Bound.EXACT


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """When a provider is too slow to be kept at work.

    Args:
        threshold: Seconds to the first useful output above which an output is slow; ``None``:
            none is.
        hits: So many slow outputs in a row are too many.
        ratio: Instead of that: this part of the newest outputs is too many; 0 to 1.
        window: How many outputs those are. Before there were so many, the missing ones count as
            fast.
    """

    threshold: float | None = None
    hits: int = 3
    ratio: float | None = None
    window: int = 20

    @property
    def limit(self) -> int:
        """How many slow outputs are too many, where there is a threshold."""
        return self.hits if self.ratio is None else ceil(self.ratio * self.window - _SLACK)


class Pace:
    """How fast one provider is.

    Args:
        policy: When it is too slow.
    """

    def __init__(self, policy: LatencyPolicy) -> None:
        self._policy = policy
        self._percentiles = Percentiles()
        self._recent: deque[bool] = deque(maxlen=policy.window)  # were they slow, newest last
        self._in_a_row = 0
        self._generation = -1  # of the provider's health, which the count belongs to
        self.slow_outputs = 0  # ever
        self.judged_at: float | None = None  # when it was last known to be slow or fast
        self.is_suspect = False
        """Whether the newest output that could be judged was slow."""

    def add(self, sample: Sample) -> None:
        """Take a latency into the statistics."""
        if sample.bound is not Bound.AT_MOST:
            self._percentiles.add(sample.seconds, is_cut_off=sample.bound is not Bound.EXACT)

    def judge(self, sample: Sample) -> bool | None:
        """Return whether an output was slow; ``None`` if that cannot be said."""
        if sample.bound is Bound.OVERTAKEN:
            return True
        threshold = self._policy.threshold
        if threshold is None:
            return None
        if sample.bound is Bound.AT_LEAST:
            return True if sample.seconds >= threshold else None
        if sample.seconds <= threshold:
            return False
        return True if sample.bound is Bound.EXACT else None

    def note(self, now: float, generation: int, *, is_slow: bool) -> None:
        """Take into account that an output was slow, or was not.

        Args:
            now: Monotonic seconds.
            generation: Of the provider's health: who was left and is back begins anew.
            is_slow: Which.
        """
        if generation != self._generation:
            self._generation = generation
            self._in_a_row = 0
            self._recent.clear()
        self.judged_at = now
        self.is_suspect = is_slow
        self.slow_outputs += is_slow
        self._in_a_row = self._in_a_row + 1 if is_slow else 0
        self._recent.append(is_slow)

    def trust(self, now: float) -> None:
        """Take note that it was asked, and that nothing can be said against its speed."""
        self.judged_at = now
        self.is_suspect = False

    def hits(self, generation: int) -> int:
        """Return the slow outputs that count: in a row, or among the newest, as the policy says."""
        if generation != self._generation:
            return 0
        return self._in_a_row if self._policy.ratio is None else sum(self._recent)

    @property
    def limit(self) -> float:
        """How many of them are too many; infinite if the provider is not to be left for them."""
        return inf if self._policy.threshold is None else self._policy.limit

    def is_known(self, now: float) -> bool:
        """Whether what was last known of it can still be believed."""
        return self._was_judged_within(_BELIEVED_SEC, now)

    def is_fresh(self, now: float) -> bool:
        """Whether it is known so lately that traffic can be sent there for it."""
        return self._was_judged_within(_FRESH_SEC, now)

    def is_known_slow(self, now: float) -> bool:
        """Whether it is known to be slow."""
        return self.is_suspect and self.is_known(now)

    def _was_judged_within(self, seconds: float, now: float) -> bool:
        return self.judged_at is not None and now - self.judged_at <= seconds

    def percentile(self, percent: float) -> float | None:
        """Return the latency that so many percent of the newest outputs kept to, if known."""
        return self._percentiles.at(percent)

    def hedge_delay(self, percent: float) -> float | None:
        """Return after how long a second provider is worth asking; ``None`` before it is known."""
        return self._percentiles.at_least(percent) if self._is_warm else None

    def deadline(self, floor: float, ceiling: float | None) -> float | None:
        """Return a deadline that follows what the provider usually takes.

        While that is not known, or so many outputs were cut off that it cannot be, it is the
        ceiling: a deadline that became too short lengthens itself.
        """
        usual = self.percentile(_DEADLINE_PERCENTILE) if self._is_warm else None
        if usual is None:
            return ceiling
        due = max(floor, _DEADLINE_FACTOR * usual)
        return due if ceiling is None else min(due, ceiling)

    @property
    def typical(self) -> float | None:
        """Median latency, once there are enough outputs to compare providers by it."""
        return self.percentile(50) if self._percentiles.measured >= _COMPARABLE_AFTER else None

    @property
    def _is_warm(self) -> bool:
        return self._percentiles.measured >= WARM_AFTER
