# SPDX-License-Identifier: Apache-2.0
"""One request's walk down the chain, driven: choose, try, report, move on. For all components."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn

from livekit.agents.utils import shortuuid

from ..core.hedging import HedgeDelay
from ..core.outcome import CANCELLED, OVERTAKEN, SERVED, FailureKind, Outcome, Status
from ..core.walk import Try, Wait
from ..errors import AdapterClosedError, AllProvidersFailedError, AttemptReport
from . import _clock
from ._assignment import Assignment
from ._attempt import Attempt
from ._chain import Chain
from ._race import Race
from ._tasks import TaskHolder, is_cancelled
from ._timing import Timing
from ._verdicts import Failed, Verdicts, as_requests_fault

# More than any budget allows for. Without a budget the newest are kept.
_MAX_REPORTS = 200

MakeAttempt = Callable[[Assignment], Attempt[Any]]
LastResort = Callable[[AllProvidersFailedError, bool], Awaitable[bool]]


class Request:
    """One request of the session to one adapter.

    Args:
        chain: The adapter's providers and their health.
        make_attempt: Makes the component's attempt for an assignment.
        served: Called at the first useful output of each attempt.
        may_hedge: Whether a second provider may be asked for the same, where options say so.
    """

    def __init__(
        self,
        chain: Chain[Any],
        make_attempt: MakeAttempt,
        *,
        served: Callable[[Attempt[Any]], None] | None = None,
        may_hedge: bool = True,
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
        self.verdicts = Verdicts(chain)
        self._may_hedge = may_hedge and chain.is_hedging

    @property
    def tasks(self) -> TaskHolder:
        """Of the adapter."""
        return self._chain.tasks

    @property
    def timing(self) -> Timing[Any]:
        """Of the adapter."""
        return self._chain.timing

    @property
    def is_over(self) -> bool:
        """Whether the adapter was closed: nobody is asked any more."""
        return self._chain.closed

    @cached_property
    def id(self) -> str:
        """Names the request in events; made when the first of them needs it."""
        return shortuuid(f"{self._chain.component}_request_")

    @property
    def last_report(self) -> AttemptReport | None:
        """What the newest failure came to, if nobody has served since."""
        return self._reports[-1] if self._reports else None

    async def run(self) -> Attempt[Any]:
        """Ask providers until one has served; return the attempt that did. See :meth:`run_or`."""
        attempt = await self.run_or(None)
        assert attempt is not None
        return attempt

    async def run_or(self, last_resort: LastResort | None) -> Attempt[Any] | None:
        """Ask providers until one has served; return its attempt, or ``None`` for the last resort.

        Args:
            last_resort: Serves when nobody else could; returns whether it has. Called with the
                error, and whether the session has part of an answer.

        Raises:
            AdapterClosedError: The adapter was closed meanwhile.
            AllProvidersFailedError: None served within the budget.
            Exception: A provider's own error, when it broke off after the commit point and
                starting over would repeat what the caller has heard.
        """
        if self._may_hedge:
            self._chain.hedges.earn()
        try:
            while not self._chain.closed:
                step = self._walk.next(_clock.now())
                if step is None:
                    await self._exhausted(last_resort)
                    return None
                if isinstance(step, Wait):
                    await self._chain.pause(step.seconds)
                    continue
                attempt = await self._try(step)
                if attempt is not None:
                    return attempt
            raise AdapterClosedError(self._chain.component)
        finally:
            self.verdicts.close()

    async def _try(self, step: Try) -> Attempt[Any] | None:
        if step.permit.is_probe:
            self._chain.probe_began(step.permit)
        moving_from = self._moving_from
        self.announce(step)
        if self._chain.health.circuit(step.provider).is_barred:
            # by somebody who was told just now
            self._chain.release(step.permit)
            self._moving_from = moving_from
            return None
        delay = self._chain.members[step.provider].hedge_delay if self._may_hedge else None
        if delay is None:
            attempt = self.new_attempt(step, owed=self._chain.timing.owed, served=self.served)
            try:
                outcome = await attempt.run()
            except asyncio.CancelledError:
                self.interrupted(attempt)
                self._say_if_closed()
                raise
            finally:
                self.settle(attempt)
        else:
            try:
                (step, attempt), outcome = await Race(self, delay).run(step)
            except asyncio.CancelledError:
                self._say_if_closed()
                raise
        if outcome.status is Status.SUCCESS:
            self._conclude(attempt, outcome)
            if not attempt.unfinished:
                return attempt
            self._walk.hand_over()
            self._reports.clear()
        else:
            self.failed(step, attempt, outcome)
        return None

    def _say_if_closed(self) -> None:
        if self._chain.closed and not is_cancelled():
            raise AdapterClosedError(self._chain.component) from None

    def interrupted(self, attempt: Attempt[Any]) -> None:
        """Take note that the caller, or the end of the adapter, has ended an attempt."""
        if not self._chain.closed:
            self._chain.timing.cut_off(attempt, self)
        # whoever interrupts an answer has heard that the provider is well
        self._conclude(attempt, SERVED if attempt.committed else CANCELLED)

    def settle(self, attempt: Attempt[Any]) -> None:
        """Pass on an attempt's metrics that were held back, now that it is over."""
        self._chain.metrics.settle(attempt)

    def _conclude(self, attempt: Attempt[Any], outcome: Outcome) -> None:
        if attempt.nothing_to_count:
            self._chain.release(attempt.permit)
        else:
            # who was asked for nothing, such as a caller's silence, has shown nothing either
            self._chain.record(attempt.permit, outcome if attempt.committed else CANCELLED)

    def next_hedge(self, running: list[int]) -> Try | None:
        """Return whom to ask as well while those are silent, if the budget allows for it."""
        chain = self._chain
        if chain.hedges.is_spent:
            return None
        step = self._walk.hedge(_clock.now(), running, unfit=chain.stateful)
        if step is not None:
            chain.hedges.spend()
            chain.health.tally(step.provider).hedges += 1
        return step

    def hedge_delay(self, provider: int, delay: HedgeDelay) -> float | None:
        """Return for how long a provider may be silent alone; ``None``: not known yet."""
        if delay.percentile is None:
            return delay.seconds
        return self._chain.health.pace(provider).hedge_delay(delay.percentile)

    def overtaken(self, attempt: Attempt[Any], *, is_first: bool) -> None:
        """Take note that another attempt at this request was faster.

        Args:
            attempt: The loser.
            is_first: Whether it was asked before the winner, and so was slow.
        """
        self._chain.timing.cut_off(attempt, self, was_overtaken=is_first)
        self._chain.record(attempt.permit, OVERTAKEN)

    def tell_hedged(
        self, first: Attempt[Any], hedge: Attempt[Any], *, winner: Attempt[Any]
    ) -> None:
        """Tell the subscribers how a race of two attempts ended."""
        self._chain.events.hedged(self.id, first, hedge, winner)

    def renew(self, attempt: Attempt[Any]) -> None:
        """Record that a provider has served and goes on serving: what follows is new evidence."""
        self._chain.record(attempt.permit, SERVED)
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

    def new_attempt(
        self,
        step: Try,
        *,
        owed: Callable[[float, float | None], None] | None,
        served: Callable[[Attempt[Any]], None],
    ) -> Attempt[Any]:
        """Return an attempt at this request; it calls back when it owes, and when it serves."""
        given = Assignment(
            member=self._chain.members[step.provider],
            permit=step.permit,
            tasks=self._chain.tasks,
            first_output_due=partial(self._walk.first_output_due, step),
            served=served,
            owed=owed,
        )
        return self._make_attempt(given)

    def served(self, attempt: Attempt[Any]) -> None:
        """Take note of the first useful output of an attempt, before it is handed over."""
        self.verdicts.make_good()
        self.verdicts.settle()
        self._chain.served(attempt, self)
        if self._also_served is not None:
            self._also_served(attempt)

    def failed(
        self, step: Try, attempt: Attempt[Any], outcome: Outcome, *, others_run: bool = False
    ) -> None:
        """Take a failure into account.

        Args:
            step: What the attempt was.
            attempt: The attempt.
            outcome: How it failed.
            others_run: Whether another attempt at this request is still running.

        Raises:
            Exception: The provider's error, where nobody else is to be asked.
        """
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
            self.verdicts.make_good()
            blamed = replace(report, kind=FailureKind.REQUEST)
            self._chain.record(attempt.permit, as_requests_fault(outcome), blamed)
            self._end_with(attempt, report)
        self._walk.report(
            step,
            failure,
            _clock.now(),
            owed=attempt.owed,
            fresh=attempt.has_served,
            broke_off=not attempt.may_be_asked_again,
        )
        is_retried = attempt.may_move_on and self._walk.asks_again and not others_run
        self.verdicts.record(Failed(attempt.permit, outcome, report), is_retried=is_retried)
        if failure.timed_out:
            # after it has failed: one silence is not to be told as two reasons
            self._chain.timing.cut_off(attempt, self)
        if not attempt.may_move_on:
            self._end_with(attempt, report)
        if attempt.broke_off:
            self._delivered += attempt.delivered
            self._broke_off = report
        self._moving_from = step.provider, report

    def stay(self) -> None:
        """Do not move on from the attempt that has just failed: another is still running."""
        if self._moving_from is not None:
            self._chain.events.error(self._moving_from[1].error, recoverable=True)
            self._moving_from = None

    def _end_with(self, attempt: Attempt[Any], report: AttemptReport) -> NoReturn:
        if attempt.broke_off or self._broke_off is not None:
            delivered = self._delivered + attempt.delivered
            self._chain.events.output_lost(self.id, report, delivered=delivered, lost=attempt.lost)
        self._chain.events.error(report.error, recoverable=True)
        raise report.error

    def announce(self, step: Try) -> None:
        """Tell the subscribers that the request has moved on to this step, if it has."""
        moving_from, self._moving_from = self._moving_from, None
        if moving_from is None:
            return
        old, failed = moving_from
        self._chain.events.error(failed.error, recoverable=True)
        if step.provider != old:
            self._chain.failed_over(self.id, failed, old, step.provider, attempt=len(self._reports))

    async def _exhausted(self, last_resort: LastResort | None) -> None:
        self.verdicts.blame_request()
        events, broke_off = self._chain.events, self._broke_off
        error = AllProvidersFailedError(
            self._chain.component, tuple(self._reports), duration=_clock.now() - self._began
        )
        error.__cause__ = self._reports[-1].error
        if broke_off is not None:
            events.output_lost(self.id, broke_off, delivered=self._delivered, lost=None)
        events.exhausted(self.id, error)
        has_served = last_resort is not None and await last_resort(error, broke_off is not None)
        events.error(error, recoverable=has_served)
        if not has_served:
            raise error
