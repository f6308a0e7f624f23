# SPDX-License-Identifier: Apache-2.0
"""FallbackLLM is a LiveKit LLM: what goes in reaches the provider, what comes out is its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import NOT_GIVEN, APIConnectOptions, llm

from livekit_fallback import AllProvidersFailedError, FallbackLLM, Provider
from tests.support.census import Census
from tests.support.fakes import (
    Fail,
    Hang,
    KeepAlive,
    Metadata,
    RoleOnly,
    Say,
    ScriptedLLM,
    ScriptedTTS,
    ToolCall,
    UsageOnly,
    ask,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = [RoleOnly(), Say("Hello "), Say("there."), UsageOnly()]


def _rich_context() -> llm.ChatContext:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content="A table for two?")
    call = llm.FunctionCall(
        call_id="c1", name="find_table", arguments="{}", extra={"google": {"signature": "s"}}
    )
    context.insert(call)
    context.insert(
        llm.FunctionCallOutput(call_id="c1", name="find_table", output="yes", is_error=False)
    )
    return context


async def test_is_a_livekit_llm():
    """It is passed to a session unchanged."""
    adapter = FallbackLLM([ScriptedLLM()])

    assert isinstance(adapter, llm.LLM)
    assert isinstance(adapter.chat(chat_ctx=llm.ChatContext.empty()), llm.LLMStream)
    await adapter.aclose()


async def test_a_healthy_primary_answers_alone(census: Census):
    """Without a fault the backups are not asked, and nothing but metrics is emitted."""
    chain = chain_of(census, GOOD, GOOD)

    chunks = await ask(chain.adapter)

    assert (text_of(chunks), chain.asked) == ("Hello there.", "a")
    assert chunks[-1].usage == llm.CompletionUsage(
        completion_tokens=5, prompt_tokens=10, total_tokens=15
    )
    assert chain.events.names == ["metrics_collected"]


async def test_chunks_are_passed_on_as_they_are_and_in_order(census: Census):
    """Text, tool calls, extras and usage reach the session unchanged; empty chunks do not."""
    script = [
        RoleOnly(), Metadata("thought", "hm"), Say(" "), Say("Hi"), KeepAlive(), RoleOnly(),
        Say("\n"), ToolCall("look", '{"x": 1}', "c9"), Metadata("signature", "s"), UsageOnly(),
    ]  # fmt: skip
    chain = chain_of(census, script)

    chunks = await ask(chain.adapter)

    bare = await ask(ScriptedLLM(script, name="a"))
    telling = [chunk for chunk in bare if chunk.has_response() or chunk.usage or _extra(chunk)]
    assert chunks == telling
    assert _extra(chunks[0]) == {"thought": "hm"}


def _extra(chunk: llm.ChatChunk) -> dict[str, Any] | None:
    return chunk.delta.extra if chunk.delta else None


async def test_chunks_are_passed_on_at_once(census: Census):
    """Output is handed on in the moment it comes, not at the end of the answer."""
    chain = chain_of(census, [Say("Hello"), Hang()], stall_timeout=None)
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())

    first = await asyncio.wait_for(anext(stream), 0.01)

    assert text_of([first]) == "Hello"
    await stream.aclose()


@pytest.mark.parametrize("fails", [0, 1, 2])
async def test_every_argument_reaches_every_provider(fails: int, census: Census):
    """What the session asks is asked of whichever provider is asked."""

    @llm.function_tool
    async def find_table() -> str:
        """Find a table."""
        return ""

    chain = chain_of(census, *[[Fail(unavailable)]] * fails, GOOD)
    given: dict[str, Any] = {
        "chat_ctx": _rich_context(),
        "tools": [find_table],
        "parallel_tool_calls": False,
        "tool_choice": "required",
        "extra_kwargs": {"temperature": 0.1},
    }

    async with chain.adapter.chat(**given) as stream:
        assert stream.chat_ctx is given["chat_ctx"]
        assert stream.tools == given["tools"]
        await stream.collect()

    for model in chain.models.values():
        seen = model.calls[0].kwargs
        assert {name: seen[name] for name in given if name != "chat_ctx"} == {
            name: value for name, value in given.items() if name != "chat_ctx"
        }
        assert seen["chat_ctx"].to_dict() == given["chat_ctx"].to_dict()


async def test_what_was_not_given_is_not_given(census: Census):
    """Absent arguments stay absent: None would mean something else to a provider."""
    chain = chain_of(census, GOOD)

    await chain.answer()

    seen = chain.call("a").kwargs
    assert [seen[n] for n in ("parallel_tool_calls", "tool_choice", "extra_kwargs")] == [
        NOT_GIVEN,
        NOT_GIVEN,
        NOT_GIVEN,
    ]


async def test_the_caller_s_context_is_never_changed(census: Census):
    """Neither a broken answer nor a failover nor a probe leaves a trace in the chat context."""
    chain = chain_of(
        census, Model([Fail(unavailable)], GOOD), [Say("half "), Fail(unavailable)], GOOD,
        retry_on_chunk_sent=True, probe="replay", temporary_disable_sec=0,
    )  # fmt: skip
    context = _rich_context()
    before, items = context.to_dict(exclude_timestamp=False), list(context.items)

    async with chain.adapter.chat(chat_ctx=context) as stream:
        answer = await stream.collect()
    await asyncio.sleep(1)

    assert answer.text == "half Hello there."
    assert chain.asked.count("a") == 2
    assert context.to_dict(exclude_timestamp=False) == before
    assert all(now is then for now, then in zip(context.items, items, strict=True))


async def test_the_session_s_retries_do_not_multiply(census: Census):
    """`conn_options` of the session changes neither the deadlines nor the number of attempts."""
    chain = chain_of(census, [Fail(unavailable)], [Fail(unavailable)], total_timeout=1.0)
    mild = APIConnectOptions(max_retry=3, retry_interval=2.0, timeout=0.01)

    with pytest.raises(AllProvidersFailedError):
        await ask(chain.adapter, conn_options=mild)
    asked = len(chain.asked)

    assert 4 <= asked <= 22  # passes within one second, and no more than one every 0.1 s
    assert [event.attempts for event in chain.events.of("exhausted")] == [asked]


@pytest.mark.parametrize("timeout", [0.001, 10.0])
async def test_the_session_s_timeout_is_not_the_adapter_s(timeout: float, census: Census):
    """Deadlines are options of the adapter."""
    chain = chain_of(census, [Hang()], GOOD, attempt_timeout=2.0)

    await ask(chain.adapter, conn_options=APIConnectOptions(timeout=timeout))

    assert chain.call("b").opened_at - chain.call("a").opened_at == pytest.approx(2.0, abs=0.05)


async def test_prewarm_reaches_the_primary():
    """A session prewarms its model, possibly before the loop runs the session."""
    a, b = ScriptedLLM(), ScriptedLLM()
    adapter = FallbackLLM([a, b])

    adapter.prewarm(loop=asyncio.get_running_loop())

    assert (a.prewarmed, b.prewarmed) == (1, 0)


async def test_model_and_provider_are_those_of_the_next_request(census: Census):
    """What a session reads before a request names the provider expected to answer it."""
    chain = chain_of(census, [Fail(unavailable)], GOOD, temporary_disable_sec=5)
    adapter = chain.adapter

    before = (adapter.model, adapter.provider, adapter.metrics_metadata)
    await chain.answer()
    during = (adapter.model, adapter.provider, adapter.metrics_metadata)
    await asyncio.sleep(6)
    after = (adapter.model, adapter.provider, adapter.metrics_metadata)

    a, b = (chain.models[name].metrics_metadata for name in "ab")
    assert before == ("a-model", "a", a)
    assert during == ("b-model", "b", b)
    assert after == ("a-model", "a", b)


def test_properties_can_be_read_without_a_running_loop():
    """Sessions read them while they are being built."""
    adapter = FallbackLLM([Provider(ScriptedLLM(name="x"), name="main")])

    assert (adapter.model, adapter.provider, adapter.component) == ("x-model", "x", "llm")
    assert adapter.metrics_metadata["model_name"] == "x-model"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(lambda: [], "at least one", id="empty"),
        pytest.param(ScriptedLLM, "must be a list", id="no-list"),
        pytest.param(lambda: [ScriptedTTS()], "must be a livekit.agents.llm", id="voice"),
        pytest.param(lambda: [Provider("gpt")], "must be a livekit.agents.llm", id="text"),
        pytest.param(lambda: [m := ScriptedLLM(), m], "twice", id="same"),
        pytest.param(lambda: [m := ScriptedLLM(), Provider(m, name="b")], "twice", id="entry"),
        pytest.param(
            lambda: [Provider(ScriptedLLM(), name="x"), Provider(ScriptedLLM(), name="x")],
            "'x'",
            id="same-name",
        ),
    ],
)
def test_a_wrong_list_is_refused(given: Callable[[], Any], said: str):
    """A mistake in the list of providers is found at construction, and named."""
    with pytest.raises(ValueError, match=said):
        FallbackLLM(given())


@pytest.mark.parametrize(
    "options",
    [
        {"attempt_timeout": 0},
        {"stall_timeout": -1},
        {"total_timeout": "12"},
        {"max_retry_per_llm": -1},
        {"retry_on_chunk_sent": "go on"},
        {"max_retry_per_tts": 1},
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any]):
    """A mistake in an option is found at construction, with its name and value."""
    ((name, value),) = options.items()

    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        FallbackLLM([ScriptedLLM()], **options)


async def test_options_may_come_as_a_mapping_and_keywords_win(census: Census):
    """`options=` is for what several adapters share."""
    chain = chain_of(
        census, [Hang()], GOOD, options={"attempt_timeout": 9.0, "sticky": True},
        attempt_timeout=1.0,
    )  # fmt: skip

    await chain.answer()

    assert chain.call("b").opened_at - chain.call("a").opened_at == pytest.approx(1.0, abs=0.05)


async def test_a_vendor_s_extras_reach_only_that_vendor(census: Census):
    """What one vendor attached to its answers is kept from a backup that may reject it."""
    vendor = Model([Metadata("google", "s"), Say("a")], [Fail(unavailable)], GOOD)
    chain = chain_of(census, vendor, GOOD)
    context = _rich_context()
    await chain.answer()

    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    def extras(name: str, number: int) -> list[Any]:
        items = chain.call(name, number).kwargs["chat_ctx"].items
        return [item.extra for item in items if item.type == "function_call"]

    kept = {"google": {"signature": "s"}}
    assert (extras("a", 1), extras("b", 0)) == ([kept], [{}])
    assert [item.extra for item in context.items if item.type == "function_call"] == [kept]


async def test_nested_adapters_serve(census: Census):
    """An adapter is an LLM, so it can be a provider of another."""
    inner = chain_of(census, [Fail(unavailable)], [Fail(unavailable)], total_timeout=0.5)
    good = ScriptedLLM(GOOD, name="c")
    outer = FallbackLLM([inner.adapter, good], probe="live")
    census.watch(good)

    assert text_of(await ask(outer)) == "Hello there."
