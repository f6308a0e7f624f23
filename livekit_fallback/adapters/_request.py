# SPDX-License-Identifier: Apache-2.0
"""One request's walk down the chain, driven: choose, try, report, move on. For all components."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from livekit.agents.utils import shortuuid

from ..core.outcome import CANCELLED, Outcome, Status
from ..core.walk import Try, Wait
from ..errors import AdapterClosedError, AllProvidersFailedError, AttemptReport
from . import _clock
from ._attempt import Assignment, Attempt
from ._chain import Chain

# More than any budget allows for. Without a budget the newest are kept.
_MAX_REPORTS = 200

MakeAttempt = Callable[[Assignment], Attempt[Any]]


class Request:
    """One request of the session to one adapter.

    Args:
        chain: The adapter's providers and their health.
        make_attempt: Makes the component's attempt for an assignment.
        served: Called at the first useful output of each attempt.
    """

    def __init__(
        self,
        chain: Chain[Any],
        make_attempt: MakeAttempt,
        *,
        served: Callable[[Attempt[Any]], None] | None = None,
    ) -> None:
        self._chain = chain
        self._make_attempt = make_attempt
        self._also_served = served
        self._walk = chain.new_walk()
        self._reports: deque[AttemptReport] = deque(maxlen=_MAX_REPORTS)
        self._began = _clock.now()  # of the attempt that the current run of failures began with
        self._delivered = 0.0  # by answers that broke off and were begun anew
        self._moving_from: AttemptReport | None = None  # failed, and the next is not yet asked

    @cached_property
    def id(self) -> str:
        """Names the request in events; made when the first of them needs it."""
        return shortuuid(f"{self._chain.component}_request_")

    async def run(self) -> Attempt[Any]:
        """Ask providers until one has served; return the attempt that did.

        Raises:
            AdapterClosedError: The adapter was closed meanwhile.
            AllProvidersFailedError: None served within the budget.
            Exception: A provider's own error, when it broke off after the commit point and
                starting over would repeat what the caller has heard.
        """
        while not self._chain.closed:
            step = self._walk.next(_clock.now())
            if step is None:
                raise self._exhausted()
            if isinstance(step, Wait):
                await self._chain.pause(step.seconds)
                continue
            attempt = await self._try(step)
            if attempt is not None:
                return attempt
        raise AdapterClosedError(self._chain.component)

    async def _try(self, step: Try) -> Attempt[Any] | None:
        self._announce(step)
        attempt = self._make_attempt(self._assign(step))
        try:
            outcome = await attempt.run()
        except asyncio.CancelledError:
            # whoever interrupts an answer has heard that the provider is well
            served = Outcome(Status.SUCCESS, attempt.latency) if attempt.committed else CANCELLED
            self._chain.record(attempt.permit, served)
            if self._chain.closed and not _is_cancelled():
                raise AdapterClosedError(self._chain.component) from None
            raise
        finally:
            self._chain.settle_metrics(attempt)
        if outcome.status is Status.SUCCESS:
            self._chain.record(attempt.permit, outcome)
            if not attempt.unfinished:
                return attempt
            self._start_over()
        else:
            self._failed(step, attempt, outcome)
        return None

    def renew(self, attempt: Attempt[Any]) -> None:
        """Record that a provider has served and goes on serving: what follows is new evidence."""
        self._chain.record(attempt.permit, Outcome(Status.SUCCESS))
        attempt.permit = self._chain.health.circuit(attempt.member.index).permit()
        self._start_over()

    def _start_over(self) -> None:
        self._walk.restart()
        self._reports.clear()

    def _assign(self, step: Try) -> Assignment:
        return Assignment(
            member=self._chain.members[step.provider],
            permit=step.permit,
            tasks=self._chain.tasks,
            first_output_due=partial(self._walk.first_output_due, step),
            served=self._served,
        )

    def _served(self, attempt: Attempt[Any]) -> None:
        self._chain.served(attempt, self)
        if self._also_served is not None:
            self._also_served(attempt)

    def _failed(self, step: Try, attempt: Attempt[Any], outcome: Outcome) -> None:
        facts, error = attempt.facts, attempt.error
        assert facts is not None
        assert error is not None
        report = AttemptReport(
            provider=attempt.member.name,
            kind=facts.failure.kind,
            reason=facts.failure.reason,
            status_code=facts.status_code,
            request_id=facts.request_id,
            body=facts.body,
            duration=attempt.duration,
            error=error,
        )
        if attempt.has_served:
            self._reports.clear()  # what failed before it served is another story
        if not self._reports:
            self._began = _clock.now() if attempt.has_served else attempt.started_at
        self._reports.append(report)
        self._chain.record(attempt.permit, outcome, report)
        if not attempt.may_move_on:
            self._chain.emit_output_lost(
                self.id, report, delivered=attempt.delivered, lost=attempt.lost
            )
            self._chain.emit_error(error, recoverable=True)
            raise error
        if attempt.broke_off:
            self._delivered += attempt.delivered
        self._moving_from = report
        self._walk.report(
            step,
            facts.failure,
            _clock.now(),
            owed=attempt.owed,
            fresh=attempt.has_served,
            broke_off=attempt.broke_off,
        )

    def _announce(self, step: Try) -> None:
        failed, self._moving_from = self._moving_from, None
        if failed is None:
            return
        self._chain.emit_error(failed.error, recoverable=True)
        target = self._chain.members[step.provider]
        if target.name != failed.provider:
            self._chain.emit_failover(self.id, failed, target, attempt=len(self._reports))

    def _exhausted(self) -> AllProvidersFailedError:
        duration = _clock.now() - self._began
        error = AllProvidersFailedError(
            self._chain.component, tuple(self._reports), duration=duration
        )
        error.__cause__ = self._reports[-1].error
        if self._delivered:
            self._chain.emit_output_lost(
                self.id, self._reports[-1], delivered=self._delivered, lost=None
            )
        self._chain.emit_exhausted(self.id, error)
        self._chain.emit_error(error, recoverable=False)
        return error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
