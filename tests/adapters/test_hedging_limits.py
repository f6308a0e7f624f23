# SPDX-License-Identifier: Apache-2.0
"""What hedging may cost, who has no part in it, and how a race ends that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import llm

from livekit_fallback import AdapterClosedError, FallbackLLM, Provider
from tests.support.census import Census
from tests.support.errors import gone
from tests.support.fakes import Fail, Hang, Say, ScriptedLLM, UsageOnly, Wait, ask, text_of
from tests.support.outage import LLM, SILENT, Kind, line
from tests.support.paces import (
    FAST,
    LIMITED,
    Paced,
    counts,
    four_kinds,
    give_up,
    hedged_line,
    record_hedges,
    slow_ones,
    use,
)
from tests.support.recorder import EventRecorder
from tests.support.script import now
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.outage import Line


def _hedges(chain: Line) -> int:
    hedges: int = chain.adapter.get_service_health("b").hedges
    return hedges


@four_kinds
@pytest.mark.parametrize(("budget", "most"), [(0.1, 3 + 5), (0.5, 3 + 25), (0.02, 3 + 1)])
async def test_hedges_are_a_part_of_the_requests(
    kind: Kind, budget: float, most: int, census: Census
):
    """When every answer is late, no more than that part is asked twice, and three saved up."""
    chain = hedged_line(
        census, kind, Paced(kind, "a", 0.6), Paced(kind, "b", 0.2), hedge_budget=budget
    )

    answers = await use(chain, 50)

    assert most - 1 <= _hedges(chain) <= most
    assert answers.count("b") == _hedges(chain)
    assert answers.startswith("bbb")


async def test_hedges_are_spent_by_requests_at_once(census: Census):
    """A hundred late requests at the same time are not two hundred."""
    chain = hedged_line(census, LLM, Paced(LLM, "a", 0.9), Paced(LLM, "b", 0.2))

    await asyncio.gather(*(chain.use() for _ in range(100)))

    assert _hedges(chain) == 3


async def test_hedges_that_fail_are_spent_too(census: Census):
    """Each further provider that is asked beside the first is one more."""
    down = [[Wait(0.1), Fail(gone)]] * 2
    chain = hedged_line(census, LLM, [Wait(1.5), *LLM.answer("a")], *down, temporary_disable_sec=0)

    for _ in range(30):
        await chain.use()
        await asyncio.sleep(1.0)

    spent = sum(chain.adapter.get_service_health(name).hedges for name in "bc")
    assert spent <= 3 + 3


@four_kinds
async def test_no_budget_is_no_hedge(kind: Kind, census: Census):
    """`hedge_budget=0` turns hedging off."""
    chain = hedged_line(census, kind, Paced(kind, "a", 0.9), Paced(kind, "b", 0.1),
                        hedge_budget=0.0)  # fmt: skip

    assert await use(chain, 20) == "a" * 20
    assert chain.asked == "a" * 20


@four_kinds
async def test_a_percentile_is_waited_for_once_it_is_known(kind: Kind, census: Census):
    """Twenty outputs are timed before the first hedge, which comes at their percentile."""
    a = Paced(kind, "a", 1.5)
    chain = hedged_line(census, kind, a, Paced(kind, "b", FAST), hedge_after_ms="p90")
    assert await use(chain, 2) == "aa"
    a.seconds = 0.2
    assert await use(chain, 18) == "a" * 18
    a.seconds = 1.5
    began = now()

    answer = await chain.use()

    assert answer == "b"
    assert chain.call("b").opened_at - began == pytest.approx(0.2)


async def test_nineteen_outputs_are_not_enough(census: Census):
    """What fewer outputs say of the usual latency is chance."""
    a = Paced(LLM, "a", 0.2)
    chain = hedged_line(census, LLM, a, Paced(LLM, "b", FAST), hedge_after_ms="p95")
    await use(chain, 19)
    a.seconds = 1.5

    assert await use(chain, 2) == "ab"


@four_kinds
@pytest.mark.parametrize("stateful", ["a", "b"])
async def test_a_stateful_provider_has_no_part_in_it(kind: Kind, stateful: str, census: Census):
    """Neither is it asked beside another, nor is another asked beside it."""
    given = [
        Provider(kind.make(Paced(kind, name, seconds)), stateful=name == stateful)
        for name, seconds in (("a", 1.5), ("b", FAST))
    ]
    chain = hedged_line(census, kind, *given)

    assert await use(chain, 3) == "aaa"
    assert chain.asked == "aaa"


async def test_a_stateful_provider_is_passed_over(census: Census):
    """The one after it is asked."""
    b = Provider(LLM.make(LLM.answer("b")), stateful=True)
    chain = hedged_line(census, LLM, Paced(LLM, "a", 1.5), b, LLM.answer("c"))

    assert await chain.use() == "c"
    assert chain.asked == "ac"


async def test_one_that_rests_is_not_asked_as_well(census: Census):
    """A hedge goes to somebody who is well, or to nobody."""
    chain = hedged_line(census, LLM, Paced(LLM, "a", 0.9), [Fail(gone)])
    chain.adapter.prefer("b")
    await chain.use()
    chain.adapter.prefer(None)

    await chain.use()

    assert len(chain.providers["b"].calls) == 1


async def test_each_provider_has_its_own_patience(census: Census):
    """`Provider(hedge_after_ms=...)` is for how long that one may be silent alone."""
    given = [Provider(LLM.make(Paced(LLM, name, 0.9)), hedge_after_ms=after)
             for name, after in (("a", None), ("b", 500))]  # fmt: skip
    chain = record_hedges(line(census, LLM, *given, LLM.answer("c"), probe="live"))

    first = await chain.use()
    chain.adapter.disable("a")
    began = now()
    second = await chain.use()

    assert (first, second) == ("a", "c")
    assert chain.call("c").opened_at - began == pytest.approx(0.5)


async def _cancel(chain: Line, asking: asyncio.Task[str]) -> None:
    asking.cancel()
    await asyncio.wait({asking})


async def _close(chain: Line, asking: asyncio.Task[str]) -> None:
    await chain.adapter.aclose()
    (result,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(result, AdapterClosedError)


@pytest.mark.parametrize("end", [_cancel, _close])
@four_kinds
async def test_a_race_can_be_left(kind: Kind, end: Any):
    """Both are closed at once, nothing stays behind, and nobody is blamed."""
    chain = hedged_line(None, kind, SILENT, SILENT)
    async with Census() as census:
        asking = asyncio.create_task(chain.use())
        await asyncio.sleep(0.5)
        began = now()

        await end(chain, asking)

        assert [chain.closed_at(name) - began for name in "ab"] == [0.0, 0.0]
        assert census.left_behind() == []
    assert [counts(chain, name)[1:] for name in "ab"] == [(0, 0, 1), (0, 0, 1)]
    assert chain.events.of("health_changed") == chain.events.of("error") == []
    assert chain.events.of("hedged") == chain.events.of("failover") == []


@pytest.mark.parametrize("first", [{"on_close": Wait(0.2)}, {"stubborn": 0.2}], ids=["wait", "no"])
async def test_both_are_closed_at_once_whatever_one_does(first: dict[str, Any], census: Census):
    """A first provider that takes its time to close does not keep the hedge running."""
    chain = hedged_line(census, LLM, LLM.make([Hang()], **first), SILENT)

    with Stopwatch() as watch:
        await give_up(chain, 0.5)

    assert chain.call("b").cancelled_at is not None
    assert chain.closed_at("b") - chain.call("b").opened_at == pytest.approx(0.2, abs=0.05)
    assert watch.elapsed < 0.75


async def test_what_comes_after_the_caller_has_left_is_not_served(census: Census):
    """While the first of the two is closing, the other's output is nobody's any more."""
    a = LLM.make([Hang()], on_close=Wait(0.2))
    chain = hedged_line(census, LLM, a, [Wait(0.3), Say("b"), UsageOnly()])

    await give_up(chain, 0.5)
    await asyncio.sleep(1.0)

    assert counts(chain, "b") == (0, 0, 0, 1)


async def test_a_race_that_is_cancelled_twice_leaves_nothing(census: Census):
    """Sessions that are torn down in a hurry cancel more than once."""
    chain = hedged_line(census, LLM, LLM.make([Hang()], on_close=Wait(0.2)), SILENT)
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
    await asyncio.sleep(0.5)

    for _ in range(3):
        stream._task.cancel()
        await turns()
    await stream.aclose()
    await asyncio.sleep(1.0)

    assert chain.call("b").cancelled_at is not None
    assert chain.providers["b"].open_calls == chain.providers["a"].open_calls == []


async def test_a_failure_counts_though_it_was_to_be_retried(census: Census):
    """A first that failed and was not asked again, because its hedge served, has failed."""
    chain = hedged_line(
        census, LLM, [Wait(0.5), Fail(gone)], [Wait(0.4), *LLM.answer("b")], max_retry_per_llm=1
    )

    assert await chain.use() == "b"

    assert chain.asked == "ab"
    assert counts(chain, "a") == (0, 1, 0, 0)
    assert chain.state() == "cooling_down"


async def test_a_hedged_answer_that_breaks_off_is_begun_anew(census: Census):
    """`retry_on_chunk_sent`: after the hedge's fragment the next provider gives a whole answer."""
    chain = hedged_line(
        census, LLM, Paced(LLM, "a", 0.9), [Say("b"), Fail(gone)], LLM.answer("c"),
        retry_on_chunk_sent=True,
    )  # fmt: skip

    answer = await chain.use()

    assert answer in ("ba", "bc")
    assert chain.state("b") == "cooling_down"
    assert [event.from_provider for event in chain.events.of("failover")] == ["b"]


async def test_being_overtaken_is_being_slow(census: Census):
    """A hedge that wins three times in a row shows who is the slow one."""
    chain = hedged_line(census, LLM, Paced(LLM, "a", 1.5), Paced(LLM, "b", FAST),
                        **{**LIMITED, "latency_threshold_ms": 350})  # fmt: skip

    answers = await use(chain, 4)

    assert answers == "bbbb"
    assert chain.asked == "abababb"
    assert slow_ones(chain) == 3
    (change,) = chain.events.of("health_changed")
    assert (change.reason, change.latency) == ("latency", pytest.approx(0.4))


async def test_nested_adapters_hedge_each_for_itself(census: Census):
    """An adapter inside another is one provider of it, with races of its own."""
    models = {name: ScriptedLLM(Paced(LLM, name, s), name=name)
              for name, s in (("a", 1.5), ("b", 0.4), ("c", FAST))}  # fmt: skip
    inner = FallbackLLM([Provider(models[name], name=name) for name in "ab"], hedge_after_ms=300)
    outer = FallbackLLM(
        [Provider(inner, name="inner"), Provider(models["c"], name="c")], hedge_after_ms=500
    )
    census.watch(*models.values())
    recorders = [EventRecorder(it, ("hedged", "metrics_collected")) for it in (inner, outer)]

    answer = text_of(await ask(outer))
    await asyncio.sleep(1.0)

    assert answer == "c"
    assert [(e.hedge, e.winner) for e in recorders[1].of("hedged")] == [("c", "c")]
    assert recorders[0].of("hedged") == []
    assert [len(model.calls) for model in models.values()] == [1, 1, 1]
    used = [m.metadata.model_name for m in recorders[1].of("metrics_collected")]
    assert used == ["c-model"]
    assert inner.get_service_health("a").cancelled == 1
