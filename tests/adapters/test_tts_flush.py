# SPDX-License-Identifier: Apache-2.0
"""Text after a flush: LiveKit's streams have one segment, and voices drop what follows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import APIConnectionError

from tests.support.chains import voices
from tests.support.errors import gone
from tests.support.fakes import Audio, AwaitText, Fail, seconds_of
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census

SAID = "Good evening, and welcome to the house. "
DROPPED = "We have a table by the window for you tonight."
THINKING = 10.0  # seconds, longer than any deadline of a voice
GOOD = [AwaitText(10_000), Audio(4.0)]
# long enough for what was said, too short for all that was pushed
FIRST_SEGMENT = [AwaitText(3), Audio(1.2), AwaitText(10_000)]


async def test_text_after_a_flush_is_not_owed(census: Census):
    """While more comes, and at the end, a voice that spoke the first segment has done its work."""
    chain = voices(census, FIRST_SEGMENT, GOOD)

    async with chain.adapter.stream() as stream:
        stream.push_text(SAID)
        stream.flush()
        await turns(5)
        stream.push_text(DROPPED)
        stream.flush()
        await asyncio.sleep(THINKING)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(1.2, abs=0.02)
    assert chain.asked == "a"
    assert chain.call("a").text == SAID
    assert chain.unavailable == []
    assert chain.events.of("error") == []


async def test_text_after_a_flush_does_not_reach_the_next_voice(census: Census):
    """Whoever takes over speaks the first segment, as the voice before it would have done."""
    chain = voices(census, [AwaitText(3), Fail(gone())], FIRST_SEGMENT)

    async with chain.adapter.stream() as stream:
        stream.push_text(SAID)
        stream.flush()
        stream.push_text(DROPPED)
        await turns(20)
        stream.push_text(DROPPED)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(1.2, abs=0.02)
    assert chain.asked == "ab"
    assert chain.call("b").text == SAID


async def test_text_after_a_flush_is_not_counted_as_lost(census: Census):
    """What no voice would have spoken is not missing when one breaks off."""
    chain = voices(census, [AwaitText(3), Audio(0.4), Fail(gone())])

    async with chain.adapter.stream() as stream:
        stream.push_text(SAID)
        stream.flush()
        stream.push_text(DROPPED * 10)
        stream.end_input()
        with pytest.raises(APIConnectionError):
            [audio async for audio in stream]

    (lost,) = chain.events.of("output_lost")
    assert 0 < lost.lost < len(SAID)


@pytest.mark.parametrize("blank", ["", " \n"], ids=["nothing", "white-space"])
async def test_a_flush_before_the_first_words_ends_no_segment(blank: str, census: Census):
    """A flush of nothing is nothing: the text that follows is spoken."""
    chain = voices(census, GOOD)

    async with chain.adapter.stream() as stream:
        stream.push_text(blank)
        stream.flush()
        stream.push_text(SAID)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.call("a").text.strip() == SAID.strip()
