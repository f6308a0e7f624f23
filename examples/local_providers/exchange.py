# SPDX-License-Identifier: Apache-2.0
"""One request and its answer, and when a fault spoils it.

A vendor's handler says what it has to say through an ``Exchange``. Every useful output passes
``output``; there a fault delays, garbles or strikes, whoever the vendor is.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .delay import DelayLine
from .faults import INSIDE
from .strikes import STRIKES
from .wire import ClientGoneError, Payload, SocketWire, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import WSMessage

    from .faults import FaultBoard, PostedFault
    from .journal import Event, Journal

GARBAGE = '{"\\ud8:[}\ufffd,,'


class SpoiledError(Exception):
    """A fault has ended the exchange; there is nothing more to say."""


@dataclass(frozen=True)
class Phrases:
    """The few things a fault has to say in the language of a vendor's service."""

    error: Callable[[int], Payload | None] = lambda status: None
    """A message inside the stream that reports an error; None where the protocol has none."""
    refusal: Callable[[int], dict[str, Any]] = lambda status: {"error": {"code": status}}
    """The body of an HTTP answer with an error status."""
    empty: Payload = b""
    """What a clean end with nothing in it consists of."""
    role: Payload = b""
    """A chunk that carries a role and no text."""
    usage: Payload = b""
    """The chunks of an answer that has nothing but its usage."""
    garbage: Payload = GARBAGE
    """An output that no parser accepts."""
    ends_on_error: bool = True
    """Whether the connection closes after an error message."""


@dataclass
class Exchange:
    """One request to ``service`` of ``vendor``, answered on ``wire``."""

    vendor: str
    service: str
    wire: Wire
    phrases: Phrases
    board: FaultBoard
    journal: Journal
    number: int
    fault: PostedFault | None = None
    outputs: int = 0
    """Useful outputs since the fault was taken."""
    _late: DelayLine = field(default_factory=DelayLine, repr=False)
    _said_first: bool = False
    _bitten: bool = False
    _text: str = field(default="", repr=False)

    async def run(self, answer: Callable[[Exchange], Awaitable[None]]) -> None:
        """Let ``answer`` answer, and write down how it ended."""
        try:
            await self.wire.open()
            await self.strike()
            await answer(self)
            await self._late.drain()
            self.note("finished", text=self._text)
        except SpoiledError:
            pass
        except (ClientGoneError, ConnectionError):
            self.note_gone()
        except asyncio.CancelledError:
            self.note_gone()
            raise
        finally:
            await self._late.aclose()

    def note_gone(self) -> None:
        """Write down that the client left, unless it was this side that sent it away."""
        if not self.wire.ended_here:
            self.note("closed_by_client", text=self._text)

    def note(self, event: Event, *, text: str | None = None, status: int | None = None) -> None:
        """Write an entry about this exchange."""
        self.journal.add(
            self.vendor,
            self.service,
            event,
            self.number,
            mode=self.fault.mode if self.fault else None,
            status=status,
            text=(text or "").strip(),
        )

    def remember(self, text: str) -> None:
        """Add ``text`` to what the last entry of this exchange will quote."""
        self._text += text

    async def output(self, payload: Payload, *, final: str | None = None) -> None:
        """Send something useful, if the fault lets it through.

        Args:
            payload: what to send.
            final: the transcript in it, if it is one that will not change any more.
        """
        await self.strike()
        await self._wait()
        if self.suffers("garbage"):
            self.outputs += 1
            await self.wire.send(self.phrases.garbage)
            return
        self.outputs += 1
        await self._late.send(lambda: self._put(payload, final), self._lateness())

    async def _put(self, payload: Payload, final: str | None) -> None:
        await self.wire.send(payload)
        if not self._said_first:
            self._said_first = True
            self.note("first_output")
        if final is not None:
            self.note("final", text=final)

    async def extra(self, payload: Payload) -> None:
        """Send something that is no output: metadata, timings, an end marker."""
        await self.strike()
        await self._late.drain()
        await self.wire.send(payload)

    def speech(self, pcm: bytes) -> bytes:
        """Return what the fault leaves of speech that is about to be sent."""
        if self.suffers("no_audio"):
            return b""
        return bytes(len(pcm)) if self.suffers("silence") else pcm

    async def messages(self) -> AsyncIterator[WSMessage]:
        """Yield what the client says on a websocket that this exchange owns.

        A fault that is set while the socket is open strikes here. A client that leaves without
        a good-bye raises ``ClientGoneError``.
        """
        assert isinstance(self.wire, SocketWire)
        async for message in self.wire.messages():
            self._look_at_board()
            await self.strike()
            yield message
        raise ClientGoneError

    def _look_at_board(self) -> None:
        if self.fault is not None and not self.board.lasting(self.fault):
            self.fault = None
        if self.fault is not None:
            return
        if fault := self.board.take(self.vendor, self.service, modes=INSIDE):
            self.fault, self.outputs, self._bitten, self._said_first = fault, 0, False, False

    def suffers(self, mode: str) -> bool:
        """Return whether the fault is of this ``mode`` and due; write down its first bite."""
        fault = self.fault
        if fault is None or fault.mode != mode or self.outputs < fault.after:
            return False
        if not self._bitten:
            self._bitten = True
            status = fault.status if mode in ("status", "error_frame") else None
            self.note("fault", status=status, text=self._text)
        return True

    async def _wait(self) -> None:
        """Wait as long as the fault delays the next output of an answer."""
        fault = self.fault
        if fault and self.suffers("drip"):
            await asyncio.sleep(fault.gap)
        elif fault and not self._listens and self.outputs == fault.after and self.suffers("slow"):
            await asyncio.sleep(fault.delay)

    def _lateness(self) -> float:
        """Return how late an output leaves on a socket that goes on listening meanwhile."""
        fault = self.fault
        return fault.delay if fault and self._listens and self.suffers("slow") else 0.0

    @property
    def _listens(self) -> bool:
        return isinstance(self.wire, SocketWire) and self.wire.listens

    async def strike(self) -> None:
        """End the exchange, or keep it silent for ever, if its fault says so."""
        fault = self.fault
        if fault and fault.mode in STRIKES and self.suffers(fault.mode):
            await STRIKES[fault.mode](self, fault)
            raise SpoiledError


def to_json(**fields: object) -> str:
    """Return a compact JSON object, as the services send them."""
    return json.dumps(fields, separators=(",", ":"))
