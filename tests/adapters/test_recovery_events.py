# SPDX-License-Identifier: Apache-2.0
"""`recovery`: a provider that traffic had failed away from serves again. Once, and only then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
REST: dict[str, Any] = {"probe": "ping", "temporary_disable_sec": 5.0}


def recoveries(chain: Line) -> list[str]:
    return [event.provider for event in chain.events.of("recovery")]


@each_kind
async def test_moving_by_command_is_no_recovery(kind: Kind, census: Census):
    """Nobody had failed: whoever moves traffic there and back has nothing to be told."""
    chain = line(census, kind, kind.answer("a"), kind.answer("b"), **REST)

    answers = [await chain.use()]
    chain.adapter.prefer("b")
    answers.append(await chain.use())
    await asyncio.sleep(7.0)
    chain.adapter.prefer(None)
    answers.append(await chain.use())

    assert answers == ["a", "b", "a"]
    assert recoveries(chain) == []


async def test_disabling_and_enabling_is_no_recovery(census: Census):
    """Maintenance is none either."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"), **REST)

    chain.adapter.disable("a")
    answers = [await chain.use()]
    chain.adapter.enable("a")
    answers.append(await chain.use())

    assert answers == ["b", "a"]
    assert recoveries(chain) == []


@each_kind
async def test_a_return_in_steps_is_one_recovery(kind: Kind, census: Census):
    """Requests that still go to the backup by their share are no new outage."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), reintroduction=(0.25, 1.0), **REST)

    answers = ""
    for _ in range(16):
        answers += await chain.use()
        await asyncio.sleep(3.0)

    assert "abbba" in answers
    assert recoveries(chain) == ["a"]


async def test_each_outage_has_its_own_recovery(census: Census):
    """There and back twice is told twice."""
    primary = LLM.make(DOWN, *[LLM.answer("a")] * 2, DOWN, LLM.answer("a"))
    chain = line(census, LLM, primary, LLM.answer("b"), **REST)

    answers = ""
    for _ in range(4):
        answers += await chain.use()
        await asyncio.sleep(11.0)

    assert answers == "baba"
    assert recoveries(chain) == ["a", "a"]


async def test_an_outage_that_everybody_shared_is_not_remembered(census: Census):
    """Who failed and then served first again has not been away: a later command is no recovery."""
    chain = line(census, LLM, breaks(LLM), breaks(LLM), probe="live", total_timeout=0.0001)
    chain.providers["b"].play(DOWN, LLM.answer("b"))
    with pytest.raises(AllProvidersFailedError):
        await chain.use()
    await asyncio.sleep(60.0)
    assert await chain.use() == "a"

    chain.adapter.prefer("b")
    moved = [await chain.use()]
    await asyncio.sleep(7.0)
    chain.adapter.prefer(None)
    moved.append(await chain.use())

    assert moved == ["b", "a"]
    assert recoveries(chain) == []


async def test_a_reset_begins_a_new_account(census: Census):
    """`down_for` is the length of this outage, whatever was forgotten by a reset before it."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), **REST)
    await chain.use()
    await asyncio.sleep(1.0)
    chain.adapter.reset()
    assert await chain.use() == "a"
    await asyncio.sleep(1000.0)

    chain.providers["a"].play(DOWN, LLM.answer("a"))
    assert await chain.use() == "b"
    await asyncio.sleep(6.0)
    assert await chain.use() == "a"

    (event,) = chain.events.of("recovery")
    assert event.down_for == pytest.approx(6.0, abs=0.1)
