# SPDX-License-Identifier: Apache-2.0
"""What the adapters share: the providers, their health, the events, the metrics, the closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from livekit.agents.llm import LLMError
from livekit.agents.stt import STTError
from livekit.agents.tts import TTSError

from ..core.circuit import Change, CoolDownPolicy, Permit, State
from ..core.health import HealthBook
from ..core.outcome import Outcome
from ..core.walk import Walk
from ..errors import AllProvidersFailedError, AttemptReport
from ..events import (
    Component,
    ExhaustedEvent,
    FailoverEvent,
    LLMAvailabilityChangedEvent,
    OutputLostEvent,
    RecoveryEvent,
    STTAvailabilityChangedEvent,
    TTSAvailabilityChangedEvent,
    default_observers,
)
from ..log import logger
from ..provider import Member
from . import _clock
from ._attempt import Attempt, current_attempt
from ._livekit import quick_listener
from ._probe import MakeProbe, Prober
from ._tasks import TaskHolder

if TYPE_CHECKING:
    from ._request import Request

T = TypeVar("T")

# How long closing the adapter waits for providers that refuse to be cancelled.
_CLOSE_PATIENCE_SEC = 1.0

_ERROR_EVENT: Mapping[Component, Any] = {"llm": LLMError, "stt": STTError, "tts": TTSError}
_AVAILABILITY_EVENT: Mapping[Component, Any] = {
    "llm": LLMAvailabilityChangedEvent,
    "stt": STTAvailabilityChangedEvent,
    "tts": TTSAvailabilityChangedEvent,
}


class Chain(Generic[T]):
    """The providers of one adapter and everything known about them.

    Not safe to use from several threads: all calls belong on the event loop's.

    Args:
        adapter: The LiveKit object that users subscribe to and that emits the events.
        component: Which of the three it is.
        members: The providers, in priority order.
        options: The adapter's resolved options.
    """

    def __init__(
        self,
        adapter: Any,
        component: Component,
        members: list[Member[T]],
        options: Mapping[str, Any],
    ) -> None:
        self.component = component
        self.members = members
        self.options = options
        self.tasks = TaskHolder()
        # called by record() when a provider is back; they may end attempts, and so record again
        self.when_healthy: set[Callable[[], None]] = set()
        self._closing = asyncio.Event()
        self.health = HealthBook(
            [_cool_down_policy(options) for _ in members],
            live_probe=options["probe"] == "live",
            sticky=options["sticky"],
        )
        self._adapter = adapter
        self._left_at: dict[int, float] = {}  # when traffic left a provider, until it is back
        self._on_metrics = quick_listener(self._forward_metrics)
        self._prober = Prober(self) if options["probe"] == "replay" else None
        for member in members:
            member.instance.on("metrics_collected", self._on_metrics)  # type: ignore[attr-defined]
        for observe in default_observers:
            observe(adapter)

    def new_walk(self) -> Walk:
        """Return a fresh walk for a request that begins now."""
        return Walk(
            self.health,
            [member.limits for member in self.members],
            total_timeout=self.options["total_timeout"],
            retry_interval=self.options["retry_interval"],
            jitter=_clock.jitter,
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

    def remember(self, make_probe: MakeProbe) -> None:
        """Keep the request just made as the sample that probes repeat."""
        if self._prober is not None:
            self._prober.remember(make_probe)

    @property
    def next_member(self) -> Member[T]:
        """The provider that the next request goes to first."""
        return self.members[self.health.first(_clock.now_anywhere())]

    @property
    def last_member(self) -> Member[T]:
        """The provider that most recently served (the primary before any request)."""
        return self.members[self.health.last_served]

    def record(self, permit: Permit, outcome: Outcome, report: AttemptReport | None = None) -> None:
        """Take an outcome into account and tell the subscribers what it changed."""
        change = self.health.record(permit, outcome, _clock.now())
        if change is None:
            return
        if (change.before is State.HEALTHY) != (change.after is State.HEALTHY):
            self._emit_availability(change, report)
        if change.after is State.COOLING_DOWN and self._prober is not None:
            self._prober.schedule(permit.provider)
        if change.after is State.HEALTHY:
            for notify in tuple(self.when_healthy):
                notify()

    def has_better_than(self, index: int) -> bool:
        """Whether a request would now go to a provider of higher priority than this one."""
        return index > 0 and self.health.first(_clock.now()) < index

    def served(self, attempt: Attempt[Any], request: Request) -> None:
        """Take note that a provider gave useful output, and whether traffic moved by it."""
        member: Member[T] = attempt.member
        before = self.health.last_served
        if member.index == before or not self.health.circuit(member.index).is_current(
            attempt.permit
        ):
            return
        now = _clock.now()
        self.health.mark_served(member.index)
        left_at = self._left_at.get(member.index, now)
        kept = {i: at for i, at in self._left_at.items() if i < member.index}
        self._left_at = {**dict.fromkeys(range(member.index), now), **kept}
        if member.index < before:
            self._emit_recovery(request.id, member, self.members[before], now - left_at)

    async def aclose(self) -> None:
        """Stop everything the adapter started. Providers stay open, wrappers do not. Idempotent."""
        if self.closed:
            return
        # set first: whatever runs during the waits below must not start anything new
        self._closing.set()
        if self._prober is not None:
            self._prober.close()
        await self.tasks.close(patience=_CLOSE_PATIENCE_SEC)
        for member in self.members:
            member.instance.off("metrics_collected", self._on_metrics)  # type: ignore[attr-defined]
            if member.is_wrapped:
                await member.instance.aclose()  # type: ignore[attr-defined]

    def emit_error(self, error: Exception, *, recoverable: bool) -> None:
        """Emit LiveKit's ``error``. The session counts the unrecoverable ones against the call."""
        event = _ERROR_EVENT[self.component](
            timestamp=_clock.wall(),
            label=self._adapter.label,
            error=error,
            recoverable=recoverable,
        )
        self._emit("error", event)

    def emit_failover(
        self, request_id: str, failed: AttemptReport, target: Member[T], *, attempt: int
    ) -> None:
        event = FailoverEvent(
            component=self.component,
            request_id=request_id,
            from_provider=failed.provider,
            to_provider=target.name,
            reason=failed.reason,
            elapsed=failed.duration,
            attempt=attempt,
            error=failed.error,
            timestamp=_clock.wall(),
        )
        self._emit("failover", event)

    def emit_exhausted(self, request_id: str, error: AllProvidersFailedError) -> None:
        event = ExhaustedEvent(
            component=self.component,
            request_id=request_id,
            elapsed=error.duration,
            attempts=len(error.attempts),
            error=error,
            timestamp=_clock.wall(),
        )
        self._emit("exhausted", event)

    def emit_output_lost(
        self, request_id: str, report: AttemptReport, *, delivered: float, lost: float | None
    ) -> None:
        event = OutputLostEvent(
            component=self.component,
            request_id=request_id,
            provider=report.provider,
            reason=report.reason,
            delivered=delivered,
            lost=lost,
            error=report.error,
            timestamp=_clock.wall(),
        )
        self._emit("output_lost", event)

    def _emit_recovery(
        self, request_id: str, member: Member[T], came_from: Member[T], down_for: float
    ) -> None:
        event = RecoveryEvent(
            component=self.component,
            request_id=request_id,
            provider=member.name,
            from_provider=came_from.name,
            down_for=down_for,
            timestamp=_clock.wall(),
        )
        self._emit("recovery", event)

    def _emit_availability(self, change: Change, report: AttemptReport | None) -> None:
        member = self.members[change.provider]
        event = _AVAILABILITY_EVENT[self.component](
            member.original,
            change.after is State.HEALTHY,
            provider=member.name,
            state=change.after.value,
            reason=report.reason if report else "",
            down_for=change.down_for,
            error=report.error if report else None,
            timestamp=_clock.wall(),
        )
        self._emit(f"{self.component}_availability_changed", event)

    def _forward_metrics(self, metrics: Any) -> None:
        innermost = attempt = current_attempt.get()
        while attempt is not None and attempt.tasks is not self.tasks:
            attempt = attempt.outer
        if attempt is None:
            # by somebody's own use of the provider; what another adapter used, that one reports
            if innermost is None:
                self._emit("metrics_collected", metrics)
        elif attempt.is_probe or attempt.was_in_vain:
            return  # not part of what the session used
        elif attempt.is_open_question:
            attempt.metrics.append(metrics)
        else:
            self._emit("metrics_collected", metrics)

    def settle_metrics(self, attempt: Attempt[Any]) -> None:
        """Emit what was held back while it was open whether the attempt would be in vain."""
        held, attempt.metrics = attempt.metrics, []
        if not attempt.was_in_vain:
            for metrics in held:
                self._emit("metrics_collected", metrics)

    def _emit(self, name: str, event: Any) -> None:
        try:
            self._adapter.emit(name, event)
        except (Exception, asyncio.CancelledError) as error:
            # a subscriber's mistake must never break a call; nothing is awaited here, so a
            # cancellation is one, too
            logger.error("a subscriber failed", extra={"event": name, "lk.pii.error": repr(error)})


def _cool_down_policy(options: Mapping[str, Any]) -> CoolDownPolicy:
    return CoolDownPolicy(
        base=options["temporary_disable_sec"],
        cap=max(options["max_disable_sec"], options["temporary_disable_sec"]),
    )
