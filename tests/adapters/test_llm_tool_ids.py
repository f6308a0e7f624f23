# SPDX-License-Identifier: Apache-2.0
"""Ids of tool calls are unique in the conversation: LiveKit finds the call of an output by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit.agents import Agent, AgentSession, llm

from tests.support.fakes import Say, ToolCall, UsageOnly, text_of
from tests.support.llm_chain import Model, chain_of, listen, tools_of

if TYPE_CHECKING:
    from tests.support.census import Census


def _ids(chunks: list[llm.ChatChunk]) -> list[str]:
    return [call.call_id for call in tools_of(chunks)]


async def test_ids_that_are_free_stay_as_they_are(census: Census):
    """A vendor may know its own ids again."""
    chain = chain_of(census, [ToolCall("look", call_id="x"), ToolCall("book", call_id="y")])

    assert _ids((await listen(chain.adapter))[0]) == ["x", "y"]


@pytest.mark.parametrize("call_id", ["call_0", ""])
async def test_ids_used_twice_in_an_answer_are_made_unique(call_id: str, census: Census):
    """Some servers give all calls of an answer the same id, or none."""
    calls = [ToolCall("look", f'{{"at": {n}}}', call_id) for n in range(3)]
    chain = chain_of(census, [Say("Well. "), *calls, UsageOnly()])

    chunks, error = await listen(chain.adapter)

    assert error is None
    assert len(set(_ids(chunks))) == 3
    assert all(_ids(chunks))
    assert [call.arguments for call in tools_of(chunks)] == [call.arguments for call in calls]


async def test_a_call_handed_over_twice_is_one_call(census: Census):
    """The same id, name and arguments in one answer: it must not be done twice."""
    call = ToolCall("pay", '{"euros": 10}', "call_7")
    chain = chain_of(census, [Say("Well. "), call, call, UsageOnly()])

    chunks, _ = await listen(chain.adapter)

    assert _ids(chunks) == ["call_7"]
    assert text_of(chunks) == "Well. "


async def test_ids_of_the_conversation_are_not_used_again(census: Census):
    """Local servers begin to count anew with each answer; each output must find its own call."""
    counts = [ToolCall("look", call_id="call_0"), UsageOnly()]
    chain = chain_of(census, Model(counts, counts, [Say("Two."), UsageOnly()]))
    seen = 0

    @llm.function_tool
    async def look() -> str:
        """Look."""
        nonlocal seen
        seen += 1
        return f"seen {seen}"

    async with AgentSession[None](llm=chain.adapter, vad=None) as session:
        await session.start(Agent(instructions="Look.", tools=[look]), record=False)
        await session.run(user_input="Look twice.")
        items = session.history.items
        calls = [item.call_id for item in items if item.type == "function_call"]
        outputs = {i.call_id: i.output for i in items if i.type == "function_call_output"}

    assert calls[0] == "call_0"
    assert [outputs[call] for call in calls] == ["seen 1", "seen 2"]
