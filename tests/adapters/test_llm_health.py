# SPDX-License-Identifier: Apache-2.0
"""Who is asked first: what earlier requests have taught about the providers."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from livekit.agents import llm

from livekit_fallback import AllProvidersFailedError
from tests.support.fakes import Fail, Hang, Say, Wait
from tests.support.llm_chain import LLMChain, Model, chain_of, forbidden, unauthorized, unavailable
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.census import Census

DOWN = [Fail(unavailable)]
A, B, C = [Say("a")], [Say("b")], [Say("c")]


def _available(chain: LLMChain) -> list[tuple[str, bool]]:
    return [(e.provider, e.available) for e in chain.events.of("llm_availability_changed")]


async def test_an_outage_is_paid_for_once(census: Census):
    """While a provider cools down it is not asked again."""
    chain = chain_of(census, [Hang()], B, attempt_timeout=2.0, temporary_disable_sec=60)

    with Stopwatch() as watch:
        answers = [await chain.answer() for _ in range(20)]

    assert answers == ["b"] * 20
    assert chain.asked == "a" + "b" * 20
    assert watch.elapsed == pytest.approx(2.0, abs=0.05)


async def _bring_down(chain: LLMChain) -> None:
    with pytest.raises(AllProvidersFailedError):
        await chain.answer()
    await asyncio.sleep(1)


async def test_when_all_cool_down_all_are_asked_all_the_same(census: Census):
    """An agent never refuses to speak because of its own bookkeeping."""
    a, b = Model([Fail(unauthorized)], [Hang()]), Model([Fail(forbidden)], B)
    chain = chain_of(census, a, b, attempt_timeout=2.0)
    await _bring_down(chain)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert (answer, chain.asked) == ("b", "abab")
    assert watch.elapsed == pytest.approx(2.0, abs=0.05)


async def test_when_all_cool_down_the_soonest_due_is_first(census: Census):
    """The one whose rest is nearly over is the likeliest to be back."""
    a, b = Model([Fail(unauthorized)], A), Model([Wait(1), *DOWN], [Fail(unauthorized)], B)
    c = Model([Fail(unauthorized)], C)
    chain = chain_of(census, a, b, c, temporary_disable_sec=30, max_disable_sec=300)
    await _bring_down(chain)

    assert await chain.answer() == "b"


@pytest.mark.parametrize("probe", ["live", "replay"])
async def test_a_success_while_cooling_down_heals(probe: str, census: Census):
    """Who answered is healthy, whatever the bookkeeping said."""
    a, b = Model([Fail(unauthorized)], A), Model([Fail(forbidden)])
    chain = chain_of(census, a, b, probe=probe)
    await _bring_down(chain)

    answers = [await chain.answer(), await chain.answer()]

    assert answers == ["a", "a"]
    assert _available(chain) == [("a", False), ("b", False), ("a", True)]


async def test_sticky_stays_with_who_serves(census: Census):
    """`sticky=True`: a recovered primary waits until the backup fails."""
    a, b = Model(DOWN, A), Model(B, B, DOWN)
    chain = chain_of(census, a, b, sticky=True, temporary_disable_sec=1, probe="replay")

    answers = []
    for _ in range(4):
        answers.append(await chain.answer())
        await asyncio.sleep(5)

    assert answers == ["b", "b", "a", "a"]
    assert [event.provider for event in chain.events.of("recovery")] == ["a"]


async def test_not_sticky_goes_back_at_once(census: Census):
    """By default traffic is back on the better provider with the next request."""
    chain = chain_of(
        census, Model(DOWN, A), B, sticky=False, temporary_disable_sec=1, probe="replay"
    )

    first = await chain.answer()
    await asyncio.sleep(2)

    assert (first, await chain.answer()) == ("b", "a")


async def test_a_late_failure_does_not_override_a_newer_success(census: Census):
    """The request that began later knows more, even if it ended earlier."""
    chain = chain_of(census, Model([Hang()], [Wait(0.5), Say("a")], A), B, attempt_timeout=2.0)

    old = asyncio.create_task(chain.answer())
    await asyncio.sleep(1)
    newer = await chain.answer()

    assert (newer, await old) == ("a", "b")
    assert _available(chain) == []
    assert await chain.answer() == "a"


async def test_a_late_success_does_not_override_a_newer_failure(census: Census):
    """A request that began before an outage does not end it."""
    slow = [Say("a"), Wait(1), Say("a")]
    chain = chain_of(census, Model(slow, DOWN, A), B, temporary_disable_sec=60)

    old = asyncio.create_task(chain.answer())
    await asyncio.sleep(0.5)
    await chain.answer()

    assert await old == "aa"
    assert _available(chain) == [("a", False)]
    assert await chain.answer() == "b"


async def test_an_outage_seen_by_many_is_one_outage(census: Census):
    """Ten requests that fail together neither lengthen the rest nor repeat the event."""
    chain = chain_of(census, Model(lambda n: [Wait(1), *DOWN] if n < 10 else A), B,
                     temporary_disable_sec=5)  # fmt: skip

    await asyncio.gather(*(chain.answer() for _ in range(10)))
    await asyncio.sleep(5.1)

    assert _available(chain) == [("a", False)]
    assert await chain.answer() == "a"


async def test_a_failure_from_before_the_recovery_does_not_undo_it(census: Census):
    """A request that still hangs on the old connection knows nothing of the new one."""
    a = Model([Hang()], DOWN, A)
    chain = chain_of(census, a, B, attempt_timeout=8.0, temporary_disable_sec=1, stall_timeout=None)

    old = asyncio.create_task(chain.answer())
    await turns()
    down = await chain.answer()
    await asyncio.sleep(2)
    back = await chain.answer()

    assert (down, back, await old) == ("b", "a", "b")
    assert _available(chain) == [("a", False), ("a", True)]
    assert await chain.answer() == "a"


async def test_interruptions_blame_nobody(census: Census):
    """A caller who keeps interrupting makes no provider unhealthy."""
    chain = chain_of(census, [Wait(0.5), Say("a"), Hang()], B)

    for seconds in (0.1, 0.4, 0.6, 1.0) * 5:
        stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
        await asyncio.sleep(seconds)
        await stream.aclose()

    assert chain.asked == "a" * 20
    assert chain.events.of("llm_availability_changed") == chain.events.of("error") == []


async def test_every_second_request_hanging_costs_a_deadline_per_rest_only(census: Census):
    """A half-dead provider does not get every second turn."""
    flaky = Model(lambda n: [Hang()] if n % 2 == 0 else A)
    chain = chain_of(census, flaky, B, attempt_timeout=2.0, temporary_disable_sec=10)

    times = []
    for _ in range(60):
        with Stopwatch() as watch:
            await chain.answer()
        times.append(watch.elapsed)
        await asyncio.sleep(1)

    slow = [n for n, seconds in enumerate(times) if seconds > 1]
    assert all(later - earlier >= 9 for earlier, later in pairwise(slow))
