# SPDX-License-Identifier: Apache-2.0
"""The adapter for language models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from livekit.agents import NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.llm import (
    LLM,
    ChatChunk,
    ChatContext,
    FunctionToolCall,
    LLMStream,
    Tool,
    ToolChoice,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from opentelemetry import trace
from typing_extensions import Unpack

from .._validation import resolved
from ..core.endmark import EndMark
from ..errors import EndedEarlyError, NoOutputError
from ..events import EventName
from ..options import LLM_DEFAULTS, LLMOptions
from ..provider import Provider, member_of, named_providers
from ._assignment import Assignment
from ._attempt import Attempt
from ._base import ChainedAdapter, patient_options
from ._chain import Chain
from ._extras import VendorExtras
from ._livekit import end_span, note_served
from ._outbox import OutboxStream
from ._request import Request

_PING = ChatContext.empty()
_PING.add_message(role="user", content="Reply with: ok")


class FallbackLLM(ChainedAdapter[LLM], LLM[Literal["llm_availability_changed"] | EventName]):
    """A LiveKit ``LLM`` that answers with the first of several that can.

    Args:
        llm: Providers in priority order: ``LLM`` instances, or
            :class:`~livekit_fallback.Provider` entries with a name and own limits.
        options: The keywords below as a mapping; keywords win.
        **keywords: See :class:`~livekit_fallback.options.LLMOptions`.

    Raises:
        ValueError: The list or an option is wrong; the text says what is allowed.

    Any number of requests may run concurrently. Events: ``failover``, ``recovery``,
    ``exhausted``, ``output_lost``, ``health_changed``, ``probed``, ``flapping``,
    ``llm_availability_changed``, and LiveKit's ``error`` and ``metrics_collected``. Providers
    are not closed with the adapter.
    """

    def __init__(
        self,
        llm: Sequence[LLM | Provider[LLM]],
        *,
        options: Mapping[str, Any] | None = None,
        **keywords: Unpack[LLMOptions],
    ) -> None:
        opts = resolved(LLMOptions, LLM_DEFAULTS, options, keywords)
        named = named_providers(llm, LLM, "llm")
        super().__init__()
        self._restarts: bool = opts["retry_on_chunk_sent"]
        members = [member_of(i, name, p, opts, "llm") for i, (name, p) in enumerate(named.items())]
        self._usage = [EndMark() for _ in members]
        self._extras = VendorExtras()
        self._adopt(Chain(self, "llm", members, opts, self._ping))

    def chat(
        self,
        *,
        chat_ctx: ChatContext,
        tools: list[Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> LLMStream:
        """Start a request; see :meth:`livekit.agents.llm.LLM.chat`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        call = {
            "chat_ctx": chat_ctx,
            "tools": tools,
            "parallel_tool_calls": parallel_tool_calls,
            "tool_choice": tool_choice,
            "extra_kwargs": extra_kwargs,
        }
        return FallbackLLMStream(self, chat_ctx, tools or [], conn_options, call)

    def prewarm(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Prewarm the primary, and the backups that ``warm_backups`` says. Nobody twice."""
        self._chain.prewarm(loop=loop)

    def _attempt(
        self, call: Mapping[str, Any], deliver: Callable[[ChatChunk], None], given: Assignment
    ) -> ChatAttempt:
        def open_stream() -> LLMStream:
            attempt.owe()  # before chat(), which may block or hang by itself
            llm: LLM = given.member.instance
            context = self._extras.without_foreign(call["chat_ctx"], llm.provider)
            return llm.chat(**{**call, "chat_ctx": context}, conn_options=patient_options())

        usage = self._usage[given.member.index]
        attempt = ChatAttempt(given, open_stream, deliver, self._restarts, usage, self._extras)
        return attempt

    def _ping(self, given: Assignment) -> ChatAttempt:
        call = {"chat_ctx": _PING, "tools": None}
        return self._attempt(call, lambda _: None, given)

    def _remember(self, call: Mapping[str, Any]) -> None:
        self._chain.remember(partial(self._attempt, call, lambda _: None))


class FallbackLLMStream(OutboxStream[ChatChunk], LLMStream):
    """One request to a :class:`FallbackLLM`."""

    _llm_request_span_name = "llm_fallback_adapter"
    _llm_attempt_span_name = None
    _genai_operation_name = None  # the provider's own span describes the inference

    def __init__(
        self,
        llm: FallbackLLM,
        chat_ctx: ChatContext,
        tools: list[Tool],
        conn_options: APIConnectOptions,
        call: Mapping[str, Any],
    ) -> None:
        super().__init__(llm, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._adapter = llm
        self._call = call
        self._read_from_outbox(self._task)

    async def _main_task(self) -> None:
        self._llm_request_span = trace.get_current_span()
        adapter = self._adapter
        adapter._remember(self._call)
        attempts = partial(adapter._attempt, self._call, self._outbox.put)
        attempt = await Request(adapter._chain, attempts).run()
        note_served(self._llm_request_span, attempt.member)

    def _record_genai_request(self, span: trace.Span) -> None:
        # 1.8.0 would describe this stream as an inference of its own, next to the provider's
        if span.is_recording() and hasattr(LLMStream, "_genai_operation_name"):
            super()._record_genai_request(span)

    def _end_span(self) -> None:
        end_span(self._llm_request_span)
        self._llm_request_span = None


class ChatAttempt(Attempt[ChatChunk]):
    """One answer of one language model.

    Useful are text that is not blank, and tool calls. What comes before the first useful chunk
    (reasoning, provider extras) is held back, so that a failed attempt leaves no trace.
    """

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], LLMStream],
        deliver: Callable[[ChatChunk], None],
        restarts: bool,
        usage: EndMark,
        extras: VendorExtras,
    ) -> None:
        super().__init__(given, open_stream)
        self._deliver = deliver
        self._restarts = restarts
        self._usage = usage
        self._extras = extras
        self._held: list[ChatChunk] = []
        self._tool_called = False
        self._usage_seen = False

    @property
    def may_move_on(self) -> bool:
        """After the commit point only if asked for, never after a tool call: it would run twice."""
        return not self.broke_off or (self._restarts and not self._tool_called)

    @property
    def _vendor(self) -> str:
        vendor: str = self.member.instance.provider
        return vendor

    def _receive(self, chunk: ChatChunk) -> None:
        delta = chunk.delta
        if delta is not None and (delta.content or delta.tool_calls):
            self._receive_answer(chunk, delta.content or "", delta.tool_calls)
        elif chunk.usage is not None or (delta is not None and delta.extra):
            self._usage_seen = self._usage_seen or chunk.usage is not None
            self._extras.learn(self._vendor, None if delta is None else delta.extra)
            self._hand_on_or_hold(chunk)
        # else a role-only or keep-alive chunk: nothing a session could use

    def _receive_answer(self, chunk: ChatChunk, text: str, calls: list[FunctionToolCall]) -> None:
        if calls:
            self._tool_called = True
            self._extras.learn(self._vendor, *(call.extra for call in calls))
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
