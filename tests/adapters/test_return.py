# SPDX-License-Identifier: Apache-2.0
"""When traffic goes back to the better provider: never in mid-output, and not too often.

That it goes back at all is in test_probe_kinds.py, the place in a caller's speech where it does in
test_stt_turns.py, and `sticky` for language models and recognisers in test_llm_health.py and
test_stt_turns.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.audio import pitch_of
from tests.support.caller import calling
from tests.support.fakes import AfterFrames, Audio, AwaitText, Final, SpeechStart, Wait, seconds_of
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
    breaks,
    line,
)
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script

every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
DWELL: dict[str, Any] = {"probe": "ping", "temporary_disable_sec": 5.0, "min_dwell_sec": 60.0}


@every_kind
async def test_the_return_waits_until_the_backup_has_served_for_so_long(kind: Kind, census: Census):
    """`min_dwell_sec` is counted from the switch, however many requests there have been since."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), **DWELL)

    answers = ""
    for _ in range(8):
        answers += await chain.use()
        await asyncio.sleep(10.0)

    assert answers == "bbbbbbaa"


@pytest.mark.parametrize(
    ("kind", "bad"),
    [*((kind, DOWN) for kind in KINDS), *((kind, SILENT) for kind in KINDS if kind is not STT)],
    ids=stable,
)
async def test_a_dwell_never_delays_a_failover(kind: Kind, bad: Script, census: Census):
    """A backup that fails while traffic dwells on it is left like any other, at its deadline."""
    backup = kind.make(kind.answer("b"), bad, DOWN)
    chain = line(census, kind, breaks(kind), backup, kind.answer("c"), **DWELL, attempt_timeout=1.0)

    first = await chain.use()
    with Stopwatch() as watch:
        second = await chain.use()

    assert (first, second) == ("b", "c")
    # what a VAD takes to find the end of an utterance is not waiting
    assert watch.elapsed == pytest.approx(1.0 if bad is SILENT else 0.0, abs=0.05)


async def test_a_failure_in_the_dwell_may_bring_the_primary_back(census: Census):
    """Who is best is asked first again as soon as somebody has to be asked."""
    chain = line(census, LLM, breaks(LLM), LLM.make(LLM.answer("b"), DOWN), **DWELL)
    await chain.use()
    await asyncio.sleep(6.0)

    assert await chain.use() == "a"


async def test_a_primary_that_fails_soon_after_its_return_is_left(census: Census):
    """The dwell after a return binds nobody to a provider that fails."""
    good = [LLM.answer("a")] * 2  # a probe and a request
    chain = line(census, LLM, LLM.make(DOWN, *good, DOWN), LLM.answer("b"), **DWELL)
    await chain.use()
    await asyncio.sleep(61.0)

    assert [await chain.use(), await chain.use()] == ["a", "b"]


async def test_traffic_that_has_never_moved_dwells_nowhere(census: Census):
    """Only a switch starts the dwell: at first the primary serves, and is back by its rest."""
    backup = LLM.make(LLM.answer("b"))
    chain = line(census, LLM, LLM.make(LLM.answer("a"), SILENT, LLM.answer("a")), backup, **DWELL)

    answers = [await chain.use(), await chain.use()]

    assert answers == ["a", "b"]
    assert chain.asked == "aab"


async def test_within_a_call_the_return_waits_for_an_utterance_after_the_dwell(census: Census):
    """The stream itself is handed back: not before the dwell is over, and between two words."""
    words = [step for n in range(5, 9999, 100) for step in (AfterFrames(n), Final("word"))]
    chain = line(census, STT, breaks(STT), words, **{**DWELL, "min_dwell_sec": 15.0})

    async with calling(chain.adapter) as caller:
        await caller.speak(50 * 12)
        assert chain.state() == "probation"
        before = len(chain.providers["b"].open_calls)
        await caller.speak(50 * 7)

        assert (before, len(chain.providers["b"].open_calls)) == (1, 0)
    assert chain.call("a", 2).opened_at == pytest.approx(chain.call("b").opened_at + 16.0, abs=0.3)


async def test_within_a_call_the_dwell_delays_no_failover(census: Census):
    """A recogniser that dies in the dwell is left at once, with the caller's words."""
    dying = [AfterFrames(5), Final("one"), AfterFrames(10), SpeechStart(), *DOWN]
    chain = line(census, STT, DOWN, dying, [AfterFrames(10), Final("two")], **DWELL)

    async with calling(chain.adapter) as caller:
        await caller.speak(30)

    assert chain.asked == "abc"
    assert caller.types.count("final_transcript") == 2


@pytest.mark.parametrize("options", [{"sticky": True}, {"voice_stickiness": "call"}], ids=str)
@pytest.mark.parametrize("kind", [TTS, BATCH_TTS], ids=repr)
async def test_a_voice_may_stay_for_the_call(kind: Kind, options: Any, census: Census):
    """The caller hears the voice that took over until it fails; then the best that is well."""
    backup = kind.make(lambda n: DOWN if n == 20 else kind.answer("b"))
    chain = line(census, kind, breaks(kind), backup, **{**DWELL, "min_dwell_sec": 0.0}, **options)

    answers = ""
    for _ in range(30):
        answers += await chain.use()
        await asyncio.sleep(60.0)

    assert answers == "b" * 20 + "a" * 10


@pytest.mark.parametrize("options", [{}, {"voice_stickiness": "reply"}], ids=str)
async def test_a_voice_stays_for_the_reply_by_default(options: Any, census: Census):
    """With the next reply the better voice is back."""
    chain = line(census, TTS, breaks(TTS), TTS.answer("b"), probe="ping", temporary_disable_sec=5.0,
                 **options)  # fmt: skip

    before = await chain.use()
    await asyncio.sleep(6.0)

    assert (before, await chain.use()) == ("b", "a")


async def test_sticky_and_a_dwell_agree(census: Census):
    """A dwell that is over does not end stickiness."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), **DWELL, sticky=True)

    answers = ""
    for _ in range(5):
        answers += await chain.use()
        await asyncio.sleep(61.0)

    assert answers == "bbbbb"


GREETING, QUESTION = "Good evening to you all, and welcome. ", "What can I do for you tonight?"
B_PITCH = 800.0


@pytest.mark.parametrize("kind", [TTS, BATCH_TTS], ids=repr)
async def test_inside_a_reply_the_voice_stays_though_the_better_is_back(kind: Kind, census: Census):
    """One that is back while the reply waits for its text, or speaks, waits for the next reply."""
    b: Script = [Audio(3.0, B_PITCH)]
    if kind is TTS:
        b = [*b, AwaitText(12), Wait(0.5), *b]
    chain = line(census, kind, breaks(kind), b, probe="ping", temporary_disable_sec=5.0)

    async with chain.adapter.stream() as stream:
        stream.push_text(GREETING)
        await asyncio.sleep(20.0)
        assert chain.state() == "probation"
        stream.push_text(QUESTION)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(6.0, abs=0.05)
    assert pitch_of(heard) == pytest.approx(B_PITCH, rel=0.02)
    assert await chain.use() == "a"


async def test_inside_a_reply_the_voice_changes_if_it_failed_before_a_sound(census: Census):
    """Nothing was heard of it, so nobody hears a change, dwell or not."""
    failing = [AwaitText(12), *DOWN]
    chain = line(census, TTS, breaks(TTS), failing, [Audio(6.0, B_PITCH)], **DWELL, sticky=True)

    async with chain.adapter.stream() as stream:
        stream.push_text(GREETING)
        await asyncio.sleep(1.0)
        stream.push_text(QUESTION)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(6.0, abs=0.05)
    assert chain.asked == "abc"
