# SPDX-License-Identifier: Apache-2.0
"""What the caller is told when no language model could answer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from livekit.agents.llm import ChatChunk, ChatContext, ChoiceDelta
from livekit.agents.utils import shortuuid

from ..errors import AllProvidersFailedError
from ..log import logger
from . import _clock
from ._tasks import TaskHolder, dismiss
from ._tool_calls import ToolCalls

# The caller has waited for the whole budget: what does not come as fast as a model's first words
# comes too late.
_PATIENCE_SEC = 2.5
_REMIND_SEC = 1.0

Source = str | Callable[[ChatContext, AllProvidersFailedError], Any]


class LastResort:
    """Answers one request in the place of the providers.

    Args:
        source: The text, or what is called for it; see ``last_resort`` in the options.
        tasks: Of the adapter.
        deliver: Hands a chunk to the session.
    """

    def __init__(
        self,
        source: Source,
        tasks: TaskHolder,
        deliver: Callable[[ChatChunk], None],
    ) -> None:
        self._source = source
        self._tasks = tasks
        self._deliver = deliver
        self._id = shortuuid("last_resort_")
        self._due = 0.0  # when the next piece is
        self._has_answered = False

    async def answer(
        self, context: ChatContext, error: AllProvidersFailedError, *, has_begun: bool
    ) -> bool:
        """Answer; return whether anything was said. What goes wrong is logged.

        Args:
            context: The conversation, as a copy.
            error: Why the providers could not.
            has_begun: Whether the session has part of an answer.
        """
        self._due = _clock.now() + _PATIENCE_SEC
        task = self._tasks.spawn(self._say(context, error, has_begun), "fallback last resort")
        try:
            while not task.done() and (left := self._due - _clock.now()) > 0:
                await asyncio.wait({task}, timeout=left)
            if not task.done():
                logger.error("the last resort took too long")
        finally:
            dismiss(task, at_once=True, patience=_REMIND_SEC)
        return self._has_answered

    async def _say(
        self, context: ChatContext, error: AllProvidersFailedError, has_begun: bool
    ) -> None:
        calls = ToolCalls(context)
        try:
            async with aclosing(_pieces(self._source, context, error)) as pieces:
                async for piece in pieces:
                    chunk = piece if isinstance(piece, ChatChunk) else self._chunk(piece)
                    if chunk.delta is not None and chunk.delta.tool_calls:
                        chunk = calls.made_unique(chunk)
                    self._hand_over(chunk, has_begun)
        except Exception as problem:
            logger.error("the last resort failed", extra={"lk.pii.error": repr(problem)})

    def _hand_over(self, chunk: ChatChunk, has_begun: bool) -> None:
        if _is_useful(chunk):
            if has_begun and not self._has_answered:
                self._deliver(self._chunk(" "))
            self._has_answered = True
        self._deliver(chunk)
        self._due = _clock.now() + _PATIENCE_SEC

    def _chunk(self, text: str) -> ChatChunk:
        return ChatChunk(id=self._id, delta=ChoiceDelta(role="assistant", content=text))


async def _pieces(
    source: Source,
    context: ChatContext,
    error: AllProvidersFailedError,
) -> AsyncGenerator[str | ChatChunk, None]:
    given = source if isinstance(source, str) else source(context, error)
    if inspect.isawaitable(given):
        given = await given
    if given is None or isinstance(given, str):
        yield given or ""
        return
    try:
        async for piece in given:
            yield piece
    finally:
        if hasattr(given, "aclose"):
            await given.aclose()


def _is_useful(chunk: ChatChunk) -> bool:
    delta = chunk.delta
    return delta is not None and bool((delta.content or "").strip() or delta.tool_calls)
