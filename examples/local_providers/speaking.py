# SPDX-License-Identifier: Apache-2.0
"""Speech on its way to a client: paced pieces, and requests that share one websocket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from . import audio
from .voice import RATE, Speech

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .desk import Staff
    from .exchange import Exchange


async def spoken(
    exchange: Exchange, staff: Staff, speech: Speech, rate: int
) -> AsyncIterator[bytes]:
    """Yield ``speech`` at ``rate`` Hz, piece by piece, as the fault of ``exchange`` leaves it."""
    pcm = exchange.speech(audio.resample(speech.pcm, RATE, rate))
    await asyncio.sleep(staff.pace.first_audio)
    for piece in audio.slices(pcm, rate, staff.pace.audio_chunk):
        yield piece
        await asyncio.sleep(staff.pace.audio_gap)


class Monologue:
    """One request on a websocket shared by several: texts come in, speech goes out in order."""

    def __init__(
        self,
        exchange: Exchange,
        speak: Callable[[Exchange, str], Awaitable[None]],
        done: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """Answer every text with ``speak``, and the end of the texts with ``done``."""
        self._exchange = exchange
        self._speak = speak
        self._done = done
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._task = asyncio.create_task(exchange.run(self._run), name="monologue")

    def add(self, text: str) -> None:
        """Say ``text`` after what was added before."""
        self._texts.put_nowait(text)

    def end(self) -> None:
        """Say that no more text comes."""
        self._texts.put_nowait(None)

    @property
    def finished(self) -> bool:
        """Whether all was said, or can no longer be said."""
        return self._task.done()

    async def cancel(self) -> None:
        """Stop talking at once."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self, exchange: Exchange) -> None:
        while (text := await self._texts.get()) is not None:
            exchange.remember(text)
            if text.strip():
                await self._speak(exchange, text)
        await self._done(exchange)
