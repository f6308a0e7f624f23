# SPDX-License-Identifier: Apache-2.0
"""Ends of a race that are neither a first output nor a plain failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from livekit_fallback import AllProvidersFailedError, FallbackLLM, Provider
from tests.support.errors import gone, status
from tests.support.fakes import (
    End,
    Fail,
    FailInCall,
    Hang,
    Say,
    ScriptedLLM,
    ScriptedTTS,
    UsageOnly,
    Wait,
    ask,
    say,
    text_of,
)
from tests.support.outage import LLM, SILENT, TTS, Kind
from tests.support.paces import FAST, LIMITED, Paced, counts, four_kinds, hedged_line, use
from tests.support.recorder import EventRecorder
from tests.support.script import now
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.census import Census


@pytest.mark.parametrize("quick", ["a", "b"])
async def test_a_text_without_words_needs_no_audio_to_win(quick: str, census: Census):
    """A voice that rightly says nothing to "..." has served, and the other is cancelled."""
    scripts = [[Wait(0.6 if quick == "a" else 9.0), End()],
               [Wait(9.0 if quick == "a" else 0.2), End()]]  # fmt: skip
    chain = hedged_line(census, TTS, *[ScriptedTTS(s, sample_rate=8_000) for s in scripts])

    with Stopwatch() as watch:
        heard = await say(chain.adapter, "...")

    await turns(10)

    assert heard == []
    assert watch.elapsed < 0.8
    assert [len(p.open_calls) for p in chain.providers.values()] == [0, 0]
    assert chain.events.of("error") == chain.events.of("health_changed") == []


@four_kinds
async def test_a_request_that_both_reject_alike_is_at_fault(kind: Kind, census: Census):
    """The same 401 from everybody blames nobody, asked one beside the other or in a row."""
    rejects = [[Wait(seconds), Fail(status(401))] for seconds in (0.6, 0.2)]
    chain = hedged_line(census, kind, *rejects)

    with pytest.raises(AllProvidersFailedError):
        await chain.use()

    expected = "cooling_down" if chain.adapter.component == "stt" else "healthy"
    assert [chain.state(name) for name in "ab"] == [expected, expected]


async def test_a_hedge_that_is_rejected_is_held_to_account(census: Census):
    """The first served the same request, so it was not at fault."""
    chain = hedged_line(census, LLM, Paced(LLM, "a", 0.6), [Fail(status(401))])

    assert await chain.use() == "a"

    assert chain.state("b") == "cooling_down"
    assert chain.rests("b") == [300.0]


@four_kinds
async def test_a_hedge_that_cannot_be_opened_is_a_failed_one(kind: Kind, census: Census):
    """An exception from the call itself is as any other."""
    refuses = [Fail(gone)] if kind.name == "recognize" else [FailInCall(gone)]
    chain = hedged_line(census, kind, Paced(kind, "a", 0.9), refuses, Paced(kind, "c", FAST))

    assert await chain.use() == "c"
    assert counts(chain, "b") == (0, 1, 0, 0)


@four_kinds
async def test_both_fail_in_the_same_turn(kind: Kind, census: Census):
    """The next is asked once, and both are told."""
    chain = hedged_line(census, kind, [Wait(0.5), Fail(gone)], [Wait(0.2), Fail(gone)],
                        Paced(kind, "c", FAST), hedge_budget=0.0001)  # fmt: skip

    assert await chain.use() == "c"

    assert chain.recoverable.count(True) == 2
    assert [counts(chain, name)[:2] for name in "abc"] == [(0, 1), (0, 1), (1, 0)]
    assert len(chain.providers["c"].calls) == 1


@four_kinds
async def test_an_answer_in_the_turn_of_a_failure_is_an_answer(kind: Kind, census: Census):
    """Whichever is seen first: the request is served, and nobody else is asked."""
    chain = hedged_line(census, kind, [Wait(0.5), Fail(gone)], Paced(kind, "b", 0.2),
                        Paced(kind, "c", FAST))  # fmt: skip

    assert await chain.use() == "b"

    assert chain.providers["c"].calls == []
    assert chain.events.of("exhausted") == []


async def test_the_winner_breaks_off(census: Census):
    """After the race an answer that stalls ends as any other, and its rival is long gone."""
    chain = hedged_line(census, LLM, SILENT, [Say("b"), Hang()])

    with pytest.raises(Exception, match="no further"):
        await chain.use()

    assert chain.asked == "ab"
    assert chain.providers["a"].open_calls == []
    (lost,) = chain.events.of("output_lost")
    assert lost.provider == "b"
    assert counts(chain, "a") == (0, 0, 1, 0)


async def test_a_caller_who_leaves_the_winner_has_been_served(census: Census):
    """Barge-in during a hedged answer: the winner is well, the loser was overtaken."""
    chain = hedged_line(census, LLM, SILENT, [Say("b"), Wait(5.0), UsageOnly()])
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(1.0)

    asking.cancel()
    await asyncio.wait({asking})

    assert [counts(chain, name) for name in "ab"] == [(0, 0, 1, 0), (1, 0, 0, 0)]
    assert chain.call("b").closed_at == now()


async def test_a_hedge_out_of_a_live_probe(census: Census):
    """A provider under test that is overtaken is not back, and the caller does not notice."""
    a = Paced(LLM, "a", FAST)
    chain = hedged_line(census, LLM, LLM.make([Fail(gone)], a), Paced(LLM, "b", FAST))
    assert await chain.use() == "b"
    a.seconds = 1.5
    await asyncio.sleep(5.1)

    assert await chain.use() == "b"

    assert chain.state() == "cooling_down"
    assert counts(chain, "a") == (0, 1, 1, 0)


async def test_slow_losers_are_left_and_their_rivals_not_told_twice(census: Census):
    """The third time the hedge wins there is one hedged event and one failover."""
    chain = hedged_line(census, LLM, Paced(LLM, "a", 1.5), Paced(LLM, "b", FAST), **LIMITED)

    await use(chain, 3)

    assert len(chain.events.of("hedged")) == 3
    assert [event.reason for event in chain.events.of("failover")] == ["latency"]
    assert chain.state() == "cooling_down"


async def test_an_inner_adapter_wins_for_an_outer_one(census: Census):
    """The hedge of an inner adapter is in time for the outer, which asks nobody else."""
    models = {name: ScriptedLLM(Paced(LLM, name, s), name=name)
              for name, s in (("a", 1.5), ("b", FAST), ("c", FAST))}  # fmt: skip
    inner = FallbackLLM([Provider(models[name], name=name) for name in "ab"], hedge_after_ms=200)
    outer = FallbackLLM(
        [Provider(inner, name="inner"), Provider(models["c"], name="c")], hedge_after_ms=500
    )
    census.watch(*models.values())
    recorders = [EventRecorder(it, ("hedged", "metrics_collected")) for it in (inner, outer)]

    answer = text_of(await ask(outer))
    await asyncio.sleep(3.0)

    assert answer == "b"
    assert [len(model.calls) for model in models.values()] == [1, 1, 0]
    assert [len(recorder.of("hedged")) for recorder in recorders] == [1, 0]
    for recorder in recorders:
        used = [m.metadata.model_name for m in recorder.of("metrics_collected")]
        assert used == ["b-model"]


async def test_traffic_that_moved_to_a_hedge_comes_back(census: Census):
    """The first failed, so its hedge stands in for it, and the return is told as any other."""
    a = LLM.make([Wait(0.5), Fail(gone)], Paced(LLM, "a", FAST))
    chain = hedged_line(census, LLM, a, Paced(LLM, "b", 0.6))
    assert await chain.use() == "b"
    assert await chain.use() == "b"

    await asyncio.sleep(5.1)

    assert await chain.use() == "a"
    (recovery,) = chain.events.of("recovery")
    assert (recovery.provider, recovery.from_provider) == ("a", "b")
    assert recovery.down_for == pytest.approx(5.8, abs=0.1)


@pytest.mark.parametrize("end", ["cancel", "close"])
async def test_no_hedge_for_a_caller_who_has_left(end: str):
    """The first takes its time to close, and meanwhile the hedge would be due."""
    chain = hedged_line(None, LLM, LLM.make([Hang()], on_close=Wait(0.2)), SILENT)
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(0.2)

    if end == "cancel":
        asking.cancel()
    else:
        await chain.adapter.aclose()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(1.0)
    asked = chain.asked
    await chain.adapter.aclose()

    assert asked == "a"
