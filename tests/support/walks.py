# SPDX-License-Identifier: Apache-2.0
"""A walk down a chain of providers, on a clock that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import FailureKind, Outcome, Status
from livekit_fallback.core.walk import Limits, Try, Wait, Walk
from tests.support.circuits import new_book
from tests.support.outcomes import failed, failure

if TYPE_CHECKING:
    from collections.abc import Callable

ALMOST_ONE = 1 - 2**-53


class Walked:
    """One request's walk.

    Args:
        size: how many providers; each has the limits that follow.
        total: the request's budget.
        draw: what the jitter draws, always or each time.
        book: the chain's health, if it is shared or special.
        adaptive_from: the shortest deadline, where it follows what each provider usually takes.
        urgent: whether the fastest is asked first.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        attempt_timeout: float | None = 2.0,
        max_retry: int = 0,
        total: float | None = 12.0,
        retry_interval: float = 0.5,
        draw: float | Callable[[], float] = ALMOST_ONE,
        book: HealthBook | None = None,
        adaptive_from: float | None = None,
        urgent: bool = False,
    ) -> None:
        self.now = 1000.0
        self.book = book or new_book(size)
        self.walk = Walk(
            self.book,
            [Limits(attempt_timeout, 1.0, max_retry, adaptive_from)] * size,
            total_timeout=total,
            retry_interval=retry_interval,
            jitter=draw if callable(draw) else lambda: draw,
            is_urgent=urgent,
        )

    def next(self) -> Try | Wait | None:
        """What to do now."""
        return self.walk.next(self.now)

    def asked(self) -> Try:
        """Who is asked now; it must be somebody."""
        step = self.next()
        assert isinstance(step, Try)
        return step

    def hedged(self, *running: int) -> Try:
        """Who is asked as well, while those are silent; it must be somebody."""
        step = self.walk.hedge(self.now, running)
        assert step is not None
        return step

    def waited(self) -> float:
        """The wait that is due now, kept."""
        step = self.next()
        assert isinstance(step, Wait)
        self.now += step.seconds
        return step.seconds

    def fail(
        self,
        step: Try,
        kind: FailureKind = FailureKind.TRANSIENT,
        *,
        after: float = 0.0,
        timed_out: bool = False,
    ) -> None:
        """The attempt fails after so many seconds; health and walk are told, as adapters do."""
        self.now += after
        self.book.record(step.permit, failed(kind, timed_out=timed_out), self.now)
        self.walk.report(step, failure(kind, timed_out=timed_out), self.now)

    def hang(self, step: Try) -> float:
        """The attempt owes output at once and is silent until its deadline; say how long."""
        due = self.walk.first_output_due(step, self.now)
        assert due is not None
        began = self.now
        self.now = due
        self.fail(step, timed_out=True)
        return due - began

    def serve(self, step: Try) -> None:
        """The attempt succeeds, and the walk begins afresh."""
        self.book.record(step.permit, Outcome(Status.SUCCESS), self.now)
        self.walk.restart()

    def fail_until_exhausted(
        self, fail: Callable[[Try], object], *, limit: int = 1000
    ) -> list[int]:
        """Let every attempt fail; say who was asked, in order."""
        order: list[int] = []
        for _ in range(limit):
            step = self.next()
            if step is None:
                return order
            if isinstance(step, Wait):
                self.now += step.seconds
            else:
                order.append(step.provider)
                fail(step)
        raise AssertionError(f"not exhausted after {limit} steps, {len(order)} of them attempts")
