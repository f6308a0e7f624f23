# SPDX-License-Identifier: Apache-2.0
"""The health of a whole chain, and the order in which it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from .circuit import Change, Circuit, CoolDownPolicy, Permit, State
from .outcome import Outcome


class HealthBook:
    """One circuit per provider, in priority order (0 is the primary).

    Args:
        policies: One cool-down policy per provider.
        live_probe: A provider whose cool-down is over is tested by the next real request.
        sticky: Stay with the provider that served last while it is healthy, even when one of
            higher priority has come back.
    """

    def __init__(
        self, policies: Sequence[CoolDownPolicy], *, live_probe: bool, sticky: bool
    ) -> None:
        self._circuits = [Circuit(i, policy) for i, policy in enumerate(policies)]
        self._live_probe = live_probe
        self._sticky = sticky
        self._last_served = 0

    def __len__(self) -> int:
        return len(self._circuits)

    def circuit(self, provider: int) -> Circuit:
        """Return the health of one provider."""
        return self._circuits[provider]

    @property
    def last_served(self) -> int:
        """The provider that most recently gave useful output (the primary before any)."""
        return self._last_served

    def mark_served(self, provider: int) -> None:
        """Take note that a provider gave useful output."""
        self._last_served = provider

    def usable(self, provider: int, now: float) -> bool:
        """Whether a request may be sent to the provider while a choice remains."""
        circuit = self._circuits[provider]
        if circuit.state is State.HEALTHY:
            return True
        return self._live_probe and circuit.probe_is_due(now)

    def order(self, now: float) -> list[int]:
        """Return all providers in the order to ask them: the usable by priority, then the rest.

        The rest are asked soonest-due first and only when nothing better is left: an agent
        never refuses to speak because of its own bookkeeping.
        """
        everyone = range(len(self._circuits))
        usable = [i for i in everyone if self.usable(i, now)]
        if self._sticky and self._circuits[self._last_served].state is State.HEALTHY:
            usable.remove(self._last_served)
            usable.insert(0, self._last_served)
        if len(usable) == len(self._circuits):
            return usable
        rest = [i for i in everyone if i not in usable]
        rest.sort(key=lambda i: self._circuits[i].due)
        return usable + rest

    def first(self, now: float) -> int:
        """Return the provider that the next request goes to."""
        return self.order(now)[0]

    def acquire(self, provider: int, now: float) -> Permit:
        """Return leave to use the provider for a request (as its probe, where that is due)."""
        circuit = self._circuits[provider]
        probe = circuit.probe_permit(now) if self._live_probe else None
        return probe or circuit.permit()

    def record(self, permit: Permit, outcome: Outcome, now: float) -> Change | None:
        """Take an outcome into account; see :meth:`Circuit.record`."""
        return self._circuits[permit.provider].record(permit, outcome, now)
