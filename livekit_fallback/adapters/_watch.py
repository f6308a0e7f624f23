# SPDX-License-Identifier: Apache-2.0
"""The deadline watch of one attempt: enforces what a provider owes, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """One deadline at a time, cheap to move.

    An output comes every few milliseconds and moves the deadline each time, so moving it is one
    assignment: the timer is left alone and, when it fires too early, set again.

    Args:
        expired: Called once when a deadline passes; the watch is stopped before.
    """

    __slots__ = ("_due", "_expired", "_loop", "_timer")

    def __init__(self, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def due(self) -> float | None:
        """When the deadline passes (monotonic seconds); ``None`` while nothing is owed."""
        return self._due

    def set(self, due: float | None) -> None:
        """Move the deadline; ``None`` stops the watch until the next call."""
        self._due = due
        if due is None:
            return
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._fire)
        elif due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._fire)

    def stop(self) -> None:
        """Forget the deadline for good. Idempotent."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        due = self._due
        if due is None:
            return
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._fire)
            return
        self.stop()
        self._expired()
