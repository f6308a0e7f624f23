# SPDX-License-Identifier: Apache-2.0
"""Fifty requests a second through an outage of an hour, on the decisions alone.

What adapters do with providers is replaced by a list of what happens when; who is asked, when
and how often is decided by the same `Walk` and `HealthBook` that the adapters use.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from livekit_fallback.core.circuit import HealthPolicy, Permit
from livekit_fallback.core.health import HealthBook, OrderPolicy
from livekit_fallback.core.outcome import SERVED, Failure, FailureKind, Outcome, Status
from livekit_fallback.core.walk import Limits, Try, Wait, Walk
from tests.simulations.outages import (
    BASE,
    CAP,
    Figures,
    Outage,
    Turn,
    asked_at,
    rest_in_force,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulations.outages import Table

PATIENCE = 2.5
LATENCY = 0.3  # of a good answer
QUIET_BEFORE = 3.0


@dataclass
class World:
    """A chain of two, of which the first has an outage, and everything that is under way.

    Args:
        outage: of the primary.
        fails_after: how long the dead primary takes to fail; more than its deadline: it hangs.
        live: whether requests are its probes; otherwise it is probed beside them, as often as
            its circuit allows, by somebody who tries at every request.
        jitter: shortens its rests.
    """

    outage: Outage
    fails_after: float
    live: bool
    jitter: Callable[[], float]

    def __post_init__(self) -> None:
        policy = HealthPolicy(base=BASE, cap=CAP, successes=3)
        order = OrderPolicy(live_probes=(self.live, self.live))
        self.book = HealthBook([policy, policy], order, jitter=self.jitter)
        self.turns: list[Turn] = []
        self.calls: list[float] = []  # to the primary
        self.found_dead_at = self.outage.ends
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._ties = count()

    def run(self, rate: float, until: float) -> None:
        """Requests at this rate, until then, and what they lead to."""
        for n in range(int(rate * until)):
            self._at(n / rate, self._arrive)
        while self._agenda:
            moment, _, happen = heapq.heappop(self._agenda)
            happen(moment)

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._ties), happen))

    def _arrive(self, now: float) -> None:
        turn = Turn(now, "nobody")
        self.turns.append(turn)
        limits = [Limits(PATIENCE, None)] * 2
        walk = Walk(self.book, limits, total_timeout=12.0, retry_interval=0.5, jitter=self.jitter)
        self._go_on(walk, turn, now)
        if not self.live:
            self._probe(now)

    def _go_on(self, walk: Walk, turn: Turn, now: float) -> None:
        step = walk.next(now)
        if isinstance(step, Wait):
            self._at(now + step.seconds, lambda at: self._go_on(walk, turn, at))
        elif step is not None:
            self._try(step, walk, turn, now)

    def _try(self, step: Try, walk: Walk, turn: Turn, now: float) -> None:
        due = walk.first_output_due(step, now)
        assert due is not None
        if self._is_well(step.provider, now):
            self._at(now + LATENCY, lambda at: self._served(step, turn, at))
        else:
            self._at(
                min(due, now + self.fails_after), lambda at: self._failed(step, walk, turn, at)
            )

    def _is_well(self, provider: int, now: float) -> bool:
        if provider == 0:
            self.calls.append(now)
        return provider != 0 or not self.outage.is_on(now)

    def _served(self, step: Try, turn: Turn, now: float) -> None:
        turn.by = "ab"[step.provider]
        self.book.record(step.permit, SERVED, now)
        self.book.mark_served(step.provider, now)

    def _failed(self, step: Try, walk: Walk, turn: Turn, now: float) -> None:
        failure = Failure(FailureKind.TRANSIENT, "dead", timed_out=self.fails_after > PATIENCE)
        self.book.record(step.permit, Outcome(Status.FAILURE, failure=failure), now)
        self.found_dead_at = min(self.found_dead_at, now)
        walk.report(step, failure, now)
        self._go_on(walk, turn, now)

    def _probe(self, now: float) -> None:
        permit = self.book.circuit(0).probe_permit(now)
        if permit is None:
            return
        lasts = LATENCY if self._is_well(0, now) else min(PATIENCE, self.fails_after)
        self._at(now + lasts, lambda at: self._probed(permit, lasts == LATENCY, at))

    def _probed(self, permit: Permit, good: bool, now: float) -> None:
        dead = Failure(FailureKind.TRANSIENT, "dead")
        outcome = SERVED if good else Outcome(Status.FAILURE, failure=dead)
        self.book.record_probe(permit, outcome, now)


REFUSES, HANGS = 0.01, 60.0


@pytest.mark.parametrize(
    ("length", "rate", "fails_after", "live"),
    [
        *(
            (length, rate, fails_after, live)
            for length, rate in [(0.1, 50.0), (60.0, 20.0), (600.0, 5.0), (3600.0, 0.5)]
            for fails_after in (REFUSES, HANGS)
            for live in (True, False)
        ),
        (3600.0, 50.0, HANGS, True),
    ],
)
def test_an_outage_under_load(
    length: float, rate: float, fails_after: float, live: bool, table: Table
):
    """Rests that grow are all that a dead provider costs, and one rest all that its return does."""
    patience = min(PATIENCE, fails_after)
    world = World(Outage(QUIET_BEFORE, length), fails_after, live, jitter=lambda: 0.0)
    back_within = rest_in_force(length, patience) + patience + 2 / rate + LATENCY

    world.run(rate, until=world.outage.ends + back_within + 10 / rate + 5.0)

    assert {turn.by for turn in world.turns} <= {"a", "b"}
    elsewhere = max((turn.at for turn in world.turns if turn.by == "b"), default=0.0)
    figures = Figures(
        f"core {'hangs' if patience == PATIENCE else 'down'}, {'live' if live else 'beside'}",
        outage=length,
        rate=rate,
        requests=len(world.turns),
        calls=sum(world.found_dead_at < at < world.outage.ends for at in world.calls),
        allowed=len(asked_at(world.outage.ends - world.found_dead_at)),
        back_after=max(0.0, elsewhere - world.outage.ends),
        back_within=back_within,
    )
    table.rows.append(figures)
    assert figures.calls <= figures.allowed
    assert max(0.0, elsewhere - world.outage.ends) <= back_within


@pytest.mark.parametrize("seed", range(6))
def test_jitter_shortens_rests_by_a_fifth_at_most(seed: int, monkeypatch: pytest.MonkeyPatch):
    """With chance in it, too, a dead provider is asked no oftener than shortened rests allow."""
    monkeypatch.undo()  # the fixture that makes rests exact
    draws = random.Random(seed)
    world = World(Outage(QUIET_BEFORE, 600.0), 0.01, live=True, jitter=draws.random)

    world.run(rate=2.0, until=world.outage.ends + 400.0)

    calls = sum(world.found_dead_at < at < world.outage.ends for at in world.calls)
    exact = len(asked_at(600.0))
    assert exact <= calls <= len(asked_at(600.0 / 0.8))
    assert {turn.by for turn in world.turns} == {"a", "b"}
