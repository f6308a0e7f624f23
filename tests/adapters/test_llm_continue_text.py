# SPDX-License-Identifier: Apache-2.0
"""How a continued answer reaches the session: word by word, with one usage, and how it may end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import Agent, AgentSession, llm

from livekit_fallback import AllProvidersFailedError
from tests.support.continuation import (
    BREAKS,
    ECHOES,
    GOOD,
    SENTENCE,
    TOOLS,
    Successor,
    pieces_of,
    rest_after,
)
from tests.support.fakes import (
    Fail,
    Hang,
    Metadata,
    Say,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unavailable
from tests.support.script import now

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.llm_chain import LLMChain


# --- how text is handed over -------------------------------------------------------------------


async def _with_times(chain: LLMChain) -> list[tuple[float, str]]:
    """Each text of an answer with when it came."""
    begun = now()
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Hi")
    async with chain.adapter.chat(chat_ctx=context) as stream:
        return [
            (round(now() - begun, 3), chunk.delta.content)
            async for chunk in stream
            if chunk.delta and chunk.delta.content
        ]


async def test_words_are_handed_over_as_soon_as_they_are_whole(census: Census):
    """The first is not held for longer than it takes to be complete, nor the last for the end."""
    tokens = ["Of", " cour", "se", " we", " do", "."]
    script: list[Step] = [step for token in tokens for step in (Wait(0.1), Say(token))]
    chain = chain_of(
        census, Model([*script, UsageOnly(), Wait(0.5)], on_close=Wait(0.2)),
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    assert await _with_times(chain) == [
        (0.2, "Of"),
        (0.4, " course"),
        (0.5, " we"),
        (0.6, " do."),
    ]


@pytest.mark.parametrize("mode", [False, True])
async def test_without_continuation_nothing_is_held(mode: bool, census: Census):
    """In the other modes each chunk is handed on as it came."""
    script = [Say("Of"), Wait(0.1), Say(" cour"), Wait(0.1), Say("se")]
    chain = chain_of(census, script, retry_on_chunk_sent=mode)

    assert await _with_times(chain) == [(0.0, "Of"), (0.1, " cour"), (0.2, "se")]


async def test_the_last_word_does_not_wait_for_the_stream_to_close(census: Census):
    """A provider may take its time to close, and may never send its usage."""
    model = Model([Say("Done"), Wait(0.1)], on_close=Wait(0.2))
    chain = chain_of(census, model, retry_on_chunk_sent="continue")

    assert await _with_times(chain) == [(0.1, "Done")]


@pytest.mark.parametrize("how", BREAKS)
async def test_an_answer_that_was_complete_when_it_broke_is_whole(how: Step, census: Census):
    """After the usage nothing is owed: the last word is said, and nobody else is asked."""
    script = [Say("Hello "), Say("there"), UsageOnly(), how]
    chain = chain_of(census, script, GOOD, retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error, chain.asked) == ("Hello there", None, "a")
    assert chunks[-1].usage is not None


async def test_extras_and_usage_come_with_the_text(census: Census):
    """What a chunk carries beside its text reaches the session, once, and the usage last."""
    script = [Metadata("first"), *pieces_of("Hello there.", 5), Metadata("last"), UsageOnly()]
    chain = chain_of(census, [Say("Oh dear"), Fail(unavailable)], script,
                     retry_on_chunk_sent="continue")  # fmt: skip

    chunks, _ = await listen(chain.adapter)

    extras = [chunk.delta.extra for chunk in chunks if chunk.delta and chunk.delta.extra]
    assert extras == [{"first": "x"}, {"last": "x"}]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert text_of(chunks) == "Oh Hello there."


async def test_a_provider_that_counts_as_it_goes_gives_one_usage(census: Census):
    """Its counts in the middle are no end: what is held is only let go too early, not lost."""
    counting = [step for word in SENTENCE.split(" ") for step in (Say(word + " "), UsageOnly())]
    chain = chain_of(
        census, Model([*counting[:5], Fail(unavailable)]), Model([Say("Of course we "), *counting]),
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert error is None
    assert text_of(chunks).split() == [*SENTENCE.split()[:3], *SENTENCE.split()]
    assert [chunk.usage is not None for chunk in chunks].count(True) == 1


async def test_usage_and_metrics_are_those_of_who_finished(census: Census):
    """One final usage for the session. Of an answer that failed LiveKit's streams report none."""
    chain = chain_of(
        census, [Say("Of course "), Say("we do"), Fail(unavailable)], Successor(rest_after),
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert error is None
    assert [chunk.usage is not None for chunk in chunks].count(True) == 1
    assert chunks[-1].usage is not None
    assert [metrics.label for metrics in chain.events.of("metrics_collected")] == ["b"]


async def test_what_gave_no_word_is_not_counted(census: Census):
    """A provider that stalls inside its first word was asked in vain, as one that says nothing."""
    chain = chain_of(census, [Say("Hel"), Hang()], GOOD, retry_on_chunk_sent="continue")

    await listen(chain.adapter)
    await asyncio.sleep(1)

    assert [metrics.label for metrics in chain.events.of("metrics_collected")] == ["b"]


async def test_text_comes_before_the_tool_call_that_follows_it(census: Census):
    """A tool call ends the text, the last word of which is not held any longer."""
    script = [Say("Let me look"), ToolCall("look"), Fail(unavailable)]
    chain = chain_of(census, script, GOOD, retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert error is not None
    assert text_of(chunks) == "Let me look"
    assert chunks[-1].delta is not None
    assert [call.name for call in chunks[-1].delta.tool_calls] == ["look"]


# --- how a continuation may end ----------------------------------------------------------------


async def test_what_follows_the_tool_call_of_a_continuation_is_said(census: Census):
    """Also if all that came before the call was a repetition."""
    begun = "Let me look. "
    chain = chain_of(
        census, [Say(begun), Fail(unavailable)],
        [Say(begun), ToolCall("look"), Say("Here we are."), UsageOnly()],
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Let me look. Here we are.", None)
    assert [tool.name for tool in tools_of(chunks)] == ["look"]


async def test_a_continuation_may_call_a_tool(census: Census):
    """Nothing was called before, so the tool is called once, after what was said."""
    chain = chain_of(
        census, [Say("Let me look"), Fail(unavailable)], [*TOOLS[:1], UsageOnly()],
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Let me", None)
    assert [tool.name for tool in tools_of(chunks)] == ["look"]


@pytest.mark.parametrize("echo", ["Of course we do.", "we do.", "OF COURSE WE DO", "."])
async def test_a_continuation_that_is_only_an_echo_ends_the_answer(echo: str, census: Census):
    """Who has nothing to add says that the answer was complete."""
    begun = [Say("Of course we do. "), Fail(unavailable)]
    chain = chain_of(census, begun, [Say(echo), UsageOnly()], retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Of course we do.", None)
    assert chunks[-1].usage is not None
    assert chain.events.of("output_lost") == []


async def test_an_answer_that_nobody_finishes_is_a_loss(census: Census):
    """All break off: what was said is counted over all of them, and the error is the chain's."""
    chain = chain_of(
        census, [Say("Of course we"), Fail(unavailable)], [Say("we do. The"), Fail(unavailable)],
        retry_on_chunk_sent="continue",
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert text_of(chunks) == "Of course we do."
    assert isinstance(error, AllProvidersFailedError)
    (lost,) = chain.events.of("output_lost")
    assert (lost.provider, lost.delivered) == ("b", len("Of course we do."))
    assert [event.recoverable for event in chain.events.of("error")] == [True, False]


@pytest.mark.parametrize("mode", [True, "continue"])
async def test_what_a_rule_ends_is_a_loss_as_well(mode: Any, census: Census):
    """`should_failover` says no to the second failure, which itself has said nothing."""
    chain = chain_of(
        census, [Say("Of course "), Say("we "), Fail(unavailable)], [Fail(ValueError)],
        retry_on_chunk_sent=mode, should_failover=lambda error, _: type(error) is not ValueError,
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert isinstance(error, ValueError)
    (lost,) = chain.events.of("output_lost")
    assert (lost.provider, lost.delivered) == ("b", len(text_of(chunks)))


async def test_of_two_hedged_continuations_one_is_heard(census: Census):
    """The faster one goes on, the other is cancelled, and nobody says anything twice."""
    chain = chain_of(
        census, [Say("Of course we"), Fail(unavailable)], [Wait(1.0), Say("NO"), UsageOnly()],
        [Say("we do. The "), Say("rest."), UsageOnly()],
        retry_on_chunk_sent="continue", hedge_after_ms=300, hedge_budget=1.0,
    )  # fmt: skip

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Of course we do. The rest.", None)
    assert chain.asked == "abc"


async def test_a_caller_who_interrupts_a_continuation_blames_nobody(census: Census):
    """Cancellation ends it as any other answer."""
    chain = chain_of(
        census, [Say("Of course we"), Fail(unavailable)], [Say("we do. "), Hang()],
        retry_on_chunk_sent="continue",
    )  # fmt: skip
    asking = asyncio.create_task(listen(chain.adapter))
    await asyncio.sleep(0.1)

    asking.cancel()
    await asyncio.wait({asking})

    assert chain.events.of("output_lost") == chain.events.of("exhausted") == []
    assert [event.provider for event in chain.events.of("llm_availability_changed")] == ["a"]


async def test_the_history_of_a_session_is_what_was_said(census: Census):
    """A turn that passes through two hands is one message, and the next turn builds on it."""
    chain = chain_of(
        census, Model([*pieces_of(SENTENCE, 5)[:9], Fail(unavailable)], GOOD),
        Successor(ECHOES["the last two words"]), retry_on_chunk_sent="continue",
        temporary_disable_sec=5,
    )  # fmt: skip
    async with AgentSession[None](llm=chain.adapter, vad=None) as session:
        await session.start(Agent(instructions="Be brief."), record=False)
        await session.run(user_input="Hi")
        await asyncio.sleep(10)
        await session.run(user_input="And now?")
        said = [i.text_content for i in session.history.messages() if i.role == "assistant"]

    assert said == [SENTENCE, "Hello there."]
    told = [item.text_content for item in chain.call("a", 1).kwargs["chat_ctx"].messages()]
    assert sorted(told) == sorted(["Be brief.", "Hi", SENTENCE, "And now?"])
