# SPDX-License-Identifier: Apache-2.0
"""Slow providers: the stand-in is known before it is needed, the way back is that of failures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import Provider
from livekit_fallback.errors import SlowOutputError
from tests.support.errors import gone
from tests.support.fakes import Fail, ToolCall, UsageOnly, Wait, ask
from tests.support.ids import stable
from tests.support.outage import LLM, SYNTHESIZED, TTS, Kind, line
from tests.support.paces import (
    FAST,
    FOUR,
    LIMITED,
    SLOW,
    Paced,
    four_kinds,
    latency_failovers,
    paced,
    slow_ones,
    use,
)

if TYPE_CHECKING:
    from tests.support.census import Census

TWO: dict[str, Any] = {"consecutive_latency_hits": 2}
# A recogniser's ping is silence, which takes no time to hear.
ASKED_BEFORE = [(kind, "replay") for kind in FOUR] + [(k, "ping") for k in (LLM, TTS, SYNTHESIZED)]


@pytest.mark.parametrize(("kind", "probe"), ASKED_BEFORE, ids=stable)
async def test_nobody_is_left_where_everybody_is_slow(kind: Kind, probe: str, census: Census):
    """The stand-in is asked something before it is needed; no faster, it is not gone to."""
    chain = paced(census, kind, SLOW, SLOW, probe=probe)

    answers = await use(chain, 100)

    assert answers == "a" * 100
    assert chain.events.of("failover") == chain.events.of("health_changed") == []
    assert 1 <= len(chain.probes("b")) <= 4
    assert not any(chain.probes("b"))


async def test_the_stand_in_is_asked_one_slow_output_before_the_limit(census: Census):
    """Not earlier, and not twice."""
    chain = paced(census, LLM, SLOW, consecutive_latency_hits=4)

    asked = []
    for _ in range(5):
        await chain.use()
        await asyncio.sleep(0.2)
        asked.append(len(chain.probes("b")))

    assert asked == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(("probe", "median"), [("replay", FAST), ("ping", None)])
async def test_what_a_replay_took_is_known(probe: str, median: float | None, census: Census):
    """It is a request like the others, which a ping is not."""
    chain = paced(census, LLM, SLOW, probe=probe)

    await use(chain, 3)

    assert chain.probes("b") == [True]
    assert chain.adapter.get_service_health("b").latency_p50 == (median and pytest.approx(median))


async def test_a_stand_in_that_is_still_being_asked_is_waited_for(census: Census):
    """Traffic moves when the probe has shown that the other is fast, not before."""
    chain = paced(census, LLM, Paced(LLM, "a", 0.6, 0.7), Paced(LLM, "b", 0.3), **TWO)

    await asyncio.gather(chain.use(), chain.use())

    assert slow_ones(chain) == 2
    assert chain.moves() == []
    await asyncio.sleep(0.3)
    assert chain.moves() == ["cooling_down"]
    assert chain.probes("b") == [True]


@pytest.mark.parametrize("probe", ["live", None])
@four_kinds
async def test_without_probes_beside_the_traffic_there_is_no_flapping(
    kind: Kind, probe: Any, census: Census
):
    """Where nobody can be asked beforehand and all are slow, traffic moves, and comes to rest."""
    chain = paced(census, kind, SLOW, SLOW, probe=probe)

    answers = ""
    for _ in range(100):
        answers += await chain.use()
        await asyncio.sleep(2.0)

    assert len(latency_failovers(chain)) <= 2
    assert answers.count("b") > 80


async def test_a_stand_in_that_fails_its_probe_is_not_gone_to(census: Census):
    """To leave a slow provider for one that is down would make it worse."""
    chain = paced(census, LLM, SLOW, Paced(LLM, "b", FAST))
    chain.providers["b"].play([Fail(gone)])

    answers = await use(chain, 10)

    assert answers == "a" * 10
    assert chain.moves() == []
    assert chain.state("b") == "cooling_down"


async def test_what_is_known_of_the_stand_in_grows_old(census: Census):
    """Slow half a minute ago is not slow now: it is asked again, and gone to when it is fast."""
    b = Paced(LLM, "b", SLOW)
    chain = paced(census, LLM, SLOW, b)
    assert await use(chain, 4) == "aaaa"
    b.seconds = FAST

    await asyncio.sleep(31.0)

    assert await use(chain, 3) == "aab"
    assert chain.probes("b") == [False, True]


@four_kinds
async def test_it_comes_back_as_one_that_failed(kind: Kind, census: Census):
    """Rest, probe, probation, health; the return is told as any other."""
    a = Paced(kind, "a", SLOW)
    chain = paced(census, kind, a)
    assert await use(chain, 4) == "aaab"
    a.seconds = FAST

    await asyncio.sleep(5.2)

    assert chain.state() == "probation"
    assert await use(chain, 3) == "aaa"
    assert chain.moves() == ["cooling_down", "probing", "probation", "healthy"]
    (recovery,) = chain.events.of("recovery")
    assert (recovery.provider, recovery.from_provider) == ("a", "b")
    assert chain.adapter.get_service_health("a").reason == ""


@four_kinds
async def test_a_slow_probe_is_a_bad_one(kind: Kind, census: Census):
    """It rests twice as long each time, and after so many it is given up."""
    chain = paced(census, kind, SLOW, permanent_disable_after_attempts=3)

    for _ in range(100):
        await chain.use()
        await asyncio.sleep(1.0)

    assert chain.probes() == [False, False, False]
    assert {event.reason for event in chain.events.of("probed") if not event.good} == {"latency"}
    assert chain.rests() == [5.0, 10.0, 20.0]
    assert chain.state() == "disabled"
    assert len(latency_failovers(chain)) == 1
    assert isinstance(chain.adapter.get_service_health("a").last_error, SlowOutputError)


@four_kinds
async def test_the_probed_event_says_how_fast(kind: Kind, census: Census):
    """Good or bad, with the seconds to its first output."""
    a = Paced(kind, "a", SLOW, SLOW, SLOW, SLOW, FAST)
    chain = paced(census, kind, a)
    await use(chain, 3)

    for _ in range(20):
        await chain.use()
        await asyncio.sleep(1.0)

    of_a = [event for event in chain.events.of("probed") if event.provider == "a"]
    assert [event.good for event in of_a] == [False, True]
    assert [event.latency for event in of_a] == pytest.approx([SLOW, FAST])
    assert [type(event.error) for event in of_a] == [SlowOutputError, type(None)]


@four_kinds
async def test_one_slow_output_on_probation_sends_it_back(kind: Kind, census: Census):
    """For twice as long; and a fast one before does not excuse it."""
    a = Paced(kind, "a", SLOW)
    chain = paced(census, kind, a, probation_successes=5)
    await use(chain, 4)
    a.seconds = FAST
    await asyncio.sleep(5.2)
    assert await use(chain, 2) == "aa"
    a.seconds = SLOW

    answers = await use(chain, 2)

    assert answers == "ab"
    assert chain.moves() == ["cooling_down", "probing", "probation", "cooling_down"]
    assert chain.rests() == [5.0, 10.0]


@four_kinds
async def test_the_next_request_is_the_test_where_probes_are_live(kind: Kind, census: Census):
    """Served too slowly it is served all the same, and the provider rests for longer."""
    a = Paced(kind, "a", SLOW)
    chain = paced(census, kind, a, probe="live")
    assert await use(chain, 4) == "aaab"

    await asyncio.sleep(5.1)
    assert await use(chain, 2) == "ab"
    a.seconds = FAST
    await asyncio.sleep(10.1)

    assert await use(chain, 4) == "aaaa"
    assert chain.rests() == [5.0, 10.0]
    assert chain.state() == "healthy"
    assert len(latency_failovers(chain)) == 1


async def test_slow_live_probes_give_it_up_too(census: Census):
    """`permanent_disable_after_attempts` counts them as it counts others."""
    chain = paced(census, LLM, SLOW, probe="live", permanent_disable_after_attempts=2)
    await use(chain, 3)

    answers = ""
    for _ in range(10):
        await asyncio.sleep(11.0)
        answers += await chain.use()

    assert answers == "aabbbbbbbb"
    assert chain.state() == "disabled"


async def test_a_live_probe_whose_caller_leaves_late_was_slow(census: Census):
    """Waited for longer than the threshold: the provider is not back."""
    chain = paced(census, LLM, Paced(LLM, "a", SLOW), probe="live")
    await use(chain, 3)
    await asyncio.sleep(5.1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.use(), 0.6)

    assert chain.rests() == [5.0, 10.0]


async def test_a_probe_that_calls_a_tool_is_not_too_slow(census: Census):
    """A tool call is seen only when it is complete, which says nothing of the first token."""
    a = LLM.make(Paced(LLM, "a", SLOW), *[Paced(LLM, "a", SLOW)] * 2,
                 [Wait(SLOW), ToolCall("look"), UsageOnly()])  # fmt: skip
    chain = line(census, LLM, a, LLM.answer("b"), **LIMITED)
    await use(chain, 4)

    await asyncio.sleep(6.0)

    assert chain.probes() == [True]
    assert chain.state() == "probation"


async def test_a_stand_in_that_calls_a_tool_may_stand_in(census: Census):
    """Nothing is known against it, and it is well: the slow one need not be kept."""
    tool = [Wait(SLOW), ToolCall("look"), UsageOnly()]
    b = LLM.make(tool, Paced(LLM, "b", FAST))
    chain = line(census, LLM, Paced(LLM, "a", SLOW), b, **LIMITED)
    await use(chain, 4)
    await asyncio.sleep(1.0)

    assert chain.probes("b") == [True]
    assert await chain.use() == "b"


async def test_nobody_comes_back_without_probes(census: Census):
    """With `probe=None` a slow provider is away until it is enabled."""
    a = Paced(LLM, "a", SLOW)
    chain = paced(census, LLM, a, probe=None)
    await use(chain, 4)
    a.seconds = FAST
    await asyncio.sleep(1000.0)
    assert await chain.use() == "b"

    chain.adapter.enable("a")

    assert await use(chain, 3) == "aaa"
    assert chain.state() == "healthy"


async def test_a_stateful_stand_in_is_not_asked_beforehand(census: Census):
    """It is never sent a request that nobody made."""
    b = Provider(LLM.make(Paced(LLM, "b", FAST)), stateful=True)
    chain = line(census, LLM, Paced(LLM, "a", SLOW), b, **LIMITED)

    assert await use(chain, 3) == "aaa"

    assert chain.providers["b"].calls == []
    assert await chain.use() == "b"


async def test_a_slow_backup_without_traffic_is_no_failover(census: Census):
    """There is nothing that could move on from it; it only stands back behind others."""
    chain = paced(census, LLM, FAST, SLOW)

    for _ in range(3):
        await ask(chain.providers["b"])

    assert await chain.use() == "a"
    assert chain.events.of("failover") == chain.events.of("health_changed") == []


async def test_closing_the_adapter_moves_no_traffic():
    """What was waited for until then may have been slow, but nobody is gone to any more."""
    chain = paced(None, LLM, 1.5, consecutive_latency_hits=1)
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(0.9)

    await chain.adapter.aclose()
    await asyncio.gather(asking, return_exceptions=True)

    assert chain.events.of("failover") == []


async def test_a_slow_stand_in_is_looked_at_again_and_has_the_traffic_once_it_is_fast(
    census: Census,
):
    """Traffic went past it while it was slow; after a minute a probe shows that it need not."""
    b = Paced(LLM, "b", SLOW)
    chain = line(
        census, LLM, Paced(LLM, "a", SLOW), b, Paced(LLM, "c", FAST), **LIMITED,
        temporary_disable_sec=300.0,
    )  # fmt: skip
    answers = []

    for turn in range(40):
        if turn == 10:
            b.seconds = FAST
        answers.append(await chain.use())
        await asyncio.sleep(5.0)

    assert "".join(answers[:4]) == "aaac"
    assert answers[4:14] == ["c"] * 10
    assert answers[-10:] == ["b"] * 10
    assert 2 <= len(chain.probes("b")) <= 3
