# SPDX-License-Identifier: Apache-2.0
"""How a fault ends an answer, or keeps it silent for ever: one function per kind of end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

from .wire import ClientGoneError, SocketWire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .exchange import Exchange
    from .faults import PostedFault


async def _silent(exchange: Exchange, fault: PostedFault) -> None:
    await exchange.wire.idle()


async def _alive(exchange: Exchange, fault: PostedFault) -> None:
    await _idle_with(exchange, exchange.wire.beat, fault.gap)


async def _roles_only(exchange: Exchange, fault: PostedFault) -> None:
    await _idle_with(exchange, lambda: exchange.wire.send(exchange.phrases.role), fault.gap)


async def _idle_with(exchange: Exchange, beat: Callable[[], Awaitable[None]], gap: float) -> None:
    beating = asyncio.create_task(_repeat(beat, gap), name="fault-beat")
    try:
        await exchange.wire.idle()
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, ClientGoneError):
            await beating


async def _repeat(beat: Callable[[], Awaitable[None]], gap: float) -> None:
    while True:
        await beat()
        await asyncio.sleep(gap)


async def _usage_only(exchange: Exchange, fault: PostedFault) -> None:
    await exchange.wire.send(exchange.phrases.usage)
    await exchange.wire.end()


async def _nothing(exchange: Exchange, fault: PostedFault) -> None:
    if exchange.phrases.empty:
        await exchange.wire.send(exchange.phrases.empty)
    await exchange.wire.end()


async def _ended(exchange: Exchange, fault: PostedFault) -> None:
    await exchange.wire.end()


# A reset throws away what was sent and not read yet, and clients read within a few turns.
_READ_SEC = 0.02


async def _dropped(exchange: Exchange, fault: PostedFault) -> None:
    await asyncio.sleep(_READ_SEC)
    exchange.wire.abort()


async def _closed(exchange: Exchange, fault: PostedFault) -> None:
    await exchange.wire.close(WSCloseCode.INTERNAL_ERROR)


async def _error(exchange: Exchange, fault: PostedFault) -> None:
    message = exchange.phrases.error(fault.status)
    if message is None:
        exchange.wire.abort()
        return
    await exchange.wire.send(message)
    if not exchange.phrases.ends_on_error:
        return
    if isinstance(exchange.wire, SocketWire):
        await exchange.wire.close(WSCloseCode.INTERNAL_ERROR)
    else:
        await exchange.wire.end()


STRIKES: dict[str, Callable[[Exchange, PostedFault], Awaitable[None]]] = {
    "hang": _silent,
    "stall": _silent,
    "keepalive": _alive,
    "role_only": _roles_only,
    "usage_only": _usage_only,
    "empty": _nothing,
    "truncate": _ended,
    "drop": _dropped,
    "error_frame": _error,
    # On a socket that was open before the outage, a status can only come as a message.
    "status": _error,
    "close": _closed,
}
