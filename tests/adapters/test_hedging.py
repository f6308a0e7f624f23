# SPDX-License-Identifier: Apache-2.0
"""Hedging: a second provider is asked while the first is silent, and the faster one wins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, Provider
from tests.support.caller import calling
from tests.support.errors import gone, status
from tests.support.fakes import Fail, Hang, Say, ToolCall, UsageOnly, Wait
from tests.support.llm_chain import listen, tools_of
from tests.support.outage import LLM, SILENT, STT, Kind, line
from tests.support.paces import (
    FAST,
    Paced,
    counts,
    four_kinds,
    hedged_line,
    record_hedges,
    use,
)
from tests.support.script import now
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from tests.support.census import Census

UNTOUCHED = (0, 0, 1, 0)  # served, failed, overtaken, cancelled


def answers(kind: Kind, name: str, seconds: float) -> list[Any]:
    """The script of a provider that answers after so long."""
    return [Wait(seconds), *kind.answer(name)]


@four_kinds
async def test_by_default_one_provider_is_asked(kind: Kind, census: Census):
    """However long it is silent, within its deadline."""
    chain = line(census, kind, answers(kind, "a", 1.9), answers(kind, "b", FAST))

    assert await chain.use() == "a"
    assert chain.asked == "a"


@four_kinds
@pytest.mark.parametrize("after", [100, 300, 1000])
async def test_the_second_is_asked_after_exactly_so_long(kind: Kind, after: int, census: Census):
    """`hedge_after_ms` counts from the moment the first owes its output."""
    chain = hedged_line(
        census, kind, answers(kind, "a", 1.5), answers(kind, "b", FAST), hedge_after_ms=after
    )
    began = now()

    with Stopwatch() as watch:
        answer = await chain.use()

    assert answer == "b"
    assert chain.call("b").opened_at - began == pytest.approx(after / 1000)
    assert watch.elapsed == pytest.approx(after / 1000 + FAST, abs=0.3)


@four_kinds
@pytest.mark.parametrize(("first", "winner"), [(0.25, "a"), (0.39, "a"), (0.41, "b"), (1.9, "b")])
async def test_the_first_useful_output_wins(kind: Kind, first: float, winner: str, census: Census):
    """One answer, and all of it; the hedge is not even asked where the first is in time."""
    chain = hedged_line(census, kind, answers(kind, "a", first), answers(kind, "b", FAST))

    assert await chain.use() == winner

    assert chain.asked == ("a" if first < 0.3 else "ab")


@four_kinds
@pytest.mark.parametrize(("first", "loser"), [(0.35, "b"), (1.9, "a")])
async def test_the_loser_is_blameless_and_gone(
    kind: Kind, first: float, loser: str, census: Census
):
    """Cancelled and closed at once, counted as overtaken, and as nothing else."""
    chain = hedged_line(census, kind, answers(kind, "a", first), answers(kind, "b", FAST))
    began = now()

    await chain.use()

    won_at = began + min(first, 0.3 + FAST)
    assert chain.closed_at(loser) - won_at < 0.05
    assert counts(chain, loser) == UNTOUCHED
    assert chain.events.of("health_changed") == chain.events.of("failover") == []
    assert chain.events.of("error") == []
    assert [chain.adapter.get_service_health(n).hedges for n in "ab"] == [0, 1]


@four_kinds
@pytest.mark.parametrize(("first", "winner"), [(0.35, "a"), (1.9, "b")])
async def test_a_hedge_is_told(kind: Kind, first: float, winner: str, census: Census):
    """Who was silent, who was asked as well, who won, and when."""
    chain = hedged_line(census, kind, answers(kind, "a", first), answers(kind, "b", FAST))

    await chain.use()

    (hedged,) = chain.events.of("hedged")
    assert (hedged.component, hedged.provider, hedged.hedge) == (chain.adapter.component, "a", "b")
    assert hedged.winner == winner
    assert hedged.hedged_after == pytest.approx(0.3)
    assert hedged.elapsed == pytest.approx(min(first, 0.4))
    assert hedged.request_id


@pytest.mark.parametrize("order", ["first-is-earlier", "hedge-is-earlier"])
@four_kinds
async def test_two_outputs_in_one_turn_are_one_answer(kind: Kind, order: str, census: Census):
    """Both speak at the same moment: nothing of one of them is ever seen."""
    a, b = answers(kind, "a", 0.4), answers(kind, "b", 0.1)
    if order == "hedge-is-earlier":
        a, b = answers(kind, "a", 0.1 + 0.3), [Wait(0.05), Wait(0.05), *kind.answer("b")]
    chain = hedged_line(census, kind, a, b)

    answer = await chain.use()

    assert answer in ("a", "b")
    loser = {"a": "b", "b": "a"}[answer]
    assert counts(chain, loser) == UNTOUCHED


@pytest.mark.parametrize(
    "manners",
    [{"stubborn": 0.9}, {"on_close": Hang()}, {"on_close": Fail(gone)}],
    ids=["stubborn", "hangs", "fails"],
)
@four_kinds
async def test_a_loser_with_bad_manners_is_not_waited_for(
    kind: Kind, manners: dict[str, Any], census: Census
):
    """One that ignores its cancellation, or hangs or fails in closing, delays and blames nobody."""
    slow = kind.make(answers(kind, "a", 1.9), **manners)
    chain = hedged_line(census, kind, slow, answers(kind, "b", FAST))

    with Stopwatch() as watch:
        answer = await chain.use()
    await asyncio.sleep(10.0)

    assert answer == "b"
    assert watch.elapsed < 0.75
    assert counts(chain, "a") == UNTOUCHED
    assert chain.events.of("error") == []


async def test_a_stubborn_loser_that_goes_on_is_not_heard(census: Census):
    """Whatever it says after it was overtaken, a tool call least of all, reaches nobody."""
    a = LLM.make([Hang()], stubborn=0.4)
    b = [Wait(0.4), ToolCall("pay", call_id="b"), Wait(1.0), Say("done"), UsageOnly()]
    chain = hedged_line(census, LLM, a, b)

    chunks, error = await listen(chain.adapter)

    assert error is None
    assert [call.call_id for call in tools_of(chunks)] == ["b"]
    assert counts(chain, "a") == UNTOUCHED


@pytest.mark.parametrize(("first", "winner"), [(0.38, "a"), (0.42, "b")])
async def test_one_tool_is_called_once(first: float, winner: str, census: Census):
    """Two providers that want to call the same tool are one call."""
    scripts = [[Wait(s), ToolCall("pay", call_id=name), UsageOnly()]
               for s, name in ((first, "a"), (FAST, "b"))]  # fmt: skip
    chain = hedged_line(census, LLM, *scripts)

    chunks, _ = await listen(chain.adapter)

    assert [call.call_id for call in tools_of(chunks)] == [winner]


@four_kinds
async def test_a_hedge_that_fails_is_no_end(kind: Kind, census: Census):
    """The first goes on, and is heard when it answers."""
    chain = hedged_line(census, kind, answers(kind, "a", 1.5), [Wait(0.2), Fail(gone)])

    assert await chain.use() == "a"

    assert counts(chain, "a") == (1, 0, 0, 0)
    assert counts(chain, "b") == (0, 1, 0, 0)
    assert chain.state("b") == "cooling_down"
    assert chain.recoverable == [True]
    assert chain.events.of("failover") == []


@four_kinds
async def test_a_hedge_that_fails_is_followed_by_another(kind: Kind, census: Census):
    """While the first is silent the next provider is asked, at once."""
    chain = hedged_line(
        census, kind, answers(kind, "a", 1.9), [Wait(0.2), Fail(gone)], answers(kind, "c", FAST)
    )
    began = now()

    assert await chain.use() == "c"

    assert chain.call("c").opened_at - began == pytest.approx(0.5)
    assert counts(chain, "a") == UNTOUCHED
    assert [(e.provider, e.hedge, e.winner) for e in chain.events.of("hedged")] == [("a", "c", "c")]


@four_kinds
async def test_the_hedge_carries_on_when_the_first_fails(kind: Kind, census: Census):
    """The request has moved on to it: told as a failover, and nobody else is asked."""
    chain = hedged_line(
        census, kind, [Wait(0.5), Fail(gone)], answers(kind, "b", 1.0), answers(kind, "c", FAST)
    )

    assert await chain.use() == "b"

    assert chain.asked == "ab"
    (failover,) = chain.events.of("failover")
    assert (failover.from_provider, failover.to_provider, failover.attempt) == ("a", "b", 1)
    assert chain.recoverable == [True]
    assert chain.events.of("hedged") == []
    assert chain.state() == "cooling_down"


@four_kinds
async def test_it_carries_on_when_the_first_has_used_up_its_time(kind: Kind, census: Census):
    """The first's deadline passes: its hedge is under way already, and is not begun anew."""
    chain = hedged_line(
        census, kind, SILENT, answers(kind, "b", 1.0), answers(kind, "c", FAST), attempt_timeout=0.8
    )
    # a hedge has a deadline of its own, counted from its own debt
    began = now()

    assert await chain.use() == "c"

    assert chain.reasons == ["first_output_timeout", "first_output_timeout"]
    assert chain.closed_at("a") - began == pytest.approx(0.8, abs=0.05)
    assert chain.closed_at("b") - began == pytest.approx(1.1, abs=0.05)
    assert chain.asked == "abc"


@four_kinds
async def test_both_fail_and_the_walk_goes_on(kind: Kind, census: Census):
    """Whoever is left is asked, and nobody twice."""
    chain = hedged_line(
        census, kind, [Wait(0.6), Fail(gone)], [Wait(0.2), Fail(gone)], answers(kind, "c", FAST),
        hedge_budget=0.1,
    )  # fmt: skip

    answer = await chain.use()

    assert answer == "c"
    assert chain.asked == "abc"


@four_kinds
async def test_exhaustion_reports_each_attempt_once(kind: Kind, census: Census):
    """In the order in which they failed."""
    chain = hedged_line(
        census, kind, [Wait(0.6), Fail(status(401))], [Wait(0.2), Fail(status(403))]
    )

    with pytest.raises(AllProvidersFailedError) as raised:
        await chain.use()

    assert [(a.provider, a.status_code) for a in raised.value.attempts] == [("b", 403), ("a", 401)]
    assert chain.asked == "ab"
    (exhausted,) = chain.events.of("exhausted")
    assert exhausted.attempts == 2
    assert chain.recoverable[-1] is False
    assert chain.recoverable.count(False) == 1


async def test_both_time_out_with_the_budget(census: Census):
    """The end of the request's budget is the end of both, told once."""
    chain = hedged_line(census, LLM, SILENT, SILENT, attempt_timeout=None, total_timeout=2.0)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError) as raised:
        await chain.use()

    assert watch.elapsed == pytest.approx(2.0, abs=0.05)
    assert [a.provider for a in raised.value.attempts] == ["a", "b"]
    assert chain.recoverable.count(False) == 1


@pytest.mark.parametrize("who", ["a", "b"])
@four_kinds
async def test_should_failover_ends_a_race(kind: Kind, who: str, census: Census):
    """`False` for either of the two ends the request, and the other is cancelled."""
    rejects, waits = [Wait(0.5), Fail(status(400))], [Wait(1.9), *kind.answer("c")]
    given = [rejects, waits] if who == "a" else [waits, rejects]
    chain = hedged_line(census, kind, *given, should_failover=lambda *_: False)

    with Stopwatch() as watch, pytest.raises(Exception, match="400"):
        await chain.use()

    assert watch.elapsed < (0.5 if who == "a" else 0.8) + 0.05
    assert chain.asked == "ab"
    assert chain.events.of("failover") == chain.events.of("health_changed") == []
    other = "b" if who == "a" else "a"
    assert counts(chain, other) == (0, 0, 0, 1)


async def test_streaming_recognition_is_not_hedged(census: Census):
    """Two recognisers cannot share a caller; the option is for recordings there."""
    chain = hedged_line(census, STT, [], STT.answer("b"))

    async with calling(chain.adapter) as caller:
        await caller.speak(150)

    assert chain.asked == "a"


async def test_a_race_is_an_ordinary_request_for_what_follows(census: Census):
    """Whoever wins, the next request goes to the first again."""
    a = Paced(LLM, "a", 0.9, FAST)
    chain = record_hedges(line(census, LLM, Provider(LLM.make(a), hedge_after_ms=300),
                               LLM.answer("b"), sticky=True))  # fmt: skip

    assert await use(chain, 3) == "baa"

    assert chain.adapter.active_service is chain.providers["a"]
    assert chain.events.of("recovery") == chain.events.of("failover") == []
