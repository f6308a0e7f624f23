# SPDX-License-Identifier: Apache-2.0
"""An event loop whose time is virtual: it jumps to the next timer instead of waiting for it.

A test of a 30 s cool-down then takes as long as the work it does, and a deadline of 2.5 s passes
at exactly 2.5 s however busy the machine is.

How it works. An event loop sleeps in one place only, its selector, and the loop tells the selector
how long until the next timer. The selector here looks for events without waiting and, when there
are none, moves the loop's clock forward by that long. Three cases are not a jump:

- Work handed to a thread is still going: the loop waits for it in real time, because the thread's
  result is due "now" in virtual time. Only `run_in_executor` (and `asyncio.to_thread`) is noticed,
  not a thread that somebody started by hand.
- Nothing is scheduled at all: nothing could ever happen again, so `StuckLoopError` is raised with
  the tasks that wait, where a plain loop would hang until the test's timeout.
- A socket is being watched: the network does not run on virtual time, so that is an error in the
  test, which belongs under tests/integration.

The host's clocks follow. LiveKit reads `time.time()`, `time.monotonic()` and `time.perf_counter()`
for stream offsets, event times and metrics; on real clocks an utterance 30 virtual seconds long
would be measured as a millisecond. So while a virtual loop runs, and only then, these three are
replaced on the `time` module. A reference taken earlier (`from time import monotonic`, a default
argument) cannot be reached and keeps real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

T = TypeVar("T")

# Neither is zero: code that assumes that a clock starts there is to be found out.
START = 10_000.0
WALL_CLOCK_START = 1_750_000_000.0


class StuckLoopError(RuntimeError):
    """Every task waits for something that nobody is going to do."""


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for events without waiting and moves `now` forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.calls_in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.calls_in_threads:
            return super().select(None)
        # One descriptor is the loop's own, by which threads wake it.
        if len(self.get_map()) > 1:
            raise RuntimeError("a socket is watched on virtual time: make this an integration test")
        if timeout is None:
            raise StuckLoopError(_what_waits())
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time; everything else is the standard loop."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._last_tick = 0.0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def spend(self, seconds: float) -> None:
        """Let time pass while nothing else runs; see `block`."""
        self._jumping.now += seconds

    def run_forever(self) -> None:
        with self._host_clocks_follow():
            super().run_forever()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.calls_in_threads += 1
        future.add_done_callback(self._thread_returned)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        # Joining the pool is done by a thread too, one that does not come through the method above.
        self._jumping.calls_in_threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jumping.calls_in_threads -= 1

    def _thread_returned(self, _: asyncio.Future[Any]) -> None:
        self._jumping.calls_in_threads -= 1

    def _ticking(self) -> float:
        # Like the real one it never shows the same time twice: LiveKit divides by durations.
        self._last_tick = max(self.time(), self._last_tick + 1e-9)
        return self._last_tick

    @contextlib.contextmanager
    def _host_clocks_follow(self) -> Iterator[None]:
        real = time.time, time.monotonic, time.perf_counter
        time.time = lambda: WALL_CLOCK_START + self.time() - START
        time.monotonic = self.time
        time.perf_counter = self._ticking
        try:
            yield
        finally:
            time.time, time.monotonic, time.perf_counter = real


class Stopwatch:
    """Measures virtual seconds: `with Stopwatch() as watch: ...`, then `watch.elapsed`."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._stopped: float | None = None

    def __enter__(self) -> Stopwatch:
        self._started = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start; no longer growing once the block was left."""
        return (self._clock() if self._stopped is None else self._stopped) - self._started


async def turns(count: int = 5) -> None:
    """Let everything that is ready run, `count` loop turns deep, without moving the clock."""
    for _ in range(count):
        await asyncio.sleep(0)


def block(seconds: float) -> None:
    """Keep the loop busy for so long, as a blocking call does: what became due meanwhile waits."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.spend(seconds)


def _what_waits() -> str:
    waiting = "\n".join(f"  {task!r}" for task in asyncio.all_tasks())
    return f"nothing is scheduled, so these tasks would wait for ever:\n{waiting}"
