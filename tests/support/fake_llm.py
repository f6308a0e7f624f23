# SPDX-License-Identifier: Apache-2.0
"""A language model that says what its script says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, llm

from tests.support.provider import Scripted
from tests.support.script import Call, ScriptSource, Step, perform

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True)
class Say(Step):
    """One chunk of text, perhaps with what its vendor attaches to it."""

    text: str
    extra: dict[str, Any] | None = None


@dataclass(frozen=True)
class ToolCall(Step):
    """One complete tool call."""

    name: str
    arguments: str = "{}"
    call_id: str = "call_1"


@dataclass(frozen=True)
class RoleOnly(Step):
    """A chunk that opens the answer and says nothing."""


@dataclass(frozen=True)
class KeepAlive(Step):
    """A chunk with nothing in it at all."""


@dataclass(frozen=True)
class Metadata(Step):
    """A chunk of provider metadata, without text."""

    key: str = "stamp"
    value: str = "x"


@dataclass(frozen=True)
class UsageOnly(Step):
    """A chunk that counts tokens."""

    prompt: int = 10
    completion: int = 5


class ScriptedLLM(Scripted, llm.LLM):
    """See `Scripted`."""

    happy_path = (RoleOnly(), Say("Hello "), Say("there."), UsageOnly())

    def __init__(
        self,
        *scripts: ScriptSource,
        name: str = "llm",
        stubborn: float = 0.0,
        on_close: Step | None = None,
    ) -> None:
        super().__init__()
        self._script_as(scripts, name, stubborn, on_close)

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **others: Any,
    ) -> ScriptedLLMStream:
        call = self.open_call(
            "chat", chat_ctx=chat_ctx, tools=tools, conn_options=conn_options, **others
        )
        return ScriptedLLMStream(self, call)

    def prewarm(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.prewarmed += 1


class ScriptedLLMStream(llm.LLMStream):
    """Plays one script as chunks."""

    def __init__(self, provider: ScriptedLLM, call: Call) -> None:
        self._call = call
        self._provider = provider
        super().__init__(
            provider,
            chat_ctx=call.kwargs["chat_ctx"],
            tools=call.kwargs["tools"] or [],
            conn_options=call.kwargs["conn_options"],
        )

    async def _run(self) -> None:
        await perform(self._call, self._output, stubborn=self._provider.stubborn)

    async def _output(self, step: Step) -> None:
        chunk = llm.ChatChunk(id=f"{self._provider.name}-{self._call.number}")
        match step:
            case UsageOnly():
                chunk.usage = llm.CompletionUsage(
                    completion_tokens=step.completion,
                    prompt_tokens=step.prompt,
                    total_tokens=step.prompt + step.completion,
                )
            case KeepAlive():
                pass
            case _:
                chunk.delta = _delta(step)
        self._event_ch.send_nowait(chunk)

    async def aclose(self) -> None:
        await self._provider.close_call(self._call, super().aclose)


def _delta(step: Step) -> llm.ChoiceDelta:
    delta = llm.ChoiceDelta(role="assistant")
    match step:
        case RoleOnly():
            pass
        case Say():
            delta.content, delta.extra = step.text, step.extra
        case Metadata():
            delta.extra = {step.key: step.value}
        case ToolCall():
            delta.tool_calls = [
                llm.FunctionToolCall(name=step.name, arguments=step.arguments, call_id=step.call_id)
            ]
        case _:
            raise TypeError(f"a language model cannot do {step!r}")
    return delta


async def ask(model: llm.LLM, text: str = "Hi", **options: Any) -> list[llm.ChatChunk]:
    """One request with one user message, read to its end and closed."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=text)
    async with model.chat(chat_ctx=context, **options) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[llm.ChatChunk]) -> str:
    """All that was said in these chunks."""
    return "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta)
