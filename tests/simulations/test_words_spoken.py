# SPDX-License-Identifier: Apache-2.0
"""Replies whose voices are lost at random: the caller hears every word once, in order."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackTTS, Provider
from livekit_fallback.core.alignment import tokens_of
from tests.support.virtual_time import turns
from tests.support.word_voice import (
    EagerVoice,
    Heard,
    Kill,
    SpellingVoice,
    Way,
    WordVoice,
    heard_in,
    reply,
    start_of,
    transcript_of,
)

if TYPE_CHECKING:
    from livekit import rtc

    from tests.support.census import Census

NUMBER = {"4815": "four eight one five"}

SEEDS = range(1000)
PER_TEST = 50

# Nobody notices a reply of a strange voice that ends early if it never told how fast it speaks.
WAYS: dict[bool, tuple[Way, ...]] = {
    True: ("error", "end", "stall", "silence"),
    False: ("error", "stall"),
}

# So early in a reply the session has no audio in hand that could wait for the end of its word.
NO_LEAD_SEC = 1.5
SLOW = 2  # times real time


class Call:
    """One reply, by voices a, b and c: one or two are lost in it."""

    def __init__(
        self,
        seed: int,
        *,
        timed: bool,
        streaming: bool = True,
        kind: type[WordVoice] = WordVoice,
        ways: tuple[Way, ...] = (),
        number: str = "",
        **traits: Any,
    ) -> None:
        fate = random.Random(seed)
        self.text, self.words = reply(fate)
        if number:
            self._put_in(number, traits["spelled"][number].split(), fate)
        length = len("".join(self.words)) / 13 + 1.2
        losses = fate.randrange(1, 3)
        self.kills = [
            Kill(round(fate.uniform(0.05, length / losses), 1), fate.choice(ways or WAYS[timed]))
            for _ in range(losses)
        ]
        self.voices = [
            kind(
                self.words,
                fate.uniform(11, 15),
                pause=fate.choice((0.2, 0.3, 0.5)),
                timed=timed,
                speed=fate.choice((2, 5, 20)),
                kills=[*self.kills[i : i + 1]],
                name=name,
                number=i,
                streaming=streaming,
                **traits,
            )
            for i, name in enumerate("abc")
        ]

    def _put_in(self, number: str, said: list[str], fate: random.Random) -> None:
        word = fate.choice([word for word in self.words if f" {word} " in self.text])
        at = self.words.index(word)
        self.text = self.text.replace(f" {word} ", f" {number} ")
        self.words[at : at + 1] = said

    @property
    def has_lead(self) -> bool:
        """Whether the session has audio in hand whenever a voice is lost."""
        early = any(kill.after <= NO_LEAD_SEC or kill.how == "stall" for kill in self.kills)
        return not early and all(voice.speed > SLOW for voice in self.voices)

    async def run(
        self, pieces: list[str] | None = None, every: float = 0.0, **options: Any
    ) -> list[rtc.AudioFrame]:
        """Have the reply spoken; its pieces, words by default, come every so many seconds."""
        entries = [Provider(voice, name=voice.name) for voice in self.voices]
        adapter = FallbackTTS(entries, probe=None, **options)
        async with adapter.stream() as stream:

            async def write() -> None:
                for piece in pieces or [f"{word} " for word in self.text.split(" ")]:
                    stream.push_text(piece)
                    if every:
                        await asyncio.sleep(every)
                stream.end_input()

            writer = asyncio.create_task(write())
            frames = [audio.frame async for audio in stream]
            await writer
        await adapter.aclose()
        await turns(20)
        return frames

    def heard(self, frames: list[rtc.AudioFrame]) -> Heard:
        """What of it was heard."""
        return heard_in(frames, self.voices)


@pytest.mark.parametrize("first", SEEDS[::PER_TEST])
async def test_with_timings_every_word_is_spoken_once(first: int, census: Census):
    """Nothing is repeated, nothing is left out, and the session is told when each was spoken."""
    for seed in range(first, first + PER_TEST):
        call = Call(seed, timed=True)

        frames = await call.run()

        heard = call.heard(frames)
        assert heard.words == call.words, f"seed {seed}: {call.kills}"
        if call.has_lead:
            assert all(part < 0.1 for _, part in heard.fragments), f"seed {seed}: {heard.fragments}"
        _assert_told(frames, call.words)


def _assert_told(frames: list[rtc.AudioFrame], words: list[str]) -> None:
    told = transcript_of(frames)
    assert [str(timing).strip() for timing in told] == words
    starts = [start_of(timing) for timing in told]
    assert starts == sorted(starts)
    assert starts[-1] < sum(frame.duration for frame in frames)


@pytest.mark.parametrize("first", SEEDS[::PER_TEST])
async def test_without_timings_no_sentence_is_missing(first: int, census: Census):
    """The words of the cut sentence are guessed from the pace of the voice: two may be wrong."""
    for seed in range(first, first + PER_TEST):
        call = Call(seed, timed=False)

        heard = call.heard(await call.run()).words

        missing = [word for word in call.words if word not in heard]
        repeated = [word for word in heard if heard.count(word) > 1]
        wrong = len(missing) + len(repeated) / 2
        assert wrong <= 2 * len(call.kills), f"seed {seed}: -{missing} +{repeated} {call.kills}"
        assert list(dict.fromkeys(heard)) == [word for word in call.words if word in heard]


@pytest.mark.parametrize("first", SEEDS[:400:PER_TEST])
@pytest.mark.parametrize("timed", [True, False])
async def test_text_that_is_written_meanwhile_is_spoken(timed: bool, first: int, census: Census):
    """Nobody begins in the middle of a word because the model had written only half of it."""
    for seed in range(first, first + PER_TEST):
        call = Call(seed, timed=timed, kind=EagerVoice)
        size, every = 1 + seed % 7, (0.0, 0.02, 0.06, 0.15)[seed % 4]
        pieces = [call.text[i : i + size] for i in range(0, len(call.text), size)]

        heard = call.heard(await call.run(pieces, every)).words

        asked = [t.word for voice in call.voices for text in voice.asked for t in tokens_of(text)]
        assert set(asked) <= set(call.words), f"seed {seed}: {call.kills}"
        missing = [word for word in call.words if word not in heard]
        assert len(missing) <= (0 if timed else 2 * len(call.kills)), f"seed {seed}: {missing}"


@pytest.mark.parametrize("first", SEEDS[:400:PER_TEST])
async def test_no_word_around_a_number_is_missing(first: int, census: Census):
    """Voices that tell a number as words are continued where it begins, or behind it."""
    for seed in range(first, first + PER_TEST):
        # a clean end within the number, with little text behind it, may pass for its own spelling
        ways = WAYS[False]
        call = Call(seed, timed=True, kind=SpellingVoice, ways=ways, number="4815", spelled=NUMBER)

        heard = call.heard(await call.run()).words

        assert list(dict.fromkeys(heard)) == call.words, f"seed {seed}: {call.kills}"
