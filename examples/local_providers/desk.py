# SPDX-License-Identifier: Apache-2.0
"""The front desk of one vendor: lets requests in, or not, and knows which are open."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from .exchange import Exchange, Phrases
from .faults import AT_THE_DOOR, INSIDE, FaultBoard, PostedFault, Service
from .wire import HttpWire, SocketWire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    from .ears import Ears
    from .journal import Journal
    from .voice import Voice


@dataclass(frozen=True)
class Pace:
    """How fast the providers answer, in seconds. The defaults are those of a good day."""

    first_token: float = 0.05
    token_gap: float = 0.015
    first_audio: float = 0.03
    audio_chunk: float = 0.1
    """Audio in one chunk."""
    audio_gap: float = 0.01
    """Pause between two chunks: speech is made ten times faster than it plays."""


@dataclass
class Staff:
    """What all vendors share: the engines behind them, the faults and the journal."""

    ears: Ears
    voice: Voice
    threads: ThreadPoolExecutor
    board: FaultBoard
    journal: Journal
    pace: Pace


@dataclass
class Desk:
    """Attends to the requests of one ``vendor``."""

    vendor: str
    staff: Staff
    _open: list[tuple[str, HttpWire | SocketWire]] = field(default_factory=list)

    async def attend(
        self,
        wire: HttpWire | SocketWire,
        service: Service,
        phrases: Phrases,
        answer: Callable[[Exchange], Awaitable[None]],
        *,
        text: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that has the connection to itself."""
        fault = self.staff.board.take(self.vendor, service)
        exchange = self._exchange(service, phrases, wire, fault, text)
        with self._listed(service, wire):
            if refusal := await self._turned_away(exchange):
                return refusal
            await exchange.run(answer)
        return wire.response

    async def host(
        self,
        wire: SocketWire,
        service: Service,
        phrases: Phrases,
        talk: Callable[[], Awaitable[None]],
    ) -> web.StreamResponse:
        """Open a websocket on which ``talk`` takes one request after the other."""
        fault = self.staff.board.take(self.vendor, service, modes=AT_THE_DOOR)
        with self._listed(service, wire):
            if fault is not None:
                exchange = self._exchange(service, phrases, wire, fault, None)
                if refusal := await self._turned_away(exchange):
                    return refusal
            await wire.open()
            await talk()
        return wire.response

    def exchange_on(
        self,
        wire: SocketWire,
        service: Service,
        phrases: Phrases,
        text: str,
    ) -> Exchange:
        """Return the exchange for a request that arrived on an open websocket."""
        # A status still strikes, as an error message: the handshake is long past.
        fault = self.staff.board.take(self.vendor, service, modes=INSIDE | {"status"})
        return self._exchange(service, phrases, wire, fault, text)

    def drop(self, service: str) -> int:
        """Break the open connections of ``service`` (``"*"`` for all) and return how many."""
        chosen = [wire for kind, wire in self._open if service in ("*", kind)]
        for wire in chosen:
            wire.abort()
        return len(chosen)

    def _exchange(
        self,
        service: Service,
        phrases: Phrases,
        wire: HttpWire | SocketWire,
        fault: PostedFault | None,
        text: str | None,
    ) -> Exchange:
        staff = self.staff
        number = staff.journal.number(self.vendor, service)
        exchange = Exchange(
            self.vendor, service, wire, phrases, staff.board, staff.journal, number, fault
        )
        exchange.note("request", text=text)
        return exchange

    async def _turned_away(self, exchange: Exchange) -> web.Response | None:
        """Return the refusal that a fault at the door demands, if it lets the client in at all."""
        fault = exchange.fault
        if fault is None or fault.mode not in AT_THE_DOOR or fault.after:
            return None
        if exchange.suffers("hang_connect"):
            try:
                await asyncio.Event().wait()
            finally:
                exchange.note_gone()
        exchange.suffers("status")
        headers = {"Retry-After": str(math.ceil(fault.delay))} if fault.status == 429 else {}
        body = exchange.phrases.refusal(fault.status)
        return web.json_response(body, status=fault.status, headers=headers)

    @contextlib.contextmanager
    def _listed(self, service: str, wire: HttpWire | SocketWire) -> Iterator[None]:
        entry = (service, wire)
        self._open.append(entry)
        try:
            yield
        finally:
            self._open.remove(entry)
