# SPDX-License-Identifier: Apache-2.0
"""The health of a whole chain, and the order in which it is asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from .circuit import Change, Circuit, HealthPolicy, Permit, State
from .latency import LatencyPolicy, Pace, Sample
from .outcome import CANCELLED, TOO_SLOW, Outcome, Status
from .tally import Tally

NOBODY: frozenset[int] = frozenset()

# How many of the newest requests served say what share of the traffic each provider has.
_SHARE_OF = 100

_OLD = -1  # a generation that no health is in

_SLACK = 1e-9  # of floating point


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """In which order a chain is asked, where health leaves a choice.

    Args:
        live_probes: For each provider, whether the next request is its probe.
        sticky: Stay with the provider that served last while it is usable, even when one of
            higher priority has come back.
        min_dwell: Seconds to stay with it at least.
        probed: Who can be probed beside the traffic; nobody by default.
    """

    live_probes: tuple[bool, ...]
    sticky: bool = False
    min_dwell: float = 0.0
    probed: frozenset[int] = NOBODY


class HealthBook:
    """One circuit and one tally per provider, in priority order (0 is the primary).

    Args:
        policies: One per provider.
        order: In which order to ask.
        jitter: Draws from [0, 1).
        latency: When each is too slow; by default nobody ever is.
    """

    def __init__(
        self,
        policies: Sequence[HealthPolicy],
        order: OrderPolicy,
        *,
        jitter: Callable[[], float],
        latency: Sequence[LatencyPolicy] = (),
    ) -> None:
        self._circuits = [Circuit(i, policy, jitter) for i, policy in enumerate(policies)]
        self._tallies = [Tally() for _ in policies]
        self._paces = [Pace(policy) for policy in latency or [LatencyPolicy()] * len(policies)]
        self.has_thresholds = any(policy.threshold is not None for policy in latency)
        self._order = order
        self.is_gradual = any(share < 1.0 for policy in policies for share in policy.shares)
        self._last_served = 0
        self._switched_at = -inf
        self._preferred: int | None = None
        self._credits = [0.0 for _ in policies]  # of those on probation; one buys a request
        self._recently_served: deque[int] = deque(maxlen=_SHARE_OF)

    def circuit(self, provider: int) -> Circuit:
        """Return the health of one provider."""
        return self._circuits[provider]

    def tally(self, provider: int) -> Tally:
        """Return the counts of one provider."""
        return self._tallies[provider]

    def pace(self, provider: int) -> Pace:
        """Return how fast one provider is."""
        return self._paces[provider]

    def share(self, provider: int) -> float:
        """Return what part of the newest requests a provider has served: 0 to 1."""
        if not self._recently_served:
            return 0.0
        return self._recently_served.count(provider) / len(self._recently_served)

    @property
    def probed(self) -> frozenset[int]:
        """Who can be probed beside the traffic."""
        return self._order.probed

    @property
    def last_served(self) -> int:
        """The provider that most recently gave useful output (the primary before any)."""
        return self._last_served

    def mark_served(self, provider: int, now: float) -> None:
        """Take note that a provider gave useful output."""
        if provider != self._last_served:
            self._last_served = provider
            self._switched_at = now

    def usable(self, provider: int, now: float) -> bool:
        """Whether a request may be sent to the provider while a choice remains."""
        circuit = self._circuits[provider]
        return circuit.state.is_usable or (
            self._order.live_probes[provider] and circuit.probe_is_due(now)
        )

    def hold_back(self) -> frozenset[int]:
        """Return who does not get the request that begins now, to be reintroduced gradually.

        Call once per request.
        """
        if not self.is_gradual:
            return NOBODY
        return frozenset(i for i in range(len(self._circuits)) if not self._is_due(i))

    def _is_due(self, provider: int) -> bool:
        circuit = self._circuits[provider]
        if circuit.share >= 1.0:
            return True
        if not circuit.state.is_usable:
            # it may come back before the request that is drawn for: that one was not meant
            return self._order.live_probes[provider]
        return self._buys(provider, circuit.share)

    def _buys(self, provider: int, share: float) -> bool:
        self._credits[provider] += share
        if self._credits[provider] < 1.0 - _SLACK:
            return False
        self._credits[provider] -= 1.0
        return True

    def order(
        self, now: float, held_back: frozenset[int] = NOBODY, *, is_urgent: bool = False
    ) -> list[int]:
        """Return the providers in the order to ask them: the usable by priority, then the rest.

        The rest are asked only when nothing better is left, because an agent never refuses to
        speak because of its own bookkeeping: first those held back, then those cooling down, the
        soonest-due first, then those given up. Only who was disabled by hand is left out.
        """
        everyone = range(len(self._circuits))
        usable = [i for i in everyone if self.usable(i, now) and i not in held_back]
        if self.has_thresholds:
            usable.sort(key=lambda i: self.waits(i, now))
        favourites = [self._to_stay_with(now), self._preferred]
        if is_urgent:
            favourites.append(self._fastest(usable))
        for favourite in favourites:
            if favourite in usable:
                usable.remove(favourite)
                usable.insert(0, favourite)
        if len(usable) == len(self._circuits):
            return usable
        rest = [i for i in everyone if i not in usable and not self._circuits[i].is_barred]
        rest.sort(key=lambda i: self._reluctance(i, now))
        return usable + rest

    def waits(self, provider: int, now: float) -> bool:
        """Whether a usable provider that is not at work stands back, because it was slow."""
        pace = self._paces[provider]
        if not pace.is_suspect or provider == self._last_served:
            return False
        if not self._circuits[provider].state.is_usable:
            return False
        return provider in self._order.probed or pace.is_known_slow(now)

    def _fastest(self, usable: Sequence[int]) -> int | None:
        """Return the fastest, if it is known of the first how fast it is; else ``None``."""
        typical = {i: self._paces[i].typical for i in usable}
        known = {i: seconds for i, seconds in typical.items() if seconds is not None}
        return min(known, key=known.__getitem__) if known and usable[0] in known else None

    def _to_stay_with(self, now: float) -> int | None:
        stays = self._order.sticky or now < self._switched_at + self._order.min_dwell
        current = self._last_served
        return current if stays and self._circuits[current].state.is_usable else None

    def _reluctance(self, provider: int, now: float) -> tuple[int, float]:
        if self.usable(provider, now):
            return 0, 0.0
        circuit = self._circuits[provider]
        if circuit.state is State.DISABLED:
            # nothing brings it back, but who served last can be known to serve
            return 2, float(provider != self._last_served)
        return 1, circuit.due

    def can_be_outranked(self, provider: int) -> bool:
        """Whether :meth:`outranks` can hold for anybody: it does not for a primary at work."""
        return self._is_out(provider) or provider > 0 or self._preferred is not None

    def outranks(self, provider: int, other: int) -> bool:
        """Whether work that goes well at the other had better go to this one all the same."""
        if provider == other:
            return False
        if self._is_out(other) or provider == self._preferred:
            return True
        return provider < other and other != self._preferred

    def _is_out(self, provider: int) -> bool:
        circuit = self._circuits[provider]
        return circuit.state is State.DISABLED or circuit.is_demoted

    def first(self, now: float) -> int:
        """Return the provider that the next request goes to."""
        return self.order(now)[0]

    def acquire(self, provider: int, now: float) -> Permit:
        """Return leave to use the provider for a request (as its probe, where that is due)."""
        self._tallies[provider].requests += 1
        circuit = self._circuits[provider]
        probe = circuit.probe_permit(now) if self._order.live_probes[provider] else None
        return probe or circuit.permit()

    def renew(self, provider: int) -> Permit:
        """Return leave to go on using a provider whose success has just been recorded."""
        self._tallies[provider].requests += 1
        permit = self._circuits[provider].permit()
        if self._circuits[provider].is_demoted:
            # what is only brought to its end there does not show that it is fast again
            return permit._replace(generation=_OLD)
        return permit

    def record(self, permit: Permit, outcome: Outcome, now: float) -> Change | None:
        """Take a request's outcome into account; see :meth:`Circuit.record`."""
        self._tallies[permit.provider].add_request(outcome, now)
        if outcome.status is Status.SUCCESS:
            self._recently_served.append(permit.provider)
        return self._circuits[permit.provider].record(permit, outcome, now)

    def judge(
        self, provider: int, sample: Sample, now: float, permit: Permit | None = None
    ) -> bool | None:
        """Take into account whether an output was slow.

        Args:
            provider: Whose.
            sample: How long.
            now: Monotonic seconds.
            permit: Of the request it was for; ``None``: of none that was given a permit.

        Returns:
            Whether it was slow; ``None`` if that cannot be said, or says nothing any more.
        """
        circuit, pace = self._circuits[provider], self._paces[provider]
        is_slow = pace.judge(sample)
        if is_slow is None or (permit is not None and not circuit.is_current(permit)):
            return None
        pace.note(now, circuit.generation, is_slow=is_slow)
        return is_slow

    def demote(self, provider: int, now: float) -> Change:
        """Take a provider out of the traffic for being slow."""
        return self._circuits[provider].demote(TOO_SLOW, now)

    def release(self, permit: Permit, now: float) -> Change | None:
        """Take a permit back: there was no request after all, or nothing came of it."""
        self._tallies[permit.provider].requests -= 1
        return self._circuits[permit.provider].record(permit, CANCELLED, now)

    def record_probe(self, permit: Permit, outcome: Outcome, now: float) -> Change | None:
        """Take into account the outcome of a probe that was no request."""
        self._tallies[permit.provider].add_probe()
        return self._circuits[permit.provider].record(permit, outcome, now)

    def may_disable(self, provider: int) -> bool:
        """Whether another provider would be left to ask."""
        return any(not c.is_barred for i, c in enumerate(self._circuits) if i != provider)

    def prefer(self, provider: int | None) -> None:
        """Ask this provider first while it is usable; ``None``: the first of the list again."""
        self._preferred = provider
        self._switched_at = -inf

    def reset(self, now: float) -> list[Change]:
        """Forget everything but the counts; return what changed by it."""
        self.prefer(None)
        self._last_served = 0
        changes = [circuit.reset(now) for circuit in self._circuits]
        return [change for change in changes if change is not None]
