# SPDX-License-Identifier: Apache-2.0
"""Demotion: a provider that is slow too often loses its turn, and nothing else happens to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from livekit_fallback import Provider
from livekit_fallback.errors import SlowOutputError
from tests.support.fakes import Fail, Hang, Say, UsageOnly, Wait
from tests.support.llm_chain import unavailable
from tests.support.outage import LLM, Kind, line
from tests.support.paces import (
    FAST,
    LIMITED,
    SLOW,
    Paced,
    four_kinds,
    give_up,
    latency_failovers,
    paced,
    slow_ones,
    use,
)

if TYPE_CHECKING:
    from tests.support.census import Census

S, F = SLOW, FAST


@four_kinds
async def test_by_default_nobody_is_slow(kind: Kind, census: Census):
    """Without a threshold a provider that takes its time is used for ever, and not reported."""
    chain = paced(census, kind, SLOW, latency_threshold_ms=None)

    answers = await use(chain, 20)

    assert answers == "a" * 20
    assert chain.events.of("failover") == chain.events.of("health_changed") == []
    assert slow_ones(chain) == 0


@four_kinds
@pytest.mark.parametrize("hits", [1, 2, 3, 5])
async def test_so_many_slow_outputs_in_a_row_are_too_many(kind: Kind, hits: int, census: Census):
    """Traffic moves after `consecutive_latency_hits`, not one output earlier or later."""
    chain = paced(census, kind, SLOW, consecutive_latency_hits=hits)
    answers = ""

    for _ in range(hits + 2):
        answers += await use(chain, 1)
        await asyncio.sleep(1.0)  # time to look at the stand-in, as between turns

    assert answers == "a" * hits + "bb"
    assert chain.moves() == ["cooling_down"]
    assert slow_ones(chain) == hits


async def test_three_are_too_many_by_default(census: Census):
    """As in VideoSDK's agents."""
    chain = paced(census, LLM, SLOW)

    assert await use(chain, 4) == "aaab"


@four_kinds
async def test_a_fast_output_in_between_begins_the_count_anew(kind: Kind, census: Census):
    """Two slow ones, a fast one, and three more slow ones: only those are a row of three."""
    chain = paced(census, kind, Paced(kind, "a", S, S, F, S, S, F, S, S, S))

    answers = await use(chain, 10)

    assert answers == "a" * 9 + "b"


@four_kinds
@pytest.mark.parametrize(("seconds", "slow"), [(0.499, 0), (0.5, 0), (0.501, 3)])
async def test_the_threshold_is_in_milliseconds_and_still_fast(
    kind: Kind, seconds: float, slow: int, census: Census
):
    """An output that takes exactly the threshold is not above it."""
    chain = paced(census, kind, seconds)

    await use(chain, 3)

    assert slow_ones(chain) == slow


@pytest.mark.parametrize(
    ("speeds", "answers"),
    [
        ([S, F, F, S, F], "aaaab"),
        ([S, S, F, F, F], "aabbb"),
        ([F, F, F, F, F, S, F, S, F], "aaaaaaaab"),
        ([S, F, F, F, S, F, F, F, S, F, F], "aaaaaaaaaaa"),
    ],
    ids=["two-of-four", "at-once", "after-many-fast", "never-two-of-four"],
)
async def test_a_part_of_the_newest_outputs_is_too_much(
    speeds: list[float], answers: str, census: Census
):
    """`slow_ratio` of `latency_window`, where a fast output in between excuses nothing."""
    chain = paced(census, LLM, Paced(LLM, "a", *speeds), slow_ratio=0.5, latency_window=4)

    assert await use(chain, len(answers)) == answers


async def test_each_provider_has_its_own_threshold(census: Census):
    """What is slow for one vendor is usual for another, and no output of a third is slow."""
    chain = line(
        census,
        LLM,
        Provider(LLM.make(Paced(LLM, "a", SLOW)), latency_threshold_ms=900),
        Provider(LLM.make(Paced(LLM, "b", SLOW)), latency_threshold_ms=None),
        Paced(LLM, "c", SLOW),
        **LIMITED,
    )

    answers = ""
    for name in "abc":
        chain.adapter.prefer(name)
        answers += await use(chain, 4)

    assert answers == "aaaabbbbccca"
    assert [slow_ones(chain, name) for name in "abc"] == [0, 0, 3]


@four_kinds
async def test_the_move_is_told(kind: Kind, census: Census):
    """Health, availability and failover say that it is the latency, and what it was."""
    chain = paced(census, kind, SLOW)

    await use(chain, 3)

    (health,) = chain.events.of("health_changed")
    (failover,) = chain.events.of("failover")
    (availability,) = chain.events.of(f"{chain.adapter.component}_availability_changed")
    assert (health.provider, health.before, health.after) == ("a", "healthy", "cooling_down")
    assert (health.reason, health.kind, health.rest) == ("latency", "transient", 5.0)
    assert health.latency == pytest.approx(SLOW)
    assert health.latency_p50 == health.latency_p95 == pytest.approx(SLOW)
    assert (failover.from_provider, failover.to_provider) == ("a", "b")
    assert (failover.reason, failover.attempt) == ("latency", 0)
    assert failover.elapsed == pytest.approx(SLOW)
    assert failover.request_id
    assert (availability.available, availability.reason) == (False, "latency")
    assert {type(e.error) for e in (health, failover, availability)} == {SlowOutputError}
    assert chain.events.of("error") == []


@four_kinds
async def test_it_can_be_asked_for(kind: Kind, census: Census):
    """`get_service_health` of a provider that was left says why, and how slow it was."""
    chain = paced(census, kind, SLOW)

    await use(chain, 4)

    health = chain.adapter.get_service_health("a")
    assert (health.state, health.healthy, health.reason) == ("cooling_down", False, "latency")
    assert isinstance(health.last_error, SlowOutputError)
    assert health.last_failure is not None
    assert health.last_failure.latency == pytest.approx(SLOW)
    assert (health.slow, health.successes, health.failures) == (3, 3, {})


async def test_the_answer_that_was_slow_once_too_often_is_not_cut(census: Census):
    """Traffic moves at its first output, the caller hears all of it, and later ones the other."""
    words = [Wait(SLOW), Say("one "), Wait(2.0), Say("two "), Wait(2.0), Say("three"), UsageOnly()]
    chain = line(census, LLM, words, Paced(LLM, "b", FAST), **LIMITED)
    await use(chain, 2)
    asking = asyncio.create_task(chain.use())

    await asyncio.sleep(SLOW + 0.01)
    moved = chain.moves()

    assert moved == ["cooling_down"]
    assert await chain.use() == "b"
    assert await asking == "one two three"
    assert chain.call("a", 2).cancelled_at is None


async def test_a_request_that_begins_meanwhile_goes_to_the_other(census: Census):
    """Nobody has to wait for the end of the answer that was too slow."""
    chain = line(
        census, LLM, [Wait(SLOW), Say("a"), Wait(3.0), UsageOnly()], LLM.answer("b"),
        consecutive_latency_hits=1, **LIMITED,
    )  # fmt: skip
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(SLOW + 0.01)

    assert await chain.use() == "b"

    assert await asking == "a"


@pytest.mark.parametrize("others", ["nobody", "disabled", "down"])
async def test_the_last_usable_provider_is_never_left(others: str, census: Census):
    """A slow agent is better than none."""
    backups = [] if others == "nobody" else [[Fail(unavailable)]]
    chain = line(census, LLM, Paced(LLM, "a", SLOW), *backups, probe=None, **LIMITED)
    if others == "disabled":
        chain.adapter.disable("b")
    elif others == "down":
        chain.adapter.prefer("b")
        await chain.use()

    answers = await use(chain, 20)

    assert answers == "a" * 20
    assert chain.moves() == []
    assert latency_failovers(chain) == []


async def test_it_is_left_as_soon_as_there_is_somebody_else(census: Census):
    """The count goes on while there is nobody: the next slow output has the other looked at."""
    chain = paced(census, LLM, SLOW)
    chain.adapter.disable("b")
    await use(chain, 10)

    chain.adapter.enable("b")
    answers = await use(chain, 1)
    await asyncio.sleep(1.0)

    assert answers + await use(chain, 1) == "ab"


async def test_late_outputs_of_requests_from_before_change_nothing(census: Census):
    """Ten slow requests at once move the traffic once, and only once."""
    a = Paced(LLM, "a", *(SLOW + n / 100 for n in range(10)), FAST)
    b = Provider(LLM.make(Paced(LLM, "b", FAST)), probe="live")
    chain = line(census, LLM, a, b, temporary_disable_sec=0.02, probe="ping", **LIMITED)

    answers = await asyncio.gather(*(chain.use() for _ in range(10)))

    assert answers == ["a"] * 10
    assert chain.moves() == ["cooling_down", "probing"]
    assert len(latency_failovers(chain)) == 1
    assert slow_ones(chain) == 3
    await asyncio.sleep(1.0)
    assert chain.state() == "probation"


async def test_an_old_slow_output_does_not_count_on_probation(census: Census):
    """A request from before the move that ends after the return is no evidence against it."""
    a = Paced(LLM, "a", 2.0, SLOW, SLOW, SLOW, FAST)
    chain = paced(census, LLM, a, temporary_disable_sec=0.1, probe="ping", attempt_timeout=None)
    old = asyncio.create_task(chain.use())
    await asyncio.sleep(0.01)
    await asyncio.gather(*(chain.use() for _ in range(3)))
    await asyncio.sleep(0.5)
    assert chain.state() == "probation"

    await old

    assert chain.state() == "probation"
    assert chain.moves() == ["cooling_down", "probing", "probation"]


async def test_return_is_told_though_an_old_request_ended_after_the_move(census: Census):
    """The recovery event does not depend on what was still under way when traffic moved."""
    a = Paced(LLM, "a", SLOW, SLOW, SLOW, SLOW + 0.1, FAST)
    b = Provider(LLM.make(Paced(LLM, "b", FAST)), probe="live")
    chain = line(census, LLM, a, b, **LIMITED)
    await asyncio.gather(*(chain.use() for _ in range(4)))
    assert await chain.use() == "b"

    await asyncio.sleep(6.0)
    assert await chain.use() == "a"

    assert [event.provider for event in chain.events.of("recovery")] == ["a"]


async def test_a_deadline_that_passes_is_told_once(census: Census):
    """Where the third slow output is a timeout, it is the timeout that traffic moves for."""
    chain = line(census, LLM, lambda n: [Wait(SLOW), Say("a"), UsageOnly()] if n < 2 else [Hang()],
                 LLM.answer("b"), attempt_timeout=1.0, probe="live", **LIMITED)  # fmt: skip

    answers = await use(chain, 3)

    assert answers == "aab"
    assert [event.reason for event in chain.events.of("failover")] == ["first_output_timeout"]
    health = chain.adapter.get_service_health("a")
    assert health.last_failure is not None
    assert health.reason == health.last_failure.reason


@pytest.mark.parametrize(("wait", "moves"), [(0.49, False), (0.51, True), (0.9, True)])
@four_kinds
async def test_a_caller_who_leaves_has_waited_for_so_long(
    kind: Kind, wait: float, moves: bool, census: Census
):
    """Barge-in before any output counts as slow if the wait was at least the threshold."""
    chain = paced(census, kind, 1.5)

    for _ in range(3):
        await give_up(chain, wait)

    assert slow_ones(chain) == 3 * moves
    assert [e.latency for e in chain.events.of("health_changed")] == [pytest.approx(wait)] * moves
    assert chain.adapter.get_service_health("a").cancelled == 3
    assert chain.events.of("error") == []


async def test_a_caller_who_leaves_early_excuses_nothing(census: Census):
    """A wait that was too short to tell neither counts nor begins the count anew."""
    chain = paced(census, LLM, SLOW)
    await use(chain, 2)

    await give_up(chain, 0.2)

    assert await use(chain, 2) == "ab"
