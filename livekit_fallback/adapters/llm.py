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
    LLMStream,
    Tool,
    ToolChoice,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from opentelemetry import trace
from typing_extensions import Unpack

from .._validation import resolved
from ..core.endmark import EndMark
from ..errors import AdapterClosedError, AllProvidersFailedError
from ..events import EventName
from ..options import LLM_DEFAULTS, LLMOptions
from ..provider import Provider, member_of, named_providers
from ._assignment import Assignment
from ._base import ChainedAdapter, patient_options
from ._chain import Chain
from ._chat import ChatAttempt
from ._continued import Answer, ContinuedChat
from ._extras import VendorExtras
from ._last_resort import LastResort, Source
from ._livekit import end_span, note_served
from ._outbox import OutboxStream
from ._request import Request
from ._tool_calls import ToolCalls
from ._vendors import fit_for

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
        self._moves_on = bool(opts["retry_on_chunk_sent"])
        self._last_resort = opts["last_resort"]
        self._continues = opts["retry_on_chunk_sent"] == "continue"
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
            # as they are now: attempts and probes come later, and applications go on with both
            "chat_ctx": ChatContext(list(chat_ctx.items)),
            "tools": None if tools is None else list(tools),
            "parallel_tool_calls": parallel_tool_calls,
            "tool_choice": tool_choice,
            "extra_kwargs": extra_kwargs,
        }
        return FallbackLLMStream(self, chat_ctx, tools or [], conn_options, call)

    def prewarm(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Prewarm the primary, and the backups that ``warm_backups`` says. Nobody twice."""
        self._chain.prewarm(loop=loop)

    def _attempt(
        self,
        call: Mapping[str, Any],
        deliver: Callable[[ChatChunk], None],
        answer: Answer | None,
        given: Assignment,
    ) -> ChatAttempt:
        def open_stream() -> LLMStream:
            attempt.owe()  # before chat(), which may block or hang by itself
            llm: LLM = given.member.instance
            fit = fit_for(llm, call, self._extras)
            if answer is not None:
                fit["chat_ctx"] = answer.continued(fit["chat_ctx"])
            return llm.chat(**fit, conn_options=patient_options())

        usage, calls = self._usage[given.member.index], ToolCalls(call["chat_ctx"])
        parts = given, open_stream, deliver, self._moves_on, usage, self._extras, calls
        attempt = ChatAttempt(*parts) if answer is None else ContinuedChat(answer, *parts)
        return attempt

    def _ping(self, given: Assignment) -> ChatAttempt:
        return self._attempt({"chat_ctx": _PING, "tools": None}, _drop, None, given)

    def _remember(self, call: Mapping[str, Any]) -> None:
        self._chain.remember(partial(self._attempt, call, _drop, None))


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
        answer = Answer() if adapter._continues else None
        attempts = partial(adapter._attempt, self._call, self._outbox.put, answer)
        source = adapter._last_resort
        resort = None if source is None else partial(self._resort_to, source, answer)
        attempt = await Request(adapter._chain, attempts).run_or(resort)
        if attempt is not None:
            note_served(self._llm_request_span, attempt.member)

    async def _resort_to(
        self,
        source: Source,
        answer: Answer | None,
        error: AllProvidersFailedError,
        has_begun: bool,
    ) -> bool:
        context = ChatContext(list(self._call["chat_ctx"].items))
        if answer is not None:
            context = answer.begun(context)
        chain = self._adapter._chain
        resort = LastResort(source, chain.tasks, self._outbox.put)
        has_answered = await resort.answer(context, error, has_begun=has_begun)
        if chain.closed:
            raise AdapterClosedError(chain.component)
        return has_answered

    def _record_genai_request(self, span: trace.Span) -> None:
        # 1.8.0 would describe this stream as an inference of its own, next to the provider's
        if span.is_recording() and hasattr(LLMStream, "_genai_operation_name"):
            super()._record_genai_request(span)

    def _end_span(self) -> None:
        end_span(self._llm_request_span)
        self._llm_request_span = None


def _drop(_: ChatChunk) -> None:
    """Deliver a probe's output: to nobody."""
