# SPDX-License-Identifier: Apache-2.0
"""When a connection that breaks was idle, and when that would only hide an outage.

Servers recycle the connections of silent callers, for which nobody is to blame; a recogniser that
is deaf to a caller who speaks looks much the same. That recycling breaks no call, in whatever way
it comes, is in test_blameless.py and test_stt.py.
"""

from __future__ import annotations

import asyncio
from array import array
from typing import TYPE_CHECKING

import pytest

from tests.support.audio import frame, frames
from tests.support.caller import FRAME, calling
from tests.support.errors import gone
from tests.support.fakes import AfterFrames, End, Fail, Final, SpeechEnd, SpeechStart, Wait
from tests.support.outage import STT, line

if TYPE_CHECKING:
    from livekit import rtc

    from tests.support.caller import Caller
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

RECYCLED = [[Fail(gone)], [End()]]
HEARS: Script = [AfterFrames(5), Final("heard by b")]


def level(peak: int) -> rtc.AudioFrame:
    """A frame of a tone this loud, of 32768."""
    return frame(array("h", [peak, -peak] * 160).tobytes())


SILENCE, NOISE, SOFT_VOICE = frames(FRAME, pitch=0)[0], level(300), level(400)
LOUD = frames(FRAME)[0]


async def _for_seconds(caller: Caller, sound: rtc.AudioFrame, seconds: float) -> None:
    for _ in range(round(seconds / FRAME)):
        caller.stream.push_frame(sound)
        await asyncio.sleep(FRAME)


async def _heard(chain: Line, sound: rtc.AudioFrame, seconds: float) -> None:
    """A call of nothing but this sound."""
    async with calling(chain.adapter) as caller:
        await _for_seconds(caller, sound, seconds)
        assert caller.error is None


def _closes_after(seconds: float, how: Script | None = None) -> Script:
    return [Wait(seconds), *(how or [Fail(gone)])]


# --- idle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", RECYCLED, ids=["reset", "clean-end"])
@pytest.mark.parametrize("sound", [SILENCE, NOISE], ids=["silence", "line-noise"])
async def test_a_quiet_connection_that_is_recycled_is_begun_anew(
    how: Script, sound: rtc.AudioFrame, census: Census
):
    """Nobody is blamed, nobody is told, and the same provider goes on."""
    chain = line(census, STT, _closes_after(31.0, how), HEARS, probe="live")

    await _heard(chain, sound, 100.0)

    assert chain.asked == "aaaa"
    assert chain.events.names == []


@pytest.mark.parametrize("seconds", [5.0, 30.0])
async def test_five_seconds_of_kept_audio_are_enough_to_judge_by(seconds: float, census: Census):
    """Less than that, and nobody can say that nothing was said."""
    chain = line(census, STT, _closes_after(40.0), HEARS, probe="live", replay_buffer_sec=seconds)

    await _heard(chain, SILENCE, 50.0)

    assert (chain.asked, chain.moves()) == ("aa", [])


async def test_a_cough_is_no_word(census: Census):
    """START and END without a word: the connection is idle like any other, minutes later."""
    cough: Script = [AfterFrames(5), SpeechStart(), SpeechEnd(), *_closes_after(300.0)]
    chain = line(census, STT, cough, HEARS)

    async with calling(chain.adapter) as caller:
        await _for_seconds(caller, LOUD, 0.12)
        await _for_seconds(caller, SILENCE, 310.0)

    assert (chain.asked, chain.moves()) == ("aa", [])


async def test_a_connection_is_idle_again_after_words_that_were_settled(census: Census):
    """Silence counts from the last word on."""
    spoken: Script = [AfterFrames(50), Final("one"), *_closes_after(45.0)]
    chain = line(census, STT, spoken, HEARS, probe="live")

    async with calling(chain.adapter) as caller:
        await _for_seconds(caller, LOUD, 1.0)
        await _for_seconds(caller, SILENCE, 50.0)

    assert (chain.asked, chain.moves()) == ("aa", [])


# --- not idle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", RECYCLED, ids=["reset", "clean-end"])
@pytest.mark.parametrize("sound", [SOFT_VOICE, LOUD], ids=["soft", "loud"])
async def test_a_recogniser_that_is_deaf_to_a_voice_is_left(
    how: Script, sound: rtc.AudioFrame, census: Census
):
    """Who speaks, softly too, and is not heard, is heard by the next one."""
    chain = line(census, STT, _closes_after(40.0, how), HEARS, probe="live")

    async with calling(chain.adapter) as caller:
        await _for_seconds(caller, sound, 45.0)
        heard = [event.alternatives[0].text for event in caller.events if event.alternatives]

    assert chain.asked[:2] == "ab"
    assert chain.moves()[0] == "cooling_down"
    assert heard[:1] == ["heard by b"]


@pytest.mark.parametrize("seconds", [0.0, 1.0, 4.9])
@pytest.mark.parametrize("sound", [SILENCE, LOUD], ids=["silence", "loud"])
async def test_without_kept_audio_no_end_is_taken_for_idle(
    seconds: float, sound: rtc.AudioFrame, census: Census
):
    """What was said cannot be looked up, so a broken connection is a broken connection."""
    chain = line(census, STT, _closes_after(40.0), HEARS, probe="live", replay_buffer_sec=seconds)

    await _heard(chain, sound, 45.0)

    assert chain.asked[:2] == "ab"
    assert chain.moves()[0] == "cooling_down"


@pytest.mark.parametrize("how", RECYCLED, ids=["reset", "clean-end"])
@pytest.mark.parametrize("lives", [10.0, 29.0])
async def test_a_connection_that_breaks_within_half_a_minute_was_not_recycled(
    lives: float, how: Script, census: Census
):
    """Nobody recycles that soon: it broke, whether the caller has said something or not."""
    chain = line(census, STT, _closes_after(lives, how), HEARS, probe="live")

    await _heard(chain, SILENCE, lives + 2.0)

    assert chain.asked == "ab"
    assert chain.moves() == ["cooling_down"]


async def test_an_utterance_that_was_begun_is_not_idle(census: Census):
    """START without END: the caller was speaking, however quiet it has been since."""
    begun: Script = [AfterFrames(5), SpeechStart(), *_closes_after(60.0)]
    chain = line(census, STT, begun, HEARS, probe="live")

    async with calling(chain.adapter) as caller:
        await _for_seconds(caller, LOUD, 0.12)
        await _for_seconds(caller, SILENCE, 65.0)

    assert chain.asked[:2] == "ab"
    assert chain.moves()[0] == "cooling_down"
