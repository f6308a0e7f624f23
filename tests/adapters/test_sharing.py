# SPDX-License-Identifier: Apache-2.0
"""Adapters that share: one provider in two adapters, an adapter inside an adapter, one session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import APIError, llm

from livekit_fallback import AdapterClosedError, FallbackLLM, FallbackTTS
from livekit_fallback.classify import classify
from livekit_fallback.core.outcome import FailureKind
from tests.support.chains import voices
from tests.support.errors import status
from tests.support.fakes import (
    Audio,
    Fail,
    Hang,
    Say,
    ScriptedLLM,
    ScriptedTTS,
    Silence,
    UsageOnly,
    Wait,
    ask,
    say,
    seconds_of,
    text_of,
)
from tests.support.llm_chain import Model, chain_of
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from tests.support.census import Census

GOOD = [Say("Hello "), Say("there."), UsageOnly()]


async def test_a_shared_provider_is_reported_by_the_adapter_that_used_it(census: Census):
    """Usage is counted once, where it belongs, although both adapters listen to the provider."""
    shared = ScriptedLLM(GOOD)
    mine, other = FallbackLLM([shared]), FallbackLLM([shared])
    census.watch(shared)
    heard = {adapter: EventRecorder(adapter) for adapter in (mine, other)}

    await ask(mine)

    assert len(heard[mine].of("metrics_collected")) == 1
    assert heard[other].of("metrics_collected") == []


async def test_an_adapter_inside_an_adapter_reports_its_usage_outwards(census: Census):
    """What the innermost provider used arrives at the outermost adapter, once."""
    provider, backup = ScriptedLLM(GOOD), ScriptedLLM(GOOD)
    outer = FallbackLLM([FallbackLLM([provider]), backup])
    census.watch(provider, backup)
    events = EventRecorder(outer)

    assert text_of(await ask(outer)) == "Hello there."

    assert len(events.of("metrics_collected")) == 1


async def test_an_inner_adapter_is_as_lasting_ill_as_its_least_lasting_provider(census: Census):
    """One rejected key does not make an adapter whose other provider had a blip rest for long."""
    blip, key = ScriptedLLM([Fail(status(503))]), ScriptedLLM([Fail(status(401))])
    inner = FallbackLLM([blip, key], total_timeout=0.5)
    census.watch(blip, key)

    with pytest.raises(APIError) as raised:
        await ask(inner)

    assert classify(raised.value).failure.kind is FailureKind.TRANSIENT


@pytest.mark.parametrize("text", ["...", "<break time='1s'/>", "---", "\N{WAVING HAND SIGN}"])
async def test_a_text_without_words_is_spoken_by_silence(text: str, census: Census):
    """Silence is what such a text sounds like: nobody fails, and the session gets it."""
    chain = voices(census, [Silence(0.4)], [Audio(0.4)])

    heard = await say(chain.adapter, text)

    assert seconds_of(heard) == pytest.approx(0.4, abs=0.011)
    assert chain.asked == "a"
    assert chain.unavailable == []


async def test_closing_wakes_a_reader_behind_a_stubborn_provider():
    """Whoever waits for an answer learns of the closing, whatever the provider does."""
    stubborn, backup = ScriptedLLM([Hang()], stubborn=30.0), ScriptedLLM(GOOD)
    adapter = FallbackLLM([stubborn, backup], attempt_timeout=60.0)
    reading = asyncio.create_task(ask(adapter))
    await asyncio.sleep(1.0)

    await adapter.aclose()

    with pytest.raises(AdapterClosedError):
        await asyncio.wait_for(reading, timeout=1.0)
    assert backup.calls == []
    await asyncio.sleep(60.0)  # until the stubborn one has given in


async def test_closing_ends_a_stream_that_waits_for_text():
    """A reply that never gets any text does not outlive its adapter."""
    adapter = FallbackTTS([ScriptedTTS([Audio(0.2)])])
    stream = adapter.stream()
    reading = asyncio.create_task(anext(aiter(stream), None))
    await asyncio.sleep(1.0)

    await adapter.aclose()

    assert await asyncio.wait_for(reading, timeout=1.0) is None
    await stream.aclose()


async def test_an_interrupted_answer_proves_its_provider_well(census: Census):
    """A caller who interrupts has heard something: a provider under test is back by that."""
    primary = Model([Fail(status(503))], [Say("Hello "), Hang()])
    chain = chain_of(census, primary, GOOD, temporary_disable_sec=1.0, stall_timeout=None)
    await chain.answer()
    await asyncio.sleep(1.5)

    async with chain.adapter.chat(chat_ctx=llm.ChatContext.empty()) as stream:
        await anext(aiter(stream))

    changes = [e.available for e in chain.events.of("llm_availability_changed")]
    assert chain.asked == "aba"
    assert changes == [False, True]


async def test_a_stale_answer_moves_no_traffic(census: Census):
    """An older request that is served late by a provider that failed since is no recovery."""
    late = [Wait(2.0), *GOOD]
    chain = chain_of(census, Model(late, [Fail(status(503))]), GOOD)
    older = asyncio.create_task(chain.answer())
    await asyncio.sleep(0.5)

    await chain.answer()
    await older

    assert chain.events.of("recovery") == []
    assert chain.adapter.metrics_metadata == chain.models["b"].metrics_metadata
