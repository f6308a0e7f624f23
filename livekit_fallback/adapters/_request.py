# SPDX-License-Identifier: Apache-2.0
"""One request's walk down the chain, driven: choose, try, report, move on. For all components."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn

from livekit.agents.utils import shortuuid

from ..core.outcome import CANCELLED, FailureKind, Outcome, Status
from ..core.walk import Try, Wait
from ..errors import AdapterClosedError, AllProvidersFailedError, AttemptReport
from . import _clock
from ._assignment import Assignment
from ._attempt import Attempt
from ._chain import Chain
from ._verdicts import Failed, Verdicts, as_requests_fault

# More than any budget allows for. Without a budget the newest are kept.
_MAX_REPORTS = 200

_SERVED = Outcome(Status.SUCCESS)

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
        self._broke_off: AttemptReport | None = None  # the last of them
        # the attempt that failed, while the next is not yet asked
        self._moving_from: tuple[int, AttemptReport] | None = None
        self._verdicts = Verdicts(chain)

    @cached_property
    def id(self) -> str:
        """Names the request in events; made when the first of them needs it."""
        return shortuuid(f"{self._chain.component}_request_")

    @property
    def last_report(self) -> AttemptReport | None:
        """What the newest failure came to, if nobody has served since."""
        return self._reports[-1] if self._reports else None

    async def run(self) -> Attempt[Any]:
        """Ask providers until one has served; return the attempt that did.

        Raises:
            AdapterClosedError: The adapter was closed meanwhile.
            AllProvidersFailedError: None served within the budget.
            Exception: A provider's own error, when it broke off after the commit point and
                starting over would repeat what the caller has heard.
        """
        try:
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
        finally:
            self._verdicts.close()

    async def _try(self, step: Try) -> Attempt[Any] | None:
        if step.permit.is_probe:
            self._chain.probe_began(step.permit)
        moving_from = self._moving_from
        self._announce(step)
        if self._chain.health.circuit(step.provider).is_barred:
            # by somebody who was told just now
            self._chain.release(step.permit)
            self._moving_from = moving_from
            return None
        attempt = self._make_attempt(self._assign(step))
        try:
            outcome = await attempt.run()
        except asyncio.CancelledError:
            # whoever interrupts an answer has heard that the provider is well
            served = Outcome(Status.SUCCESS, attempt.latency) if attempt.committed else CANCELLED
            self._conclude(attempt, served)
            if self._chain.closed and not _is_cancelled():
                raise AdapterClosedError(self._chain.component) from None
            raise
        finally:
            self._chain.settle_metrics(attempt)
        if outcome.status is Status.SUCCESS:
            self._conclude(attempt, outcome)
            if not attempt.unfinished:
                return attempt
            self._walk.hand_over()
            self._reports.clear()
        else:
            self._failed(step, attempt, outcome)
        return None

    def _conclude(self, attempt: Attempt[Any], outcome: Outcome) -> None:
        if attempt.nothing_to_count:
            self._chain.release(attempt.permit)
        else:
            # who was asked for nothing, such as a caller's silence, has shown nothing either
            self._chain.record(attempt.permit, outcome if attempt.committed else CANCELLED)

    def renew(self, attempt: Attempt[Any]) -> None:
        """Record that a provider has served and goes on serving: what follows is new evidence."""
        self._chain.record(attempt.permit, _SERVED)
        attempt.permit = self._chain.health.renew(attempt.member.index)
        self._walk.restart()
        self._reports.clear()

    def give_back(self, attempt: Attempt[Any]) -> None:
        """Go on without the place of a probe: another request may be the test meanwhile."""
        self._chain.release(attempt.permit)
        attempt.permit = self._chain.health.renew(attempt.member.index)

    def would_leave(self, attempt: Attempt[Any]) -> bool:
        """Whether what comes next had better go to another provider than the one at work."""
        return self._walk.would_leave(attempt.member.index, _clock.now())

    def _assign(self, step: Try) -> Assignment:
        return Assignment(
            member=self._chain.members[step.provider],
            permit=step.permit,
            tasks=self._chain.tasks,
            first_output_due=partial(self._walk.first_output_due, step),
            served=self._served,
        )

    def _served(self, attempt: Attempt[Any]) -> None:
        self._verdicts.make_good()
        self._verdicts.settle()
        self._chain.served(attempt, self)
        if self._also_served is not None:
            self._also_served(attempt)

    def _failed(self, step: Try, attempt: Attempt[Any], outcome: Outcome) -> None:
        report, failure = attempt.report(), outcome.failure
        assert failure is not None
        if attempt.ended_in_silence and not failure.timed_out:
            self._chain.release(attempt.permit)
            self._walk.restart()
            return
        if attempt.has_served:
            self._reports.clear()  # what failed before it served is another story
        if not self._reports:
            self._began = _clock.now() if attempt.has_served else attempt.started_at
        self._reports.append(report)
        is_final = not self._chain.should_fail_over(report)
        if is_final:
            blamed = replace(report, kind=FailureKind.REQUEST)
            self._chain.record(attempt.permit, as_requests_fault(outcome), blamed)
            self._end_with(attempt, report)
        self._walk.report(
            step,
            failure,
            _clock.now(),
            owed=attempt.owed,
            fresh=attempt.has_served,
            broke_off=attempt.broke_off,
        )
        is_retried = attempt.may_move_on and self._walk.asks_again
        self._verdicts.record(Failed(attempt.permit, outcome, report), is_retried=is_retried)
        if not attempt.may_move_on:
            self._end_with(attempt, report)
        if attempt.broke_off:
            self._delivered += attempt.delivered
            self._broke_off = report
        self._moving_from = step.provider, report

    def _end_with(self, attempt: Attempt[Any], report: AttemptReport) -> NoReturn:
        if attempt.broke_off:
            self._chain.events.output_lost(
                self.id, report, delivered=attempt.delivered, lost=attempt.lost
            )
        self._chain.events.error(report.error, recoverable=True)
        raise report.error

    def _announce(self, step: Try) -> None:
        moving_from, self._moving_from = self._moving_from, None
        if moving_from is None:
            return
        old, failed = moving_from
        self._chain.events.error(failed.error, recoverable=True)
        if step.provider != old:
            self._chain.failed_over(self.id, failed, old, step.provider, attempt=len(self._reports))

    def _exhausted(self) -> AllProvidersFailedError:
        self._verdicts.blame_request()
        duration = _clock.now() - self._began
        error = AllProvidersFailedError(
            self._chain.component, tuple(self._reports), duration=duration
        )
        error.__cause__ = self._reports[-1].error
        if self._broke_off is not None:
            self._chain.events.output_lost(
                self.id, self._broke_off, delivered=self._delivered, lost=None
            )
        self._chain.events.exhausted(self.id, error)
        self._chain.events.error(error, recoverable=False)
        return error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
