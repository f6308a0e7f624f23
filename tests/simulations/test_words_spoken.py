# SPDX-License-Identifier: Apache-2.0
"""Replies whose voices are lost at random: the caller hears every word once, in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackTTS, Provider
from tests.support.virtual_time import turns
from tests.support.word_voice import (
    Heard,
    Kill,
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

    def __init__(self, seed: int, *, timed: bool, streaming: bool = True) -> None:
        fate = random.Random(seed)
        self.text, self.words = reply(fate)
        length = len("".join(self.words)) / 13 + 1.2
        losses = fate.randrange(1, 3)
        self.kills = [
            Kill(round(fate.uniform(0.05, length / losses), 1), fate.choice(WAYS[timed]))
            for _ in range(losses)
        ]
        self.voices = [
            WordVoice(
                self.words,
                fate.uniform(11, 15),
                pause=fate.choice((0.2, 0.3, 0.5)),
                timed=timed,
                speed=fate.choice((2, 5, 20)),
                kills=[*self.kills[i : i + 1]],
                name=name,
                number=i,
                streaming=streaming,
            )
            for i, name in enumerate("abc")
        ]

    @property
    def has_lead(self) -> bool:
        """Whether the session has audio in hand whenever a voice is lost."""
        early = any(kill.after <= NO_LEAD_SEC or kill.how == "stall" for kill in self.kills)
        return not early and all(voice.speed > SLOW for voice in self.voices)

    async def run(self, **options: Any) -> list[rtc.AudioFrame]:
        """Have the reply spoken."""
        entries = [Provider(voice, name=voice.name) for voice in self.voices]
        adapter = FallbackTTS(entries, probe=None, **options)
        async with adapter.stream() as stream:
            for word in self.text.split(" "):
                stream.push_text(f"{word} ")
            stream.end_input()
            frames = [audio.frame async for audio in stream]
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
