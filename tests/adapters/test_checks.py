# SPDX-License-Identifier: Apache-2.0
"""`health_check_interval`: how often idle providers are checked, and what a check is worth.

That checks are made at all, one at a time, and by which probe, is in test_probe_times.py.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import Hang, Say, UsageOnly, Wait
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
INTERVAL = 30.0
CHECKED: dict[str, Any] = {
    "probe": "ping",
    "health_check_interval": INTERVAL,
    "temporary_disable_sec": 5.0,
}


def slow(seconds: float) -> Script:
    """A model that answers after so long."""
    return [Wait(seconds), Say("a"), UsageOnly()]


def begins(chain: Line, name: str = "a") -> list[float]:
    """When the provider was asked, in seconds since it was asked first."""
    times = [call.opened_at for call in chain.providers[name].calls]
    return [at - times[0] for at in times]


@pytest.mark.parametrize("latency", [0.0, 0.3, 2.0])
async def test_checks_are_one_interval_apart_however_long_they_take(latency: float, census: Census):
    """An interval is counted from the beginning of the last check, within a quarter of it."""
    chain = line(census, LLM, slow(latency), LLM.answer("b"), **CHECKED)

    await asyncio.sleep(605.0)

    gaps = [later - earlier for earlier, later in pairwise(begins(chain))]
    assert len(gaps) >= 15
    assert all(INTERVAL - 0.01 <= gap <= INTERVAL * 1.25 + 0.01 for gap in gaps)


async def test_the_first_check_is_one_interval_after_the_adapter_began(census: Census):
    """An adapter that nobody uses checks its providers, but not at once."""
    began = asyncio.get_running_loop().time()
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"), **CHECKED)

    await asyncio.sleep(INTERVAL * 1.3)

    first = chain.call("a").opened_at - began
    assert INTERVAL - 0.01 <= first <= INTERVAL * 1.25 + 0.01


@pytest.mark.parametrize("at", [1.0, 7.0, 16.0, 29.0])
async def test_a_check_begins_one_interval_after_the_last_request(at: float, census: Census):
    """A dead idle provider is found within one interval and a quarter, whenever it was asked."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"), **CHECKED)
    await asyncio.sleep(at)
    await chain.use()

    await asyncio.sleep(INTERVAL * 1.3)

    request, check = begins(chain)[:2]
    assert INTERVAL - 0.01 <= check - request <= INTERVAL * 1.25 + 0.01


async def test_a_check_that_hangs_does_not_bring_the_next_one_forward(census: Census):
    """It ends at its deadline, and the failed provider rests like any other."""
    chain = line(census, LLM, LLM.make([Hang()], LLM.answer("a")), LLM.answer("b"), **CHECKED)

    await asyncio.sleep(INTERVAL * 1.25)
    assert chain.state() == "cooling_down"
    await asyncio.sleep(INTERVAL * 1.25)

    first, second = begins(chain)[:2]
    assert second - first >= INTERVAL - 0.01
    assert chain.state() == "probation"


@each_kind
async def test_a_provider_on_probation_that_dies_in_a_quiet_night_is_found(
    kind: Kind, census: Census
):
    """After its probe there is no caller to find out: the next check does."""
    chain = line(census, kind, DOWN, kind.answer("b"), **CHECKED)
    chain.adapter.disable("a")
    chain.adapter.enable("a")

    await asyncio.sleep(INTERVAL * 1.3)

    assert chain.state() == "cooling_down"
    assert chain.unavailable[-1] == "a"


@each_kind
async def test_a_good_check_on_probation_counts_like_a_good_request(kind: Kind, census: Census):
    """Without a single caller a provider that answers well is trusted again."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probation_successes=3, **CHECKED)
    await chain.use()
    await asyncio.sleep(6.0)
    assert chain.state() == "probation"

    await asyncio.sleep(INTERVAL * 2.6)
    before = chain.state()
    await asyncio.sleep(INTERVAL * 0.5)

    assert (before, chain.state()) == ("probation", "healthy")
    assert chain.probes() == [True] * 4
    assert chain.adapter.get_service_health("a").requests == 1


async def test_a_provider_disabled_by_hand_is_not_checked(census: Census):
    """Nobody is to talk to it."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"), **CHECKED)
    chain.adapter.disable("a")

    await asyncio.sleep(10 * INTERVAL)

    assert "a" not in chain.asked
    assert len(chain.asked) >= 7
