# SPDX-License-Identifier: Apache-2.0
"""What the rules say about one provider's health, written down in so many words.

Whatever was given out before a provider stopped or began to be usable belongs to another *era*
and has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from livekit_fallback.core.circuit import Change, State
from livekit_fallback.core.latency import Bound
from livekit_fallback.core.outcome import FailureKind, Outcome, Status
from tests.support.outcomes import failed

if TYPE_CHECKING:
    from livekit_fallback.core.circuit import Permit
    from livekit_fallback.core.latency import LatencyPolicy, Sample

BASE, CAP = 4.0, 32.0
WELL, RESTING, TESTING = State.HEALTHY, State.COOLING_DOWN, State.PROBING
TRIAL, OFF = State.PROBATION, State.DISABLED


@dataclass(frozen=True)
class Given:
    """A permit that is out, with what the model knew when it was given."""

    permit: Permit
    era: int
    number: int
    is_probe: bool
    is_request: bool


@dataclass
class Model:
    """One provider, naively."""

    give_up_after: int | None
    shares: tuple[float, ...]
    successes: int
    latency: LatencyPolicy
    state: State = WELL
    by_hand: bool = False
    is_demoted: bool = False
    era: int = 0
    due: float = 0.0
    down_since: float = 0.0
    bad: int = 0
    failed_recoveries: int = 0
    good: int = 0
    newest_success: int = 0
    requests: int = 0
    ended: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    probes: int = 0
    probe_out: int | None = None  # number of the probe that is out
    timed: list[float] = field(default_factory=list)  # outputs that were waited for
    judged: list[bool] = field(default_factory=list)  # outputs of this era: were they slow?
    slow_ever: int = 0
    newest: tuple[float, bool] | None = None  # when an output was last judged, and whether slow

    @property
    def is_usable(self) -> bool:
        return self.state in (WELL, TRIAL)

    # --- what outcomes do ---

    def goes(self, to: State, now: float, rest: float = 0.0) -> Change:
        """It moves on; return the change."""
        was, was_usable, self.state = self.state, self.is_usable, to
        if not (was_usable and self.is_usable):
            self.era += 1
            self.judged = []
        if was_usable and not self.is_usable:
            self.down_since = now
        if was_usable or self.is_usable:
            self.is_demoted = False
        if to is WELL:
            self.bad = self.failed_recoveries = 0
        if to is TRIAL:
            self.good = 0
        if to is RESTING:
            self.due = now + rest
        if to is not TESTING:
            self.probe_out = None
        self.by_hand = False
        return Change(0, was, to, 0.0 if was_usable else now - self.down_since, rest)

    def hears(self, given: Given, outcome: Outcome, now: float) -> Change | None:
        """An outcome comes in; return the change, if any."""
        if given.era != self.era or self.state is OFF:
            return None
        if outcome.status is Status.SUCCESS:
            return self.hears_good(given, now)
        failure = outcome.failure
        if failure is None or failure.kind is FailureKind.REQUEST:
            if not given.is_probe:
                return None
            return self.goes(RESTING, now, 0.0 if failure is None else self.rest(outcome))
        is_news = self.is_usable and given.number > self.newest_success
        return self.hears_bad(outcome, now) if given.is_probe or is_news else None

    def hears_good(self, given: Given, now: float) -> Change | None:
        self.newest_success = max(self.newest_success, given.number)
        if self.state is WELL:
            return None
        if self.state is not TRIAL:
            return self.goes(TRIAL if given.is_probe else WELL, now)
        self.good += 1
        return self.goes(WELL, now) if self.good == self.successes * len(self.shares) else None

    def hears_bad(self, outcome: Outcome, now: float) -> Change:
        self.bad += 1
        if self.state is not WELL:
            self.failed_recoveries += 1
            if self.failed_recoveries == self.give_up_after:
                return self.goes(OFF, now)
        return self.goes(RESTING, now, self.rest(outcome))

    def is_left_for_being_slow(self, now: float) -> Change:
        """It loses its turn, as by a failure that may pass; return the change."""
        change = self.hears_bad(failed(), now)
        self.is_demoted = change.after is RESTING
        return change

    @property
    def share(self) -> float:
        if self.state is WELL:
            return 1.0
        return self.shares[self.good // self.successes if self.state is TRIAL else 0]

    def rest(self, outcome: Outcome) -> float:
        assert outcome.failure is not None
        rest = CAP if outcome.failure.kind is FailureKind.AUTH else BASE * 2 ** (self.bad - 1)
        return max(min(rest, CAP), outcome.failure.retry_after or 0.0)

    # --- what latencies do ---

    def takes(self, sample: Sample, now: float, given: Given | None) -> bool | None:
        """An output was timed; return whether it was slow, if that can be said and matters."""
        is_slow = self.was_slow(sample)
        if is_slow is None or (given is not None and given.era != self.era):
            return None
        self.judged.append(is_slow)
        self.slow_ever += is_slow
        self.newest = now, is_slow
        return is_slow

    def was_slow(self, sample: Sample) -> bool | None:
        threshold, seconds = self.latency.threshold, sample.seconds
        match sample.bound:
            case Bound.OVERTAKEN:
                return True
            case _ if threshold is None:
                return None
            case Bound.AT_LEAST:  # it may be anything above
                return True if seconds >= threshold else None
            case Bound.AT_MOST:  # it may be anything below
                return False if seconds <= threshold else None
            case Bound.EXACT:
                return seconds > threshold

    @property
    def hits(self) -> int:
        """The slow outputs that count."""
        if self.latency.ratio is not None:
            return sum(self.judged[-self.latency.window :])
        fast = [n for n, is_slow in enumerate(self.judged, 1) if not is_slow]
        return len(self.judged) - max(fast, default=0)

    @property
    def allowed(self) -> float:
        """How many of them are still to be borne."""
        if self.latency.threshold is None:
            return inf
        if self.state is not WELL:
            return 0
        if self.latency.ratio is None:
            return self.latency.hits - 1
        return next(
            n - 1
            for n in range(1, self.latency.window + 1)
            if n / self.latency.window >= self.latency.ratio
        )

    def is_too_slow(self, now: float) -> bool:
        """Whether it may be left, if there is somebody to go to."""
        return self.is_usable and self.hits > self.allowed and self.age(now) <= 60.0

    def could_stand_in(self, now: float, *, can_be_probed: bool) -> bool:
        """Whether traffic may be sent to it because somebody else is slow."""
        if not self.is_usable or (self.was_slow_last and self.age(now) <= 60.0):
            return False
        return not can_be_probed or self.age(now) <= 30.0

    def stands_back(self, now: float, *, can_be_probed: bool) -> bool:
        """Whether others are asked before it, should it not be at work."""
        is_held_against_it = can_be_probed or self.age(now) <= 60.0
        if self.latency.threshold is None:
            return False
        return self.is_usable and self.was_slow_last and is_held_against_it

    @property
    def was_slow_last(self) -> bool:
        return self.newest is not None and self.newest[1]

    def age(self, now: float) -> float:
        """Seconds since an output of it was last judged."""
        return inf if self.newest is None else now - self.newest[0]

    @property
    def typical(self) -> float | None:
        """The median of what it takes, if that is known."""
        ordered = sorted(self.timed)
        return ordered[(len(ordered) - 1) // 2] if len(ordered) >= 3 else None
