# SPDX-License-Identifier: Apache-2.0
"""Probes: small requests, beside the traffic, that only learn whether a provider is well.

They belong to the adapter and not to a request. At most one is in flight per provider, bounded
by the provider's own deadline, and none after closing. A failed provider is probed after its
cool-down, and again only if there were requests since: one that nobody asks for may stay down.
With ``health_check_interval`` providers are also probed when nothing was heard of them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.circuit import Permit, State
from ..core.outcome import CANCELLED, Outcome, Status
from ..errors import ProbeRefusedError
from . import _clock
from ._assignment import Assignment
from ._attempt import Attempt
from ._livekit import leave_turn
from ._oneshot import OneShot

if TYPE_CHECKING:
    from ._chain import Chain

# For providers without a deadline: a probe that hangs must not keep them out for ever.
_MAX_PROBE_SEC = 10.0

# How often in an interval it is looked whether a provider was quiet for one.
_LOOKS = 4

# Timers of uvloop tick in milliseconds, and so come up to half of one too early.
_TICK_SEC = 0.001

MakeProbe = Callable[[Assignment], Attempt[Any] | None]
"""Makes an attempt that is a probe; ``None`` if there is nothing to ask the provider."""


class Prober:
    """Probes those providers of one chain whose ``probe`` is a request beside the traffic.

    Args:
        chain: The adapter's providers and their health.
        ping: Makes the component's smallest request.
        interval: Seconds between checks of providers nobody has heard of; ``None``: no checks.
    """

    def __init__(self, chain: Chain[Any], ping: MakeProbe, interval: float | None) -> None:
        self._chain = chain
        self._ping = ping
        self._interval = interval
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._check_timer: asyncio.TimerHandle | None = None
        self._watching_since = 0.0
        self._checked_at: dict[int, float] = {}
        self.out: set[int] = set()  # being probed
        self._waiting: set[int] = set()  # due, but there was no request since the last probe
        self._replay: MakeProbe | None = None
        self._requests = 0
        self._requests_at_probe: dict[int, int] = {}  # how many there were when it was probed

    def remember(self, replay: MakeProbe | None) -> None:
        """Take note of a request, which wakes the probes that wait for one.

        Args:
            replay: Repeats it; ``None`` if it is no good sample: the one before it stays.
        """
        self._replay = replay or self._replay
        self._requests += 1
        self.watch()
        for provider in tuple(self._waiting):
            self._waiting.discard(provider)
            self.schedule(provider)

    def watch(self) -> None:
        """Begin the regular checks, where there are any. Idempotent; needs a running loop."""
        if self._interval is not None and self._check_timer is None and not self._chain.closed:
            loop = asyncio.get_running_loop()
            self._check_timer = loop.call_later(self._interval / _LOOKS, self._check)
            self._watching_since = self._watching_since or loop.time()

    def schedule(self, provider: int) -> None:
        """Probe a provider as soon as its cool-down is over."""
        if self._chain.closed or not self._is_probed(provider):
            return
        self._wake_at(self._chain.health.circuit(provider).due, provider)

    def _wake_at(self, when: float, provider: int) -> None:
        self._cancel_timer(provider)
        loop = asyncio.get_running_loop()
        self._timers[provider] = loop.call_at(when, self._start_if_asked_for, provider)

    def scout(self, provider: int) -> None:
        """Ask a provider something now, healthy or not, where that is its way to be probed."""
        if self._chain.members[provider].probe in ("ping", "replay") and not self._chain.closed:
            self._check_up(provider)

    def close(self) -> None:
        """Forget all timers. Probes in flight are tasks of the chain, which cancels them."""
        for provider in tuple(self._timers):
            self._cancel_timer(provider)
        if self._check_timer is not None:
            self._check_timer.cancel()
        self._waiting.clear()
        self._replay = None

    def _cancel_timer(self, provider: int) -> None:
        timer = self._timers.pop(provider, None)
        if timer is not None:
            timer.cancel()

    def _is_probed(self, provider: int) -> bool:
        return self._chain.members[provider].probe not in ("live", None)

    def _check(self) -> None:
        self._check_timer = None
        self.watch()
        now = _clock.now()
        assert self._interval is not None
        for provider in filter(self._is_probed, range(len(self._chain.members))):
            heard_at = self._chain.health.tally(provider).heard_at or self._watching_since
            known_at = max(heard_at, self._checked_at.get(provider, 0.0))
            if known_at + self._interval <= now + _TICK_SEC:
                self._check_up(provider)

    def _check_up(self, provider: int) -> None:
        circuit = self._chain.health.circuit(provider)
        permit = circuit.permit() if circuit.state.is_usable else None
        if self._start(provider, permit):
            self._checked_at[provider] = _clock.now()

    def _start_if_asked_for(self, provider: int) -> None:
        self._timers.pop(provider, None)
        if self._chain.closed:
            return
        circuit, now = self._chain.health.circuit(provider), _clock.now()
        if circuit.state is State.COOLING_DOWN and now < circuit.due:
            self._wake_at(now + _TICK_SEC, provider)
        elif self._requests == self._requests_at_probe.get(provider, 0):
            self._waiting.add(provider)
        else:
            self._start(provider, None)

    def _start(self, provider: int, permit: Permit | None) -> bool:
        if provider in self.out:
            return False
        permit = permit or self._chain.health.circuit(provider).probe_permit(_clock.now())
        if permit is None:
            return False  # back already, resting, or disabled
        self._requests_at_probe[provider] = self._requests
        self.out.add(provider)
        if permit.is_probe:
            self._chain.probe_began(permit)
        name = f"fallback probe of {self._chain.members[provider].name}"
        self._chain.tasks.spawn(self._probe(permit), name)
        return True

    async def _probe(self, permit: Permit) -> None:
        leave_turn()
        outcome: Outcome = CANCELLED
        attempt: Attempt[Any] | None = None
        try:
            attempt = self._make(permit)
            if attempt is not None:
                outcome = await attempt.run()
        finally:
            self.out.discard(permit.provider)
            self._chain.record_probe(permit, outcome, attempt)
            if outcome.status is Status.CANCELLED and permit.is_probe:
                self._waiting.add(permit.provider)
            self._schedule_what_was_refused(permit.provider)

    def _schedule_what_was_refused(self, provider: int) -> None:
        """A rest may have ended while the probe was still out: the next one is due since then."""
        is_cooling = self._chain.health.circuit(provider).state is State.COOLING_DOWN
        if is_cooling and provider not in self._timers and provider not in self._waiting:
            self.schedule(provider)

    def _make(self, permit: Permit) -> Attempt[Any] | None:
        given = self._assign(permit)
        match given.member.probe:
            case "ping":
                return self._ping(given)
            case "replay":
                # there may be no sample yet, or none that one could ask, such as "..."
                return (self._replay and self._replay(given)) or self._ping(given)
            case ask:
                return CallAttempt(given, ask)  # type: ignore[arg-type]

    def _assign(self, permit: Permit) -> Assignment:
        member = self._chain.members[permit.provider]
        timeout = member.limits.attempt_timeout or _MAX_PROBE_SEC
        return Assignment(
            member=member,
            permit=permit,
            tasks=self._chain.tasks,
            first_output_due=lambda now: now + timeout,
            served=lambda _: None,
            owed=self._chain.timing.owed,
            is_probe=True,
        )


class CallAttempt(Attempt[Any]):
    """A probe of the user's own making.

    Args:
        given: What to work with.
        ask: Called with the provider; see ``probe`` in the options.
    """

    def __init__(self, given: Assignment, ask: Callable[[Any], Any]) -> None:
        super().__init__(given, partial(self._open, ask))

    @property
    def latency(self) -> float | None:
        """None: how long the user's own check takes says nothing of the provider's output."""
        return None

    def _open(self, ask: Callable[[Any], Any]) -> OneShot[Any]:
        self.owe()
        return OneShot(_answer(ask, self.member.original))

    def _receive(self, answer: Any) -> None:
        if answer is False:
            self._fail(ProbeRefusedError())
        else:
            self._output()


async def _answer(ask: Callable[[Any], Any], provider: Any) -> Any:
    answer = ask(provider)
    return await answer if inspect.isawaitable(answer) else answer
