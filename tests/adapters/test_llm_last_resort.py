# SPDX-License-Identifier: Apache-2.0
"""`last_resort` of a language model: what the caller is told when no provider could answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import Agent, AgentSession, llm

from livekit_fallback import AllProvidersFailedError, FallbackLLM
from livekit_fallback.errors import AdapterClosedError
from tests.support.census import Census
from tests.support.fakes import Fail, Say, ScriptedLLM, ToolCall, UsageOnly, text_of
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unauthorized, unavailable
from tests.support.recorder import EventRecorder
from tests.support.script import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SORRY = "I am sorry, I cannot answer right now."
DOWN = [Fail(unauthorized)]


async def _awaited(context: llm.ChatContext, error: AllProvidersFailedError) -> str:
    await asyncio.sleep(1)
    return SORRY


async def _streamed(context: llm.ChatContext, error: AllProvidersFailedError) -> AsyncIterator[Any]:
    yield SORRY[:10]
    await asyncio.sleep(1)
    yield llm.ChatChunk(id="own", delta=llm.ChoiceDelta(content=SORRY[10:]))


def _asks_another(context: llm.ChatContext, error: AllProvidersFailedError) -> llm.LLMStream:
    return ScriptedLLM([Say(SORRY), UsageOnly()]).chat(chat_ctx=context)


SOURCES: dict[str, Any] = {
    "text": SORRY,
    "function": lambda context, error: SORRY,
    "coroutine": _awaited,
    "async iterator": _streamed,
    "another model": _asks_another,
}


@pytest.mark.parametrize("source", SOURCES)
async def test_the_last_resort_answers(source: str, census: Census):
    """The request ends well: the chain is told to be exhausted, and the error is recoverable."""
    chain = chain_of(census, DOWN, DOWN, last_resort=SOURCES[source])

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == (SORRY, None)
    (exhausted,) = chain.events.of("exhausted")
    assert isinstance(exhausted.error, AllProvidersFailedError)
    assert [event.recoverable for event in chain.events.of("error")] == [True, True]
    assert chain.events.of("error")[-1].error is exhausted.error
    assert chain.events.of("output_lost") == []


async def test_its_tool_calls_have_ids_of_their_own(census: Census):
    """Local servers, which last resorts often are, count from 0 in each answer."""

    def ask_local(context: llm.ChatContext, error: AllProvidersFailedError) -> llm.LLMStream:
        return ScriptedLLM([ToolCall("look", call_id="call_0"), UsageOnly()]).chat(chat_ctx=context)

    chain = chain_of(census, DOWN, last_resort=ask_local)
    context = llm.ChatContext.empty()
    context.items.append(llm.FunctionCall(call_id="call_0", name="look", arguments="{}"))

    async with chain.adapter.chat(chat_ctx=context) as stream:
        (call,) = tools_of([chunk async for chunk in stream])

    assert (call.name, call.call_id == "call_0") == ("look", False)


async def test_nobody_is_bothered_while_a_provider_serves(census: Census):
    """It is the last resort, and not one of the providers."""
    asked: list[Any] = []
    chain = chain_of(census, DOWN, [Say("Hello.")], last_resort=lambda *given: asked.append(given))

    assert await chain.answer() == "Hello."
    assert asked == []


async def test_it_is_given_a_copy_of_the_conversation_and_the_error(census: Census):
    """What it does to the context is not seen by the session."""
    seen: list[Any] = []

    def source(context: llm.ChatContext, error: AllProvidersFailedError) -> str:
        seen.append(([item.text_content for item in context.messages()], error))
        context.items.clear()
        return SORRY

    chain = chain_of(census, DOWN, DOWN, last_resort=source)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Hi")
    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    ((said, error),) = seen
    assert said == ["Hi"]
    assert [attempt.provider for attempt in error.attempts] == ["a", "b"]
    assert len(context.items) == 1


def _raises(context: Any, error: Any) -> str:
    raise LookupError("no idea")


async def _raises_later(context: Any, error: Any) -> AsyncIterator[str]:
    await asyncio.sleep(0.1)
    raise LookupError("no idea")
    yield ""


async def _hangs(context: Any, error: Any) -> str:
    await asyncio.Event().wait()
    return SORRY


async def _is_stubborn(context: Any, error: Any) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(5)
    return SORRY


async def _says_nothing(context: Any, error: Any) -> AsyncIterator[str]:
    yield " "


FAILING: dict[str, Any] = {
    "raises": _raises,
    "raises later": _raises_later,
    "hangs": _hangs,
    "is stubborn": _is_stubborn,
    "is blank": lambda context, error: " ",
    "is nothing": lambda context, error: None,
    "is silent": _says_nothing,
    "is no text": lambda context, error: 7,
    "is a number of texts": lambda context, error: [SORRY],
}


@pytest.mark.parametrize("source", FAILING)
async def test_one_that_fails_changes_nothing(source: str, census: Census):
    """The error is that of the providers, as without it, and the session is told so once."""
    chain = chain_of(census, DOWN, DOWN, last_resort=FAILING[source])
    begun = now()

    chunks, error = await listen(chain.adapter)

    assert isinstance(error, AllProvidersFailedError)
    assert text_of(chunks).strip() == ""
    assert [event.recoverable for event in chain.events.of("error")] == [True, False]
    assert now() - begun < 3.0
    await asyncio.sleep(10)  # for the stubborn one


async def test_one_that_breaks_off_has_answered(census: Census):
    """What it has said was heard: the error of the providers would say that nothing was."""

    async def source(context: Any, error: Any) -> AsyncIterator[str]:
        yield "I am sorry."
        await asyncio.Event().wait()

    chain = chain_of(census, DOWN, DOWN, last_resort=source)
    begun = now()

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("I am sorry.", None)
    assert now() - begun == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize("mode", [True, "continue"])
async def test_after_half_a_sentence_it_speaks_as_well(mode: Any, census: Census):
    """Silence in mid-sentence is the worst of all ends. The loss is told."""
    seen: list[Any] = []

    def source(context: llm.ChatContext, error: AllProvidersFailedError) -> str:
        seen.append([item.text_content for item in context.messages()])
        return SORRY

    chain = chain_of(
        census, [Say("It costs "), Say("ten "), Fail(unavailable)], DOWN,
        retry_on_chunk_sent=mode, last_resort=source,
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert error is None
    assert text_of(chunks).split() == ["It", "costs", "ten", *SORRY.split()]
    assert seen == [["Hi", "It costs ten"] if mode == "continue" else ["Hi"]]
    assert len(chain.events.of("output_lost")) == 1


@pytest.mark.parametrize("mode", [False, True, "continue"])
async def test_after_a_tool_call_it_does_not_speak(mode: Any, census: Census):
    """The session goes on with the tool's result; an apology would be its answer."""
    chain = chain_of(
        census, [ToolCall("look"), Fail(unavailable)], DOWN, retry_on_chunk_sent=mode,
        last_resort=SORRY,
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert error is not None
    assert text_of(chunks) == ""
    assert len(tools_of(chunks)) == 1


async def test_a_caller_who_leaves_ends_it(census: Census):
    """Cancellation reaches it, and nothing is told."""
    chain = chain_of(census, DOWN, last_resort=_hangs)
    asking = asyncio.create_task(listen(chain.adapter))
    await asyncio.sleep(1)

    asking.cancel()
    await asyncio.wait({asking})

    assert len(chain.events.of("exhausted")) == 1
    assert chain.events.of("error") == []


async def test_closing_the_adapter_ends_it():
    """After `aclose` nobody speaks."""
    model = ScriptedLLM(DOWN)
    async with Census(model):
        adapter = FallbackLLM([model], probe="live", last_resort=_hangs)
        events = EventRecorder(adapter)
        asking = asyncio.create_task(listen(adapter))
        await asyncio.sleep(1)

        await adapter.aclose()
        chunks, error = await asking

        assert (chunks, type(error)) == ([], AdapterClosedError)
        assert events.of("error") == []
        events.close()


async def test_a_session_outlives_an_outage(census: Census):
    """Ten turns that nobody answers: each is answered by the last resort, and the session lives."""
    chain = chain_of(census, Model(*[DOWN] * 10, [Say("Hello again.")]), last_resort=SORRY)
    closed: list[Any] = []
    async with AgentSession[None](llm=chain.adapter, vad=None) as session:
        session.on("close", closed.append)
        await session.start(Agent(instructions="Be brief."), record=False)
        for _ in range(11):
            await session.run(user_input="Hi")

        said = [i.text_content for i in session.history.messages() if i.role == "assistant"]
        assert said == [*[SORRY] * 10, "Hello again."]
        assert closed == []
