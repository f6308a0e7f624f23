# SPDX-License-Identifier: Apache-2.0
"""What an adapter tells its subscribers: events, and the hooks that are attributes of it."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Mapping
from typing import Any

from livekit.agents.llm import LLMError
from livekit.agents.stt import STTError
from livekit.agents.tts import TTSError

from ..core.circuit import Change
from ..core.flapping import WINDOW_SEC
from ..core.latency import Pace
from ..errors import AllProvidersFailedError, AttemptReport
from ..events import (
    Component,
    ExhaustedEvent,
    FailoverEvent,
    FlappingEvent,
    HealthChangedEvent,
    HedgedEvent,
    LLMAvailabilityChangedEvent,
    OutputLostEvent,
    ProbedEvent,
    RecoveryEvent,
    STTAvailabilityChangedEvent,
    TTSAvailabilityChangedEvent,
    VADAvailabilityChangedEvent,
)
from ..log import logger
from ..provider import Member
from . import _clock
from ._attempt import Attempt
from ._tasks import TaskHolder

_ERROR_EVENT: Mapping[Component, Any] = {"llm": LLMError, "stt": STTError, "tts": TTSError}
_AVAILABILITY_EVENT: Mapping[Component, Any] = {
    "llm": LLMAvailabilityChangedEvent,
    "stt": STTAvailabilityChangedEvent,
    "tts": TTSAvailabilityChangedEvent,
    "vad": VADAvailabilityChangedEvent,
}


class Emitter:
    """Emits the events of one adapter. No mistake of a subscriber or a hook gets past it.

    Args:
        adapter: The LiveKit object that users subscribe to.
        component: Which of the four it is.
        tasks: Holds what hooks leave to be awaited.
    """

    def __init__(self, adapter: Any, component: Component, tasks: TaskHolder) -> None:
        self._adapter = adapter
        self._component = component
        self._tasks = tasks
        self._queue: deque[tuple[str, Any]] = deque()
        self._is_emitting = False

    def error(self, error: Exception, *, recoverable: bool) -> None:
        """Emit LiveKit's ``error``. The session counts the unrecoverable ones against the call."""
        kind = _ERROR_EVENT.get(self._component)
        if kind is None:
            return  # LiveKit's detectors have no such event, and its sessions count none
        event = kind(
            timestamp=_clock.wall(),
            label=self._adapter.label,
            error=error,
            recoverable=recoverable,
        )
        self.emit("error", event)

    def failover(
        self,
        request_id: str,
        failed: AttemptReport,
        old: Member[Any],
        new: Member[Any],
        *,
        attempt: int,
    ) -> None:
        event = FailoverEvent(
            component=self._component,
            request_id=request_id,
            from_provider=old.name,
            to_provider=new.name,
            reason=failed.reason,
            elapsed=failed.duration,
            attempt=attempt,
            error=failed.error,
            timestamp=_clock.wall(),
        )
        self.emit("failover", event)
        self._call("on_failover", old.original, new.original)

    def recovery(
        self, request_id: str, member: Member[Any], came_from: Member[Any], down_for: float
    ) -> None:
        event = RecoveryEvent(
            component=self._component,
            request_id=request_id,
            provider=member.name,
            from_provider=came_from.name,
            down_for=down_for,
            timestamp=_clock.wall(),
        )
        self.emit("recovery", event)
        self._call("on_recovery", member.original)

    def exhausted(self, request_id: str, error: AllProvidersFailedError) -> None:
        event = ExhaustedEvent(
            component=self._component,
            request_id=request_id,
            elapsed=error.duration,
            attempts=len(error.attempts),
            error=error,
            timestamp=_clock.wall(),
        )
        self.emit("exhausted", event)

    def output_lost(
        self, request_id: str, report: AttemptReport, *, delivered: float, lost: float | None
    ) -> None:
        event = OutputLostEvent(
            component=self._component,
            request_id=request_id,
            provider=report.provider,
            reason=report.reason,
            delivered=delivered,
            lost=lost,
            error=report.error,
            timestamp=_clock.wall(),
        )
        self.emit("output_lost", event)

    def health_changed(
        self,
        member: Member[Any],
        change: Change,
        report: AttemptReport | None,
        reason: str,
        pace: Pace,
    ) -> None:
        event = HealthChangedEvent(
            component=self._component,
            provider=member.name,
            before=change.before.value,
            after=change.after.value,
            reason=reason,
            kind=report.kind.value if report else "",
            down_for=change.down_for,
            rest=change.rest,
            error=report.error if report else None,
            latency=report.latency if report else None,
            latency_p50=pace.percentile(50),
            latency_p95=pace.percentile(95),
            latency_p99=pace.percentile(99),
            timestamp=_clock.wall(),
        )
        self._queue.append(("health_changed", event))
        if change.before.is_usable != change.after.is_usable:
            self._queue.append(self._availability(member, change, report, reason))
        self._drain()

    def _availability(
        self, member: Member[Any], change: Change, report: AttemptReport | None, reason: str
    ) -> tuple[str, Any]:
        event = _AVAILABILITY_EVENT[self._component](
            member.original,
            change.after.is_usable,
            provider=member.name,
            state=change.after.value,
            reason=reason,
            down_for=change.down_for,
            error=report.error if report else None,
            timestamp=_clock.wall(),
        )
        return f"{self._component}_availability_changed", event

    def probed(self, attempt: Attempt[Any], report: AttemptReport | None) -> None:
        event = ProbedEvent(
            component=self._component,
            provider=attempt.member.name,
            good=report is None,
            reason=report.reason if report else "",
            elapsed=attempt.duration,
            latency=attempt.latency,
            error=report.error if report else None,
            timestamp=_clock.wall(),
        )
        self.emit("probed", event)

    def hedged(
        self,
        request_id: str,
        first: Attempt[Any],
        hedge: Attempt[Any],
        winner: Attempt[Any],
    ) -> None:
        since = first.started_at if first.owed_since is None else first.owed_since
        event = HedgedEvent(
            component=self._component,
            request_id=request_id,
            provider=first.member.name,
            hedge=hedge.member.name,
            winner=winner.member.name,
            hedged_after=hedge.started_at - since,
            elapsed=_clock.now() - since,
            timestamp=_clock.wall(),
        )
        self.emit("hedged", event)

    def flapping(self, failovers: int) -> None:
        event = FlappingEvent(self._component, failovers, WINDOW_SEC, _clock.wall())
        self.emit("flapping", event)

    def emit(self, name: str, event: Any) -> None:
        """Emit an event of any name. What a subscriber causes is told after what it was told."""
        self._queue.append((name, event))
        self._drain()

    def _drain(self) -> None:
        if self._is_emitting:
            return
        self._is_emitting = True
        try:
            while self._queue:
                self._emit_now(*self._queue.popleft())
        finally:
            self._is_emitting = False

    def _emit_now(self, name: str, event: Any) -> None:
        try:
            self._adapter.emit(name, event)
        except (Exception, asyncio.CancelledError) as error:
            # a subscriber's mistake must never break a call; nothing is awaited here, so a
            # cancellation is one, too
            logger.error("a subscriber failed", extra={"event": name, "lk.pii.error": repr(error)})

    def _call(self, name: str, *instances: Any) -> None:
        hook = getattr(self._adapter, name)
        if hook is None:
            return
        try:
            result = hook(*instances)
        except (Exception, asyncio.CancelledError) as error:
            logger.error("a hook failed", extra={"hook": name, "lk.pii.error": repr(error)})
            return
        if inspect.iscoroutine(result):
            self._tasks.spawn(result, f"fallback hook {name}")
