# SPDX-License-Identifier: Apache-2.0
"""When probes run and when they do not: checks without traffic, one at a time, none after closing.

And what they leave alone: the answers in flight, and the session's account of what it used.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackLLM, Provider
from tests.support.audio import frames
from tests.support.census import Census
from tests.support.fakes import AudioUsage, Hang, Say, Wait, ask, hear, say
from tests.support.outage import (
    BATCH_STT,
    DOWN,
    KINDS,
    LLM,
    SILENT,
    STT,
    TTS,
    WORD,
    Kind,
    Line,
    breaks,
    line,
)
from tests.support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from tests.support.script import Script

every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
three_kinds = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
REST: dict[str, Any] = {"temporary_disable_sec": 5.0}
CHECKED: dict[str, Any] = {"health_check_interval": 10.0, **REST}


@every_kind
async def test_without_traffic_nothing_is_probed(kind: Kind, census: Census):
    """A failed provider is asked once for the request that failed; then nobody needs it."""
    chain = line(census, kind, kind.make(DOWN), kind.answer("b"), probe="ping", **REST)

    await chain.use()
    await asyncio.sleep(3600.0)

    assert chain.asked == "aba"


async def test_a_timer_that_fires_a_little_early_loses_no_probe(
    census: Census, monkeypatch: pytest.MonkeyPatch
):
    """Some event loops round their timers: the probe is then as much later, not forgotten."""
    loop = asyncio.get_running_loop()
    exact = loop.call_at
    early = 0.0004
    monkeypatch.setattr(loop, "call_at", lambda when, *rest, **kw: exact(when - early, *rest, **kw))
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe="replay", **REST)

    await chain.use()
    await asyncio.sleep(6.0)

    assert chain.state("a") == "probation"


@every_kind
async def test_regular_checks_find_a_dead_provider_before_a_caller_does(kind: Kind, census: Census):
    """With an interval idle providers are checked, well or not, from the adapter's first day."""
    chain = line(census, kind, kind.answer("a"), kind.make(DOWN), kind.answer("c"),
                 probe="ping", **CHECKED)  # fmt: skip

    await asyncio.sleep(10.5)

    assert sorted(chain.asked) == ["a", "b", "c"]
    assert [chain.state(name) for name in "abc"] == ["healthy", "cooling_down", "healthy"]
    assert chain.unavailable == ["b"]


@three_kinds
async def test_a_check_replays_the_last_request_and_pings_before_there_was_one(
    kind: Kind, census: Census
):
    """Without a sample the smallest request does; with one it is what is checked."""
    chain = line(census, kind, kind.answer("a"), probe="replay", **CHECKED)

    await asyncio.sleep(10.5)
    await (hear(chain.adapter, frames(1.2)) if kind is STT else chain.use())
    await asyncio.sleep(20.0)

    ping, request, replay = chain.providers["a"].calls[:3]
    assert _sent(replay) == _sent(request) != _sent(ping)


def _sent(call: Any) -> Any:
    if context := call.kwargs.get("chat_ctx"):
        return context.messages()[0].text_content
    return call.text or round(call.audio_seconds, 3)


async def test_who_was_heard_of_is_not_checked(census: Census):
    """A request says as much as a check and costs nothing extra."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"), probe="ping", **CHECKED)

    for _ in range(20):
        await chain.use()
        await asyncio.sleep(5.0)

    assert chain.probes("a") == []
    assert chain.probes("b") == [True] * 9
    assert len(chain.providers["a"].calls) == 20


@every_kind
@pytest.mark.parametrize("probe", ["live", None])
async def test_without_a_probe_beside_the_traffic_there_are_no_checks(
    kind: Kind, probe: Any, census: Census
):
    """Providers that are probed by requests only, or never, are left alone without requests."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe=probe, **CHECKED)

    await chain.use()
    await asyncio.sleep(600.0)

    assert chain.asked == "ab"


@every_kind
async def test_a_stateful_provider_is_asked_nothing_but_requests(kind: Kind, census: Census):
    """Neither a probe nor a regular check stands beside its traffic: the next request is it."""
    stateful = Provider(breaks(kind), stateful=True, probe="ping")
    chain = line(census, kind, stateful, kind.answer("b"), health_check_interval=1.0, **REST)

    await chain.use()
    await asyncio.sleep(60.0)

    assert len(chain.providers["a"].calls) == 1
    assert chain.probes() == []
    assert await chain.use() == "a"


async def test_checks_follow_the_growing_rests(census: Census):
    """Without traffic, too, a dead provider is asked less and less."""
    chain = line(census, LLM, kind_down := LLM.make(DOWN), LLM.answer("b"), probe="ping", **CHECKED)

    await asyncio.sleep(600.0)

    times = [call.opened_at for call in kind_down.calls]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= rest for gap, rest in zip(gaps, [5, 10, 20, 40, 80, 160], strict=False))
    assert 5 <= len(times) <= 8
    assert chain.probes("a") == [False] * len(times)


def test_checks_begin_with_the_first_request_of_an_adapter_made_before_the_loop():
    """Workers build their adapters where no loop runs yet."""
    model = LLM.make(LLM.answer("a"))
    adapter = FallbackLLM([model], probe="ping", health_check_interval=10.0)

    async def call() -> int:
        await ask(adapter)
        await asyncio.sleep(25.0)
        await adapter.aclose()
        return len(model.calls)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(call()) == 3


@three_kinds
async def test_one_probe_at_a_time_however_often_it_is_checked(kind: Kind, census: Census):
    """Checks every second do not pile up behind one that hangs for ten."""
    chain = line(None, kind, SILENT, kind.answer("b"), probe="ping", attempt_timeout=None,
                 health_check_interval=1.0, temporary_disable_sec=0.0)  # fmt: skip

    await asyncio.sleep(100.0)
    await chain.adapter.aclose()

    calls = chain.providers["a"].calls
    assert len(calls) >= 3
    assert all(one.closed_at <= later.opened_at for one, later in pairwise(calls))


@three_kinds
async def test_one_probe_at_a_time_whatever_the_traffic(kind: Kind, census: Census):
    """Requests that come while a provider is being probed do not start another probe."""
    slow = [Wait(1.9), *DOWN]
    chain = line(census, kind, kind.make(DOWN, slow), kind.answer("b"), probe="replay",
                 temporary_disable_sec=0.0)  # fmt: skip

    for _ in range(100):
        await asyncio.gather(chain.use(), chain.use())
        await asyncio.sleep(0.2)

    calls = chain.providers["a"].calls[2:]
    assert len(calls) >= 3
    assert all(one.closed_at <= later.opened_at for one, later in pairwise(calls))


async def test_a_rest_that_ends_while_a_check_is_out_is_not_forgotten(census: Census):
    """A failure beside a check that hangs is probed once the check is over."""
    a = LLM.make([Hang()], DOWN, LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), probe="ping", attempt_timeout=None,
                 health_check_interval=300.0, **REST)  # fmt: skip

    await asyncio.sleep(300.5)  # the check hangs for ten seconds
    assert [await chain.use(), chain.state()] == ["b", "cooling_down"]
    await asyncio.sleep(30.0)
    await chain.use()
    await asyncio.sleep(1.0)

    assert await chain.use() == "a"


async def test_a_rest_that_ends_while_an_old_probe_is_out_is_not_forgotten(census: Census):
    """A provider that was back in spite of a hanging probe, and failed again, is probed again."""
    a = LLM.make(DOWN, [Hang()], LLM.answer("a"), DOWN, LLM.answer("a"))
    b = LLM.make(LLM.answer("b"), DOWN, LLM.answer("b"))
    chain = line(census, LLM, a, b, probe="ping", attempt_timeout=None, **REST)
    await chain.use()
    await asyncio.sleep(5.5)  # the probe hangs for ten seconds
    assert [await chain.use(), chain.state()] == ["a", "healthy"]
    assert [await chain.use(), chain.state()] == ["b", "cooling_down"]

    for _ in range(60):
        last = await chain.use()
        await asyncio.sleep(1.0)

    assert last == "a"


@every_kind
@pytest.mark.parametrize("probe", ["ping", "replay"])
async def test_closing_ends_a_probe_in_flight(kind: Kind, probe: str):
    """It is cancelled and closed, none follows, and nothing is left."""
    a, b = breaks(kind, then=SILENT), kind.make(kind.answer("b"))
    async with Census(a, b):
        chain = line(None, kind, a, b, probe=probe, **CHECKED)
        await chain.use()
        await asyncio.sleep(6.0)
        assert len(a.open_calls) == 1

        await chain.adapter.aclose()
        await asyncio.sleep(100.0)

    assert len(a.calls) == 2
    assert a.calls[1].closed_at < a.calls[1].opened_at + 1.1
    assert chain.probes() == []


async def test_closing_ends_a_probe_of_the_users_own():
    """What it waits for is cancelled."""
    ended = asyncio.Event()

    async def hang(_: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    a, b = breaks(LLM), LLM.make(LLM.answer("b"))
    async with Census(a, b):
        chain = line(None, LLM, a, b, probe=hang, **REST)
        await chain.use()
        await asyncio.sleep(5.1)

        await chain.adapter.aclose()

    assert ended.is_set()


async def test_a_probe_leaves_the_answer_in_flight_alone(census: Census):
    """A provider that comes back in mid-answer neither delays nor joins it."""
    slowly = [Say("one "), Wait(3.0), Say("two "), Wait(3.0), *LLM.answer("three")]
    chain = line(census, LLM, breaks(LLM), slowly, probe="replay", **REST)

    assert await chain.use() == "one two three"
    assert chain.probes() == [True]
    assert chain.asked == "aba"


async def _asked_whole(provider: Any) -> None:
    await ask(provider)


async def _spoken_whole(provider: Any) -> None:
    await say(provider, WORD)


@pytest.mark.parametrize(
    ("kind", "script", "probe", "usage"),
    [
        (LLM, LLM.answer("a"), _asked_whole, 15),
        (STT, [AudioUsage(5.0), Wait(0.1)], "ping", 5),
        (BATCH_STT, [], "ping", 1),
        (TTS, TTS.answer("a"), _spoken_whole, len(WORD)),
    ],
    ids=["llm", "stt", "batch-stt", "tts"],
)
async def test_what_a_probe_used_is_counted_apart(
    kind: Kind, script: Script, probe: Any, usage: int, census: Census
):
    """Tokens, seconds or characters: no part of the session's usage, but of the health's."""
    chain: Line = line(
        census, kind, breaks(kind, then=script), kind.answer("b"), probe=probe, **REST
    )

    await chain.use()
    await asyncio.sleep(5.5)

    health = chain.adapter.get_service_health("a")
    assert (health.probes, health.probe_usage, health.requests) == (1, usage, 1)
    assert {m.label for m in chain.events.of("metrics_collected")} <= {"b"}
