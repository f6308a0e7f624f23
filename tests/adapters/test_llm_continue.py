# SPDX-License-Identifier: Apache-2.0
"""`retry_on_chunk_sent="continue"`: the next provider goes on where the last one broke off."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import llm

from livekit_fallback import AllProvidersFailedError
from tests.support.continuation import (
    BREAKS,
    ECHOES,
    GOOD,
    MODES,
    SENTENCE,
    TOOLS,
    Successor,
    pieces_of,
    rest_after,
    said_to,
)
from tests.support.fakes import (
    Fail,
    Metadata,
    RoleOnly,
    Say,
    Step,
    ToolCall,
    UsageOnly,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unavailable
from tests.support.script import now

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script


# --- killed after k of n -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 200])
@pytest.mark.parametrize("echo", ECHOES)
async def test_text_that_breaks_off_anywhere_is_said_once(echo: str, size: int, census: Census):
    """After every k of n chunks, whatever the next one repeats: each word is said exactly once."""
    tokens = pieces_of(SENTENCE, size)
    for k in range(len(tokens) + 1):
        how = BREAKS[k % len(BREAKS)]
        chain = chain_of(
            census, [RoleOnly(), *tokens[:k], how], Successor(ECHOES[echo]),
            retry_on_chunk_sent="continue",
        )  # fmt: skip

        chunks, error = await listen(chain.adapter)

        assert (text_of(chunks), error) == (SENTENCE, None), f"broken after {k}"
        assert chain.asked == "ab"
        assert chain.events.of("output_lost") == chain.events.of("exhausted") == []


def _killed(script: list[Step]) -> list[Any]:
    return [
        pytest.param(script[:k], how, mode, id=f"{k}-{n}-{mode}")
        for k in range(len(script) + 1)
        for n, how in enumerate(BREAKS)
        for mode in MODES
    ]


@pytest.mark.parametrize(("sent", "how", "mode"), _killed([*TOOLS]))
async def test_tools_are_called_once(sent: Script, how: Step, mode: Any, census: Census):
    """A provider that dies after k of n tool calls: none is called twice, in no mode."""
    chain = chain_of(census, [*sent, how], [*TOOLS, UsageOnly()], retry_on_chunk_sent=mode)

    chunks, error = await listen(chain.adapter)

    calls = [(tool.name, tool.call_id) for tool in tools_of(chunks)]
    wanted = [(tool.name, tool.call_id) for tool in TOOLS]
    assert calls == (wanted[: len(sent)] if sent else wanted)
    assert (error is None) == (not sent)
    assert chain.asked == ("a" if sent else "ab")


@pytest.mark.parametrize(
    ("sent", "how", "mode"), _killed([Say("Let me "), Say("look"), Say(" it up. "), *TOOLS])
)
async def test_text_and_tools_are_handed_over_once(
    sent: Script, how: Step, mode: Any, census: Census
):
    """Text, then tools: before the first tool call the mode decides, after it nothing moves on."""
    called = [step for step in sent if isinstance(step, ToolCall)]
    other = [Say("Let me look it up."), *TOOLS, UsageOnly()]
    chain = chain_of(census, [*sent, how], other, retry_on_chunk_sent=mode)

    chunks, error = await listen(chain.adapter)

    ids = [tool.call_id for tool in tools_of(chunks)]
    moved_on = not sent or (mode and not called)
    assert chain.asked == ("ab" if moved_on else "a")
    assert (error is None) == bool(moved_on)
    assert ids == [tool.call_id for tool in (TOOLS if moved_on else called)]
    if mode == "continue":
        whole = moved_on or called
        assert text_of(chunks).rstrip() == ("Let me look it up." if whole else "")
    assert len(chain.events.of("output_lost")) == (0 if moved_on else 1)


async def test_an_answer_may_pass_through_many_hands(census: Census):
    """Every provider breaks off, and each goes on with what all before it have said."""

    class Breaks(Successor):
        def chat(self, **request: Any) -> Any:
            stream = super().chat(**request)
            call = self.calls[-1]
            call.script = [*call.script[:6], Fail(unavailable)]
            return stream

    models = [Breaks(rest_after, 5) for _ in range(3)] + [Successor(rest_after)]
    models[0].play(pieces_of(SENTENCE, 3))
    chain = chain_of(census, *models, retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == (SENTENCE, None)
    assert chain.asked == "abcd"
    told = [said_to(chain.call(name)) for name in "bcd"]
    assert told == sorted(set(told), key=len)
    assert all(SENTENCE.startswith(said + " ") for said in told)
    assert chain.events.of("output_lost") == []


@pytest.mark.parametrize("seed", range(8))
async def test_an_answer_by_many_who_repeat_and_break_as_they_like_is_said_once(
    seed: int, census: Census
):
    """Any split into tokens, any place to break off, any echo: every word exactly once."""
    chance = random.Random(seed)

    class Whimsical(Successor):
        def chat(self, **request: Any) -> Any:
            self._echo = chance.choice(list(ECHOES.values()))
            self._size = chance.randint(1, 12)
            stream = super().chat(**request)
            call = self.calls[-1]
            steps = list(call.script)
            call.script = [*steps[: chance.randint(0, len(steps))], chance.choice(BREAKS)]
            return stream

    for _ in range(25):
        tokens = pieces_of(SENTENCE, chance.randint(1, 12))
        first = [*tokens[: chance.randint(0, len(tokens))], chance.choice(BREAKS)]
        models = [Model(first), *(Whimsical(rest_after) for _ in range(4)), Successor(rest_after)]
        chain = chain_of(census, *models, retry_on_chunk_sent="continue", total_timeout=None)

        chunks, error = await listen(chain.adapter)

        assert (text_of(chunks), error) == (SENTENCE, None)


# --- what the next provider is asked -----------------------------------------------------------


async def test_the_next_provider_is_asked_to_go_on_and_nobody_else(census: Census):
    """It gets a copy with what was said and an instruction from the user; probes the original."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content="Hi")
    before, tools = context.to_dict(), [_look]
    chain = chain_of(
        census, Model([Say("Half a sen"), Fail(unavailable)], [Say("x ")]), Successor(rest_after),
        retry_on_chunk_sent="continue", probe="replay", temporary_disable_sec=0,
    )  # fmt: skip

    async with chain.adapter.chat(chat_ctx=context, tools=list(tools)) as stream:
        await stream.collect()
    await asyncio.sleep(1)

    asked = [item.text_content for item in chain.call("b").kwargs["chat_ctx"].items]
    assert asked[:3] == ["Be brief.", "Hi", "Half a"]
    assert len(asked) == 4
    assert chain.call("b").kwargs["tools"] == tools
    assert chain.asked == "aba"
    assert [i.text_content for i in chain.call("a", 1).kwargs["chat_ctx"].items] == asked[:2]
    assert context.to_dict() == before


@pytest.mark.parametrize("wire", ["openai", "openai.responses", "anthropic", "google", "aws"])
async def test_no_vendor_is_sent_a_conversation_that_ends_with_its_own_words(
    wire: str, census: Census
):
    """Some reject it as prefill. The system's words stay what they are, in front."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content="Hi")
    begun = [Say("Half a sen"), Fail(unavailable)]
    chain = chain_of(census, begun, GOOD, retry_on_chunk_sent="continue")
    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    messages, _ = chain.call("b").kwargs["chat_ctx"].to_provider_format(wire)

    roles = [message["role"] for message in messages if message["role"] != "system"]
    assert roles in (["user", "assistant", "user"], ["user", "model", "user"])
    assert "Half a" in str(messages[-2])
    assert "Be brief." not in str(messages[-3:])


@llm.function_tool
async def _look() -> str:
    """Look."""
    return ""


async def test_what_was_not_begun_is_asked_for_afresh(census: Census):
    """A provider that dies inside its first word leaves nothing: no word, no extras, no trace."""
    begun = [Metadata("vendor"), Say(" "), Say("Hel"), Fail(unavailable)]
    chain = chain_of(census, begun, GOOD, retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Hello there.", None)
    assert all(chunk.id.startswith("b") for chunk in chunks if chunk.delta and chunk.delta.extra)
    assert len(chain.call("b").kwargs["chat_ctx"].items) == 1
    assert chain.events.of("output_lost") == []
    assert len(chain.events.of("failover")) == 1


async def test_providers_that_die_inside_their_first_word_are_given_up(census: Census):
    """The budget of the request bounds them as those that say nothing at all."""
    dies = [Say("Hel"), Fail(unavailable)]
    chain = chain_of(census, dies, dies, retry_on_chunk_sent="continue", total_timeout=3.0)
    begun = now()

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), type(error)) == ("", AllProvidersFailedError)
    assert now() - begun < 4.0
    assert chain.events.of("output_lost") == []
