# SPDX-License-Identifier: Apache-2.0
"""Voices whose timings repeat the markup of the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from livekit.agents.types import TimedString

from livekit_fallback.core.alignment import tokens_of
from livekit_fallback.core.script import without_markup
from tests.support.chains import voices as scripted
from tests.support.fakes import Audio, ScriptedTTS, say, seconds_of
from tests.support.replies import speak
from tests.support.word_voice import Kill, WordVoice

if TYPE_CHECKING:
    from livekit.agents import tts

    from tests.support.census import Census

TEXT = (
    'Good evening to you. <break time="1s"/> Tonight we have fresh salmon. '
    '<emotion value="happy"/> Please enjoy.'
)
WORDS = [token.word for token in tokens_of(without_markup(TEXT))]


class TaggedVoice(WordVoice):
    """Its words are told with the tags in front of them, as they stand in the text."""

    async def speak(self, text: str, emitter: tts.AudioEmitter) -> None:
        pieces = iter(re.findall(r"(?:<[^>]*>\s*)*[^\s<]+", text))
        tell = emitter.push_timed_transcript

        def with_tags(timing: TimedString) -> None:
            tell(TimedString(f"{next(pieces)} ", timing.start_time, timing.end_time))

        emitter.push_timed_transcript = with_tags  # type: ignore[method-assign,assignment]
        await super().speak(without_markup(text), emitter)


@pytest.mark.parametrize("after", [1.5, 1.75, 2.0, 4.3])
async def test_each_word_is_told_once_although_tags_are_told_as_well(after: float, census: Census):
    """A word is told when it begins, and not again by the voice that has to repeat it."""
    line: list[WordVoice] = [
        TaggedVoice(WORDS, kills=[Kill(after, "error")], name="a", speed=1),
        TaggedVoice(WORDS, name="b", number=1),
    ]

    reply = await speak(line, TEXT)

    assert reply.heard == WORDS
    assert [t.word for t in tokens_of(without_markup(" ".join(reply.told)))] == WORDS


async def test_long_tag_does_not_make_a_sentence_too_short(census: Census):
    """A wrapped voice is not too fast because of letters that nobody speaks."""
    tag = '<expression value="speak warmly, as if you were greeting a very old friend of yours"/>'
    text = f"{tag} Hello there my dear old friend. I am so glad that you are calling us today."
    wrapped = ScriptedTTS(lambda n: [Audio(2.6 if n else 2.0)], streaming=False)
    chain = scripted(census, wrapped, [Audio(4.0)])

    heard = await say(chain.adapter, text)

    assert chain.asked == "aa"
    assert seconds_of(heard) == pytest.approx(4.6, abs=0.05)
