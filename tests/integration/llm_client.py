# SPDX-License-Identifier: Apache-2.0
"""Asking a language model, and what a session would have of its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livekit.agents import APIConnectOptions, APIError, function_tool
from livekit.agents.llm import ChatContext

from examples.local_providers.dialogue import TURNS

if TYPE_CHECKING:
    from livekit.agents.llm import LLM, FunctionToolCall, Tool

# Retries are the adapter's, and a bare plugin is asked once.
ONCE = APIConnectOptions(max_retry=0)

QUESTION, ANSWER = TURNS[6].line, str(TURNS[6].answer)


@function_tool
async def find_table(day: str, time: str, people: int) -> str:
    """Look for a free table."""
    return f"We have a table for {people} {day} at {time}."


@dataclass
class Answer:
    """What a session has of an answer."""

    text: str = ""
    calls: list[FunctionToolCall] = field(default_factory=list)
    error: BaseException | None = None


async def ask(
    llm: LLM,
    *said: str,
    tools: list[Tool] | None = None,
) -> Answer:
    """Ask for the answer to the last line that was ``said``."""
    chat_ctx, answer = ChatContext.empty(), Answer()
    for line in said or (QUESTION,):
        chat_ctx.add_message(role="user", content=line)
    try:
        async with llm.chat(chat_ctx=chat_ctx, tools=tools, conn_options=ONCE) as stream:
            async for chunk in stream:
                if chunk.delta is not None:
                    answer.text += chunk.delta.content or ""
                    answer.calls += chunk.delta.tool_calls
    except APIError as error:
        answer.error = error
    return answer
