# SPDX-License-Identifier: Apache-2.0
"""`attempt_timeout="auto"`: a deadline that follows what a provider usually takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import Provider
from tests.support.outage import LLM, SILENT, TTS, Kind, line
from tests.support.paces import FAST, RECOGNIZED, Paced, counts, four_kinds, use
from tests.support.script import now
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

AUTO: dict[str, Any] = {
    "attempt_timeout": "auto",
    "attempt_timeout_floor": 0.5,
    "attempt_timeout_ceiling": 2.0,
    "temporary_disable_sec": 1.0,
    "probe": "live",
}


async def _deadline(chain: Line) -> float:
    """How long the first provider may be silent in the next request."""
    provider = chain.providers["a"]
    provider.play(SILENT)
    began = now()
    assert await chain.use() == "b"
    return chain.closed_at("a", -1) - began


async def _trained(census: Census, kind: Kind, *speeds: float, **options: Any) -> Line:
    """A chain whose first provider took so many seconds in the requests before."""
    a = Paced(kind, "a", *speeds) if len(speeds) > 1 else Paced(kind, "a", speeds[0])
    chain = line(census, kind, a, Paced(kind, "b", FAST), **{**AUTO, **options})
    assert await use(chain, len(speeds)) == "a" * len(speeds)
    return chain


@four_kinds
@pytest.mark.parametrize(
    ("speeds", "deadline"),
    [
        ([0.4] * 19, 2.0),
        ([0.4] * 20, 0.8),
        ([0.1] * 20, 0.5),
        ([0.3] * 18 + [0.6] * 2, 1.2),
        ([1.2] * 20, 2.0),
        ([0.1] * 19 + [1.5], 0.5),
    ],
    ids=["too-few", "twice-p95", "floor", "tail", "ceiling", "one-odd"],
)
async def test_the_deadline_is_twice_what_is_usual(
    kind: Kind, speeds: list[float], deadline: float, census: Census
):
    """Within floor and ceiling, from the twentieth output on; before, it is the ceiling."""
    chain = await _trained(census, kind, *speeds)

    assert await _deadline(chain) == pytest.approx(deadline, abs=0.02)


@four_kinds
async def test_the_ceiling_is_the_default_deadline(kind: Kind, census: Census):
    """Without options of their own, the longest is what holds without `auto`, too."""
    chain = line(census, kind, SILENT, kind.answer("b"), attempt_timeout="auto", probe="live")
    plain = line(census, kind, SILENT, kind.answer("b"), probe="live")

    assert await _deadline(chain) == pytest.approx(await _deadline(plain))


async def test_it_is_the_provider_s_own(census: Census):
    """One provider of a chain may have it, and each has its own."""
    slow = Provider(LLM.make(Paced(LLM, "a", 0.4)), attempt_timeout="auto")
    chain = line(census, LLM, slow, Paced(LLM, "b", FAST), **{**AUTO, "attempt_timeout": 1.5})
    chain.adapter.prefer("b")
    await use(chain, 20)
    chain.adapter.prefer(None)

    assert await _deadline(chain) == pytest.approx(2.0)


async def test_probes_teach_it_nothing_but_replays():
    """A ping is a smaller request than those that the deadline is for."""
    chain = line(None, LLM, Paced(LLM, "a", FAST), LLM.answer("b"),
                 **{**AUTO, "probe": "ping", "health_check_interval": 1.0})  # fmt: skip
    await chain.use()
    await asyncio.sleep(60.0)
    assert len(chain.probes("a")) >= 20
    chain.providers["a"].play(SILENT)

    with Stopwatch() as watch:
        assert await chain.use() == "b"

    assert watch.elapsed == pytest.approx(2.0)
    await chain.adapter.aclose()


@pytest.mark.parametrize("kind", [LLM, TTS, RECOGNIZED], ids=repr)
async def test_a_deadline_that_became_too_short_lengthens_itself(kind: Kind, census: Census):
    """When timeouts hide how long outputs take, it is the ceiling again, and then follows them."""
    a = Paced(kind, "a", 0.2)
    chain = line(census, kind, a, Paced(kind, "b", FAST),
                 **{**AUTO, "temporary_disable_sec": 0.2, "max_disable_sec": 0.2})  # fmt: skip
    await use(chain, 20)
    a.seconds = 0.9  # more than twice as slow from now on

    answers = ""
    for _ in range(60):
        answers += await chain.use()
        await asyncio.sleep(0.5)

    assert answers.startswith("b")
    assert answers.endswith("a" * 40)
    assert counts(chain, "a")[1] <= 5


async def test_the_last_provider_has_the_rest_of_the_budget(census: Census):
    """No adaptive deadline cuts off the last one that is left."""
    chain = line(census, LLM, Paced(LLM, "a", 0.2), **{**AUTO, "total_timeout": 6.0})
    await use(chain, 20)
    chain.providers["a"].play(Paced(LLM, "a", 5.0))

    assert await chain.use() == "a"


async def test_without_a_ceiling_there_is_none_until_it_is_known(census: Census):
    """`attempt_timeout_ceiling=None`: at first the budget is the only limit."""
    options = {"attempt_timeout_ceiling": None, "total_timeout": 6.0}
    chain = await _trained(census, LLM, *([0.4] * 20), **options)
    new = line(census, LLM, Paced(LLM, "a", 5.0), LLM.answer("b"), **{**AUTO, **options})

    assert await new.use() == "a"
    assert await _deadline(chain) == pytest.approx(0.8, abs=0.02)


async def test_a_timeout_says_how_long_it_was_waited(census: Census):
    """The report has the adaptive deadline, not the ceiling."""
    chain = await _trained(census, LLM, *([0.4] * 20))

    await _deadline(chain)

    (failover,) = chain.events.of("failover")
    assert failover.reason == "first_output_timeout"
    assert failover.elapsed == pytest.approx(0.8, abs=0.02)
