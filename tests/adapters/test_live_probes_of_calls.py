# SPDX-License-Identifier: Apache-2.0
"""Live probes that are a caller's speech stream: their end does not wait for the caller's words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import Provider
from tests.support.audio import frames
from tests.support.caller import FRAME, calling
from tests.support.errors import gone
from tests.support.fakes import AfterFrames, Fail, Final, ScriptedSTT, Wait
from tests.support.outage import BATCH_STT, DOWN, STT, line

if TYPE_CHECKING:
    from tests.support.caller import Caller
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

LIVE: dict[str, Any] = {"probe": "live", "temporary_disable_sec": 5.0}
SILENCE = frames(FRAME, pitch=0)[0]
LISTENS: Script = []


async def _be_silent(caller: Caller, seconds: float) -> None:
    for _ in range(round(seconds / FRAME)):
        caller.stream.push_frame(SILENCE)
        await asyncio.sleep(FRAME)


async def _after_an_outage(census: Census, then: Script, **options: Any) -> Line:
    """The primary has failed, its rest is over, and the next stream is its test."""
    primary = ScriptedSTT(DOWN, then)
    chain = line(census, STT, primary, STT.answer("b"), **{**LIVE, **options})
    assert await chain.use() == "b"
    await asyncio.sleep(5.5)
    return chain


@pytest.mark.parametrize(
    ("timeout", "stands"), [(3.0, 6.0), (1.0, 2.0), (None, 10.0)], ids=["default", "short", "none"]
)
async def test_a_silent_caller_s_stream_passes_the_test_by_standing(
    timeout: float | None, stands: float, census: Census
):
    """Connected for twice its deadline and taking the audio: it is back, whoever is on hold."""
    chain = await _after_an_outage(census, LISTENS, attempt_timeout=timeout)

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, stands - 0.2)
        before = chain.state()
        await _be_silent(silent, 0.4)

        assert (before, chain.state()) == ("probing", "probation")
    assert chain.moves() == ["cooling_down", "probing", "probation"]
    assert chain.asked == "aba"


async def test_other_calls_have_the_provider_back(census: Census):
    """They wait for the silent caller's test to end, not for the silent caller."""
    chain = await _after_an_outage(census, LISTENS)

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 3.0)
        during = await chain.use()
        await _be_silent(silent, 4.0)
        chain.providers["a"].play(STT.answer("a"))

        assert (during, await chain.use()) == ("b", "a")


async def test_a_stateful_provider_is_tested_so_too(census: Census):
    """Its probes are live, whatever was asked for."""
    stateful = Provider(ScriptedSTT(DOWN, LISTENS), stateful=True, probe="ping")
    chain = line(census, STT, stateful, STT.answer("b"), temporary_disable_sec=5.0)
    await chain.use()
    await asyncio.sleep(5.5)

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 6.5)

        assert chain.state() == "probation"


@pytest.mark.parametrize("breaks", [0.5, 5.5])
async def test_a_test_that_breaks_before_its_time_is_bad(breaks: float, census: Census):
    """Until then a connection that ends has failed the test, and the next rest is longer."""
    chain = await _after_an_outage(census, [Wait(breaks), Fail(gone)])

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, breaks + 0.5)

    assert chain.moves() == ["cooling_down", "probing", "cooling_down"]
    assert chain.rests() == [5.0, 10.0]


async def test_a_provider_that_breaks_after_its_test_has_failed_on_probation(census: Census):
    """What comes after the test is new evidence, and counts."""
    chain = await _after_an_outage(census, [Wait(10.0), Fail(gone)])

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 11.0)

    assert chain.moves() == ["cooling_down", "probing", "probation", "cooling_down"]
    assert chain.asked == "abab"


async def test_words_after_the_test_are_requests_like_others(census: Census):
    """The test is one good sign; each utterance after it is another, up to full trust."""
    words = [step for n in (500, 550, 600) for step in (AfterFrames(n), Final("word"))]
    chain = await _after_an_outage(census, words, probation_successes=3)

    async with calling(chain.adapter) as caller:
        await _be_silent(caller, 9.0)
        before = chain.state()
        await _be_silent(caller, 4.0)

        assert (before, chain.state()) == ("probation", "healthy")
    health = chain.adapter.get_service_health("a")
    assert (health.failures, health.cancelled) == ({"transient": 1}, 0)


async def test_words_before_its_time_pass_the_test_at_once(census: Census):
    """Text is the better proof, and the timer of the test then changes nothing."""
    chain = await _after_an_outage(census, [AfterFrames(50), Final("word")], probation_successes=9)

    async with calling(chain.adapter) as caller:
        await _be_silent(caller, 1.5)
        early = chain.moves()
        await _be_silent(caller, 20.0)

        assert early == chain.moves() == ["cooling_down", "probing", "probation"]
    assert chain.adapter.get_service_health("a").successes == 1


async def test_a_caller_who_hangs_up_within_the_test_gives_the_place_back(census: Census):
    """The next stream is the test then."""
    chain = await _after_an_outage(census, LISTENS)

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 2.0)
    between = chain.state()
    await asyncio.sleep(20.0)
    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 7.0)

        assert (between, chain.state()) == ("cooling_down", "probation")


async def test_a_recogniser_of_recordings_gives_its_place_back(census: Census):
    """It was asked nothing while the caller was silent, so its standing shows nothing."""
    primary = BATCH_STT.make(DOWN)
    chain = line(census, BATCH_STT, primary, BATCH_STT.answer("b"), **LIVE)
    assert await chain.use() == "b"
    await asyncio.sleep(5.5)

    async with calling(chain.adapter) as silent:
        await _be_silent(silent, 10.0)

        assert chain.state() == "cooling_down"
    assert chain.moves() == ["cooling_down", "probing", "cooling_down"]


async def test_standing_without_audio_proves_nothing(census: Census):
    """Who was given nothing to take may be deaf: the test's time begins with the first audio."""
    chain = await _after_an_outage(census, LISTENS)

    async with calling(chain.adapter) as muted:
        await asyncio.sleep(60.0)
        before = chain.state()
        await _be_silent(muted, 6.5)

        assert (before, chain.state()) == ("probing", "probation")


async def test_standing_while_the_caller_speaks_proves_nothing(census: Census):
    """Who takes loud audio and has nothing to say of it is not trusted with other calls."""
    chain = await _after_an_outage(census, LISTENS)

    async with calling(chain.adapter) as speaker:
        await speaker.speak(round(20.0 / FRAME))

        assert chain.state() == "probing"
        assert await chain.use() == "b"


async def test_a_caller_who_falls_silent_ends_the_test(census: Census):
    """Noise at the beginning does not hold the place for ever: the test begins anew."""
    chain = await _after_an_outage(census, LISTENS, replay_buffer_sec=5.0)

    async with calling(chain.adapter) as caller:
        await caller.speak(round(7.0 / FRAME))
        await _be_silent(caller, 20.0)

        assert chain.state() == "probation"
