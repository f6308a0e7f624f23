# SPDX-License-Identifier: Apache-2.0
"""Voices that tell of their words in another spelling than the text has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from livekit_fallback.core.alignment import tokens_of
from tests.support.chains import voices as scripted
from tests.support.errors import gone
from tests.support.fakes import Audio, AwaitText, Fail, ScriptedTTS, Wait, Words, say, seconds_of
from tests.support.replies import Reply, speak
from tests.support.word_voice import Kill, SpellingVoice, respelled

if TYPE_CHECKING:
    from tests.support.census import Census

SPELLED = {
    "4 8 1 5 2 3 6 7": "four eight one five two three six seven",
    "4815": "four eight one five",
    "2367": "two three six seven",
    "$1,234.56": "one thousand two hundred thirty-four dollars and fifty-six cents",
}
CODE = "The code is 4 8 1 5 2 3 6 7."
SUM = "That makes $1,234.56 for everything. Thank you so much for your order."
PHONE = "You can call us back at 4815 2367."
CHINESE = "今天气很好。我们去公园吃饭吧。"
PINYIN = "jin tian qi hen hao wo men qu gong yuan chi fan ba"


def words_of(text: str) -> list[str]:
    return [token.word for token in tokens_of(respelled(text, SPELLED))]


async def spell(text: str, kill: Kill | None = None, *, timed: bool = True) -> Reply:
    """Have a text spoken by two voices that spell numbers out, the first of which is lost."""
    words = words_of(text)
    a = SpellingVoice(words, kills=[kill], name="a", spelled=SPELLED, timed=timed)
    b = SpellingVoice(words, name="b", number=1, spelled=SPELLED, timed=timed)
    async with asyncio.timeout(60):
        return await speak([a, b], text)


async def test_voice_that_spells_numbers_out_is_not_cut_short(census: Census):
    """It was heard to the end, so nobody is asked for any of it again."""
    reply = await spell(CODE)

    assert reply.heard == words_of(CODE)
    assert reply.events.of("failover") == []


@pytest.mark.parametrize("after", [3.0, 4.5, 5.4, 6.0])
async def test_no_word_behind_a_number_is_lost(after: float, census: Census):
    """The words of a number are none of those that follow it in the text."""
    reply = await spell(SUM, Kill(after, "error"))

    assert [word for word in words_of(SUM) if word not in reply.heard] == []


@pytest.mark.parametrize("after", [2.0, 3.5, 4.5])
async def test_voice_that_ends_in_a_number_is_cut_short(after: float, census: Census):
    """What is behind the number is not taken for told because its last words are spelled out."""
    reply = await spell(SUM, Kill(after, "end"))

    assert [word for word in words_of(SUM) if word not in reply.heard] == []
    assert [event.reason for event in reply.events.of("failover")] == ["cut_short"]


async def test_word_told_as_it_is_written_is_not_repeated_behind_a_number(census: Census):
    """Such a word says where in the text the voice was, whatever came before it."""
    letters = len("".join(words_of("That makes $1,234.56 for everything")))

    reply = await spell(SUM, Kill(letters / 13 + 0.1, "error"))

    assert reply.heard == words_of(SUM)


@pytest.mark.parametrize("backup_is_timed", [True, False])
async def test_romanised_chinese_is_not_cut_short(backup_is_timed: bool, census: Census):
    """None of its words is in the text, so only the length of its audio is judged."""
    script = [AwaitText(99), Words(PINYIN, each=0.25), Audio(0.25 * len(PINYIN.split()))]
    backup = script if backup_is_timed else script[:1] + script[2:]
    chain = scripted(
        census,
        ScriptedTTS(script, aligned_transcript=True),
        ScriptedTTS(backup, aligned_transcript=backup_is_timed),
    )

    async with asyncio.timeout(60):
        heard = await say(chain.adapter, CHINESE)

    assert chain.asked == "a"
    assert seconds_of(heard) == pytest.approx(3.25, abs=0.01)


async def test_romanised_chinese_is_continued_about_where_it_was_cut(census: Census):
    """And its voice has served: the budget for the search begins when it is lost."""
    words = PINYIN.split()[:8]
    script = [AwaitText(99), Words(" ".join(words), each=0.25), Audio(2.0), Wait(3.0), Fail(gone)]
    chain = scripted(
        census,
        ScriptedTTS(script, aligned_transcript=True),
        [AwaitText(99), Audio(1.0)],
        on_partial="continue",
        total_timeout=2.0,
    )

    async with asyncio.timeout(60):
        await say(chain.adapter, CHINESE)

    rest = chain.call("b").text
    assert CHINESE.endswith(rest)
    assert abs(len(rest) - len("去公园吃饭吧。")) <= 2


@pytest.mark.parametrize("after", [2.1, 2.9, 3.1])
async def test_number_that_is_cut_is_not_lost_without_timings(after: float, census: Census):
    """To speak a digit takes a word, and so longer than to speak a letter."""
    reply = await spell(PHONE, Kill(after, "error"), timed=False)

    assert [word for word in words_of(PHONE) if word not in reply.heard] == []


async def test_voice_that_has_read_many_numbers_is_not_thought_slow(census: Census):
    """Nor is its next reply taken for cut short because it was faster than that."""
    dates, date = 6, "Your appointment is on 12/24/2025 at 10:30."
    plain = "Thank you very much for calling us today and goodbye."
    seconds = {date: 5.1, plain: 3.1}  # "december twenty fourth twenty twenty five at ten thirty"
    chain = scripted(
        census, lambda n: [AwaitText(99), Audio(seconds[date if n < dates else plain])]
    )

    for _ in range(dates):
        await say(chain.adapter, date)
    heard = await say(chain.adapter, plain)

    assert seconds_of(heard) == pytest.approx(seconds[plain], abs=0.01)
    assert chain.events.of("error") == []
