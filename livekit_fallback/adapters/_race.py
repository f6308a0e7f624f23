# SPDX-License-Identifier: Apache-2.0
"""Hedging: one request asked of a second provider while the first is silent. The faster wins.

The first useful output decides. In the same turn of the event loop, before that output is handed
to the session, the other attempt is cancelled: there are never two answers, and nothing of the
loser, a tool call least of all, is ever seen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.hedging import HedgeDelay
from ..core.outcome import Outcome, Status
from ..core.walk import Try
from ._watch import Watch

if TYPE_CHECKING:
    from ._attempt import Attempt
    from ._request import Request


class Entrant(NamedTuple):
    """One attempt in the race, and the step of the walk that it is."""

    step: Try
    attempt: Attempt[Any]


class Race:
    """A request's first attempt, and the hedge that joins it if it stays silent for too long.

    Args:
        request: Whose attempts they are.
        delay: For how long the first may owe its first useful output alone.
    """

    def __init__(self, request: Request, delay: HedgeDelay) -> None:
        self._request = request
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._hedge_due, self._hedge)
        self._running: list[Entrant] = []
        self._first: Entrant | None = None  # while it is in the race
        self._due: float | None = None  # when the hedge is
        self._news: asyncio.Future[None] = self._loop.create_future()

    async def run(self, step: Try) -> tuple[Entrant, Outcome]:
        """Run the race to its end: one attempt has served or, like all before it, has failed.

        Raises:
            asyncio.CancelledError: The caller was cancelled, or the adapter closed.
            Exception: A failure after which nobody else is to be asked.
        """
        self._first = self._enter(step)
        try:
            while True:
                await self._request.tasks.wait_for(self._news)
                self._news = self._loop.create_future()
                for entrant in [e for e in self._running if e.attempt.verdict.done()]:
                    outcome = entrant.attempt.finish()
                    self._running.remove(entrant)
                    self._request.settle(entrant.attempt)
                    if outcome.status is Status.SUCCESS:
                        self._overtake_others(entrant.attempt)  # if it served without any output
                    if not self._running:
                        return entrant, outcome
                    self._failed(entrant, outcome)
        except BaseException:
            await self._abandon()
            raise
        finally:
            self._watch.stop()

    def _enter(self, step: Try, *, is_hedge: bool = False) -> Entrant:
        attempt = self._request.new_attempt(step, owed=self._owed, served=self._served)
        attempt.is_hedge = is_hedge
        entrant = Entrant(step, attempt)
        self._running.append(entrant)
        attempt.verdict.add_done_callback(self._tell)
        attempt.start()
        return entrant

    def _tell(self, _: object = None) -> None:
        if not self._news.done():
            self._news.set_result(None)

    def _owed(self, since: float, due: float | None) -> None:
        if self._request.timing.owed is not None:
            self._request.timing.owed(since, due)
        if self._due is None and self._first is not None:
            delay = self._request.hedge_delay(self._first.step.provider, self._delay)
            self._due = None if delay is None else since + delay
            self._watch.look()

    def _hedge_due(self) -> float | None:
        return self._due

    def _hedge(self) -> None:
        """Ask one more, if there is anybody to ask and the budget allows for it."""
        if self._first is None or self._request.is_over:
            return
        step = self._request.next_hedge([e.step.provider for e in self._running])
        if step is not None:
            self._enter(step, is_hedge=True)

    def _served(self, attempt: Attempt[Any]) -> None:
        self._overtake_others(attempt)
        self._request.served(attempt)

    def _overtake_others(self, winner: Attempt[Any]) -> None:
        self._watch.stop()
        first, self._first = self._first, None
        losers = [e for e in self._running if e.attempt is not winner]
        self._running = [e for e in self._running if e.attempt is winner]
        for loser in losers:
            loser.attempt.overtake()
        if losers and first is not None:
            hedge = winner if winner is not first.attempt else losers[0].attempt
            self._request.tell_hedged(first.attempt, hedge, winner=winner)
        for loser in losers:
            self._request.overtaken(loser.attempt, is_first=loser is first)

    def _failed(self, entrant: Entrant, outcome: Outcome) -> None:
        """Take note of a failure while another is still running."""
        self._request.failed(entrant.step, entrant.attempt, outcome, others_run=True)
        if entrant is not self._first:
            self._request.stay()
            self._hedge()
            return
        self._first = None
        successor = self._running[0]
        successor.attempt.is_hedge = False  # it is the one that the request has moved on to
        self._request.announce(successor.step)

    async def _abandon(self) -> None:
        self._watch.stop()  # first: closing takes its time, and nobody is asked any more meanwhile
        running, self._running = self._running, []
        for entrant in running:
            entrant.attempt.let_go()
        for entrant in running:
            await entrant.attempt.abandon()
        for entrant in running:
            self._request.interrupted(entrant.attempt)
