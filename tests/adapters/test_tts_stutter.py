# SPDX-License-Identifier: Apache-2.0
"""Voices that say the beginning of a word and die, again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError
from tests.support.audio import frame, tone
from tests.support.replies import TEXT, Reply, speak, voices
from tests.support.word_voice import RATE, Kill

if TYPE_CHECKING:
    from tests.support.census import Census

BUDGET = 4.0


async def stutter(count: int, after: float, *, timed: bool = True, **options: Any) -> Reply:
    """Have a text spoken by voices that never get further than so many seconds of audio."""
    line = voices(*[[Kill(after, "error")] * 2000] * count, timed=timed)
    async with asyncio.timeout(10 * BUDGET):
        return await speak(line, **{"total_timeout": BUDGET, **options})


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("timed", [True, False])
async def test_stutter_ends_with_the_budget(count: int, timed: bool, census: Census):
    """A fragment is no progress, so the budget goes on."""
    reply = await stutter(count, 0.05, timed=timed)

    assert isinstance(reply.error, AllProvidersFailedError)
    assert reply.error.duration == pytest.approx(BUDGET, abs=0.5)


async def test_stutter_ends_with_the_last_resort(census: Census):
    """The caller is not left with half a word."""
    phrase = [frame(tone(0.7, rate=RATE), rate=RATE)]

    reply = await stutter(2, 0.1, last_resort=phrase)

    assert reply.seconds > 0.7
    assert [event.recoverable for event in reply.events.of("error")][-1]


async def test_sentence_that_is_never_finished_is_not_begun_anew_for_ever(census: Census):
    """Words that were heard before are no progress either."""
    reply = await stutter(2, 1.2, on_partial="restart_sentence")

    assert isinstance(reply.error, AllProvidersFailedError)
    assert set(reply.heard) < set(TEXT.split("restaurant")[0].lower().split())
