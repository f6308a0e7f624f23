# SPDX-License-Identifier: Apache-2.0
"""Notices when the event loop was blocked: time that is nobody's but ours."""

from __future__ import annotations

import asyncio

# A beat that comes this late was held up by something that kept the loop busy. Blocking calls of
# half of that are common, and too short to make a provider look slow.
STALL_SEC = 0.1

_BEAT_SEC = 0.05


class StallWatch:
    """Keeps a timer going while somebody waits for a provider, and looks how late it comes."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0  # how long to keep it going
        self._stalled_until = float("-inf")  # when the newest stall ended

    def keep_watch(self, until: float) -> None:
        """Watch until then (monotonic seconds of the running loop)."""
        self._until = max(self._until, until)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_BEAT_SEC, self._beat, loop)

    def has_stalled(self, since: float, now: float) -> bool:
        """Return whether the loop was blocked at any time from then until now."""
        if self._timer is not None and now - self._timer.when() > STALL_SEC:
            return True  # only just: the beat has not come yet
        return self._stalled_until > since

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._timer is not None
        now = loop.time()
        if now - self._timer.when() > STALL_SEC:
            self._stalled_until = now
        self._timer = loop.call_later(_BEAT_SEC, self._beat, loop) if now < self._until else None
