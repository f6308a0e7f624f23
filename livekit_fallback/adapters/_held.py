# SPDX-License-Identifier: Apache-2.0
"""A final transcript that is held back for a moment, because its recogniser may be dying."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livekit.agents.stt import SpeechEvent


class HeldBack:
    """A final, and what came behind it. There is nothing in it most of the time."""

    def __init__(self) -> None:
        self._events: list[SpeechEvent] = []
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        return bool(self._events)

    def begin(self, event: SpeechEvent, seconds: float, over: Callable[[], None]) -> None:
        """Hold a final back for so long."""
        self._events = [event]
        self._timer = asyncio.get_running_loop().call_later(seconds, over)

    def add(self, event: SpeechEvent) -> None:
        """Hold back what comes behind it."""
        self._events.append(event)

    def release(self) -> list[SpeechEvent]:
        """Return what was held back, and hold it no longer."""
        events, self._events = self._events, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return events
