# SPDX-License-Identifier: Apache-2.0
"""The health state machine of one provider. Everything that changes health lives here.

Rules for results that come back late:

* Every change of state starts a new *generation*. A permit carries the generation it was
  given in, and a result with an older permit changes nothing: a request that began before an
  outage must not end a probe, and one that began before a recovery must not undo it.
* Between two changes, permits are told apart by their number: a failure of a request that began
  before one that has succeeded since is old news.
* A failure while the provider is already cooling down neither extends the cool-down nor is
  reported a second time.
* A cancelled attempt says nothing about the provider. A cancelled probe gives its turn back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .backoff import cool_down
from .outcome import Failure, FailureKind, Outcome, Status


class State(Enum):
    """Health of a provider."""

    HEALTHY = "healthy"
    COOLING_DOWN = "cooling_down"
    PROBING = "probing"


class Signal(Enum):
    """What can move a provider from one state to another."""

    FAILED = "failed"
    SERVED = "served"
    PROBE_STARTED = "probe_started"
    PROBE_GOOD = "probe_good"
    PROBE_BAD = "probe_bad"
    PROBE_ABANDONED = "probe_abandoned"


TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.HEALTHY: {
        Signal.FAILED: State.COOLING_DOWN,
    },
    State.COOLING_DOWN: {
        Signal.PROBE_STARTED: State.PROBING,
        # every provider was cooling down, so this one was asked all the same, and it answered
        Signal.SERVED: State.HEALTHY,
    },
    State.PROBING: {
        Signal.PROBE_GOOD: State.HEALTHY,
        Signal.PROBE_BAD: State.COOLING_DOWN,
        Signal.PROBE_ABANDONED: State.COOLING_DOWN,
        Signal.SERVED: State.HEALTHY,
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
    """Seconds since the provider stopped being healthy; 0.0 if it just did."""


@dataclass(frozen=True, slots=True)
class CoolDownPolicy:
    """How long a failed provider rests, in seconds."""

    base: float
    cap: float


class Circuit:
    """Health of one provider. Give permits, record outcomes; nothing else changes it."""

    def __init__(self, provider: int, policy: CoolDownPolicy) -> None:
        self._provider = provider
        self._policy = policy
        self._state = State.HEALTHY
        self._generation = 0
        self._permits = 0  # given so far
        self._newest_success = 0  # number of the newest permit that has succeeded
        self._failures = 0  # in a row, failed probes included; reset on return to healthy
        self._due = 0.0  # when the cool-down ends; meaningful outside HEALTHY only
        self._down_since = 0.0  # when the provider last stopped being healthy

    @property
    def state(self) -> State:
        """Health, as of the last outcome."""
        return self._state

    @property
    def due(self) -> float:
        """When the cool-down ends (monotonic seconds); meaningful outside ``HEALTHY`` only."""
        return self._due

    @property
    def failures(self) -> int:
        """Failures in a row, failed probes included."""
        return self._failures

    def probe_is_due(self, now: float) -> bool:
        """Whether the cool-down is over and no probe is out."""
        return self._state is State.COOLING_DOWN and now >= self._due

    def is_current(self, permit: Permit) -> bool:
        """Whether nothing has changed since the permit was given."""
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
            The change it caused, or ``None``: the permit was of an older generation, or the
            outcome moved nothing.
        """
        if not self.is_current(permit):
            return None
        if outcome.status is Status.SUCCESS:
            return self._record_success(permit, now)
        if outcome.failure is None or not outcome.failure.counts:
            return self._abandon(outcome, now) if permit.is_probe else None
        return self._record_failure(permit, outcome.failure, now)

    def _give(self, *, is_probe: bool) -> Permit:
        self._permits += 1
        return Permit(self._provider, self._generation, self._permits, is_probe)

    def _record_success(self, permit: Permit, now: float) -> Change | None:
        self._newest_success = max(self._newest_success, permit.number)
        if self._state is State.HEALTHY:
            return None
        return self._move(Signal.PROBE_GOOD if permit.is_probe else Signal.SERVED, now)

    def _record_failure(self, permit: Permit, failure: Failure, now: float) -> Change | None:
        if permit.is_probe:
            change = self._move(Signal.PROBE_BAD, now)
        elif self._state is State.HEALTHY and permit.number > self._newest_success:
            change = self._move(Signal.FAILED, now)
        else:
            return None
        self._failures += 1
        self._due = now + self._rest(failure)
        return change

    def _abandon(self, outcome: Outcome, now: float) -> Change:
        change = self._move(Signal.PROBE_ABANDONED, now)
        if outcome.failure is not None:
            # the sample was at fault, and the same one would be again at once
            self._due = now + self._rest(outcome.failure)
        return change

    def _rest(self, failure: Failure) -> float:
        # a rejected key does not heal by itself: rest as long as the policy allows, at once
        if failure.kind is FailureKind.AUTH:
            return max(self._policy.base, self._policy.cap)
        rest = cool_down(self._failures, base=self._policy.base, cap=self._policy.cap)
        return max(rest, min(failure.retry_after or 0.0, self._policy.cap))

    def _move(self, signal: Signal, now: float) -> Change:
        after = TRANSITIONS[self._state].get(signal)
        if after is None:
            raise IllegalTransitionError(self._state, signal)
        before, self._state = self._state, after
        self._generation += 1
        if before is State.HEALTHY:
            self._down_since = now
        if after is State.HEALTHY:
            self._failures = 0
        return Change(self._provider, before, after, now - self._down_since)
