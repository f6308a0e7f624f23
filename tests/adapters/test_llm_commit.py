# SPDX-License-Identifier: Apache-2.0
"""The commit point: what may still be done once the session has part of an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIConnectionError, APIStatusError, llm

from livekit_fallback import AllProvidersFailedError
from livekit_fallback.errors import EndedEarlyError, StallError
from tests.support.errors import gone
from tests.support.fake_llm import ScriptedLLMStream
from tests.support.fakes import (
    Fail,
    Hang,
    Metadata,
    Repeat,
    RoleOnly,
    Say,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unauthorized, unavailable

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script

TEXT = [Say("one "), Say("two "), Say("three.")]
TOOLS = [ToolCall("look", call_id="call_1"), ToolCall("look", call_id="call_2")]
MIXED = [Say("Let me "), Say("see."), *TOOLS]
GOOD = [Say("Hello "), Say("there."), UsageOnly()]
BREAKS = [Fail(unavailable), Fail(asyncio.IncompleteReadError(b"", 1)), Hang()]


def _breaks_after(script: Script) -> list[Any]:
    return [
        pytest.param(script[:k], how, id=f"{k}-{type(how).__name__}-{n}")
        for k in range(len(script) + 1)
        for n, how in enumerate(BREAKS)
    ]


@pytest.mark.parametrize(("sent", "how"), _breaks_after(TEXT))
async def test_a_broken_text_is_not_stitched_to_another(sent: Script, how: Step, census: Census):
    """By default an answer that broke off ends with its provider's error, and nothing else."""
    chain = chain_of(census, [RoleOnly(), *sent, how], GOOD)

    chunks, error = await listen(chain.adapter)

    if not sent:
        assert (text_of(chunks), error, chain.asked) == ("Hello there.", None, "ab")
    else:
        assert text_of(chunks) == "".join(step.text for step in sent if isinstance(step, Say))
        assert isinstance(error, StallError if isinstance(how, Hang) else Exception)
        assert chain.asked == "a"


@pytest.mark.parametrize(("sent", "how"), _breaks_after(TEXT))
async def test_a_broken_text_is_restarted_on_request(sent: Script, how: Step, census: Census):
    """`retry_on_chunk_sent=True`: the next provider gives its whole answer after the fragment."""
    chain = chain_of(census, [*sent, how], GOOD, retry_on_chunk_sent=True)

    chunks, error = await listen(chain.adapter)

    fragment = "".join(step.text for step in sent if isinstance(step, Say))
    assert (text_of(chunks), error) == (fragment + "Hello there.", None)
    assert chain.asked == "ab"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("sent", "how"), _breaks_after(MIXED))
async def test_nothing_is_repeated_after_a_tool_call(
    sent: Script, how: Step, restarts: bool, census: Census
):
    """A tool that was called has been called: no setting makes another provider call it again."""
    other = [Say("I will see."), *TOOLS]
    chain = chain_of(census, [*sent, how], other, retry_on_chunk_sent=restarts)

    chunks, error = await listen(chain.adapter)

    called = any(isinstance(step, ToolCall) for step in sent)
    moves_on = not sent or (restarts and not called)
    assert chain.asked == ("ab" if moves_on else "a")
    assert (error is None) == moves_on
    ids = [tool.call_id for tool in tools_of(chunks)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_loss_is_reported(restarts: bool, census: Census):
    """A broken answer that nobody makes good is an `output_lost`, never silence."""
    chain = chain_of(
        census, [*TEXT[:2], *TOOLS[:1], Fail(unavailable)], GOOD, retry_on_chunk_sent=restarts
    )

    _, error = await listen(chain.adapter)

    (lost,) = chain.events.of("output_lost")
    assert (lost.component, lost.provider, lost.reason) == ("llm", "a", "http_503")
    assert (lost.delivered, lost.lost, lost.error) == (len("one two "), None, error)
    assert [e.recoverable for e in chain.events.of("error")] == [True]
    assert chain.events.of("exhausted") == chain.events.of("failover") == []


async def test_a_restart_is_not_a_loss(census: Census):
    """Where the next provider gives the whole answer nothing is lost."""
    chain = chain_of(census, [*TEXT[:2], Fail(unavailable)], GOOD, retry_on_chunk_sent=True)

    await listen(chain.adapter)

    assert chain.events.of("output_lost") == []
    assert [event.reason for event in chain.events.of("failover")] == ["http_503"]


async def test_a_restart_can_break_off_too(census: Census):
    """Each answer that breaks off is followed by the next provider's, until one is whole."""
    chain = chain_of(
        census, [Say("a"), Fail(gone)], [Say("b"), Hang()], GOOD, retry_on_chunk_sent=True
    )

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("abHello there.", None)


async def test_a_restart_has_a_budget_of_its_own(census: Census):
    """An answer may break off long after the budget that found its provider."""
    long = [Repeat([Say("a"), Wait(1.0)], 20), Fail(unavailable)]
    chain = chain_of(census, long, [Wait(3.0), Say("b")], retry_on_chunk_sent=True)

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("a" * 20 + "b", None)


async def test_restarts_end(census: Census):
    """Providers that break off every time are not asked over and over: the caller hears it."""
    broken = [Say("a "), Wait(0.2), Fail(unavailable)]
    chain = chain_of(census, broken, broken, retry_on_chunk_sent=True)

    chunks, error = await listen(chain.adapter)

    assert isinstance(error, AllProvidersFailedError)
    assert text_of(chunks) == "a a "
    assert chain.asked == "ab"


@pytest.mark.parametrize(
    ("scripts", "provider", "delivered"),
    [
        ([[Say("one "), Say("two "), Fail(unavailable)], [Fail(unauthorized)]], "a", 8),
        ([[Say("one "), Fail(unauthorized)], [Say("two"), Fail(unauthorized)]], "b", 7),
        ([[Fail(unauthorized)], [Say("one "), Fail(unauthorized)]], "b", 4),
    ],
    ids=["first-broke-off", "both-broke-off", "second-broke-off"],
)
async def test_fragments_that_nobody_completed_are_one_loss(
    scripts: list[Script], provider: str, delivered: int, census: Census
):
    """Restarts that end in exhaustion leave fragments with the caller: reported once, together."""
    chain = chain_of(census, *scripts, retry_on_chunk_sent=True)

    _, error = await listen(chain.adapter)

    assert isinstance(error, AllProvidersFailedError)
    (lost,) = chain.events.of("output_lost")
    assert (lost.delivered, lost.lost) == (delivered, None)
    assert lost.provider == provider
    assert lost.error in [a.error for a in error.attempts if a.provider == provider]


async def test_a_request_in_vain_is_no_loss(census: Census):
    """Where nobody said anything there is nothing to lose: exhaustion says it all."""
    chain = chain_of(census, [Fail(unauthorized)], [Fail(unauthorized)], retry_on_chunk_sent=True)

    await listen(chain.adapter)

    assert chain.events.of("output_lost") == []
    assert len(chain.events.of("exhausted")) == 1


async def test_a_tool_call_of_the_second_provider_is_the_last_word(census: Census):
    """The rule about tool calls holds for whoever made the call."""
    chain = chain_of(
        census, [Say("a"), Fail(gone)], [*TOOLS[:1], Fail(gone)], GOOD, retry_on_chunk_sent=True
    )

    chunks, error = await listen(chain.adapter)

    assert ([tool.call_id for tool in tools_of(chunks)], chain.asked) == (["call_1"], "ab")
    assert isinstance(error, APIConnectionError)


async def test_the_error_is_the_provider_s_own(census: Census):
    """After the commit point the session gets the very exception, not one wrapped around it."""
    own = APIStatusError("overloaded", status_code=503, request_id="r1")
    chain = chain_of(census, [Say("a"), Fail(own)], GOOD)

    _, error = await listen(chain.adapter)

    assert error is own


async def test_a_broken_answer_counts_against_health(census: Census):
    """The next request goes to a provider that does not break off."""
    chain = chain_of(census, [Say("a"), Fail(gone)], GOOD)

    await listen(chain.adapter)

    assert await chain.answer() == "Hello there."


async def test_a_body_that_ends_half_way_is_noticed(census: Census):
    """A provider known to end its answers with the usage has broken off when it is missing."""
    chain = chain_of(census, Model(GOOD, [Say("Hel")]), GOOD)
    await chain.answer()

    chunks, error = await listen(chain.adapter)

    assert text_of(chunks) == "Hel"
    assert isinstance(error, EndedEarlyError)
    assert [event.reason for event in chain.events.of("output_lost")] == ["ended_early"]


async def test_a_provider_that_never_sends_usage_ends_as_it_likes(census: Census):
    """Without a usage to go by, a clean end after text is the end of the answer."""
    chain = chain_of(census, [Say("a")], GOOD)

    answers = [await chain.answer() for _ in range(3)]

    assert (answers, chain.asked) == (["a", "a", "a"], "aaa")


COUNTING = [Say("a"), UsageOnly(), Say("a"), UsageOnly()]


@pytest.mark.parametrize("how", BREAKS)
async def test_usage_with_every_chunk_is_no_end(how: Step, census: Census):
    """Some providers count as they go: a count in the middle does not make an answer whole."""
    chain = chain_of(census, Model(COUNTING, [*COUNTING, how]), GOOD)
    await chain.answer()

    chunks, error = await listen(chain.adapter)

    assert text_of(chunks) == "aa"
    assert error is not None
    assert len(chain.events.of("output_lost")) == 1


@pytest.mark.parametrize("how", BREAKS)
async def test_usage_with_every_chunk_is_no_end_in_the_first_answer_either(
    how: Step, census: Census
):
    """What a provider's counts mean is known as soon as text follows one."""
    chain = chain_of(census, [*COUNTING, how], GOOD)

    _, error = await listen(chain.adapter)

    assert error is not None


async def test_usage_may_come_with_the_last_text(census: Census):
    """A count in the same chunk as text is a count like any other."""

    class CountsAsItSpeaks(Model):
        def chat(self, **request: Any) -> Any:
            self.journal.append(self.name)
            return _UsageWithText(self, self.open_call("chat", **request))

    chain = chain_of(census, CountsAsItSpeaks(GOOD, [Say("Hello "), Metadata("final")]), GOOD)
    await chain.answer()

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == ("Hello there.", None)


class _UsageWithText(ScriptedLLMStream):
    """Says its last word and its usage in one chunk."""

    async def _output(self, step: Step) -> None:
        if not isinstance(step, Metadata):
            await super()._output(step)
            return
        usage = llm.CompletionUsage(completion_tokens=1, prompt_tokens=1, total_tokens=2)
        delta = llm.ChoiceDelta(content="there.")
        self._event_ch.send_nowait(llm.ChatChunk(id="a-1", delta=delta, usage=usage))
