# SPDX-License-Identifier: Apache-2.0
"""Digital silence of a voice whose audio comes no faster than it is heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.chains import voices as scripted
from tests.support.fakes import Audio, AwaitText, Silence, Step, Wait
from tests.support.replies import WORDS, speak, voices
from tests.support.word_voice import Kill

if TYPE_CHECKING:
    from tests.support.census import Census

TEXT = "Good evening and welcome. Tonight we have salmon."


def in_real_time(sound: Step, times: int) -> list[Step]:
    """So many times 0.2 s of it, each as long after the one before."""
    return [sound, Wait(0.2)] * times


async def test_pause_between_two_sentences_is_as_long_as_the_voice_made_it(census: Census):
    """The session has nothing in hand that it could play while the silence waits for a sound."""
    sentence = in_real_time(Audio(0.2), 5)
    pause = in_real_time(Silence(0.2), 4)
    chain = scripted(census, [AwaitText(99), *sentence, *pause, *sentence])
    loop = asyncio.get_running_loop()
    gaps: list[float] = []
    async with chain.adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        played = None
        async for audio in stream:
            now = loop.time()
            gaps.append(now - (played or now))
            played = max(now, played or now) + audio.frame.duration

    assert max(gaps) < 0.05


@pytest.mark.parametrize("after", [2.0, 2.6, 5.2, 10.9])
async def test_silence_in_place_of_a_word_is_not_taken_for_it(after: float, census: Census):
    """Although the session has it: nothing was spoken."""
    reply = await speak(voices(Kill(after, "silence"), None, speed=1))

    assert reply.heard == WORDS
