# SPDX-License-Identifier: Apache-2.0
"""The deadline watch of one attempt: wakes up when something is overdue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """Calls back once when a deadline has passed that may move all the time.

    Outputs come every few milliseconds and each moves the deadline. So the watch is not told:
    it asks when its timer fires, and goes back to sleep if the deadline has moved.

    Args:
        due: Returns the deadline as of now (monotonic seconds); ``None`` while nothing is owed.
        expired: Called once when the deadline has passed; the watch is stopped before.
    """

    __slots__ = ("_due", "_expired", "_loop", "_timer")

    def __init__(self, due: Callable[[], float | None], expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Look at the deadline: needed when it has come nearer, or when there is one again."""
        due = self._due()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        self.stop()
        self._timer = self._loop.call_at(due, self._fire)

    def stop(self) -> None:
        """Go to sleep until the next :meth:`look`. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        due = self._due()
        if due is None:
            return
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._fire)
            return
        self._expired()
