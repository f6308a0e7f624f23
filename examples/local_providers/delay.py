# SPDX-License-Identifier: Apache-2.0
"""A delay line: what goes in comes out later, in the same order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .wire import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class DelayLine:
    """Sends things late without holding up whoever sends them.

    While nothing is late, sending is direct and costs no task.
    """

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[float, Callable[[], Awaitable[None]]]] = asyncio.Queue()
        # Runs from the first late item until the line is closed.
        self._task: asyncio.Task[None] | None = None

    async def send(self, action: Callable[[], Awaitable[None]], delay: float) -> None:
        """Do ``action`` in ``delay`` seconds, after all that was sent before."""
        if self._task is None and not delay:
            await action()
            return
        self._waiting.put_nowait((asyncio.get_running_loop().time() + delay, action))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="delay-line")

    async def drain(self) -> None:
        """Wait until nothing is late any more."""
        if self._task is not None and not self._task.done():
            await self._waiting.join()

    async def aclose(self) -> None:
        """Forget what is still late."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, action = await self._waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            # A client that left is noticed by whoever reads from it.
            with contextlib.suppress(ClientGoneError, ConnectionError):
                await action()
            self._waiting.task_done()
