# SPDX-License-Identifier: Apache-2.0
"""Hedging a voice: the wait counts from text that can be spoken, and all text reaches both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.audio import pitch_of
from tests.support.errors import gone
from tests.support.fakes import (
    Audio,
    AwaitText,
    Fail,
    Hang,
    ScriptedTTS,
    Silence,
    Wait,
    seconds_of,
)
from tests.support.outage import RATE, TTS
from tests.support.paces import counts, hedged_line
from tests.support.script import now

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.tts import SynthesizeStream

    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

FIRST = "Good evening, and welcome to the house. "
SECOND = "We have a table by the window for you tonight. "
LAST = "Please follow me."
TO_THE_END = 10_000  # words


async def _read(stream: SynthesizeStream) -> list[rtc.AudioFrame]:
    return [audio.frame async for audio in stream]


def _voices(census: Census, *scripts: Script | ScriptedTTS, **options: Any) -> Line:
    return hedged_line(census, TTS, *scripts, **options)


async def test_the_wait_begins_with_speakable_text(census: Census):
    """Not with the stream, and not with the first words of a sentence."""
    chain = _voices(census, [Wait(9.0), Audio(4.0)], [AwaitText(TO_THE_END), Audio(4.0)])

    async with chain.adapter.stream() as stream:
        await asyncio.sleep(5.0)
        stream.push_text("Good evening, and ")
        await asyncio.sleep(5.0)
        assert chain.asked == "a"
        stream.push_text("welcome to the house. " + SECOND)
        began = now()
        await asyncio.sleep(0.31)
        assert chain.call("b").opened_at - began == pytest.approx(0.3)
        stream.end_input()
        await _read(stream)


@pytest.mark.parametrize("winner", ["a", "b"])
async def test_text_that_comes_later_reaches_both(winner: str, census: Census):
    """Whoever wins has been given every word, once and in order, the flush and the end.

    LiveKit's streams flush once more at their end.
    """
    quick, late = [AwaitText(TO_THE_END), Audio(6.0)], [AwaitText(TO_THE_END), Wait(9.0)]
    scripts = (quick, late) if winner == "a" else (late, quick)
    chain = _voices(census, *scripts, attempt_timeout=None, total_timeout=30.0)

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST)
        stream.push_text(SECOND[:20])
        await asyncio.sleep(1.0)
        assert chain.asked == "ab"
        stream.push_text(SECOND[20:])
        stream.push_text(LAST)
        stream.flush()
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(6.0)
    for name in "ab":
        call = chain.call(name)
        assert (call.text, call.flushes, call.input_ended) == (FIRST + SECOND + LAST, 2, True)
    assert counts(chain, winner) == (1, 0, 0, 0)


async def test_the_winner_of_a_reply_hears_the_rest_of_it(census: Census):
    """After the race the text goes to the winner alone."""
    eager = [AwaitText(7), Audio(2.0), AwaitText(TO_THE_END), Audio(2.0)]
    chain = _voices(census, [Hang()], eager)

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST + SECOND[:20])
        await asyncio.sleep(1.0)
        stream.push_text(SECOND[20:])
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.call("b").text == FIRST + SECOND
    assert chain.call("a").text == FIRST + SECOND[:20]
    assert chain.providers["a"].open_calls == []


async def test_one_voice_is_heard(census: Census):
    """Two voices that begin at the same moment are not mixed."""
    chain = _voices(census, [Wait(0.4), Audio(1.0, 300.0)], [Wait(0.1), Audio(1.0, 900.0)])

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening.")
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(1.0)
    assert pitch_of(heard) in (pytest.approx(300.0, rel=0.02), pytest.approx(900.0, rel=0.02))


async def test_silence_is_no_useful_output(census: Census):
    """A voice that sends digital silence first has not won by it, and none of it is heard."""
    first = [Silence(0.4), Wait(1.5), Audio(1.0, 300.0)]
    chain = _voices(census, first, [Wait(0.2), Audio(1.0, 900.0)])

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening.")
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(1.0)
    assert pitch_of(heard) == pytest.approx(900.0, rel=0.02)


async def test_a_hedge_of_another_rate_is_heard_as_promised(census: Census):
    """The winner's audio is resampled as that of any other voice."""
    chain = _voices(census, [Hang()], ScriptedTTS([Audio(1.0)], sample_rate=2 * RATE),
                    sample_rate=RATE)  # fmt: skip

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening.")
        stream.end_input()
        heard = await _read(stream)

    assert {frame.sample_rate for frame in heard} == {RATE}
    assert seconds_of(heard) == pytest.approx(1.0, abs=0.02)


async def test_a_voice_that_cannot_stream_is_a_hedge_too(census: Census):
    """LiveKit's wrapper is given the text so far, and the rest."""
    b = ScriptedTTS([Audio(3.0)], sample_rate=RATE, streaming=False)
    chain = _voices(census, [Hang()], b)

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST + SECOND)
        await asyncio.sleep(0.5)
        stream.push_text(LAST)
        stream.end_input()
        heard = await _read(stream)

    spoken = " ".join(call.text for call in b.calls)
    assert spoken.split() == (FIRST + SECOND + LAST).split()
    assert seconds_of(heard) == pytest.approx(3.0 * len(b.calls), abs=0.05)
    assert counts(chain, "a") == (0, 0, 1, 0)


async def test_the_next_voice_is_given_everything_when_both_fail(census: Census):
    """Text that came while two were at work is not lost with them."""
    down = [AwaitText(TO_THE_END), Fail(gone)]
    chain = _voices(census, down, down, [AwaitText(TO_THE_END), Audio(4.0)])

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST + SECOND[:20])
        await asyncio.sleep(0.5)
        stream.push_text(SECOND[20:])
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.call("c").text == FIRST + SECOND
    assert [len(chain.providers[name].calls) for name in "abc"] == [1, 1, 1]


async def test_a_turn_without_text_is_not_hedged(census: Census):
    """Nobody is asked for nothing, however long it lasts."""
    chain = _voices(census, [Audio(1.0)], [Audio(1.0)])

    async with chain.adapter.stream() as stream:
        stream.push_text(" \n")
        await asyncio.sleep(5.0)
        stream.end_input()
        heard = await _read(stream)

    assert heard == []
    assert chain.asked == ""


async def test_a_voice_that_has_begun_is_not_hedged(census: Census):
    """A pause in the middle of a reply is the stall clock's: another voice would begin anew."""
    chain = _voices(census, [Audio(1.0), Wait(1.0), Audio(3.0)], [Audio(4.0)])

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST + SECOND)
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.asked == "a"


async def test_a_voice_that_spoke_before_it_owed_anything_is_not_hedged(census: Census):
    """The text became speakable when it was speaking already."""
    chain = _voices(census, [AwaitText(2), Audio(2.0), AwaitText(TO_THE_END), Audio(2.0)], [])

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening, ")
        await asyncio.sleep(1.0)
        stream.push_text("and welcome to the house. " + SECOND)
        await asyncio.sleep(1.0)
        stream.end_input()
        heard = await _read(stream)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.asked == "a"


async def test_the_end_of_a_race_in_closing_is_silent(census: Census):
    """Closing the stream while two voices are at work closes both."""
    chain = _voices(census, [Hang()], [Hang()])

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST + SECOND)
        await asyncio.sleep(0.5)
        began = now()

    assert [chain.closed_at(name) - began for name in "ab"] == [0.0, 0.0]
    assert [counts(chain, name) for name in "ab"] == [(0, 0, 0, 1)] * 2
    assert chain.events.of("error") == []
