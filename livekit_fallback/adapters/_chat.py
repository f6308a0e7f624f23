# SPDX-License-Identifier: Apache-2.0
"""One answer of one language model."""

from __future__ import annotations

from collections.abc import Callable

from livekit.agents.llm import ChatChunk, ChoiceDelta, FunctionToolCall, LLMStream

from ..core.endmark import EndMark
from ..errors import EndedEarlyError, NoOutputError
from ._assignment import Assignment
from ._attempt import Attempt
from ._extras import VendorExtras
from ._tool_calls import ToolCalls
from ._vendors import vendor_of


class ChatAttempt(Attempt[ChatChunk]):
    """One answer of one language model.

    Useful are text that is not blank, and tool calls. What comes before the first useful chunk
    (reasoning, provider extras) is held back, so that a failed attempt leaves no trace.

    Args:
        given: What to work with.
        open_stream: Opens the provider's stream. May raise.
        deliver: Hands a chunk to the session.
        moves_on: Whether another provider is asked if this one breaks off after its first text.
        usage: What this provider's usage says of the end of its answers.
        extras: Learns what this provider attaches to its answers.
        calls: Keeps the tool calls of the conversation apart.
    """

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], LLMStream],
        deliver: Callable[[ChatChunk], None],
        moves_on: bool,
        usage: EndMark,
        extras: VendorExtras,
        calls: ToolCalls,
    ) -> None:
        super().__init__(given, open_stream)
        self._deliver = deliver
        self._moves_on = moves_on
        self._usage = usage
        self._extras = extras
        self._calls = calls
        self._held: list[ChatChunk] = []
        self._tool_called = False
        self._usage_seen = False

    @property
    def may_move_on(self) -> bool:
        """After the commit point only if asked for, never after a tool call: it would run twice."""
        return not self.broke_off or (self._moves_on and not self._tool_called)

    def _receive(self, chunk: ChatChunk) -> None:
        delta = chunk.delta
        if delta is not None and (delta.extra or delta.tool_calls):
            self._learn(delta)
        if delta is not None and (delta.content or delta.tool_calls):
            if delta.tool_calls:
                chunk = self._calls.made_unique(chunk)
            self._receive_answer(chunk, delta.content or "", delta.tool_calls)
        elif chunk.usage is not None or (delta is not None and delta.extra):
            self._usage_seen = self._usage_seen or chunk.usage is not None
            self._hand_on_or_hold(chunk)
        # else a role-only or keep-alive chunk: nothing a session could use

    def _learn(self, delta: ChoiceDelta) -> None:
        extras = [extra for extra in (delta.extra, *(c.extra for c in delta.tool_calls)) if extra]
        if extras:
            self._extras.learn(vendor_of(self.member.instance), *extras)

    def _receive_answer(self, chunk: ChatChunk, text: str, calls: list[FunctionToolCall]) -> None:
        if calls:
            self._tool_called = True
            # plugins hand over a tool call when it is complete: its first token came before that
            self.is_blurred = self.is_blurred or not self.committed
        elif not self.committed and not text.strip():
            self._held.append(chunk)
            return
        if self._usage_seen:
            self._usage.seen_before_more()
        self._usage_seen = chunk.usage is not None
        self._output()
        self.delivered += len(text)
        self._hand_on_or_hold(chunk)

    def _hand_on_or_hold(self, chunk: ChatChunk) -> None:
        if not self.committed:
            self._held.append(chunk)
            return
        if self._held:
            for held in self._held:
                self._deliver(held)
            self._held.clear()
        self._deliver(chunk)

    def _judge_end(self) -> BaseException | None:
        if not self.committed:
            return NoOutputError("text or tool call")
        if self._usage_seen:
            self._usage.seen_at_end()
            return None
        was_expected = self._usage.is_expected
        self._usage.missed_at_end()
        return EndedEarlyError("the answer came without its usage") if was_expected else None

    def _is_complete(self) -> bool:
        return self.committed and self._usage_seen and self._usage.is_plausible
