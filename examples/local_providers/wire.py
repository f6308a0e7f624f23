# SPDX-License-Identifier: Apache-2.0
"""The two kinds of connection an answer travels on: an HTTP body and a websocket.

Both offer the same few moves, so that a fault is written once and works on either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import WSMessage

Payload = str | bytes


class ClientGoneError(Exception):
    """The client closed the connection before it had its answer."""


class Wire(Protocol):
    """One connection to a client, as far as an answer and its faults need it."""

    async def open(self) -> None:
        """Send what comes before the first payload."""

    async def send(self, payload: Payload) -> None:
        """Send one payload."""

    async def beat(self) -> None:
        """Send a sign of life that says nothing."""

    async def end(self) -> None:
        """End cleanly, as if all had been said."""

    async def close(self, code: int) -> None:
        """End because of an error, in the way of the protocol."""

    async def idle(self) -> None:
        """Stay open and say nothing until the client leaves; never returns."""

    def abort(self) -> None:
        """Break the TCP connection."""

    ended_here: bool
    """Whether it was this side that ended the connection."""


class _Connection:
    """What both kinds have in common: a request, and who ended it."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.ended_here = False

    def abort(self) -> None:
        """Break the TCP connection if there still is one."""
        self.ended_here = True
        if self._request.transport is not None:
            self._request.transport.abort()


class HttpWire(_Connection):
    """The body of one HTTP response."""

    BEATS: ClassVar = {"text/event-stream": b": ping\n\n", "application/json": b" "}

    def __init__(self, request: web.Request, content_type: str) -> None:
        super().__init__(request)
        self._beat = self.BEATS.get(content_type, b"")
        headers = {"Content-Type": content_type, "X-Request-Id": f"req_{uuid.uuid4().hex}"}
        self.response = web.StreamResponse(headers=headers)

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def send(self, payload: Payload) -> None:
        await self.response.write(payload.encode() if isinstance(payload, str) else payload)

    async def beat(self) -> None:
        if self._beat:
            await self.response.write(self._beat)

    async def end(self) -> None:
        self.ended_here = True
        await self.response.write_eof()

    async def close(self, code: int) -> None:
        self.abort()

    async def idle(self) -> None:
        # The server cancels the handler when the client disconnects.
        await asyncio.Event().wait()


class SocketWire(_Connection):
    """A websocket: one request of its own (``listens``), or many that come one by one."""

    CLOSING_TIME = 1.0  # seconds a client gets to answer a close

    def __init__(self, request: web.Request, *, listens: bool, beat: str = "") -> None:
        super().__init__(request)
        self.response = web.WebSocketResponse(timeout=self.CLOSING_TIME)
        self.listens = listens
        self._beat = beat

    async def open(self) -> None:
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def send(self, payload: Payload) -> None:
        if self.response.closed:
            raise ClientGoneError
        if isinstance(payload, str):
            await self.response.send_str(payload)
        else:
            await self.response.send_bytes(payload)

    async def beat(self) -> None:
        await self.response.ping()
        if self._beat:
            await self.send(self._beat)

    async def end(self) -> None:
        await self.close(WSCloseCode.OK)

    async def close(self, code: int) -> None:
        self.ended_here = True
        await self.response.close(code=code)

    async def idle(self) -> None:
        # A socket with many requests has a reader of its own, which cancels them in the end.
        if not self.listens:
            await asyncio.Event().wait()
        async for _ in self.messages():
            pass
        raise ClientGoneError

    async def messages(self) -> AsyncIterator[WSMessage]:
        """Yield what the client sends until it leaves."""
        async for message in self.response:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                yield message


def command(message: WSMessage) -> dict[str, Any]:
    """Return the JSON object in ``message``, an empty one if there is none."""
    with contextlib.suppress(ValueError):
        if isinstance(found := json.loads(message.data), dict):
            return found
    return {}


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body of ``request``; anything else is answered with 400."""
    with contextlib.suppress(ValueError):
        if isinstance(found := await request.json(), dict):
            return found
    error = json.dumps({"error": "the body must be a JSON object"})
    raise web.HTTPBadRequest(text=error, content_type="application/json")
