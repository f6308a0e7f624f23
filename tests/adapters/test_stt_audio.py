# SPDX-License-Identifier: Apache-2.0
"""Every frame of the caller reaches a listener that hears it, and none is kept for ever."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from livekit_fallback import FallbackSTT
from tests.support.audio import frames, number_of, numbered
from tests.support.caller import calling
from tests.support.chains import Chain, listeners
from tests.support.errors import gone, status
from tests.support.fakes import (
    AfterFlush,
    AfterFrames,
    End,
    Fail,
    FailInCall,
    Final,
    Interim,
    ScriptedSTT,
    SpeechEnd,
    SpeechStart,
    Step,
    finals_of,
    hear,
)
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census

EarChain = Chain[FallbackSTT, ScriptedSTT]
WORDS = [SpeechStart(), Interim("well"), Final("well heard"), SpeechEnd()]


def _numbers(chain: EarChain, name: str, number: int = 0) -> list[int]:
    return [number_of(frame) for frame in chain.call(name, number).frames]


@pytest.mark.parametrize("dies_at", [0, 1, 5, 17, 29, 30])
async def test_the_next_listener_hears_every_frame_since_the_last_final(
    dies_at: int, census: Census
):
    """Frames after the last final reach the next listener in order, exactly once."""
    chain = listeners(
        census,
        [AfterFrames(10), Final("settled"), AfterFrames(10 + dies_at), Fail(gone())],
        [AfterFrames(25), *WORDS],
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(50)

    heard = _numbers(chain, "b")
    assert heard == list(range(heard[0], 50))
    assert 9 <= heard[0] <= 11
    assert finals_of(caller.events) == ["settled", "well heard"]


def _moody_script(fate: random.Random) -> list[Step]:
    """Some words, some silence, and at some point the end, of one kind or another."""
    script: list[Step] = []
    frame = 0
    for _ in range(fate.randrange(4)):
        frame += fate.randrange(1, 12)
        said: list[Step] = fate.choice([[Interim("we")], [Final("well")], [Final("")], WORDS])
        script += [AfterFrames(frame), *said]
    end = fate.choice([Fail(gone()), Fail(status(500)), End(), FailInCall(ValueError())])
    return [end] if isinstance(end, FailInCall) else [*script, AfterFrames(frame + 5), end]


@pytest.mark.parametrize("seed", range(25))
async def test_no_frame_is_lost_over_any_number_of_failures(seed: int, census: Census):
    """Every listener hears on from the last settled word: no gap, no disorder, nothing twice."""
    fate = random.Random(seed)
    chain = listeners(
        census,
        lambda _: _moody_script(fate),
        lambda _: _moody_script(fate),
        temporary_disable_sec=0.5,
        total_timeout=None,
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(400)
        for ear in chain.providers.values():
            ear.play([])
        await asyncio.sleep(5.0)
        await caller.speak(1)

        assert caller.error is None
    streams = [call for ear in chain.providers.values() for call in ear.calls if call.frames]
    heard = [[number_of(frame) for frame in call.frames] for call in streams]
    assert all(numbers == list(range(numbers[0], numbers[-1] + 1)) for numbers in heard)
    assert set().union(*heard) == set(range(401))


@pytest.mark.parametrize("text", ["", " "])
async def test_an_empty_final_settles_nothing(text: str, census: Census):
    """A final without words does not throw away the audio that is still unheard."""
    chain = listeners(
        census,
        [AfterFrames(10), Final(text), AfterFrames(15), Fail(gone())],
        [AfterFrames(20), *WORDS],
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(20)

    assert _numbers(chain, "b")[0] == 0


async def test_both_down_for_three_seconds_lose_no_frame(census: Census):
    """Audio that comes while nobody listens waits for whoever listens first."""
    back_at = asyncio.get_running_loop().time() + 3.5

    def script(_: int) -> list[Step]:
        down = asyncio.get_running_loop().time() < back_at
        return [Fail(gone())] if down else [AfterFrames(200), *WORDS]

    chain = listeners(census, script, script)

    async with calling(chain.adapter) as caller:
        await caller.speak(300)

    serving = next(name for name in "ab" if chain.closed_at(name, -1) >= back_at)
    assert _numbers(chain, serving, -1) == list(range(300))
    assert finals_of(caller.events) == ["well heard"]
    assert False not in chain.recoverable


async def test_a_silent_caller_trips_nothing_and_costs_no_memory(census: Census):
    """An hour of silence is no failure, and only the newest `replay_buffer_sec` are kept."""
    chain = listeners(census, [AfterFrames(36_000), Fail(gone())], [], replay_buffer_sec=30.0)

    async with calling(chain.adapter) as caller:
        for number in range(36_000):
            caller.stream.push_frame(numbered(number % 30_000, frame_ms=100))
            await asyncio.sleep(0.1)
        await turns(20)

    assert chain.unavailable == ["a"]
    assert chain.events.of("failover")[0].elapsed == pytest.approx(3600, abs=1)
    assert chain.call("b").audio_seconds == pytest.approx(30.0, abs=0.11)


async def test_a_whole_recording_pushed_at_once_reaches_the_primary(census: Census):
    """The bound on kept audio is for the next listener: the first one gets everything."""
    chain = listeners(census, [])

    await hear(chain.adapter, [numbered(n, frame_ms=100) for n in range(600)])

    assert _numbers(chain, "a") == list(range(600))


async def test_without_a_replay_buffer_the_primary_still_hears_everything(census: Census):
    """`replay_buffer_sec=0` keeps nothing for others, and takes nothing away either."""
    chain = listeners(census, [], replay_buffer_sec=0)

    await hear(chain.adapter, [numbered(n) for n in range(20)])

    assert _numbers(chain, "a") == list(range(20))


async def test_a_flush_is_forwarded_in_its_place(census: Census):
    """What the session flushes is flushed by the listener at work."""
    chain = listeners(census, [AfterFlush(), Final("flushed")])

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        caller.stream.flush()
        await turns(10)

        assert finals_of(caller.events) == ["flushed"]


async def test_a_flush_reaches_the_next_listener_too(census: Census):
    """A commit that the failed listener did not answer is made again, after the same audio."""
    chain = listeners(census, [AfterFlush(), Fail(gone())], [AfterFlush(), Final("flushed")])

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        caller.stream.flush()
        await turns(30)

        assert finals_of(caller.events) == ["flushed"]
    assert len(chain.call("b").frames) == 5


async def test_two_callers_at_once_do_not_hear_each_other(census: Census):
    """One caller's failing stream leaves the other caller's alone."""
    chain = listeners(
        census,
        ScriptedSTT([AfterFrames(5), Fail(gone())], [AfterFrames(10), Final("second")], []),
        [AfterFrames(10), Final("first")],
    )

    first, second = await asyncio.gather(
        hear(chain.adapter, frames(0.4)), hear(chain.adapter, frames(0.4))
    )

    assert (finals_of(first), finals_of(second)) == (["first"], ["second"])
