# SPDX-License-Identifier: Apache-2.0
"""Tool calls of an answer: each is handed over once, under an id that no other has."""

from __future__ import annotations

from livekit.agents.llm import ChatChunk, ChatContext, FunctionToolCall
from livekit.agents.utils import shortuuid


class ToolCalls:
    """The tool calls of one answer.

    LiveKit pairs calls with their outputs by id, over the whole conversation. Some servers begin
    to count anew with each answer, or give all calls of an answer the same id.

    Args:
        context: The conversation so far.
    """

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._taken: set[str] | None = None  # ids, from the first call on
        self._made: set[tuple[str, str, str]] = set()

    def made_unique(self, chunk: ChatChunk) -> ChatChunk:
        """Return the chunk, or a copy without calls made already and with ids that are free."""
        assert chunk.delta is not None
        calls = chunk.delta.tool_calls
        wanted = [free for call in calls if (free := self._free(call)) is not None]
        if len(wanted) == len(calls) and all(map(_is_same, wanted, calls)):
            return chunk
        delta = chunk.delta.model_copy(update={"tool_calls": wanted})
        return chunk.model_copy(update={"delta": delta})

    def _free(self, call: FunctionToolCall) -> FunctionToolCall | None:
        if self._taken is None:
            items = self._context.items
            self._taken = {item.call_id for item in items if item.type == "function_call"}
        made = call.call_id, call.name, call.arguments
        if call.call_id and made in self._made:
            return None  # one call, handed over twice
        self._made.add(made)
        if not call.call_id or call.call_id in self._taken:
            call = call.model_copy(update={"call_id": shortuuid("call_")})
        self._taken.add(call.call_id)
        return call


def _is_same(one: object, other: object) -> bool:
    return one is other
