# SPDX-License-Identifier: Apache-2.0
"""A vendor's port: it can refuse connections for a while and still stays ours."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from .desk import Desk

BIGGEST_UPLOAD = 32 * 1024**2  # five minutes of speech and more


class Port:
    """Listens for one vendor on a port that the system picks."""

    def __init__(self, host: str, desk: Desk, routes: list[web.RouteDef]) -> None:
        """Reserve the port; ``open`` starts to listen."""
        self.desk = desk
        app = web.Application(client_max_size=BIGGEST_UPLOAD)
        app.add_routes(routes)
        self._runner = runner(app)
        # Bound but never listening: it holds the number while connections are refused. Without
        # it the system could give the port to somebody else, or connect a client to itself.
        self._claim = _shared(host, 0)
        self._address: tuple[str, int] = self._claim.getsockname()[:2]
        # All None while connections are refused.
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return "http://{}:{}".format(*self._address)

    async def open(self) -> None:
        """Start to listen for the first time."""
        await self._runner.setup()
        self.accept(True)
        await self.settled()

    def accept(self, wanted: bool) -> None:
        """Accept connections or refuse them; asking for what is the case changes nothing.

        Both work at once: a connection that is accepted waits until the loop serves it. Refusing
        breaks what is connected.
        """
        if wanted and self._socket is None:
            self._socket = _listening(*self._address)
            self._opening = asyncio.create_task(self._serve(self._socket), name="port-open")
        elif not wanted and self._socket is not None:
            self._close()
            self._abort_all()
            self.desk.staff.journal.add(self.desk.vendor, "*", "fault", mode="refuse")

    async def settled(self) -> None:
        """Wait until the loop serves again what ``accept`` lets in."""
        if self._opening is not None:
            await asyncio.wait([self._opening])

    async def _serve(self, listening: socket.socket) -> None:
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._runner.server, sock=listening, start_serving=False
        )
        await self._server.start_serving()

    def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        self._server = self._socket = self._opening = None

    def _abort_all(self) -> None:
        self.desk.drop("*")
        server = self._runner.server
        for connection in list(server.connections) if server else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def aclose(self) -> None:
        """Close the port and every connection."""
        self._close()
        self._abort_all()
        await self._runner.cleanup()
        self._claim.close()


def runner(app: web.Application) -> web.AppRunner:
    """Return a runner for ``app`` that cancels the handler of a client that hung up."""
    return web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)


def _shared(host: str, port: int) -> socket.socket:
    """Return a bound socket whose port other sockets of ours may be bound to as well."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound


def _listening(host: str, port: int) -> socket.socket:
    listening = _shared(host, port)
    listening.listen()
    return listening
