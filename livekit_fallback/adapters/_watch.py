# SPDX-License-Identifier: Apache-2.0
"""The deadline watch of one attempt: wakes up when something is overdue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# A timer of a loop that is not blocked comes this much too late at most.
_LATE_SEC = 0.005

# An answer that lies in the socket is through in a few turns of the loop, whatever held it up.
_MIN_GRACE_SEC = 0.03
_MAX_GRACE_SEC = 1.0


class Watch:
    """Calls back once when a deadline has passed that may move all the time.

    Outputs come every few milliseconds and each moves the deadline. So the watch is not told:
    it asks when its timer fires, and goes back to sleep if the deadline has moved.

    Once, the time for which the event loop was blocked past the deadline is granted on top: what
    came meanwhile has not been read yet, and is not late by any fault of its sender. Where debts
    come and go for a whole call, each may be given a grace of its own (:meth:`renew_grace`).

    Args:
        due: Returns the deadline as of now (monotonic seconds); ``None`` while nothing is owed.
        expired: Called once when the deadline has passed; the watch is stopped before.
    """

    __slots__ = ("_due", "_expired", "_graced", "_loop", "_timer")

    def __init__(self, due: Callable[[], float | None], expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._graced = False

    def look(self) -> None:
        """Look at the deadline: needed when it has come nearer, or when there is one again."""
        due = self._due()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        self.stop()
        self._timer = self._loop.call_at(max(due, self._loop.time()), self._fire)

    def stop(self) -> None:
        """Go to sleep until the next :meth:`look`. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def renew_grace(self) -> None:
        """Nothing is owed any more: the next debt has a grace of its own."""
        self._graced = False

    def _fire(self) -> None:
        timer, self._timer = self._timer, None
        due = self._due()
        if due is None or timer is None:
            return
        now = self._loop.time()
        late = now - timer.when()
        if due <= now and late > _LATE_SEC and not self._graced:
            self._graced = True
            due = now + min(max(late, _MIN_GRACE_SEC), _MAX_GRACE_SEC)
        if due > now:
            self._timer = self._loop.call_at(due, self._fire)
            return
        self._expired()
