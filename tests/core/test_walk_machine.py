# SPDX-License-Identifier: Apache-2.0
"""A request walks down a chain while anything happens around it: what may come next, always.

The chain's health is shared, so the walk meets probes, failures and recoveries of other requests.
Its follower keeps a naive note of whom it has asked in this pass, who refused for good, and
who was taken out by hand. Where providers return gradually it does not know whose share is spent,
and so not who of those left comes first.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, FailureKind, Outcome
from livekit_fallback.core.walk import Try, Wait
from tests.support.circuits import new_book
from tests.support.outcomes import SERVED, failed
from tests.support.walks import ALMOST_ONE, Walked

TOTAL = 6.0
SCRAP = 0.1  # of a budget; no longer worth a try
APART = 0.1  # seconds between two requests to one provider, retries apart
SLACK = 1e-5  # of floating point

draws = st.sampled_from([0.0, 0.3, 0.999, ALMOST_ONE])
kinds = st.sampled_from(FailureKind)
seconds = st.sampled_from([0.0, 0.05, 0.7, 2.5])
picks = st.integers(0, 1)  # the first of those at work, or its hedge


class Follower:
    """One request, and what it may and may not do next."""

    def __init__(
        self, walked: Walked, size: int, total: float | None, max_retry: int, *, gradual: bool
    ) -> None:
        self.walked, self.size, self.total, self.max_retry = walked, size, total, max_retry
        self.gradual = gradual
        self.asked_at: dict[int, float] = {}
        self.taken_out: set[int] = set()
        self.begin()

    def begin(self) -> None:
        self.step: Try | None = None
        self.hedge: Try | None = None  # asked while the other is silent
        self.over = False
        self.deadline: float | None = None
        self.owed = False
        self.asked: list[int] = []  # in this pass, retries included
        self.refused: set[int] = set()
        self.retry: int | None = None  # whom it must ask again before the next one
        self.paused = False

    @property
    def at_work(self) -> list[Try]:
        return [step for step in (self.step, self.hedge) if step is not None]

    @property
    def may_be_joined(self) -> bool:
        return len(self.at_work) == 1 and not self.max_retry

    def go_on(self) -> None:
        if self.paused and self.retry in self.taken_out:
            self.retry, self.paused = None, False
        left = self.not_yet_asked()
        usable = [i for i in left if self.walked.book.usable(i, self.walked.now)]
        step = self.walked.next()
        if step is None:
            self.must_be_over()
        elif isinstance(step, Wait):
            self.may_wait(step.seconds)
        else:
            self.may_ask(step, left, usable)

    def not_yet_asked(self) -> list[int]:
        order = self.walked.book.order(self.walked.now)
        return [i for i in order if i not in self.refused and i not in self.asked]

    def must_be_over(self) -> None:
        spent = self.deadline is not None and self.walked.now > self.deadline - SCRAP
        assert spent or len(self.refused | self.taken_out) == self.size
        self.over = True

    def may_wait(self, seconds: float) -> None:
        assert seconds >= 0.0
        if self.retry is not None:
            assert not self.paused, "two waits before one retry"
            self.paused = True
        elif left := self.not_yet_asked():
            whom = left if self.gradual else left[:1]
            newest = max(self.asked_at.get(i, -math.inf) for i in whom)
            assert self.walked.now - newest < APART, "a wait without a reason"
            assert seconds <= APART + SLACK
        else:
            self.asked.clear()
        self.walked.now += seconds
        assert self.deadline is None or self.walked.now < self.deadline

    def may_ask(self, step: Try, left: list[int], usable: list[int]) -> None:
        assert self.deadline is None or self.walked.now < self.deadline
        assert step.provider == step.permit.provider
        assert step.provider not in self.refused, "asked again though it refused for good"
        assert step.provider not in self.taken_out, "asked though somebody took it out"
        if self.retry is None:
            assert self.gradual or step.provider == left[0], "not the best of those not yet asked"
            assert step.provider in usable or not usable, "asked though another is well"
            left.remove(step.provider)
            since = self.walked.now - self.asked_at.get(step.provider, -math.inf)
            assert since >= APART - SLACK, "a busy loop"
        else:
            assert step.provider == self.retry
            assert self.asked.count(self.retry) <= self.max_retry
        assert step.is_last == (not left)
        self.asked.append(step.provider)
        self.asked_at[step.provider] = self.walked.now
        self.retry, self.paused = None, False
        self.step = step

    def join(self) -> None:
        """Ask somebody as well, while the one at work is silent."""
        assert self.step is not None
        running = [self.step.provider]
        free = [
            i
            for i in self.not_yet_asked()
            if i not in running and self.walked.book.circuit(i).state.is_usable
        ]
        self.hedge = self.walked.walk.hedge(self.walked.now, running)
        assert (self.hedge is None) == (not free), "nobody joins, or somebody who must not"
        if self.hedge is not None:
            assert self.gradual or self.hedge.provider == free[0], "not the best of those left"
            assert self.hedge.provider in free
            assert not self.hedge.permit.is_probe
            assert not self.hedge.is_last or len(free) == 1
            self.asked.append(self.hedge.provider)
            self.asked_at[self.hedge.provider] = self.walked.now

    def owe(self, step: Try) -> float | None:
        """Let output be owed now; return until when."""
        self.start()
        due = self.walked.walk.first_output_due(step, self.walked.now)
        if self.deadline is not None:
            assert due is not None
            assert due <= self.deadline
        return due

    def start(self) -> None:
        if not self.owed:
            self.owed = True
            self.deadline = None if self.total is None else self.walked.now + self.total

    def fail(self, step: Try, kind: FailureKind, *, timed_out: bool) -> None:
        self.start()
        self.walked.fail(step, kind, timed_out=timed_out)
        if step is self.step:
            self.step = self.hedge
        self.hedge = None
        if kind in (FailureKind.AUTH, FailureKind.REQUEST):
            self.refused.add(step.provider)
        elif kind is FailureKind.TRANSIENT and not timed_out:
            retries = self.asked.count(step.provider) - 1
            self.retry = step.provider if retries < self.max_retry else None


class WalkMachine(RuleBasedStateMachine):
    """Asks, fails, serves, is cancelled, and other requests do the same beside it."""

    @initialize(
        size=st.integers(1, 4),
        total=st.sampled_from([None, TOTAL]),
        attempt_timeout=st.sampled_from([None, 2.0]),
        max_retry=st.integers(0, 2),
        retry_interval=st.sampled_from([0.0, 0.5]),
        draw=draws,
        live=st.booleans(),
        sticky=st.booleans(),
        gradual=st.booleans(),
        give_up_after=st.sampled_from([None, 2]),
    )
    def start_walking(
        self,
        size: int,
        total: float | None,
        attempt_timeout: float | None,
        max_retry: int,
        retry_interval: float,
        draw: float,
        live: bool,
        sticky: bool,
        gradual: bool,
        give_up_after: int | None,
    ) -> None:
        self.book: HealthBook = new_book(
            size,
            live_probe=live,
            sticky=sticky,
            shares=(0.1, 0.5, 1.0) if gradual else (1.0,),
            give_up_after=give_up_after,
            min_dwell=3.0,
        )
        walked = Walked(
            size,
            attempt_timeout=attempt_timeout,
            max_retry=max_retry,
            total=total,
            retry_interval=retry_interval,
            draw=draw,
            book=self.book,
        )
        self.me = Follower(walked, size, total, max_retry, gradual=gradual)

    @rule()
    def go_on(self) -> None:
        if self.me.step is None and not self.me.over:
            self.me.go_on()

    @precondition(lambda self: self.me.may_be_joined)
    @rule()
    def another_joins(self) -> None:
        self.me.join()

    @rule(which=picks, kind=kinds, after=seconds)
    def attempt_fails(self, which: int, kind: FailureKind, after: float) -> None:
        for step in self.me.at_work[which:][:1]:
            self.me.walked.now += after
            self.me.fail(step, kind, timed_out=False)

    @rule(which=picks)
    def attempt_hangs(self, which: int) -> None:
        for step in self.me.at_work[which:][:1]:
            due = self.me.owe(step)
            if due is not None:
                self.me.walked.now = max(due, self.me.walked.now)
                self.me.fail(step, FailureKind.TRANSIENT, timed_out=True)

    @rule(which=picks, after=seconds)
    def attempt_serves(self, which: int, after: float) -> None:
        for winner in self.me.at_work[which:][:1]:
            self.me.walked.now += after
            for loser in self.me.at_work:
                if loser is not winner:
                    self.book.record(loser.permit, OVERTAKEN, self.me.walked.now)
            self.book.mark_served(winner.provider, self.me.walked.now)
            self.me.walked.serve(winner)
            self.me.begin()

    @rule()
    def caller_interrupts_and_speaks_again(self) -> None:
        for step in self.me.at_work:
            self.book.record(step.permit, CANCELLED, self.me.walked.now)
        self.me.walked.walk.restart()
        self.me.begin()

    @rule(
        provider=st.integers(0, 3),
        outcome=st.sampled_from([SERVED, CANCELLED, OVERTAKEN, failed()]),
    )
    def another_request_reports(self, provider: int, outcome: Outcome) -> None:
        now = self.me.walked.now
        permit = self.book.acquire(provider % self.me.size, now)
        self.book.record(permit, outcome, now)

    @rule(provider=st.integers(0, 3), outcome=st.sampled_from([SERVED, SERVED, failed()]))
    def timer_probes(self, provider: int, outcome: Outcome) -> None:
        now = self.me.walked.now
        permit = self.book.circuit(provider % self.me.size).probe_permit(now)
        if permit is not None:
            self.book.record_probe(permit, outcome, now)

    @rule(provider=st.integers(0, 3))
    def somebody_disables(self, provider: int) -> None:
        provider %= self.me.size
        assume(self.me.taken_out | {provider} != set(range(self.me.size)))
        self.book.circuit(provider).disable(self.me.walked.now)
        self.me.taken_out.add(provider)

    @rule(provider=st.integers(0, 3))
    def somebody_enables(self, provider: int) -> None:
        self.book.circuit(provider % self.me.size).enable(self.me.walked.now)
        self.me.taken_out.discard(provider % self.me.size)

    @rule(provider=st.none() | st.integers(0, 3))
    def somebody_prefers(self, provider: int | None) -> None:
        self.book.prefer(None if provider is None else provider % self.me.size)

    @rule()
    def somebody_resets(self) -> None:
        self.book.reset(self.me.walked.now)
        self.me.taken_out.clear()

    @rule(after=seconds)
    def time_passes(self, after: float) -> None:
        self.me.walked.now += after

    @invariant()
    def health_is_asked_about_everybody(self) -> None:
        asked = {*self.book.order(self.me.walked.now)}
        assert asked == set(range(self.me.size)) - self.me.taken_out
        assert asked, "nobody is left to ask"

    @invariant()
    def work_is_left_for_somebody_better_only(self) -> None:
        now = self.me.walked.now
        for provider in range(self.me.size):
            best = self.book.order(now)[0]
            if self.me.walked.walk.would_leave(provider, now):
                assert best != provider or self.me.gradual
                assert self.book.usable(best, now)

    @invariant()
    def every_request_is_accounted_for(self) -> None:
        for i in range(self.me.size):
            tally = self.book.tally(i)
            under_way = i in [step.provider for step in self.me.at_work]
            ended = tally.successes + tally.failures.total() + tally.cancelled + tally.overtaken
            assert tally.requests == ended + under_way


TestWalkMachine = WalkMachine.TestCase
TestWalkMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("retry_interval", [0.0, 0.5, 100.0])
@given(
    size=st.integers(1, 4),
    max_retry=st.integers(0, 3),
    fates=st.lists(st.tuples(kinds, seconds), min_size=1, max_size=20),
    draw=draws,
)
@settings(max_examples=30)
def test_every_walk_ends_within_its_budget(retry_interval, size, max_retry, fates, draw):
    """Whatever fails, how fast, how often: a bounded number of attempts, and no late one."""
    walked = Walked(
        size, total=TOTAL, max_retry=max_retry, retry_interval=retry_interval, draw=draw
    )
    began, made = walked.now, 0

    def fail(step: Try) -> None:
        nonlocal made
        assert walked.now < began + fates[0][1] + TOTAL
        kind, after = fates[made % len(fates)]
        made += 1
        walked.fail(step, kind, after=after)

    asked = walked.fail_until_exhausted(fail, limit=2 * 4 * size * int(TOTAL / SCRAP) * 2)

    assert set(asked) == set(range(size)) or walked.now >= began + TOTAL - SCRAP
