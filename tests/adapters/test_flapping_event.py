# SPDX-License-Identifier: Apache-2.0
"""`flapping`: told when failovers per minute pass the limit, once a minute."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FlappingEvent
from tests.support.errors import status
from tests.support.fakes import Fail
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)

# The request's own fault: the primary stays first, so each request is one failover.
REFUSES = [Fail(lambda: status(400))]


def flapping_chain(census: Census, limit: int | None, kind: Kind = LLM, **options: Any) -> Line:
    return line(census, kind, REFUSES, kind.answer("b"), flapping_limit=limit, **options)


async def _failovers_at(chain: Line, *times: float) -> list[tuple[float, int]]:
    """Fail over at these seconds; when `flapping` came, and how many failovers it told of."""
    start = asyncio.get_running_loop().time()
    for at in times:
        await asyncio.sleep(start + at - asyncio.get_running_loop().time())
        await chain.use()
    return [
        (round(record.at - start, 1), record.event.failovers)
        for record in chain.events.records
        if record.name == "flapping"
    ]


@each_kind
async def test_it_says_where_and_how_often(kind: Kind, census: Census):
    """One event is enough to raise an alarm."""
    chain = flapping_chain(census, 2, kind)

    for _ in range(3):
        await chain.use()

    (event,) = chain.events.of("flapping")
    assert event == FlappingEvent(chain.adapter.component, 3, 60.0, event.timestamp)
    assert event.timestamp == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ((0, 10), []),
        ((0, 10, 20), [(20, 3)]),
        ((0, 30, 59.9), [(59.9, 3)]),
        ((0, 30, 60), []),
        ((0, 30, 60, 89.9), [(89.9, 3)]),
        ((0, 61, 122, 183), []),
        ((0, 1, 2, 3, 4), [(2, 3)]),
        ((0, 1, 2, 61.9), [(2, 3)]),
        ((0, 1, 2, 40, 50, 61.9), [(2, 3)]),
        ((0, 1, 2, 40, 50, 62), [(2, 3), (62, 3)]),
        ((0, 1, 2, 100, 101, 102), [(2, 3), (102, 3)]),
    ],
)
async def test_it_comes_when_the_limit_is_passed_and_once_a_minute(
    times: tuple[float, ...], told: list[tuple[float, int]], census: Census
):
    """Two a minute are normal here: the third within sixty seconds is told, then silence."""
    chain = flapping_chain(census, 2)

    assert await _failovers_at(chain, *times) == told


async def test_the_limit_is_what_is_still_normal(census: Census):
    """`flapping_limit=6`, the default, is passed by the seventh."""
    chain = line(census, LLM, REFUSES, LLM.answer("b"))

    assert await _failovers_at(chain, *range(7)) == [(6, 7)]


async def test_none_is_never_told(census: Census):
    """Who does not want to know is not told, however bad it gets."""
    chain = flapping_chain(census, None)

    assert await _failovers_at(chain, *range(100)) == []


async def test_retries_are_no_failovers(census: Census):
    """Traffic that stays where it is does not flap."""
    chain = line(census, LLM, DOWN, flapping_limit=1, total_timeout=10.0, max_retry_per_llm=3)

    with pytest.raises(Exception, match="all llm providers failed"):
        await chain.use()

    assert len(chain.asked) > 3
    assert chain.events.of("flapping") == []


async def test_every_move_of_a_request_counts(census: Census):
    """One request that walks down a long chain is as much unrest as several."""
    chain = line(census, LLM, REFUSES, REFUSES, LLM.answer("c"), flapping_limit=1)

    await chain.use()

    assert [event.failovers for event in chain.events.of("flapping")] == [2]


async def test_it_comes_after_the_failover_that_passed_the_limit(census: Census):
    """Subscribers know the move before they are told that it was one too many."""
    chain = flapping_chain(census, 1)

    await chain.use()
    await chain.use()

    moves = [name for name in chain.events.names if name in ("failover", "flapping")]
    assert moves == ["failover", "failover", "flapping"]


async def test_adapters_count_for_themselves(census: Census):
    """Two adapters that fail over once each do not flap."""
    chains = [flapping_chain(census, 1), flapping_chain(census, 1)]

    for chain in chains:
        await chain.use()

    assert [chain.events.of("flapping") for chain in chains] == [[], []]
