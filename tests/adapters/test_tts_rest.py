# SPDX-License-Identifier: Apache-2.0
"""Replies of which nothing is left to speak when their voice is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.chains import voices as scripted
from tests.support.errors import gone
from tests.support.fakes import Audio, AwaitText, Fail, Hang, ScriptedTTS, Step, Wait, Words

if TYPE_CHECKING:
    from tests.support.census import Census

SPOKEN = "Good evening and welcome to our house. "
DIES: list[Step] = [AwaitText(7), Words(SPOKEN, each=0.4), Audio(2.8), Wait(1.0), Fail(gone())]


@pytest.mark.parametrize("rest", ["", "\n", '<break time="1s"/>', " ..."])
async def test_reply_ends_when_no_word_is_left(rest: str, census: Census):
    """Even if the voice that waits for more text would never say anything about it."""
    first = ScriptedTTS(DIES, aligned_transcript=True)
    chain = scripted(census, first, [AwaitText(99), Hang()], on_partial="continue")
    async with asyncio.timeout(9.0), chain.adapter.stream() as stream:

        async def write() -> None:
            stream.push_text(SPOKEN)
            await asyncio.sleep(5.0)
            if rest:
                stream.push_text(rest)
            stream.end_input()

        writer = asyncio.create_task(write())
        seconds = [audio.frame.duration async for audio in stream]
        await writer

    assert sum(seconds) == pytest.approx(2.8, abs=0.01)


async def test_nobody_is_asked_for_a_rest_without_words(
    census: Census, monkeypatch: pytest.MonkeyPatch
):
    """The text ended while the request waited before it asked again."""
    monkeypatch.setattr("livekit_fallback.adapters._clock.jitter", lambda: 0.9)
    first = ScriptedTTS([*DIES], aligned_transcript=True)
    chain = scripted(census, first, on_partial="continue", retry_interval=2.0)
    async with asyncio.timeout(20.0), chain.adapter.stream() as stream:

        async def write() -> None:
            stream.push_text(SPOKEN)
            await asyncio.sleep(2.0)
            stream.end_input()

        writer = asyncio.create_task(write())
        async for _ in stream:
            pass
        await writer

    assert chain.asked == "a"
