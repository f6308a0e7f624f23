# SPDX-License-Identifier: Apache-2.0
"""Probation: a provider that is back is trusted step by step, and sent away at the first doubt."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.audio import numbered
from tests.support.caller import calling
from tests.support.errors import gone, status
from tests.support.fakes import AfterFrames, Audio, Fail, Final, Hang, Say, Wait
from tests.support.ids import stable
from tests.support.outage import (
    BATCH_TTS,
    DOWN,
    KINDS,
    LLM,
    SILENT,
    STT,
    TTS,
    Kind,
    Line,
    breaks,
    line,
)

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script

every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
PINGED: dict[str, Any] = {"probe": "ping", "temporary_disable_sec": 5.0}


async def _until_back(chain: Line) -> None:
    """Have the primary fail a request, and wait until a probe has put it on probation."""
    await chain.use()
    await asyncio.sleep(5.1)
    assert chain.state() == "probation"


@pytest.mark.parametrize("kind", [LLM, TTS, BATCH_TTS], ids=repr)
@pytest.mark.parametrize("needed", [1, 3, 5])
async def test_so_many_good_requests_make_it_healthy(kind: Kind, needed: int, census: Census):
    """`probation_successes` outputs in a row, and not one less."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probation_successes=needed, **PINGED)
    await _until_back(chain)

    states = []
    for _ in range(needed):
        assert await chain.use() == "a"
        states.append(chain.state())

    assert states == ["probation"] * (needed - 1) + ["healthy"]
    assert chain.moves() == ["cooling_down", "probing", "probation", "healthy"]


async def test_each_utterance_of_a_call_is_a_good_request(census: Census):
    """A speech stream proves its recogniser word by word, not by lasting."""
    words = [step for n in range(5, 50, 10) for step in (AfterFrames(n), Final("word"))]
    chain = line(census, STT, breaks(STT, then=words), words, **PINGED)

    states = []
    async with calling(chain.adapter) as caller:
        await caller.speak(1)
        chain.adapter.enable("a")
        for _ in range(5):
            await caller.speak(10)
            states.append(chain.state())

    assert states == ["probation", "probation", "healthy", "healthy", "healthy"]


async def test_a_provider_is_available_from_its_probation_on(census: Census):
    """The event comes with the good probe, and none with the proof."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), **PINGED)
    await _until_back(chain)
    changes = chain.events.of("llm_availability_changed")
    assert [(e.available, e.state) for e in changes] == [
        (False, "cooling_down"),
        (True, "probation"),
    ]

    for _ in range(5):
        await chain.use()

    assert chain.events.of("llm_availability_changed") == changes


@pytest.mark.parametrize(
    ("kind", "bad", "rest"),
    [
        *((kind, DOWN, 10.0) for kind in KINDS),
        *((kind, SILENT, 10.0) for kind in KINDS if kind is not STT),  # which may have heard none
        (LLM, [Fail(status(401))], 300.0),
        (STT, [Fail(status(401))], 300.0),
    ],
    ids=stable,
)
async def test_one_bad_output_sends_it_back_for_longer(
    kind: Kind, bad: Script, rest: float, census: Census
):
    """Neither its good probe nor the good requests before excuse it; the request is served."""
    a = kind.make(DOWN, kind.answer("a"), kind.answer("a"), bad)
    chain = line(census, kind, a, kind.answer("b"), probation_successes=9, **PINGED)
    await _until_back(chain)

    answers = [await chain.use(), await chain.use()]

    assert answers == ["a", "b"]
    assert chain.state() == "cooling_down"
    assert chain.rests() == [5.0, rest]


@pytest.mark.parametrize(
    ("kind", "cut"),
    [(LLM, [Say("one "), Hang()]), (TTS, [Audio(0.1), Fail(gone())])],
    ids=["llm", "tts"],
)
async def test_an_answer_that_breaks_off_sends_it_back_too(kind: Kind, cut: Script, census: Census):
    """Output that begins well and ends badly is a bad output."""
    options = {**PINGED, "on_partial": "stop"} if kind is TTS else PINGED
    chain = line(census, kind, kind.make(DOWN, kind.answer("a"), cut), kind.answer("b"), **options)
    await _until_back(chain)

    with pytest.raises(Exception, match=r"no further|gone"):
        await chain.use()

    assert chain.rests() == [5.0, 10.0]


async def test_a_request_s_own_fault_is_no_bad_output(census: Census):
    """Nor a good one: who rejects one prompt has proved nothing."""
    a = LLM.make(DOWN, LLM.answer("a"), [Fail(status(400))], LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), probation_successes=1, **PINGED)
    await _until_back(chain)

    assert [await chain.use(), chain.state()] == ["b", "probation"]
    assert [await chain.use(), chain.state()] == ["a", "healthy"]


async def test_an_interrupted_request_proves_nothing(census: Census):
    """A caller who hangs up before the first output says nothing about the provider."""
    a = LLM.make(DOWN, LLM.answer("a"), SILENT, LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), probation_successes=1, **PINGED)
    await _until_back(chain)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.use(), 1.0)

    assert chain.state() == "probation"
    assert [await chain.use(), chain.state()] == ["a", "healthy"]


def _by_call(kind: Kind, good: set[int]) -> Any:
    """A provider that is well in these of its calls only, counted from 0."""
    return kind.make(lambda n: kind.answer("a") if n in good else DOWN)


@pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
async def test_rests_grow_until_health_is_proved(kind: Kind, census: Census):
    """A provider whose probes are good and whose requests are bad is asked less and less."""
    a = _by_call(kind, good=set(range(1, 99, 2)))
    chain = line(census, kind, a, kind.answer("b"), max_disable_sec=60.0, **PINGED)

    for _ in range(300):
        assert await chain.use() == "b"
        await asyncio.sleep(1.0)

    assert chain.rests() == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]


async def test_all_counts_begin_anew_after_proved_health(census: Census):
    """An outage next week has nothing to do with this one: neither its rests nor its end."""
    # a request and a probe that fail, a probe and three requests that prove it
    a = LLM.make(lambda n: DOWN if n % 6 < 2 else LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), permanent_disable_after_attempts=2, **PINGED)

    for _ in range(10):
        assert await chain.use() == "b"
        await asyncio.sleep(5.1)
        assert await chain.use() == "b"
        await asyncio.sleep(10.1)
        assert [await chain.use() for _ in range(3)] == ["a"] * 3

    assert chain.rests() == [5.0, 10.0] * 10
    assert chain.state() == "healthy"


@pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
@pytest.mark.parametrize(
    "good", [set(), {1, 4, 6}], ids=["bad-probes", "failures-on-probation-too"]
)
async def test_so_many_failed_recoveries_in_a_row_disable_it(
    kind: Kind, good: set[int], census: Census
):
    """`permanent_disable_after_attempts`: then it costs no call any more, not even a probe."""
    chain = line(census, kind, _by_call(kind, good), kind.answer("b"),
                 permanent_disable_after_attempts=3, **PINGED)  # fmt: skip

    for _ in range(200):
        assert await chain.use() == "b"
        await asyncio.sleep(1.0)

    assert chain.state() == "disabled"
    assert chain.rests() == [5.0, 10.0, 20.0]
    assert chain.unavailable.count("a") == 1 + len(good - {4}) * bool(good)
    assert len(chain.providers["a"].calls) == 4 + len(good) - (4 in good)


async def test_a_disabled_provider_is_still_the_last_resort(census: Census):
    """It gave cause to be given up, but an agent that says nothing is worse."""
    a = LLM.make(DOWN, DOWN, LLM.answer("a"))
    backup = LLM.make(LLM.answer("b"), DOWN, LLM.answer("b"))
    chain = line(census, LLM, a, backup, permanent_disable_after_attempts=1, **PINGED)
    await chain.use()
    await asyncio.sleep(5.1)
    assert chain.state() == "disabled"

    answers = [await chain.use(), await chain.use()]

    assert answers == ["a", "b"]
    assert chain.state() == "disabled"


async def test_only_enabling_brings_a_disabled_provider_back(census: Census):
    """Neither time nor traffic does; then it is on probation like any other."""
    a = LLM.make(DOWN, DOWN, LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), permanent_disable_after_attempts=1, **PINGED)
    for _ in range(100):
        await chain.use()
        await asyncio.sleep(60.0)
    assert len(a.calls) == 2

    chain.adapter.enable("a")

    answers = [await chain.use() for _ in range(3)]
    assert answers == ["a"] * 3
    assert chain.moves()[-2:] == ["probation", "healthy"]


SHARES: dict[str, Any] = {"reintroduction": (0.1, 0.5, 1.0)}
STEPS: dict[str, Any] = {**SHARES, **PINGED}


@pytest.mark.parametrize(
    ("kind", "successes"), [(LLM, 50), (TTS, 15), (STT, 20)], ids=["llm", "tts", "stt"]
)
async def test_each_step_of_a_return_has_exactly_its_share(
    kind: Kind, successes: int, census: Census
):
    """A tenth, then half, then all of the requests, each until `probation_successes` are good."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probation_successes=successes,
                 **STEPS)  # fmt: skip
    await _until_back(chain)

    answers = "".join([await chain.use() for _ in range(successes * 13)])

    assert answers[: successes * 10] == "bbbbbbbbba" * successes
    assert answers[successes * 10 : successes * 12] == "ba" * successes
    assert answers[successes * 12 :] == "a" * successes
    assert chain.state() == "healthy"


@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_shares_hold_for_requests_at_once(kind: Kind, census: Census):
    """Of a hundred concurrent requests a tenth goes to the provider that is coming back."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probation_successes=20, **STEPS)
    await _until_back(chain)

    answers = await asyncio.gather(*(chain.use() for _ in range(100)))

    assert answers.count("a") == 10


async def test_a_failure_goes_back_to_the_first_step(census: Census):
    """Whoever failed at half of the traffic begins again with a tenth."""
    a = LLM.make(lambda n: DOWN if n in (0, 5) else LLM.answer("a"))
    chain = line(census, LLM, a, LLM.answer("b"), probation_successes=2, **STEPS)
    await _until_back(chain)
    begun = "".join([await chain.use() for _ in range(24)])
    assert (begun[-4:], chain.rests()) == ("babb", [5.0, 10.0])

    await asyncio.sleep(10.1)

    assert "".join([await chain.use() for _ in range(20)]) in _tenths(20)


def _tenths(length: int) -> list[str]:
    endless = "bbbbbbbbba" * (length // 10 + 1)
    return [endless[start : start + length] for start in range(10)]


async def test_who_is_held_back_is_asked_before_those_that_rest(census: Census):
    """A share is for ordinary times: when the others fail, all requests are its."""
    a = LLM.make([Fail(status(401))], LLM.answer("a"))  # its rest would have been the longer one
    backup = LLM.make(LLM.answer("b"), DOWN)
    chain = line(census, LLM, a, backup, probe=None, probation_successes=9, **SHARES)
    await chain.use()
    chain.adapter.enable("a")

    assert [await chain.use() for _ in range(5)] == ["a"] * 5
    assert len(backup.calls) == 2


async def test_a_call_goes_back_by_its_share_and_stays(census: Census):
    """Every tenth utterance takes its caller along, who is not sent away again at the next."""
    words = [step for n in range(5, 400, 10) for step in (AfterFrames(n), Final("word"))]
    chain = line(census, STT, breaks(STT, then=words), words, probation_successes=99, **STEPS)

    async with calling(chain.adapter) as caller:
        await caller.speak(1)
        chain.adapter.enable("a")
        await caller.speak(90)
        assert chain.asked == "ab"
        await caller.speak(150)
        assert chain.asked == "aba"

    assert chain.state() == "probation"


async def test_a_return_is_no_stampede(census: Census):
    """Of many calls that wait for their next utterance none goes back before it has come."""
    chain = line(census, STT, breaks(STT), [AfterFrames(1), Final("word")], probe=None, **SHARES)

    async with AsyncExitStack() as calls:
        for _ in range(20):
            caller = await calls.enter_async_context(calling(chain.adapter))
            await caller.speak(2)
        chain.adapter.enable("a")
        await asyncio.sleep(1.0)

    assert chain.asked == "a" + "b" * 20


async def test_nobody_is_handed_a_call_that_is_over(census: Census):
    """After the end of the audio there is nothing left to hear, so no other stream is opened."""
    waits = [AfterFrames(999), Final("word"), Wait(1.0)]
    chain = line(census, STT, breaks(STT), waits, probe=None)

    async with chain.adapter.stream() as stream:
        stream.push_frame(numbered(0))
        stream.end_input()
        async for _ in stream:
            chain.adapter.enable("a")

    assert chain.asked == "ab"
