# SPDX-License-Identifier: Apache-2.0
"""A caller who speaks numbered frames in real time, and what a listener made of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.support.audio import numbered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit.agents.stt import STT, RecognizeStream, SpeechEvent

FRAME = 0.02  # seconds


class Caller:
    """One call: `events` is what was heard so far, `error` how hearing ended, if it did."""

    def __init__(self, stream: RecognizeStream) -> None:
        self.stream = stream
        self.events: list[SpeechEvent] = []
        self.error: Exception | None = None
        self.listening = asyncio.create_task(self._listen(), name="session listens")
        self._spoken = 0

    @property
    def types(self) -> list[str]:
        """The kinds of the events so far."""
        return [event.type.value for event in self.events]

    async def speak(self, count: int) -> None:
        """Speak so many frames, numbered from 0 through the whole call."""
        for _ in range(count):
            self.stream.push_frame(numbered(self._spoken))
            self._spoken += 1
            await asyncio.sleep(FRAME)

    async def _listen(self) -> None:
        try:
            async for event in self.stream:
                self.events.append(event)
        except Exception as error:
            self.error = error


@asynccontextmanager
async def calling(listener: STT, **options: Any) -> AsyncIterator[Caller]:
    """A call to this listener, hung up at the end."""
    async with listener.stream(**options) as stream:
        caller = Caller(stream)
        try:
            yield caller
        finally:
            caller.listening.cancel()
