# SPDX-License-Identifier: Apache-2.0
"""Probes: small requests, beside the traffic, that only learn whether a provider is back.

They belong to the adapter and not to a request. At most one is in flight per provider, only
after its cool-down, bounded by the provider's own deadline, and none after closing. Without
traffic nothing is probed: a provider that nobody asks for may stay down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.circuit import Permit
from ..core.outcome import CANCELLED, Outcome, Status
from . import _clock
from ._attempt import Assignment, Attempt
from ._livekit import leave_turn

if TYPE_CHECKING:
    from ._chain import Chain

# For providers without a deadline: a probe that hangs must not keep them out for ever.
_MAX_PROBE_SEC = 10.0

MakeProbe = Callable[[Assignment], Attempt[Any] | None]
"""Makes an attempt that repeats a remembered request; ``None`` if there is nothing to repeat."""


class Prober:
    """Probes the providers of one chain by replaying the last request."""

    def __init__(self, chain: Chain[Any]) -> None:
        self._chain = chain
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._waiting: set[int] = set()  # due, but there was no request since the last probe
        self._make_probe: MakeProbe | None = None
        self._requests = 0
        self._requests_at_probe: dict[int, int] = {}  # how many there were when it was probed

    def remember(self, make_probe: MakeProbe) -> None:
        """Keep a request as the sample to repeat; it also wakes the probes that wait for one."""
        self._make_probe = make_probe
        self._requests += 1
        for provider in tuple(self._waiting):
            self._waiting.discard(provider)
            self.schedule(provider)

    def schedule(self, provider: int) -> None:
        """Probe a provider as soon as its cool-down is over."""
        if self._chain.closed:
            return
        loop = asyncio.get_running_loop()
        due = self._chain.health.circuit(provider).due
        self._cancel_timer(provider)
        self._timers[provider] = loop.call_at(due, self._start, provider)

    def close(self) -> None:
        """Forget all timers. Probes in flight are tasks of the chain, which cancels them."""
        for provider in tuple(self._timers):
            self._cancel_timer(provider)
        self._waiting.clear()
        self._make_probe = None

    def _cancel_timer(self, provider: int) -> None:
        timer = self._timers.pop(provider, None)
        if timer is not None:
            timer.cancel()

    def _start(self, provider: int) -> None:
        self._timers.pop(provider, None)
        if self._chain.closed:
            return
        idle = self._requests == self._requests_at_probe.get(provider, 0)
        if idle or self._make_probe is None:
            self._waiting.add(provider)
            return
        permit = self._chain.health.circuit(provider).probe_permit(_clock.now())
        if permit is None:
            return  # back already, or being tested
        self._requests_at_probe[provider] = self._requests
        name = f"fallback probe of {self._chain.members[provider].name}"
        self._chain.tasks.spawn(self._probe(permit, self._make_probe), name)

    async def _probe(self, permit: Permit, make_probe: MakeProbe) -> None:
        leave_turn()
        outcome: Outcome = CANCELLED
        try:
            attempt = make_probe(self._assign(permit))
            if attempt is not None:
                outcome = await attempt.run()
        finally:
            self._chain.record(permit, outcome)
            if outcome.status is Status.CANCELLED:
                self._waiting.add(permit.provider)

    def _assign(self, permit: Permit) -> Assignment:
        member = self._chain.members[permit.provider]
        timeout = member.limits.attempt_timeout or _MAX_PROBE_SEC
        return Assignment(
            member=member,
            permit=permit,
            tasks=self._chain.tasks,
            first_output_due=lambda now: now + timeout,
            served=lambda _: None,
            is_probe=True,
        )
