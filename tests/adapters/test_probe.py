# SPDX-License-Identifier: Apache-2.0
"""Probes: how a failed provider proves that it is back, and what that may cost."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIStatusError, llm

from livekit_fallback import FallbackLLM
from tests.support.census import Census
from tests.support.errors import gone
from tests.support.fakes import (
    Fail,
    FailInCall,
    Hang,
    KeepAlive,
    Repeat,
    RoleOnly,
    Say,
    ScriptedLLM,
    ToolCall,
    UsageOnly,
    Wait,
    ask,
)
from tests.support.llm_chain import (
    LLMChain,
    Model,
    bad_request,
    chain_of,
    unauthorized,
    unavailable,
)
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.script import Script

DOWN = [Fail(unavailable)]
UP = [Say("a"), Wait(1), Say("a"), UsageOnly()]
GOOD = [Say("b")]
REPLAY: dict[str, Any] = {"probe": "replay", "temporary_disable_sec": 5.0}


def _changes(chain: LLMChain) -> list[tuple[str, bool]]:
    return [(e.provider, e.available) for e in chain.events.of("llm_availability_changed")]


async def test_a_failed_provider_is_probed_after_its_cool_down(census: Census):
    """The probe stands beside the traffic: no request is needed for it, or delayed by it."""
    chain = chain_of(census, Model(DOWN, UP), GOOD, **REPLAY)
    await chain.answer()

    await asyncio.sleep(4.9)
    before = chain.asked
    await asyncio.sleep(0.2)

    assert (before, chain.asked) == ("ab", "aba")
    assert _changes(chain) == [("a", False), ("a", True)]
    assert await chain.answer() == "aa"


async def test_a_probe_repeats_the_last_request(census: Census):
    """It is asked what the caller asked, with everything that belongs to it."""
    chain = chain_of(census, Model(DOWN, UP), GOOD, **REPLAY)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="second")
    await chain.answer("first")

    async with chain.adapter.chat(chat_ctx=context, tool_choice="none") as stream:
        await stream.collect()
    await asyncio.sleep(6)

    probe = chain.call("a", 1)
    assert probe.kwargs["chat_ctx"].to_dict() == context.to_dict()
    assert probe.kwargs["tool_choice"] == "none"
    assert probe.kwargs["conn_options"].max_retry == 0


@pytest.mark.parametrize("first", [Say("a"), ToolCall("look")], ids=["text", "tool"])
async def test_a_probe_stops_at_its_first_useful_output(first: Any, census: Census):
    """An answer nobody hears is not paid for: the stream is closed at its first useful chunk."""
    script = [RoleOnly(), Wait(0.5), first, Repeat([Wait(0.1), Say("more")])]
    chain = chain_of(census, Model(DOWN, script), GOOD, **REPLAY)
    await chain.answer()

    await asyncio.sleep(10)

    probe = chain.call("a", 1)
    assert probe.closed_at == pytest.approx(probe.opened_at + 0.5, abs=0.05)
    assert _changes(chain)[-1] == ("a", True)


@pytest.mark.parametrize(
    "script",
    [
        [Hang()],
        [],
        [RoleOnly(), UsageOnly()],
        DOWN,
        [FailInCall(gone)],
        [Repeat([KeepAlive(), Wait(0.2)])],
    ],
    ids=["hang", "empty", "usage", "down", "refuses", "keep-alives"],
)
async def test_a_bad_probe_leaves_the_provider_out(script: Script, census: Census):
    """What would be a failed attempt is a failed probe."""
    chain = chain_of(census, Model(DOWN, script), GOOD, attempt_timeout=2.0, **REPLAY)
    await chain.answer()

    await asyncio.sleep(8)

    assert chain.asked == "aba"
    assert chain.models["a"].open_calls == []
    assert _changes(chain) == [("a", False)]
    assert await chain.answer() == "b"


@pytest.mark.parametrize(
    ("options", "bound"),
    [({"attempt_timeout": 2.0}, 2.0), ({"attempt_timeout": None, "total_timeout": None}, 60.0)],
)
async def test_a_probe_is_bounded_in_time(options: dict[str, Any], bound: float, census: Census):
    """One that hangs ends at the provider's deadline, or in reasonable time without one."""
    chain = chain_of(census, Model(DOWN, [Hang()], UP), GOOD, **REPLAY, **options)
    await chain.answer()

    await asyncio.sleep(5 + bound + 0.1)

    probe = chain.call("a", 1)
    assert probe.closed_at is not None
    assert probe.closed_at - probe.opened_at <= bound + 0.05


async def test_probes_of_a_dead_provider_grow_rare(census: Census):
    """Whatever the traffic, a dead provider is asked once per growing interval."""
    chain = chain_of(census, Model(DOWN), GOOD, max_disable_sec=40.0, **REPLAY)

    for _ in range(300):
        await chain.answer()
        await asyncio.sleep(1.0)

    times = [call.opened_at for call in chain.models["a"].calls]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:3] == pytest.approx([5, 10, 20], abs=1.1)
    assert all(gap == pytest.approx(40, abs=1.1) for gap in gaps[3:])


async def test_without_traffic_nothing_is_probed(census: Census):
    """An idle agent costs nothing: one probe per request at most."""
    chain = chain_of(census, Model(DOWN), GOOD, **REPLAY)
    await chain.answer()

    await asyncio.sleep(3600)
    idle = chain.asked
    await chain.answer()
    await asyncio.sleep(3600)

    assert (idle, chain.asked) == ("aba", "aba" + "".join(sorted("ab", key=chain.asked[3:].index)))


async def test_at_most_one_probe_is_in_flight(census: Census):
    """Requests that come while a provider is being probed do not start another probe."""
    slow = [Wait(1.9), Fail(unavailable)]
    chain = chain_of(census, Model(DOWN, slow), GOOD, probe="replay", temporary_disable_sec=0)

    for _ in range(200):
        await chain.answer()
        await asyncio.sleep(0.1)

    calls = chain.models["a"].calls
    assert len(calls) >= 3
    assert all(
        one.closed_at is not None and one.closed_at <= next_one.opened_at
        for one, next_one in pairwise(calls)
    )


async def test_every_failed_provider_is_probed_on_its_own(census: Census):
    """One that hangs in its probe does not keep the others out."""
    chain = chain_of(census, Model(DOWN, [Hang()]), Model(DOWN, UP), [Say("c")], **REPLAY)
    await chain.answer()

    await asyncio.sleep(6)

    assert _changes(chain)[-1] == ("b", True)
    assert await chain.answer() == "aa"
    assert chain.asked.count("a") == 2
    await asyncio.sleep(5)


async def test_no_cool_down_probes_at_once(census: Census):
    """`temporary_disable_sec=0` behaves like LiveKit's adapters."""
    chain = chain_of(census, Model(DOWN, UP), GOOD, probe="replay", temporary_disable_sec=0)

    await chain.answer()
    await turns(20)

    assert sorted(chain.asked) == ["a", "a", "b"]
    assert _changes(chain) == [("a", False), ("a", True)]


async def test_no_cool_down_is_no_busy_loop(census: Census):
    """A dead provider is probed at once, but then with growing rests."""
    chain = chain_of(census, Model(DOWN), GOOD, probe="replay", temporary_disable_sec=0)

    for _ in range(100):
        await chain.answer()
        await asyncio.sleep(0.3)

    assert 3 <= chain.asked.count("a") <= 8


async def test_a_rejected_key_rests_as_long_as_allowed(census: Census):
    """What a person has to mend is not probed every few seconds."""
    chain = chain_of(census, [Fail(unauthorized)], GOOD, max_disable_sec=120.0, **REPLAY)

    for _ in range(119):
        await chain.answer()
        await asyncio.sleep(1)
    rested = chain.asked.count("a")
    await asyncio.sleep(2)

    assert (rested, chain.asked.count("a")) == (1, 2)


async def test_retry_after_is_honoured(census: Census):
    """A provider that says when it wants to be asked again is not asked before."""

    def limited() -> APIStatusError:
        error = APIStatusError("slow down", status_code=429)
        error.headers = {"retry-after": "30"}  # type: ignore[attr-defined]
        return error

    chain = chain_of(census, Model([Fail(limited)], UP), GOOD, **REPLAY)
    await chain.answer()

    await asyncio.sleep(29)
    before = chain.asked
    await asyncio.sleep(2)

    assert (before, chain.asked) == ("ab", "aba")


async def test_a_probe_rejected_for_its_content_says_nothing(census: Census):
    """A provider that rejects this one prompt is neither back nor worse."""
    chain = chain_of(census, Model(DOWN, [Fail(bad_request)], UP), GOOD, **REPLAY)
    await chain.answer()
    await asyncio.sleep(6)

    await chain.answer()
    await asyncio.sleep(6)

    assert _changes(chain) == [("a", False), ("a", True)]
    assert chain.asked.count("a") == 3


@pytest.mark.parametrize("seconds", [0.0, 3.0, 5.5])
async def test_closing_ends_probes(seconds: float):
    """A probe in flight is cancelled and closed by `aclose`, a due one never starts."""
    a, b = ScriptedLLM(DOWN, [Hang()]), ScriptedLLM(GOOD)
    async with Census(a, b):
        adapter = FallbackLLM([a, b], probe="replay", temporary_disable_sec=5.0)
        await ask(adapter)
        await asyncio.sleep(seconds)

        await adapter.aclose()
        calls = len(a.calls)
        await asyncio.sleep(100)

    assert len(a.calls) == calls == (2 if seconds > 5 else 1)
    assert a.open_calls == []


async def test_an_adapter_that_is_never_closed_leaves_no_task_for_long(census: Census):
    """Sessions do not close their models, so probes must end by themselves."""
    chain = chain_of(census, Model(DOWN, [Hang()]), GOOD, **REPLAY)

    await chain.answer()
    await asyncio.sleep(20)

    assert chain.asked == "aba"


async def test_live_probes_use_the_next_request(census: Census):
    """`probe="live"`: after the cool-down the next request is the test."""
    chain = chain_of(census, Model(DOWN, UP), GOOD, temporary_disable_sec=5)

    await chain.answer()
    await asyncio.sleep(4.9)
    early = await chain.answer()
    await asyncio.sleep(0.2)
    due = await chain.answer()

    assert (early, due, chain.asked) == ("b", "aa", "abba")


async def test_a_live_probe_that_fails_costs_its_request_a_failover(census: Census):
    """The usual deadlines guard it, and the next cool-down is longer."""
    chain = chain_of(census, [Hang()], GOOD, temporary_disable_sec=5, attempt_timeout=2.0)

    for _ in range(30):
        assert await chain.answer() == "b"
        await asyncio.sleep(1)

    times = [call.opened_at for call in chain.models["a"].calls]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([7, 12], abs=1.1)


async def test_a_live_probe_that_is_cancelled_gives_its_turn_back(census: Census):
    """A caller who interrupts the test has not decided it."""
    chain = chain_of(census, Model(DOWN, [Hang()], UP), GOOD, temporary_disable_sec=5)
    await chain.answer()
    await asyncio.sleep(6)

    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
    await turns()
    await stream.aclose()

    assert await chain.answer() == "aa"
    assert _changes(chain) == [("a", False), ("a", True)]
