# SPDX-License-Identifier: Apache-2.0
"""Cancellation from outside: barge-in, hang-up, hand-off. It ends everything and blames nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import llm

from livekit_fallback import AdapterClosedError, FallbackLLM
from tests.support.census import Census
from tests.support.fakes import Fail, Hang, RoleOnly, Say, ScriptedLLM, UsageOnly, Wait, ask
from tests.support.llm_chain import LLMChain, Model, chain_of, unavailable
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.script import Script, Step

GOOD = [Say("b"), UsageOnly()]

# Where a request is after 0.5 s: the chain's scripts, and who has been asked by then.
PHASES: dict[str, tuple[list[Script], str]] = {
    "connecting": ([[Hang()], GOOD], "a"),
    "before-first-output": ([[RoleOnly(), Hang()], GOOD], "a"),
    "mid-answer": ([[Say("one "), Hang()], GOOD], "a"),
    "on-the-backup": ([[Fail(unavailable)], [Hang()]], "ab"),
    "mid-answer-on-the-backup": ([[Fail(unavailable)], [Say("b"), Hang()]], "ab"),
}


async def _close_stream(stream: llm.LLMStream, reader: asyncio.Task[Any]) -> None:
    await stream.aclose()
    await reader


async def _cancel_reader(stream: llm.LLMStream, reader: asyncio.Task[Any]) -> None:
    reader.cancel()
    await asyncio.wait({reader})


async def _close_twice(stream: llm.LLMStream, reader: asyncio.Task[Any]) -> None:
    await asyncio.gather(stream.aclose(), stream.aclose())
    await stream.aclose()
    await reader


WAYS = [_close_stream, _cancel_reader, _close_twice]
Way = "Callable[[llm.LLMStream, asyncio.Task[Any]], Awaitable[None]]"


def _start(chain: LLMChain) -> tuple[llm.LLMStream, asyncio.Task[list[llm.ChatChunk]]]:
    """A request that is being read, as a session reads it."""
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())

    async def read() -> list[llm.ChatChunk]:
        async with stream:
            return [chunk async for chunk in stream]

    return stream, asyncio.create_task(read())


def _blamed(chain: LLMChain) -> list[str]:
    """Who was reported for anything since the request was cancelled: nobody."""
    return [name for name in chain.events.names if name != "metrics_collected"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("scripts", "asked"), PHASES.values(), ids=PHASES.keys())
async def test_it_ends_at_once_in_every_phase(
    scripts: list[Script], asked: str, way: Any, census: Census
):
    """No time passes, nobody else is asked, nobody is blamed, nothing is left."""
    chain = chain_of(census, *scripts, stall_timeout=None)
    stream, reader = _start(chain)
    await asyncio.sleep(0.5)
    chain.events.records.clear()

    with Stopwatch() as watch:
        await way(stream, reader)

    assert watch.elapsed == 0.0
    assert census.left_behind() == []
    await asyncio.sleep(60)
    assert chain.asked == asked
    assert _blamed(chain) == []


@pytest.mark.parametrize("way", WAYS)
async def test_it_ends_at_once_between_two_passes(way: Any, census: Census):
    """A request that waits before asking again does not wait on."""
    chain = chain_of(census, [Fail(unavailable)], retry_interval=1000.0)
    stream, reader = _start(chain)
    await turns(20)
    asked = chain.asked
    chain.events.records.clear()

    with Stopwatch() as watch:
        await way(stream, reader)

    assert watch.elapsed == 0.0
    assert census.left_behind() == []
    await asyncio.sleep(60)
    assert chain.asked == asked
    assert _blamed(chain) == []


@pytest.mark.parametrize("way", WAYS)
async def test_it_ends_soon_while_the_provider_closes(way: Any, census: Census):
    """A complete answer whose stream takes long to close does not hold a caller who leaves."""
    chain = chain_of(census, Model(GOOD, on_close=Wait(0.2)))
    stream, reader = _start(chain)
    await asyncio.sleep(0.1)

    with Stopwatch() as watch:
        await way(stream, reader)

    assert watch.elapsed <= 0.3
    await asyncio.sleep(60)
    assert _blamed(chain) == []


@pytest.mark.parametrize("on_close", [Hang(), Wait(0.1), Fail(ValueError)])
@pytest.mark.parametrize("way", WAYS)
async def test_it_ends_soon_with_a_provider_that_closes_badly(
    way: Any, on_close: Step, census: Census
):
    """The caller is held for a quarter of a second at most; the rest goes on beside."""
    chain = chain_of(census, Model([Say("one "), Hang()], on_close=on_close), GOOD)
    stream, reader = _start(chain)
    await asyncio.sleep(0.5)

    with Stopwatch() as watch:
        await way(stream, reader)

    assert watch.elapsed <= 0.3
    await asyncio.sleep(60)
    assert _blamed(chain) == []


@pytest.mark.parametrize("way", WAYS)
async def test_it_ends_soon_with_a_provider_that_does_not_go(way: Any):
    """A provider that swallows its cancellation is left behind, and ends when it does."""
    async with Census() as census:
        chain = chain_of(Census(), Model([Hang()], stubborn=0.9), GOOD)
        stream, reader = _start(chain)
        await asyncio.sleep(0.5)

        with Stopwatch() as watch:
            await way(stream, reader)
        await asyncio.sleep(60)

    assert watch.elapsed <= 0.3
    assert census.left_behind() == []
    assert _blamed(chain) == []


async def test_an_interrupted_request_is_followed_by_an_ordinary_one(census: Census):
    """Nothing of the interrupted request reaches the next."""
    chain = chain_of(census, Model([Say("one "), Hang()], [Say("two")]), GOOD)
    stream, reader = _start(chain)
    await asyncio.sleep(0.5)
    await _close_stream(stream, reader)

    assert await chain.answer() == "two"


async def test_a_stream_that_is_never_read_can_be_closed(census: Census):
    """A session may drop a request it made ahead of time, also one that has failed."""
    chain = chain_of(census, Model([Hang()], [Say("a")], [Fail(ValueError)]), total_timeout=0.5)

    for seconds in (0.0, 0.2, 1.0):
        stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
        await asyncio.sleep(seconds)
        await stream.aclose()

    assert census.left_behind() == []


async def test_a_timeout_around_a_request_works(census: Census):
    """`asyncio.timeout` is cancellation from outside like any other."""
    chain = chain_of(census, [Hang()], attempt_timeout=None, total_timeout=None)

    with Stopwatch() as watch, pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await chain.answer()

    assert watch.elapsed == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("scripts", [phase[0] for phase in PHASES.values()], ids=PHASES.keys())
async def test_closing_the_adapter_ends_its_requests(scripts: list[Script]):
    """`aclose` ends every request in every phase, and says so to whoever waits."""
    models = [ScriptedLLM(script) for script in scripts]
    async with Census(*models) as census:
        adapter = FallbackLLM(models, probe="live", stall_timeout=None)
        asking = [asyncio.create_task(ask(adapter)) for _ in range(3)]
        await asyncio.sleep(0.5)

        with Stopwatch() as watch:
            await adapter.aclose()
        results = await asyncio.gather(*asking, return_exceptions=True)

        assert watch.elapsed <= 0.05
        assert [type(result) for result in results] == [AdapterClosedError] * 3
        assert census.left_behind() == []


async def test_closing_the_adapter_ends_a_request_between_two_passes():
    """Nor does a request wait on for its next pass."""
    model = ScriptedLLM([Fail(unavailable)])
    async with Census(model) as census:
        adapter = FallbackLLM([model], probe="live", retry_interval=1000.0)
        asking = asyncio.create_task(ask(adapter))
        await turns(20)

        with Stopwatch() as watch:
            await adapter.aclose()
            results = await asyncio.gather(asking, return_exceptions=True)

        assert watch.elapsed == 0.0
        assert [type(result) for result in results] == [AdapterClosedError]
        assert census.left_behind() == []


async def test_closing_the_adapter_does_not_wait_for_ever():
    """A provider that does not react to cancellation holds a close for about a second."""
    model = ScriptedLLM([Hang()], stubborn=30.0)
    adapter = FallbackLLM([model])
    asking = asyncio.create_task(ask(adapter))
    await asyncio.sleep(0.5)

    with Stopwatch() as watch:
        await adapter.aclose()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(60)

    assert watch.elapsed <= 1.5
    assert model.listeners == 0
