# SPDX-License-Identifier: Apache-2.0
"""The way from an attempt to the session: what streams of all components have in common.

Every hop costs each chunk and frame several microseconds, so there is exactly one: the attempt
puts an output into the outbox, and the session's ``async for`` takes it out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Generic, TypeVar

from livekit.agents.utils.aio import cancel_and_wait

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """A queue with one writer and one reader that ends with the request's task."""

    __slots__ = ("_ended", "_error", "_items", "_loop", "_waiter")

    def __init__(self, request: asyncio.Task[None]) -> None:
        self._loop = request.get_loop()
        self._items: deque[Item] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None  # what the request ended with
        request.add_done_callback(self._end)

    def put(self, item: Item) -> None:
        """Hand over an output; dropped when the request has ended."""
        if self._ended:
            return
        self._items.append(item)
        if self._waiter is not None:
            self._wake()

    async def get(self) -> Item:
        """Take the next output.

        Raises:
            StopAsyncIteration: The request has ended and all outputs were taken.
            Exception: The request failed, after all outputs were taken.
        """
        while not self._items:
            if self._ended:
                raise StopAsyncIteration if self._error is None else self._error
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._items.popleft()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _end(self, request: asyncio.Task[None]) -> None:
        self._ended = True
        if not request.cancelled():
            self._error = request.exception()
        self._wake()


class OutboxStream(Generic[Item]):
    """Mixin of the adapters' streams: they are read from an outbox, and closed with its request.

    Stands before LiveKit's stream class, whose own way from provider to session (a channel, a
    tee and a task for metrics) it replaces.
    """

    _outbox: Outbox[Item]
    _request_task: asyncio.Task[None]

    def _read_from_outbox(self, request: asyncio.Task[None]) -> None:
        self._request_task = request
        self._outbox = Outbox(request)

    async def __anext__(self) -> Item:
        return await self._outbox.get()

    async def aclose(self) -> None:
        """End the request at once. Idempotent; safe to call while another task is reading."""
        self._end_input()
        if not self._request_task.done():
            await cancel_and_wait(self._request_task)
        self._end_span()

    def _end_input(self) -> None:
        """Refuse further input, for streams that take any."""

    def _end_span(self) -> None:
        """End the request's span, for components that have one."""

    async def _metrics_monitor_task(self, event_aiter: Any) -> None:
        """Do nothing: the metrics of a request are those of the provider that served it."""

    async def _run(self, *args: Any) -> None:
        raise NotImplementedError("the walk down the chain takes the place of _run")
