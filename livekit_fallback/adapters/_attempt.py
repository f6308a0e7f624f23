# SPDX-License-Identifier: Apache-2.0
"""What an attempt is: one use of one provider for one request. Written once for all components.

The provider runs in a task of its own, so that a deadline can move on without its consent. The
first of these decides the attempt's outcome, and whatever comes later is dropped:

* the provider's stream ends, cleanly or with an exception of any type
* a deadline passes: the provider is cancelled and closed beside the next attempt
* another attempt at the same request gives useful output first: likewise, and nobody failed
* the caller cancels: everything ends, nobody is blamed
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from ..classify import ErrorFacts, classify
from ..core.outcome import OVERTAKEN, SERVED, Outcome, Status
from ..errors import (
    AttemptReport,
    FirstOutputTimeoutError,
    NoOutputError,
    ProviderCancelledError,
    StallError,
    as_exception,
)
from . import _clock
from ._assignment import Assignment
from ._ending import Ending
from ._livekit import mark_probe
from ._tasks import dismiss, settle
from ._watch import Watch

# How long the end of a request waits for its provider's stream to close. Streams close within a
# few turns of the event loop; one that does not is left to close beside the conversation.
CLOSE_PATIENCE_SEC = 0.25

# When a provider that was cancelled, or is closing, and is still there is cancelled (again).
_REMIND_SEC = 1.0

# How long a provider that refuses input has to say why.
_LAST_WORD_SEC = 0.1

Item = TypeVar("Item")

Stream = AbstractAsyncContextManager[AsyncIterator[Item]]
"""A provider's stream: entered to use it, iterated for its output, left to close it."""

current_attempt: ContextVar[Attempt[Any] | None] = ContextVar("current_attempt", default=None)
"""The attempt that the running code works for. Tasks started by a provider inherit it, which is
how a metrics event of a shared provider is traced to the request that caused it."""


class Attempt(Ending, ABC, Generic[Item]):
    """One use of one provider.

    Subclasses look at each output (:meth:`_receive`), say :meth:`_output` when it is useful,
    hand it to the session, and judge a clean end (:meth:`_judge_end`). Outputs are handed over
    in the provider's order, and none after the attempt is over.

    Args:
        assignment: What to work with.
        open_stream: Opens the provider's stream. May raise.
        prime: Hands the opened stream the input it has to begin with. May raise.
    """

    def __init__(
        self,
        assignment: Assignment,
        open_stream: Callable[[], Stream[Item]],
        prime: Callable[[Any], None] | None = None,
    ) -> None:
        self.member = assignment.member
        self.permit = assignment.permit  # renewed when a success was recorded on the way
        self.is_probe = assignment.is_probe
        self.facts: ErrorFacts | None = None  # set when the attempt fails, as is its error
        self.metrics: list[Any] = []  # the provider's, held back while this may be in vain
        self.delivered = 0.0  # handed to the session: characters (LLM), seconds of audio (TTS)
        self.unfinished = False  # it succeeded, but the request goes on with another provider
        self.is_hedge = False  # asked while the one whose turn it is was silent
        self.is_blurred = False  # its latency is longer than the provider took for its first output
        self.tasks = assignment.tasks
        self.outer = current_attempt.get()  # whose provider this attempt's adapter is, if any
        self._assignment = assignment
        self._open_stream = open_stream
        self._prime = prime
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._due, self._expire)
        self._verdict: asyncio.Future[Outcome] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._stream_ended = False  # the provider's stream is closing by itself
        self._input_refused = False
        self._stopped = False  # by us: a cancellation from now on is ours
        self._owed_since: float | None = None
        self._first_output_due: float | None = None
        self._latency: float | None = None
        self._last_output = 0.0  # meaningful after the first
        self._closing_due: float | None = None  # set while the stream of a success is closing
        self._context = copy_context()
        self._context.run(current_attempt.set, self)
        self.started_at = self._loop.time()

    @property
    def latency(self) -> float | None:
        """Seconds from the debt to the first useful output; ``None`` before it."""
        return self._latency

    @property
    def owed_since(self) -> float | None:
        """When output was first owed (monotonic seconds of the loop); ``None`` before it."""
        return self._owed_since

    @property
    def owed(self) -> bool:
        """Whether the provider has owed output at any time."""
        return self._owed_since is not None

    @property
    def is_decided(self) -> bool:
        """Whether it is over, and how it went is known."""
        return self._verdict.done()

    @property
    def verdict(self) -> asyncio.Future[Outcome]:
        """Done once it is decided how the attempt went."""
        return self._verdict

    @property
    def duration(self) -> float:
        """Seconds since the attempt began."""
        return self._loop.time() - self.started_at

    def report(self) -> AttemptReport:
        """Say what the attempt came to, once it has failed."""
        facts, error = self.facts, self.error
        assert facts is not None
        assert error is not None
        return AttemptReport(
            provider=self.member.name,
            kind=facts.failure.kind,
            reason=facts.failure.reason,
            status_code=facts.status_code,
            request_id=facts.request_id,
            body=facts.body,
            duration=self.duration,
            error=error,
        )

    async def run(self) -> Outcome:
        """Use the provider and return how it went. Call once.

        Raises:
            asyncio.CancelledError: The caller was cancelled, or the adapter closed. The provider
                has been cancelled, and closed unless it refuses to.
        """
        self.start()
        try:
            outcome = await self._assignment.tasks.wait_for(self._verdict)
        except asyncio.CancelledError:
            await self.abandon()
            raise
        self.let_go()
        return outcome

    def start(self) -> None:
        """Begin to use the provider. Call once, and :meth:`run` not at all."""
        name = f"fallback attempt on {self.member.name}"
        self._task = self._assignment.tasks.spawn(self._drive(), name)

    def finish(self) -> Outcome:
        """Return how it went, once that is decided, and let go of the provider.

        Raises:
            asyncio.CancelledError: The adapter was closed.
        """
        self.let_go()
        return self._verdict.result()

    async def abandon(self) -> None:
        """Cancel the provider on the caller's behalf, and wait a little for it to close."""
        self.let_go()
        if self._task is not None:
            await settle(self._task, patience=CLOSE_PATIENCE_SEC)

    def overtake(self) -> None:
        """Cancel the provider because another attempt at the same request was faster."""
        self.was_overtaken = True
        self._decide(OVERTAKEN)
        self.let_go()

    def owe(self) -> None:
        """Start the clock: from now on the provider owes output. Idempotent."""
        if self._owed_since is not None or self._verdict.done():
            return
        self._owed_since = self._loop.time()
        self._first_output_due = self._assignment.first_output_due(self._owed_since)
        if self._assignment.owed is not None:
            self._assignment.owed(self._owed_since, self._first_output_due)
        self._watch.look()

    def feed(self, give: Callable[[Any], None], what: Any) -> bool:
        """Hand input to the provider; return whether it took it. What it raises is its failure."""
        if self._input_refused or self._verdict.done():
            return False
        try:
            # what the provider starts in here works for this attempt, not for the caller
            self._context.copy().run(give, what)
        except Exception as error:
            # mostly because its stream has just ended, and knows better why: let it say so
            self._input_refused = True
            self._loop.call_later(_LAST_WORD_SEC, self._fail, error)
        return not self._input_refused

    @abstractmethod
    def _receive(self, item: Item) -> None:
        """Look at one output of the provider and hand it on."""

    def _judge_end(self) -> BaseException | None:
        """Return what is wrong with a stream that ended cleanly just now; ``None`` if nothing."""
        return None if self.committed else NoOutputError("any useful output")

    def _is_complete(self) -> bool:
        """Whether all that was owed had been delivered, should the stream break now."""
        return False

    def _owes_more(self) -> bool:
        """Whether the provider certainly owes further output, now that output flows."""
        return True

    def _output(self) -> None:
        """Take note of a useful output, just before it is handed to the session."""
        self._last_output = self._loop.time()
        if not self.committed:
            self._first_output()

    def _first_output(self) -> None:
        self.committed = True
        self._latency = self._last_output - (self._owed_since or self._last_output)
        if self.is_probe:
            self._succeed()
            return
        self._assignment.served(self)
        self._watch.look()  # a stall is due earlier than the first output was

    def _due(self) -> float | None:
        if self._closing_due is not None:
            return self._closing_due
        if self._latency is None:
            return self._first_output_due
        stall_timeout = self.member.limits.stall_timeout
        if stall_timeout is None or not self._owes_more():
            return None
        return self._last_output + stall_timeout

    def _succeed(self) -> None:
        self._decide(SERVED)

    def _fail(self, error: BaseException) -> None:
        if self._verdict.done():
            return
        if self._closing_due is not None or self._is_complete():
            self._succeed()
            return
        self.error = as_exception(error)
        self.facts = classify(self.error, now=_clock.wall())
        self._decide(Outcome(Status.FAILURE, self.facts.failure))

    def _decide(self, outcome: Outcome) -> None:
        if not self._verdict.done():
            self._watch.stop()
            self._verdict.set_result(outcome)

    def _expire(self) -> None:
        if self._closing_due is not None:
            self._succeed()  # it had done its work, and only refuses to close
        else:
            self._fail(self._overdue())

    def _overdue(self) -> Exception:
        """Return what is wrong now that a deadline has passed."""
        if self._latency is None:
            return FirstOutputTimeoutError(
                self._loop.time() - (self._owed_since or self.started_at)
            )
        return StallError(self._loop.time() - self._last_output)

    def let_go(self) -> None:
        """Cancel the provider, should it still be at work. Idempotent."""
        self._watch.stop()
        self._stopped = True
        if self._task is not None:
            # a stream that is closing already would leave things behind if it were disturbed
            dismiss(self._task, at_once=not self._stream_ended, patience=_REMIND_SEC)

    async def _drive(self) -> None:
        current_attempt.set(self)
        try:
            async with self._open_stream() as stream:
                try:
                    await self._consume(stream)
                except BaseException as error:
                    self._broke(error)  # before closing, which may take its time
            self._succeed()
        except BaseException as error:
            self._broke(error)
        finally:
            # only when the adapter was closed: nobody else would wake the waiting request
            self._verdict.cancel()

    async def _consume(self, stream: Any) -> None:
        decided = self._verdict.done
        try:
            if self._prime is not None:
                self._prime(stream)
            async for item in stream:
                if decided():
                    return
                self._receive(item)
            self._end()
        finally:
            self._stream_ended = True
            if self.is_probe:
                mark_probe(stream)

    def _end(self) -> None:
        problem = self._judge_end()
        if problem is not None:
            self._fail(problem)
            return
        # the provider reports its metrics while its stream closes: wait for that, but not long
        self._closing_due = self._loop.time() + CLOSE_PATIENCE_SEC
        self._watch.look()

    def _broke(self, error: BaseException) -> None:
        """Take what came out of the provider. It may raise anything, and all of it counts."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if isinstance(error, asyncio.CancelledError):
            if self._stopped or self._assignment.tasks.closed:
                raise error
            error = ProviderCancelledError()
        self._fail(error)
