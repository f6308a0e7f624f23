# SPDX-License-Identifier: Apache-2.0
"""What the adapters share: the providers, their health, the events, the metrics, the closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._policies import health_policy, order_policy
from ..core.circuit import Change, Permit, State
from ..core.flapping import FlappingWatch
from ..core.health import HealthBook
from ..core.hedging import HedgeBudget
from ..core.outcome import TOO_SLOW, Outcome, Status
from ..core.walk import Walk
from ..errors import AttemptReport
from ..events import Component, default_observers
from ..log import logger
from ..provider import Member
from . import _clock
from ._attempt import Attempt
from ._emitter import Emitter
from ._metrics import MetricsRelay
from ._probe import MakeProbe, Prober
from ._tasks import TaskHolder
from ._timing import Timing

if TYPE_CHECKING:
    from ._request import Request

T = TypeVar("T")

_SLOW = Outcome(Status.FAILURE, TOO_SLOW)

# How long closing the adapter waits for providers that refuse to be cancelled.
_CLOSE_PATIENCE_SEC = 1.0


class Chain(Generic[T]):
    """The providers of one adapter and everything known about them.

    Not safe to use from several threads: all calls belong on the event loop's.

    Args:
        adapter: The LiveKit object that users subscribe to and that emits the events.
        component: Which of the four it is.
        members: The providers, in priority order.
        options: The adapter's resolved options.
        ping: Makes the component's smallest request, as a probe.
    """

    def __init__(
        self,
        adapter: Any,
        component: Component,
        members: list[Member[T]],
        options: Mapping[str, Any],
        ping: MakeProbe,
    ) -> None:
        self.component = component
        self.members = members
        self.options = options
        self.tasks = TaskHolder()
        self.events = Emitter(adapter, component, self.tasks)
        # called when the order to ask in has changed; they may end attempts, and so record again
        self.when_reordered: set[Callable[[], None]] = set()
        self.created_at = _clock.wall()
        self._closing = asyncio.Event()
        self.health = HealthBook(
            [health_policy(options)] * len(members),
            order_policy(options, [member.probe for member in members]),
            jitter=_clock.jitter,
            latency=[member.latency for member in members],
        )
        self.timing = Timing(self, options["turn_budget"])
        self.hedges = HedgeBudget(options["hedge_budget"])
        self.is_hedging = any(member.hedge_delay is not None for member in members)
        self.stateful = [member.index for member in members if member.is_stateful]
        self.last_failures: dict[int, AttemptReport] = {}
        self.reasons: dict[int, str] = {}  # why a provider is not healthy
        self._limits = [member.limits for member in members]
        self._cold = _to_prewarm(options, members)
        self._flapping = FlappingWatch(options["flapping_limit"])
        self._left_at: dict[int, float] = {}  # when traffic left a provider, until it is back
        self._failed: set[int] = set()  # from whom a request has moved on, until it serves again
        self._last_heard: int | None = None  # who gave the newest useful output
        self._prober = Prober(self, ping, options["health_check_interval"])
        self.metrics = MetricsRelay(self)

    def begin(self, adapter: Any) -> None:
        """Show the adapter to the default observers, and start what runs without traffic."""
        for observe in default_observers:
            try:
                observe(adapter)
            except Exception as error:
                logger.error("an observer failed", extra={"lk.pii.error": repr(error)})
        if _clock.is_running():
            self._prober.watch()

    def new_walk(self) -> Walk:
        """Return a fresh walk for a request that begins now."""
        self._prober.watch()
        return Walk(
            self.health,
            self._limits,
            total_timeout=self.options["total_timeout"],
            retry_interval=self.options["retry_interval"],
            jitter=_clock.jitter,
            is_urgent=self.timing.turn is not None and self.timing.is_urgent(),
        )

    @property
    def closed(self) -> bool:
        """Whether the adapter was closed: nothing new starts."""
        return self._closing.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the adapter is open."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def check_open(self) -> None:
        """Refuse new work after closing.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        if self.closed:
            raise RuntimeError(f"the {self.component} fallback adapter is closed")

    def remember(self, replay: MakeProbe | None) -> None:
        """Keep the request just made as the sample that probes repeat; ``None``: it is no good."""
        self._prober.remember(replay)

    @property
    def next_member(self) -> Member[T]:
        """The provider that the next request goes to first."""
        return self.members[self.health.first(_clock.now_anywhere())]

    @property
    def last_member(self) -> Member[T]:
        """The provider that most recently served (the primary before any request)."""
        return self.members[self._last_heard or 0]

    def has_exhausted(self, asked: Sequence[int]) -> bool:
        """Whether everybody was asked, or those that can be were asked twice."""
        count = len(self.members)
        return len(asked) > 1 and (len(set(asked)) == count or len(asked) >= 2 * count)

    @property
    def being_probed(self) -> Collection[int]:
        """Who is being asked something beside the traffic."""
        return self._prober.out

    def scout(self, provider: int) -> None:
        """Learn how fast a provider is that may be needed soon."""
        self._prober.scout(provider)

    def record(self, permit: Permit, outcome: Outcome, report: AttemptReport | None = None) -> None:
        """Take an outcome into account and tell the subscribers what it changed."""
        if report is not None:
            self.last_failures[permit.provider] = report
        self._changed(self.health.record(permit, outcome, _clock.now()), report)

    def only_count(self, permit: Permit, outcome: Outcome, report: AttemptReport) -> None:
        """Take a failure into the counts that is made good, or will be judged by what follows."""
        self.last_failures[permit.provider] = report
        self.health.tally(permit.provider).add_request(outcome, _clock.now())

    def release(self, permit: Permit) -> None:
        """Take back what was given for a request that there was none of."""
        self._changed(self.health.release(permit, _clock.now()))

    def record_probe(self, permit: Permit, outcome: Outcome, attempt: Attempt[Any] | None) -> None:
        """Take the outcome of a probe into account.

        Args:
            permit: What it was sent with.
            outcome: How it ended.
            attempt: What was made of it; ``None`` if there was nothing to ask the provider.
        """
        if attempt is None:
            circuit = self.health.circuit(permit.provider)
            self._changed(circuit.record(permit, outcome, _clock.now()))
            return
        report = None
        if outcome.status is Status.FAILURE:
            report = self.last_failures[permit.provider] = attempt.report()
        elif outcome.status is Status.SUCCESS:
            report = self.timing.was_slow(attempt, permit)
            if report is not None and permit.is_probe:
                outcome = _SLOW
                self.last_failures[permit.provider] = report
        if outcome.status is not Status.CANCELLED:
            self.events.probed(attempt, report)
        change = self.health.record_probe(permit, outcome, _clock.now())
        self._changed(change, report if outcome.status is Status.FAILURE else None)
        self.timing.review()

    def fail_probe(self, permit: Permit, report: AttemptReport) -> None:
        """Send a provider away again whose test was a request that it served too slowly."""
        self.last_failures[permit.provider] = report
        circuit = self.health.circuit(permit.provider)
        self._changed(circuit.record(permit, _SLOW, _clock.now()), report)

    def demote(self, provider: int, report: AttemptReport, request: Request | None) -> None:
        """Leave a provider that serves too slowly; what it is at is not cut off."""
        now = _clock.now()
        self.last_failures[provider] = report
        self._changed(self.health.demote(provider, now), report)
        request_id = "" if request is None else request.id
        self.failed_over(request_id, report, provider, self.health.first(now), attempt=0)

    def probe_began(self, permit: Permit) -> None:
        """Tell the subscribers that the provider is being probed."""
        self._changed(self.health.circuit(permit.provider).last_change)

    def disable(self, member: Member[T], reason: str) -> None:
        """Send a provider no more requests until it is enabled, or all is reset."""
        change = self.health.circuit(member.index).disable(_clock.now_anywhere())
        self.reasons[member.index] = reason
        self._changed(change, reason=reason)

    def enable(self, member: Member[T]) -> None:
        """Put a provider that is not usable on probation at once."""
        self._changed(self.health.circuit(member.index).enable(_clock.now_anywhere()))

    def prefer(self, member: Member[T] | None) -> None:
        """Ask this provider first while it is usable; ``None``: the first of the list again."""
        self.health.prefer(None if member is None else member.index)
        self._tell_reordered()

    def reset(self) -> None:
        """Forget all failures, what was disabled, and who was preferred."""
        for change in self.health.reset(_clock.now_anywhere()):
            self._changed(change)
        self.last_failures.clear()
        self._left_at.clear()
        self._failed.clear()
        self._tell_reordered()

    def _changed(
        self, change: Change | None, report: AttemptReport | None = None, *, reason: str = ""
    ) -> None:
        if change is None:
            return
        member = self.members[change.provider]
        reason = report.reason if report else reason
        if change.after is State.HEALTHY:
            self.reasons.pop(change.provider, None)
        elif reason:
            self.reasons[change.provider] = reason
        pace = self.health.pace(change.provider)
        self.events.health_changed(member, change, report, reason, pace)
        if change.after is State.COOLING_DOWN:
            self._prober.schedule(change.provider)
        self._tell_reordered()

    def _tell_reordered(self) -> None:
        for notify in tuple(self.when_reordered):
            notify()

    def prewarm(self, **options: Any) -> None:
        """Prewarm the primary and those of the backups that were asked for. Nobody twice."""
        cold, self._cold = self._cold, []
        for member in cold:
            try:
                member.instance.prewarm(**options)  # type: ignore[attr-defined]
            except Exception as error:
                # it may be well when it is needed, and is asked like any other then
                logger.warning(
                    "a provider could not be prewarmed",
                    extra={"provider": member.name, "lk.pii.error": repr(error)},
                )

    def served(self, attempt: Attempt[Any], request: Request) -> None:
        """Take note that a provider gave useful output, and whether traffic moved by it."""
        before, index = self.health.last_served, attempt.member.index
        circuit, permit = self.health.circuit(index), attempt.permit
        is_current = circuit.is_current(permit)
        if is_current:
            self._last_heard = index
        # a hedge moves nothing: the next request goes where this one was to go
        has_moved = is_current and not attempt.is_hedge
        if has_moved and index != before:
            self.health.mark_served(index, _clock.now())
        self.timing.first_output(attempt, request)
        if not has_moved or (self.timing.is_watching and not circuit.is_current(permit)):
            return  # it may have been left for this very output
        if index == before:
            self._failed.discard(index)
        else:
            self._follow(attempt.member, before, request)

    def _follow(self, member: Member[T], before: int, request: Request) -> None:
        now = _clock.now()
        left_at = self._left_at.get(member.index, now)
        kept = {i: at for i, at in self._left_at.items() if i < member.index}
        self._left_at = {**dict.fromkeys(range(member.index), now), **kept}
        if member.index < before and member.index in self._failed:
            self.events.recovery(request.id, member, self.members[before], now - left_at)
        self._failed.discard(member.index)

    def should_fail_over(self, report: AttemptReport) -> bool:
        """Ask the user's own rule, where there is one."""
        rule = self.options["should_failover"]
        if rule is None:
            return True
        try:
            return bool(rule(report.error, report))
        except (Exception, asyncio.CancelledError) as error:
            logger.error("should_failover failed", extra={"lk.pii.error": repr(error)})
            return True

    def failed_over(
        self, request_id: str, failed: AttemptReport, old: int, new: int, *, attempt: int
    ) -> None:
        """Tell the subscribers that a request moves on."""
        self._failed.add(old)
        self.events.failover(
            request_id, failed, self.members[old], self.members[new], attempt=attempt
        )
        failovers = self._flapping.failed_over(_clock.now())
        if failovers is not None:
            self.events.flapping(failovers)

    async def aclose(self) -> None:
        """Stop everything the adapter started. Providers stay open, wrappers do not. Idempotent."""
        if self.closed:
            return
        # set first: whatever runs during the waits below must not start anything new
        self._closing.set()
        self._prober.close()
        self.timing.close()
        self.metrics.close()
        try:
            await self.tasks.close(patience=_CLOSE_PATIENCE_SEC)
        finally:
            for member in self.members:
                if member.is_wrapped:
                    await member.instance.aclose()  # type: ignore[attr-defined]


def _to_prewarm(options: Mapping[str, Any], members: list[Member[T]]) -> list[Member[T]]:
    count = {None: 1, "next": 2, "all": len(members)}[options["warm_backups"]]
    return members[:count]
