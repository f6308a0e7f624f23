# SPDX-License-Identifier: Apache-2.0
"""One request's way down the chain: whom to ask next, how long it may take, when to give up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from .backoff import full_jitter
from .circuit import Permit
from .health import HealthBook
from .outcome import Failure

# Between two passes the caller hears silence, so waits stay short enough to be heard as a pause.
_MAX_WAIT_SEC = 2.0

# Jitter may draw next to nothing, and a provider may fail the moment it has served: in neither
# case is it asked in a busy loop.
_MIN_BETWEEN_SEC = 0.1
_SLACK_SEC = 1e-6  # of floating point

# No provider answers in less, so what is left of the budget is not worth another try.
_WORTH_A_TRY_SEC = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one provider is allowed.

    Args:
        attempt_timeout: Seconds to its first useful output; ``None`` is no limit.
        stall_timeout: Seconds from one useful output to the next; ``None`` is no limit.
        max_retry: How often it may be asked again within one pass.
        adaptive_from: Where set, ``attempt_timeout`` is only the longest deadline: it follows
            what the provider usually takes, and is no shorter than this many seconds.
        silence_timeout: Seconds for which it may give nothing for speech; ``None`` is no limit.
    """

    attempt_timeout: float | None
    stall_timeout: float | None
    max_retry: int = 0
    adaptive_from: float | None = None
    silence_timeout: float | None = None


class Try(NamedTuple):
    """Ask this provider now."""

    provider: int
    permit: Permit
    limits: Limits
    is_last: bool
    """Nobody else is left in this pass, so what remains of the budget is this one's."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask nobody for this many seconds, then call :meth:`Walk.next` again."""

    seconds: float


class Walk:
    """One request's way down the chain.

    The budget (``total_timeout``) starts with :meth:`start`, when output is first owed. It
    bounds the search for a provider that serves. An answer that is flowing is never cut by it.

    Args:
        health: The chain's health, shared by all requests of one adapter.
        limits: One entry per provider.
        total_timeout: Budget in seconds; ``None`` is no limit.
        retry_interval: Upper bound of the first wait in seconds; later ones double.
        jitter: Draws from [0, 1).
        is_urgent: Ask the fastest first.
    """

    def __init__(
        self,
        health: HealthBook,
        limits: Sequence[Limits],
        *,
        total_timeout: float | None,
        retry_interval: float,
        jitter: Callable[[], float],
        is_urgent: bool = False,
    ) -> None:
        self._health = health
        self._limits = limits
        self._total_timeout = total_timeout
        self._retry_interval = retry_interval
        self._jitter = jitter
        self._is_urgent = is_urgent
        self._deadline: float | None = None
        self._asked_at: dict[int, float] = {}
        self.restart()

    def restart(self) -> None:
        """Begin afresh, as if nobody had been asked: a stream without end is many requests."""
        self._drawn: frozenset[int] | None = None  # who is held back, once it matters
        self.hand_over()

    def hand_over(self) -> None:
        """Begin afresh with the provider for which the one at work was left."""
        self._started = False
        self._deadline = None
        self._tried: set[int] = set()
        self._hopeless: set[int] = set()  # failed for a reason that will not pass
        self._retries: dict[int, int] = {}
        self._again: int | None = None  # the provider to ask again before the next one
        self._reported: int | None = None  # who failed last
        self._pause: Wait | None = None  # to be kept before that
        self._passes = 0

    def start(self, now: float) -> None:
        """Start the budget; later calls change nothing."""
        if self._started:
            return
        self._started = True
        self._deadline = None if self._total_timeout is None else now + self._total_timeout

    def would_leave(self, provider: int, now: float) -> bool:
        """Whether what comes next had better go to another provider than the one at work."""
        if not self._health.can_be_outranked(provider):
            return False
        best = self._order(now)[0]
        return self._health.usable(best, now) and self._health.outranks(best, provider)

    def first_output_due(self, step: Try, now: float) -> float | None:
        """Return when the first useful output must be there, if it is owed from ``now`` on."""
        self.start(now)
        timeout = self._timeout(step)
        if timeout is None or (step.is_last and self._deadline is not None):
            return self._deadline
        due = now + timeout
        return due if self._deadline is None else min(due, self._deadline)

    def _timeout(self, step: Try) -> float | None:
        limits = step.limits
        if limits.adaptive_from is None:
            return limits.attempt_timeout
        pace = self._health.pace(step.provider)
        return pace.deadline(limits.adaptive_from, limits.attempt_timeout)

    def next(self, now: float) -> Try | Wait | None:
        """Return what to do now; ``None`` when the request is exhausted."""
        if self._deadline is not None and now >= self._deadline:
            return None
        if self._pause is not None:
            pause, self._pause = self._pause, None
            return self._fit(pause, now)
        left = [i for i in self._order(now) if i not in self._hopeless]
        candidates = [i for i in left if i not in self._tried]
        again, self._again = self._again, None
        if again in left:
            return self._ask(again, now, others=candidates)
        if not candidates:
            return self._next_pass(now) if left else None
        too_soon = self._asked_at.get(candidates[0], -inf) + _MIN_BETWEEN_SEC - now
        if too_soon > _SLACK_SEC:
            return self._fit(Wait(too_soon), now)
        return self._ask(candidates[0], now, others=candidates[1:])

    def hedge(
        self, now: float, running: Collection[int], unfit: Collection[int] = ()
    ) -> Try | None:
        """Return whom to ask as well, while those at work are still silent.

        Args:
            now: Monotonic seconds.
            running: Who is at work.
            unfit: Who must not be asked in vain.

        Returns:
            The next usable provider that was not asked yet; ``None`` if there is none.
        """
        asked = {*running, *self._tried, *self._hopeless}
        left = [i for i in self._order(now) if i not in asked]
        found = next((i for i in left if i not in unfit and self._is_trusted(i)), None)
        if found is None:
            return None
        return self._ask(found, now, others=[i for i in left if i != found])

    def _is_trusted(self, provider: int) -> bool:
        return self._health.circuit(provider).state.is_usable

    @property
    def asks_again(self) -> bool:
        """Whether the provider that has just failed is asked again before any other."""
        return self._again is not None and self._again == self._reported

    def report(
        self,
        step: Try,
        failure: Failure,
        now: float,
        *,
        owed: bool = True,
        fresh: bool = False,
        broke_off: bool = False,
    ) -> None:
        """Say how the attempt of ``step`` failed.

        Args:
            step: What :meth:`next` returned.
            failure: What happened.
            now: Monotonic seconds.
            owed: Output was owed. If not, the budget is not running yet.
            fresh: The provider had served until now: the search for another begins here.
            broke_off: Part of an answer had been handed over, so that this provider is not
                asked for it again.
        """
        if fresh:
            # what was tried before it served is old news, too
            self._started, self._deadline = False, None
            self._tried.clear()
        if owed:
            self.start(now)
        self._tried.add(step.provider)
        self._reported = step.provider
        if self._health.is_gradual:
            # should it come back meanwhile, it does so by and by
            self._drawn = self._held_back() | {step.provider}
        if broke_off or not failure.may_pass:
            self._hopeless.add(step.provider)
            return
        used = self._retries.get(step.provider, 0)
        if failure.worth_retrying and used < step.limits.max_retry:
            self._retries[step.provider] = used + 1
            self._again = step.provider
            self._pause = self._back_off(used)

    def _order(self, now: float) -> list[int]:
        return self._health.order(now, self._held_back(), is_urgent=self._is_urgent)

    def _held_back(self) -> frozenset[int]:
        if self._drawn is None:
            self._drawn = self._health.hold_back()
        return self._drawn

    def _ask(self, provider: int, now: float, *, others: list[int]) -> Try:
        self._asked_at[provider] = now
        permit = self._health.acquire(provider, now)
        return Try(provider, permit, self._limits[provider], is_last=not others)

    def _next_pass(self, now: float) -> Wait | None:
        self._tried.clear()
        self._retries.clear()
        self._passes += 1
        return self._fit(self._back_off(self._passes - 1), now)

    def _back_off(self, retry: int) -> Wait:
        return Wait(
            full_jitter(retry, base=self._retry_interval, cap=_MAX_WAIT_SEC, jitter=self._jitter())
        )

    def _fit(self, wait: Wait, now: float) -> Wait | None:
        if self._deadline is None:
            return wait
        left = self._deadline - now
        if left < _WORTH_A_TRY_SEC:
            return None
        # never the whole rest: a wait is only good for the try that follows it
        return Wait(min(wait.seconds, left / 2))
