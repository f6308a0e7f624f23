# SPDX-License-Identifier: Apache-2.0
"""The telephone line: both directions in step, 20 ms at a time, recorded as they happen.

Each tick sends 20 ms of the caller to the agent and lets the caller hear 20 ms of the agent, so
the two recordings have one clock: sample n of either was on the line n / `RATE` seconds after
the call began.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from .audio import RATE, Samples

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.02
TICK_SAMPLES = int(RATE * TICK)
TICK_BYTES = TICK_SAMPLES * 2


class Line:
    """Plays and records one call in real time.

    Args:
        send: takes every 20 ms of the caller's sound, in order.
        played_out: told when the agent's speech has been heard to its end.
    """

    def __init__(self, send: Callable[[bytes], None], played_out: Callable[[], None]) -> None:
        self._send = send
        self._played_out = played_out
        self._to_say = bytearray()
        self._to_hear = bytearray()
        self._said = bytearray()
        self._heard = bytearray()
        # Whether the agent sent sound since its last flush; a flush without sound is not answered.
        self._owes_reply = False
        self._flushed = False
        self.began_at = 0.0

    @property
    def now(self) -> float:
        """Seconds of the call recorded so far."""
        return len(self._said) / 2 / RATE

    @property
    def agent_pending(self) -> bool:
        """Whether there is sound of the agent the caller has not heard yet."""
        return bool(self._to_hear)

    @property
    def said(self) -> Samples:
        return np.frombuffer(bytes(self._said), dtype=np.int16)

    @property
    def heard(self) -> Samples:
        return np.frombuffer(bytes(self._heard), dtype=np.int16)

    def heard_since(self, start: float) -> Samples:
        """What the caller heard from `start` seconds on."""
        return np.frombuffer(bytes(self._heard[int(start * RATE) * 2 :]), dtype=np.int16)

    def say(self, samples: Samples) -> float:
        """Let the caller speak next; return when on the call's clock the first sample goes out."""
        start = self.now + len(self._to_say) / 2 / RATE
        self._to_say += samples.tobytes()
        return start

    def hear(self, data: bytes) -> None:
        """Queue sound that arrived from the agent."""
        self._to_hear += data
        self._owes_reply = True

    def flush(self) -> None:
        """The agent finished a speech: report when the caller has heard all of it."""
        self._flushed = self._owes_reply

    def clear(self) -> None:
        """The agent was interrupted: what is queued is never heard."""
        self._to_hear.clear()

    async def run(self) -> None:
        """Tick until cancelled; late ticks are caught up, so the clock never drifts."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        # A frame is sent once it has been spoken: its first sample is one tick old by then.
        self.began_at = time.time() - TICK
        ticks = 0
        while True:
            self._tick()
            ticks += 1
            await asyncio.sleep(max(0.0, began + ticks * TICK - loop.time()))

    def _tick(self) -> None:
        said = _take(self._to_say)
        self._said += said
        self._heard += _take(self._to_hear)
        self._send(said)
        if self._flushed and not self._to_hear:
            self._flushed = self._owes_reply = False
            self._played_out()


def _take(queue: bytearray) -> bytes:
    chunk = bytes(queue[:TICK_BYTES])
    del queue[:TICK_BYTES]
    return chunk.ljust(TICK_BYTES, b"\0")
