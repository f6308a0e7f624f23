# SPDX-License-Identifier: Apache-2.0
"""The health state machine of one provider. Everything that changes health lives here.

Rules for results that come back late:

* A provider that stops being usable, or is usable again, starts a new *generation*. A permit
  carries the generation it was given in, and a result with an older permit changes nothing: a
  request that began before an outage must not end a probe, and one that began before a recovery
  must not undo it.
* Within a generation, permits are told apart by their number: a failure of a request that began
  before one that has succeeded since is old news.
* A failure while the provider is already cooling down neither extends the cool-down nor is
  reported a second time.
* A cancelled attempt says nothing about the provider. A cancelled probe gives its turn back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .backoff import cool_down, spread
from .outcome import Failure, FailureKind, Outcome, Status


class State(Enum):
    """Health of a provider."""

    HEALTHY = "healthy"
    COOLING_DOWN = "cooling_down"
    PROBING = "probing"
    PROBATION = "probation"
    DISABLED = "disabled"

    def __init__(self, name: str) -> None:
        self.is_usable = name in ("healthy", "probation")
        """Whether requests are sent to a provider in this state while there is a choice."""


class Signal(Enum):
    """What can move a provider from one state to another."""

    FAILED = "failed"
    TOO_SLOW = "too_slow"
    SERVED = "served"
    PROBE_STARTED = "probe_started"
    PROBE_GOOD = "probe_good"
    PROBE_BAD = "probe_bad"
    PROBE_ABANDONED = "probe_abandoned"
    PROVEN = "proven"
    GIVEN_UP = "given_up"
    DISABLED = "disabled"
    ENABLED = "enabled"
    RESET = "reset"


TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.HEALTHY: {
        Signal.FAILED: State.COOLING_DOWN,
        Signal.TOO_SLOW: State.COOLING_DOWN,
        Signal.DISABLED: State.DISABLED,
    },
    State.COOLING_DOWN: {
        Signal.PROBE_STARTED: State.PROBING,
        # every provider was cooling down, so this one was asked all the same, and it answered
        Signal.SERVED: State.HEALTHY,
        Signal.DISABLED: State.DISABLED,
        Signal.ENABLED: State.PROBATION,
        Signal.RESET: State.HEALTHY,
    },
    State.PROBING: {
        Signal.PROBE_GOOD: State.PROBATION,
        Signal.PROBE_BAD: State.COOLING_DOWN,
        Signal.PROBE_ABANDONED: State.COOLING_DOWN,
        Signal.GIVEN_UP: State.DISABLED,
        Signal.SERVED: State.HEALTHY,
        Signal.DISABLED: State.DISABLED,
        Signal.ENABLED: State.PROBATION,
        Signal.RESET: State.HEALTHY,
    },
    State.PROBATION: {
        Signal.PROVEN: State.HEALTHY,
        Signal.FAILED: State.COOLING_DOWN,
        Signal.TOO_SLOW: State.COOLING_DOWN,
        Signal.GIVEN_UP: State.DISABLED,
        Signal.DISABLED: State.DISABLED,
        Signal.RESET: State.HEALTHY,
    },
    State.DISABLED: {
        Signal.ENABLED: State.PROBATION,
        Signal.RESET: State.HEALTHY,
    },
}


class IllegalTransitionError(RuntimeError):
    """A signal arrived that the current state does not know. Nothing was changed."""

    def __init__(self, state: State, signal: Signal) -> None:
        super().__init__(f"signal {signal.value!r} is illegal in state {state.value!r}")


class Permit(NamedTuple):
    """Leave to use one provider once, tied to the generation of the state it was given in."""

    provider: int
    generation: int
    number: int
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A provider's health moved from one state to another."""

    provider: int
    before: State
    after: State
    down_for: float
    """Seconds since the provider stopped being usable; 0.0 if it just did, or is proven."""
    rest: float = 0.0
    """Seconds until the provider may be probed; 0.0 if it is not cooling down."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How long a failed provider rests, and what it has to do to be trusted again.

    Args:
        base: First cool-down in seconds.
        cap: Longest cool-down in seconds.
        give_up_after: Failed recoveries in a row after which it is disabled; ``None``: never.
        shares: What part of the requests it gets in each step of its probation, 0 to 1.
        successes: Good requests that each step takes.
    """

    base: float
    cap: float
    give_up_after: int | None = None
    shares: tuple[float, ...] = (1.0,)
    successes: int = 1


class Circuit:
    """Health of one provider. It changes with outcomes, with probes, and when somebody says so.

    Args:
        provider: Its place in the chain.
        policy: Cool-downs and probation.
        jitter: Draws from [0, 1).
    """

    def __init__(self, provider: int, policy: HealthPolicy, jitter: Callable[[], float]) -> None:
        self._provider = provider
        self._policy = policy
        self._jitter = jitter
        self._state = State.HEALTHY
        self._generation = 0
        self._permits = 0  # given so far
        self._newest_success = 0  # number of the newest permit that has succeeded
        self._failures = 0  # in a row, failed probes included; reset on return to healthy
        self._failed_recoveries = 0  # likewise: failed probes, and failures on probation
        self._good = 0  # requests served on this probation
        self._due = 0.0  # when the cool-down ends; meaningful outside usable states only
        self._since: float | None = None  # when the state was entered
        self._last_change: Change | None = None
        self._down_since = 0.0  # when the provider last stopped being usable
        self._by_hand = False  # disabled by somebody, not by its failures
        self._is_demoted = False  # not usable because it was too slow, not because it failed

    @property
    def state(self) -> State:
        """Health, as of the last outcome."""
        return self._state

    @property
    def generation(self) -> int:
        """Changes whenever the provider stops being usable, or is usable again."""
        return self._generation

    @property
    def since(self) -> float | None:
        """When the state was entered (monotonic seconds); ``None`` if it never changed."""
        return self._since

    @property
    def last_change(self) -> Change | None:
        """How it came into its state; ``None`` if it never changed."""
        return self._last_change

    @property
    def due(self) -> float:
        """When the cool-down ends (monotonic seconds); meaningful while cooling down only."""
        return self._due

    @property
    def failures(self) -> int:
        """Failures in a row, failed probes included."""
        return self._failures

    @property
    def is_barred(self) -> bool:
        """Whether somebody disabled it: it is not even asked when nobody else is left."""
        return self._state is State.DISABLED and self._by_hand

    @property
    def is_demoted(self) -> bool:
        """Whether it is not usable because it was too slow."""
        return self._is_demoted and not self._state.is_usable

    @property
    def share(self) -> float:
        """What part of the requests it is to get, or will get first when it is back: 0 to 1."""
        if self._state is State.HEALTHY:
            return 1.0
        step = self._good // self._policy.successes if self._state is State.PROBATION else 0
        return self._policy.shares[step]

    def probe_is_due(self, now: float) -> bool:
        """Whether the cool-down is over and no probe is out."""
        return self._state is State.COOLING_DOWN and now >= self._due

    def is_current(self, permit: Permit) -> bool:
        """Whether the provider has been usable, or not usable, ever since the permit was given."""
        return permit.generation == self._generation

    def permit(self) -> Permit:
        """Return leave to serve. A cooling provider gets one too: the last resort of a request."""
        return self._give(is_probe=False)

    def probe_permit(self, now: float) -> Permit | None:
        """Return leave to probe, and hold the place: at most one probe is out at any time."""
        if not self.probe_is_due(now):
            return None
        self._move(Signal.PROBE_STARTED, now)
        return self._give(is_probe=True)

    def record(self, permit: Permit, outcome: Outcome, now: float) -> Change | None:
        """Take an outcome into account.

        Returns:
            The change it caused; ``None`` if it was of an older generation, or moved nothing.
        """
        if not self.is_current(permit) or self._state is State.DISABLED:
            return None
        if permit.is_probe:
            return self._record_probe(outcome, now)
        if outcome.status is Status.SUCCESS:
            return self._record_success(permit, now)
        if outcome.failure is None or not outcome.failure.counts:
            return None
        if not self._state.is_usable or permit.number <= self._newest_success:
            return None
        return self._fall(Signal.FAILED, outcome.failure, now)

    def demote(self, failure: Failure, now: float) -> Change:
        """Take a usable provider out of the traffic because it is too slow."""
        return self._fall(Signal.TOO_SLOW, failure, now)

    def disable(self, now: float) -> Change | None:
        """Send no more requests until :meth:`enable` or :meth:`reset`; ``None`` if so already."""
        already, self._by_hand = self._state is State.DISABLED, True
        return None if already else self._move(Signal.DISABLED, now)

    def enable(self, now: float) -> Change | None:
        """Put a provider that is not usable on probation at once; ``None`` if it is usable."""
        return None if self._state.is_usable else self._move(Signal.ENABLED, now)

    def reset(self, now: float) -> Change | None:
        """Forget all failures; return the change, ``None`` if it was healthy."""
        if self._state is not State.HEALTHY:
            return self._move(Signal.RESET, now)
        return None

    def _give(self, *, is_probe: bool) -> Permit:
        self._permits += 1
        return Permit(self._provider, self._generation, self._permits, is_probe)

    def _record_success(self, permit: Permit, now: float) -> Change | None:
        self._newest_success = max(self._newest_success, permit.number)
        if self._state is State.HEALTHY:
            return None
        if self._state is State.PROBATION:
            return self._prove(now)
        return self._move(Signal.SERVED, now)

    def _prove(self, now: float) -> Change | None:
        self._good += 1
        needed = self._policy.successes * len(self._policy.shares)
        return self._move(Signal.PROVEN, now) if self._good >= needed else None

    def _record_probe(self, outcome: Outcome, now: float) -> Change:
        failure = outcome.failure
        if outcome.status is Status.SUCCESS:
            return self._move(Signal.PROBE_GOOD, now)
        if failure is None:
            return self._move(Signal.PROBE_ABANDONED, now)
        if not failure.counts:
            # the sample was at fault, and would be again at once
            rest = self._rest(failure, self._failures)
            return self._move(Signal.PROBE_ABANDONED, now, rest=rest)
        return self._fall(Signal.PROBE_BAD, failure, now)

    def _fall(self, signal: Signal, failure: Failure, now: float) -> Change:
        failures = self._failures + 1
        is_recovery = self._state is not State.HEALTHY
        failed_recoveries = self._failed_recoveries + is_recovery
        limit = self._policy.give_up_after
        if is_recovery and limit is not None and failed_recoveries >= limit:
            change = self._move(Signal.GIVEN_UP, now)
        else:
            change = self._move(signal, now, rest=self._rest(failure, failures))
        self._failures, self._failed_recoveries = failures, failed_recoveries
        return change

    def _rest(self, failure: Failure, failures: int) -> float:
        base, cap = self._policy.base, self._policy.cap
        # a rejected key does not heal by itself: rest as long as the policy allows, at once
        rest = cap if failure.kind is FailureKind.AUTH else cool_down(failures, base=base, cap=cap)
        return max(spread(rest, self._jitter()), min(failure.retry_after or 0.0, cap))

    def _move(self, signal: Signal, now: float, *, rest: float = 0.0) -> Change:
        after = TRANSITIONS[self._state].get(signal)
        if after is None:
            raise IllegalTransitionError(self._state, signal)
        before, self._state = self._state, after
        self._since = now
        if not (before.is_usable and after.is_usable):
            self._generation += 1
        self._enter(after, now, rest)
        if signal is Signal.ENABLED:
            self._failed_recoveries = 0  # whoever enables it has a reason to
        if before.is_usable and not after.is_usable:
            self._down_since = now
            self._is_demoted = signal is Signal.TOO_SLOW
        down_for = 0.0 if before.is_usable else now - self._down_since
        self._last_change = Change(self._provider, before, after, down_for, rest)
        return self._last_change

    def _enter(self, state: State, now: float, rest: float) -> None:
        if state is State.HEALTHY:
            self._failures = self._failed_recoveries = 0
        elif state is State.PROBATION:
            self._good = 0
        elif state is State.COOLING_DOWN:
            self._due = now + rest
        if state is not State.DISABLED:
            self._by_hand = False
