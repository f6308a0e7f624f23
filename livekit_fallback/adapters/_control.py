# SPDX-License-Identifier: Apache-2.0
"""What operators see of an adapter, and how they take its providers out and back in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..core.circuit import State
from ..provider import Member
from ..service_health import ServiceHealth
from . import _clock
from ._chain import Chain

T = TypeVar("T")


class Controls(Generic[T]):
    """Mixin of the adapters. To be used on the event loop's thread.

    A service is named by the instance that was passed in, or by the provider's name.
    """

    _chain: Chain[T]

    on_failover: Callable[[T, T], Any] | None = None
    """Called with the instance that failed and the one asked next. May be async."""

    on_recovery: Callable[[T], Any] | None = None
    """Called with the instance of higher priority that serves again. May be async."""

    @property
    def services(self) -> list[T]:
        """The instances passed in, in priority order."""
        return [member.original for member in self._chain.members]

    @property
    def active_service(self) -> T:
        """The instance that the next request goes to first."""
        return self._chain.next_member.original

    def get_service_health(self, service: T | str) -> ServiceHealth:
        """Return what is known about a provider.

        Raises:
            ValueError: It is not one of this adapter's.
        """
        return _health_of(self._chain, self._member(service))

    def disable(self, service: T | str, *, reason: str = "disabled") -> None:
        """Send a provider no more requests until :meth:`enable` or :meth:`reset`.

        Requests under way are not cut off; a speech stream leaves it between two utterances.

        Args:
            service: Which.
            reason: Goes into the events and :meth:`get_service_health`.

        Raises:
            ValueError: It is not one of this adapter's, or nobody else would be left to ask.
        """
        member = self._member(service)
        if not self._chain.health.may_disable(member.index):
            raise ValueError(f"service={member.name!r}: must not be the last one that is enabled")
        self._chain.disable(member, reason)

    def enable(self, service: T | str) -> None:
        """Give a provider requests again, on probation; nothing changes if it gets them already.

        Raises:
            ValueError: It is not one of this adapter's.
        """
        self._chain.enable(self._member(service))

    def prefer(self, service: T | str | None) -> None:
        """Ask this provider before all others while it is usable, until told otherwise.

        Args:
            service: Which; ``None``: the order of the list again.

        Raises:
            ValueError: It is not one of this adapter's.
        """
        self._chain.prefer(None if service is None else self._member(service))

    def reset(self) -> None:
        """Forget all failures, what was disabled and who was preferred. Counts stay."""
        self._chain.reset()

    def _member(self, service: T | str) -> Member[T]:
        for member in self._chain.members:
            if service is member.original or (isinstance(service, str) and service == member.name):
                return member
        names = ", ".join(repr(member.name) for member in self._chain.members)
        raise ValueError(f"service={service!r}: must be a provider of this adapter: {names}")


def _health_of(chain: Chain[Any], member: Member[Any]) -> ServiceHealth:
    circuit, tally = chain.health.circuit(member.index), chain.health.tally(member.index)
    pace = chain.health.pace(member.index)
    failure = chain.last_failures.get(member.index)
    now = _clock.now_anywhere()
    resting = circuit.state is State.COOLING_DOWN
    return ServiceHealth(
        name=member.name,
        state=circuit.state.value,
        healthy=circuit.state.is_usable,
        reason=chain.reasons.get(member.index, ""),
        disabled_by_hand=circuit.is_barred,
        last_error=None if failure is None else failure.error,
        last_failure=failure,
        since=chain.created_at if circuit.since is None else _clock.wall() - now + circuit.since,
        cooldown_remaining=max(0.0, circuit.due - now) if resting else 0.0,
        consecutive_failures=circuit.failures,
        requests=tally.requests,
        successes=tally.successes,
        failures={kind.value: count for kind, count in tally.failures.items()},
        cancelled=tally.cancelled,
        overtaken=tally.overtaken,
        hedges=tally.hedges,
        slow=pace.slow_outputs,
        latency_p50=pace.percentile(50),
        latency_p95=pace.percentile(95),
        latency_p99=pace.percentile(99),
        share=chain.health.share(member.index),
        probes=tally.probes,
        probe_usage=chain.metrics.probe_usage[member.index],
    )
