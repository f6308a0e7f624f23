# SPDX-License-Identifier: Apache-2.0
"""An event loop that was blocked: what came late by that is nobody's fault, and proves nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback.adapters._stalls import StallWatch
from tests.support.fakes import Hang, Say, UsageOnly, Wait
from tests.support.outage import LLM, SILENT, Kind, line
from tests.support.paces import (
    FAST,
    LIMITED,
    SLOW,
    Paced,
    four_kinds,
    give_up,
    hedged_line,
    paced,
    slow_ones,
    use,
)
from tests.support.script import now
from tests.support.virtual_time import Stopwatch, block

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line


async def _use_while_blocked(chain: Line, *, at: float, seconds: float) -> str:
    """One request, in which the loop is blocked once."""
    asyncio.get_running_loop().call_later(at, block, seconds)
    return await chain.use()


async def test_a_block_moves_the_clock_and_runs_nothing():
    """What became due meanwhile runs afterwards, late."""
    loop = asyncio.get_running_loop()
    ran: list[float] = []
    began = loop.time()
    loop.call_later(0.5, lambda: ran.append(loop.time() - began))

    block(2.0)
    assert ran == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert ran == [2.0]


async def test_a_block_is_noticed_at_once():
    """Also by whoever looks before anything else has run."""
    watch, began = StallWatch(), now()
    watch.keep_watch(began + 10.0)
    await asyncio.sleep(0.42)
    assert not watch.has_stalled(began, now())

    block(0.3)

    assert watch.has_stalled(began, now())
    watch.close()


@four_kinds
async def test_what_a_blocked_loop_delayed_was_not_slow(kind: Kind, census: Census):
    """The output came in time, and lay there: a hundred of those move no traffic."""
    chain = paced(census, kind, 0.3)

    for _ in range(20):
        assert await _use_while_blocked(chain, at=0.2, seconds=0.6) == "a"

    assert slow_ones(chain) == 0
    assert chain.events.of("failover") == chain.events.of("health_changed") == []
    assert chain.adapter.get_service_health("a").latency_p50 is None


@four_kinds
async def test_what_is_slow_in_spite_of_a_short_block_is_slow(kind: Kind, census: Census):
    """Loops are held up for some milliseconds all the time."""
    chain = paced(census, kind, SLOW)

    for _ in range(3):
        await _use_while_blocked(chain, at=0.31, seconds=0.05)

    assert slow_ones(chain) == 3
    assert chain.state() == "cooling_down"


async def test_a_block_before_the_request_is_forgotten(census: Census):
    """Only time in which the provider owed something is looked at."""
    chain = paced(census, LLM, SLOW)

    for _ in range(3):
        block(5.0)
        await asyncio.sleep(0.2)
        await chain.use()

    assert slow_ones(chain) == 3


async def test_a_block_after_the_output_is_no_excuse(census: Census):
    """Nor is what happened while a slow answer was already flowing."""
    a = [Wait(SLOW), Say("a"), Wait(1.0), UsageOnly()]
    chain = line(census, LLM, a, LLM.answer("b"), **LIMITED)

    for _ in range(3):
        await _use_while_blocked(chain, at=SLOW + 0.2, seconds=0.5)

    assert slow_ones(chain) == 3


async def test_a_fast_output_is_fast_in_spite_of_a_block(census: Census):
    """It took at most so long, so it begins the count anew."""
    chain = paced(census, LLM, Paced(LLM, "a", SLOW, SLOW, 0.1, SLOW, SLOW, SLOW))

    await use(chain, 2)
    await _use_while_blocked(chain, at=0.05, seconds=0.2)

    assert await use(chain, 4) == "aaab"


async def test_a_caller_who_left_a_blocked_loop_says_nothing(census: Census):
    """It was not the provider that was waited for."""
    chain = paced(census, LLM, 2.0)

    for _ in range(5):
        asyncio.get_running_loop().call_later(0.1, block, 0.5)
        await give_up(chain, 0.7)

    assert slow_ones(chain) == 0


async def test_a_blocked_probe_proves_no_slowness(census: Census):
    """The provider comes back: what is known of it is that it answers."""
    a = Paced(LLM, "a", SLOW)
    chain = paced(census, LLM, a)
    await use(chain, 4)
    a.seconds = 0.3

    asyncio.get_running_loop().call_later(5.0 - 2 * FAST, block, 0.6)
    await asyncio.sleep(6.0)

    assert chain.state() == "probation"


@pytest.mark.parametrize("seconds", [2.0, 9.0])
@four_kinds
async def test_an_answer_in_the_socket_is_read_first(kind: Kind, seconds: float, census: Census):
    """A deadline that passes while the loop is blocked waits for what came meanwhile."""
    chain = line(census, kind, [Wait(0.9), *kind.answer("a")], kind.answer("b"), **DEADLINE)

    answer = await _use_while_blocked(chain, at=0.2, seconds=seconds)

    assert answer == "a"
    assert chain.asked == "a"
    assert chain.events.of("failover") == chain.events.of("error") == []


DEADLINE: dict[str, Any] = {"attempt_timeout": 1.0, "total_timeout": 20.0, "probe": "live"}


@pytest.mark.parametrize(("blocked", "grace"), [(0.05, 0.0), (0.5, 0.4), (3.0, 1.0), (30.0, 1.0)])
async def test_the_grace_is_as_long_as_the_block_and_at_most_a_second(
    blocked: float, grace: float, census: Census
):
    """From the deadline on: who is silent after that is left."""
    chain = line(census, LLM, SILENT, LLM.answer("b"), **{**DEADLINE, "total_timeout": None})

    with Stopwatch() as watch:
        answer = await _use_while_blocked(chain, at=0.9, seconds=blocked)

    assert answer == "b"
    late = max(0.9 + blocked, 1.0)
    assert watch.elapsed == pytest.approx(late + grace, abs=0.02)


async def test_the_grace_is_given_once(census: Census):
    """A loop that is blocked again and again does not keep a silent provider."""
    chain = line(census, LLM, SILENT, LLM.answer("b"), **{**DEADLINE, "total_timeout": None})
    loop = asyncio.get_running_loop()
    for at in (0.9, 1.7, 2.5, 3.3):
        loop.call_later(at, block, 0.5)

    with Stopwatch() as watch:
        await chain.use()

    assert watch.elapsed < 2.5


async def test_a_block_before_the_deadline_leaves_it_as_it_is(census: Census):
    """Whoever had time to answer after the block has not been wronged by it."""
    chain = line(census, LLM, SILENT, LLM.answer("b"), **DEADLINE)

    with Stopwatch() as watch:
        await _use_while_blocked(chain, at=0.1, seconds=0.6)

    assert watch.elapsed == pytest.approx(1.0, abs=0.02)


async def test_a_stall_of_the_answer_is_graced_too(census: Census):
    """The next chunk lies in the socket when the loop comes back."""
    words = [Say("one "), Wait(0.9), Say("two "), Wait(0.9), Say("three"), UsageOnly()]
    chain = line(census, LLM, words, LLM.answer("b"), stall_timeout=1.0, **DEADLINE)

    assert await _use_while_blocked(chain, at=0.5, seconds=2.0) == "one two three"


async def test_no_hedge_for_an_answer_in_the_socket(census: Census):
    """The loop was blocked when the hedge was due, and the first had answered by then."""
    chain = hedged_line(census, LLM, [Wait(0.25), *LLM.answer("a")], LLM.answer("b"))

    assert await _use_while_blocked(chain, at=0.2, seconds=0.5) == "a"
    assert chain.asked == "a"


async def test_a_failover_after_a_block_blames_nobody_for_the_block(census: Census):
    """A provider that is silent all the same is told by its time, not by the loop's."""
    chain = line(census, LLM, [Hang()], LLM.answer("b"), **{**DEADLINE, "total_timeout": None})

    await _use_while_blocked(chain, at=0.9, seconds=5.0)

    assert chain.reasons == ["first_output_timeout"]
    assert chain.adapter.get_service_health("a").latency_p50 is None


async def test_watching_ends_with_what_is_owed(census: Census):
    """An adapter that nobody uses leaves no timer behind that wakes the loop for ever."""
    chain = paced(census, LLM, 0.2)
    await chain.use()

    await asyncio.sleep(60.0)

    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in scheduled if not timer.cancelled()] == []
