# SPDX-License-Identifier: Apache-2.0
"""What an attempt is: deadlines that nobody can talk the adapter out of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, Provider
from livekit_fallback.errors import FirstOutputTimeoutError, StallError
from tests.support.fakes import (
    End,
    Fail,
    Hang,
    KeepAlive,
    Metadata,
    Repeat,
    RoleOnly,
    Say,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    ask,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, unavailable
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from tests.support.census import Census

GOOD = [Say("b")]
LIMITS: dict[str, Any] = {"attempt_timeout": 2.0, "stall_timeout": 1.0, "total_timeout": 8.0}


@pytest.mark.parametrize("first", [Say("a"), ToolCall("find_table")], ids=["text", "tool"])
async def test_output_just_before_the_deadline_counts(first: Step, census: Census):
    """A provider that is in time keeps its request, however close it was."""
    chain = chain_of(census, [Wait(1.999), first], GOOD, **LIMITS)

    chunks = await ask(chain.adapter)

    assert chain.asked == "a"
    assert [chunk.has_response() for chunk in chunks] == [True]
    assert chain.events.names == ["metrics_collected"]


async def test_output_just_after_the_deadline_is_never_heard(census: Census):
    """A provider that is late has lost its request, however close it was."""
    chain = chain_of(census, [RoleOnly(), Wait(2.001), Say("a")], GOOD, **LIMITS)

    assert await chain.answer() == "b"
    assert chain.call("a").closed_at == pytest.approx(chain.call("a").opened_at + 2.0, abs=0.05)


async def test_the_last_provider_gets_what_remains_of_the_budget(census: Census):
    """Nobody is left to ask, so a late answer is better than none."""
    chain = chain_of(census, [Hang()], [Wait(5.9), Say("b")], **LIMITS)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "b"
    assert watch.elapsed == pytest.approx(7.9, abs=0.05)


async def test_a_single_provider_has_the_whole_budget(census: Census):
    """One provider is first and last at once."""
    chain = chain_of(census, [Wait(7.9), Say("a")], **LIMITS)

    assert await chain.answer() == "a"


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_the_budget_bounds_the_whole_request(count: int, census: Census):
    """However many providers hang, the request fails when its budget is over, and not later."""
    chain = chain_of(census, *[[Hang()]] * count, **LIMITS)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError):
        await chain.answer()

    assert watch.elapsed == pytest.approx(8.0, abs=0.05)


async def test_the_budget_is_met_even_when_it_is_tighter_than_the_deadlines(census: Census):
    """A provider's deadline is never later than the request's."""
    chain = chain_of(census, [Hang()], [Hang()], attempt_timeout=5.0, total_timeout=3.0)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError):
        await chain.answer()

    assert watch.elapsed == pytest.approx(3.0, abs=0.05)


async def test_an_answer_that_flows_is_not_cut_by_the_budget(census: Census):
    """The budget bounds the search for a provider, not the length of what it says."""
    chain = chain_of(census, [Repeat([Say("a"), Wait(0.9)], 30)], GOOD, **LIMITS)

    assert await chain.answer() == "a" * 30


NOISE = [RoleOnly(), Metadata(), KeepAlive()]


@pytest.mark.parametrize("after", range(1, 5))
@pytest.mark.parametrize("noise", [[], NOISE], ids=["silence", "noise"])
async def test_a_stall_is_noticed_after_any_chunk(after: int, noise: list[Step], census: Census):
    """Once output flows the next is due within the stall deadline; noise does not move it."""
    script = [*[Say("a "), Wait(0.5)] * after, Repeat([*noise, Wait(0.1)])]
    chain = chain_of(census, script, GOOD, **LIMITS)

    with Stopwatch() as watch, pytest.raises(StallError):
        await chain.answer()
    await asyncio.sleep(0.05)

    call = chain.call("a")
    assert watch.elapsed == pytest.approx(0.5 * (after - 1) + 1.0, abs=0.05)
    assert call.closed_at == pytest.approx(call.opened_at + watch.elapsed, abs=0.05)


async def test_a_pause_shorter_than_the_stall_deadline_is_no_stall(census: Census):
    """The stall clock starts afresh with each output."""
    chain = chain_of(census, [Repeat([Say("a"), Wait(0.99)], 5), Say("!")], GOOD, **LIMITS)

    assert await chain.answer() == "aaaaa!"


@pytest.mark.parametrize("end", [Hang(), Fail(unavailable), End()], ids=["hang", "fail", "end"])
async def test_what_follows_the_usage_cannot_spoil_an_answer(end: Step, census: Census):
    """Usage comes last: with it the answer was complete, whatever the stream does then."""
    chain = chain_of(census, [Say("a"), UsageOnly(), end], GOOD, **LIMITS)

    with Stopwatch() as watch:
        chunks = await ask(chain.adapter)

    assert (text_of(chunks), chain.asked) == ("a", "a")
    assert chunks[-1].usage is not None
    assert watch.elapsed <= 1.05
    assert chain.events.of("output_lost") == []


async def test_none_switches_a_deadline_off(census: Census):
    """A model that thinks for minutes is given them if the user says so."""
    script = [Wait(300), Say("a"), Wait(300), Say("a")]
    chain = chain_of(
        census, script, GOOD, attempt_timeout=None, stall_timeout=None, total_timeout=None
    )

    assert await chain.answer() == "aa"


async def test_without_a_budget_the_last_provider_keeps_its_own_deadline(census: Census):
    """No budget must not mean that silence is waited out for ever."""
    quiet_then_good = Model([Hang()], [Say("a")])
    chain = chain_of(census, quiet_then_good, attempt_timeout=2.0, total_timeout=None)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "a"
    assert 2.0 <= watch.elapsed <= 2.6


@pytest.mark.parametrize(
    ("overrides", "at"),
    [({}, 2.0), ({"attempt_timeout": 0.5}, 0.5), ({"attempt_timeout": 4.0}, 4.0)],
)
async def test_each_provider_may_have_its_own_first_deadline(
    overrides: dict[str, Any], at: float, census: Census
):
    """What stands in `Provider(...)` wins over the adapter's option, for this provider only."""
    a = Provider(Model([Hang()]), **overrides)
    chain = chain_of(census, a, [Hang()], GOOD, **LIMITS)

    with Stopwatch() as watch:
        await chain.answer()

    assert watch.elapsed == pytest.approx(at + 2.0, abs=0.1)


async def test_a_provider_without_deadline_has_the_budget(census: Census):
    """`attempt_timeout=None` in an entry lifts the adapter's deadline, not its budget."""
    chain = chain_of(census, Provider(Model([Hang()]), attempt_timeout=None), GOOD, **LIMITS)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError):
        await chain.answer()

    assert watch.elapsed == pytest.approx(8.0, abs=0.05)


async def test_each_provider_may_have_its_own_stall_deadline(census: Census):
    """A provider known to dribble can be given more time between chunks."""
    patient = Provider(Model([Say("a"), Wait(2.5), Say("a")]), stall_timeout=3.0)
    chain = chain_of(census, patient, GOOD, **LIMITS)

    assert await chain.answer() == "aa"


async def test_the_clock_starts_before_the_provider_is_called(census: Census):
    """Time that a provider spends in opening its stream is its own."""

    class SlowToOpen(Model):
        """Its stream is entered slowly, as one that connects there."""

        def chat(self, **request: Any) -> Any:
            stream = super().chat(**request)
            return _SlowEntry(stream)

    chain = chain_of(census, SlowToOpen([Say("a")]), GOOD, **LIMITS)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "b"
    assert watch.elapsed == pytest.approx(2.0, abs=0.05)


class _SlowEntry:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aenter__(self) -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._stream.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()


async def test_timeouts_are_livekit_errors_of_the_right_kind(census: Census):
    """Code that handles LiveKit's timeout error handles ours."""
    chain = chain_of(census, [Hang()], [Hang()], **LIMITS)

    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.answer()

    kinds = [type(attempt.error) for attempt in caught.value.attempts]
    assert kinds == [FirstOutputTimeoutError, FirstOutputTimeoutError]
    assert [a.duration for a in caught.value.attempts] == pytest.approx([2.0, 6.0], abs=0.05)
