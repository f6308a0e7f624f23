# SPDX-License-Identifier: Apache-2.0
"""Callers whose recognisers are lost at random: every word is heard exactly once, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from livekit.agents.stt import RecognizeStream, SpeechEventType

from livekit_fallback import FallbackSTT, Provider
from tests.support.fakes import ScriptedVAD
from tests.support.virtual_time import turns
from tests.support.word_ears import FRAME_SEC, SILENCE, Kill, Make, Way, WordSTT, speech

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.stt import SpeechEvent

    from tests.support.census import Census

SEEDS = range(1000)
PER_TEST = 50
STANDBY_SEEDS = 400
LONG_SEEDS = 100

PATIENCE = 1.0
_LOUD_WAYS: tuple[Way, ...] = ("error", "error", "end")

# After the last word: until every recogniser in the chain may have been found silent.
STAYS_SEC = 12.0


def _kills(fate: random.Random, frames: int, ways: Sequence[Way]) -> list[Kill | None]:
    """What happens to the streams of one recogniser: up to three are lost, soon or late."""
    kills: list[Kill | None] = []
    while len(kills) < 3 and fate.random() < 0.6:
        # a replay is given at once, so a low number is a loss in the middle of it
        after = fate.randrange(1, fate.choice((10, 40, frames)))
        kills.append(Kill(after, fate.choice(ways)))
    return kills


def _recognisers(fate: random.Random, frames: int) -> list[Provider[WordSTT]]:
    names = "abc"[: fate.randrange(2, 4)]
    # what nobody hears although all listen is taken for noise, so one never goes silent
    talkative = fate.choice(names)
    ways = {name: _LOUD_WAYS if name == talkative else (*_LOUD_WAYS, "hang") for name in names}
    ears = [WordSTT(Make.drawn(fate), _kills(fate, frames, ways[n]), n) for n in names]
    return [Provider(e, name=e.name) for e in ears]


Meddle = Callable[[FallbackSTT, RecognizeStream], Awaitable[None]]


def _operator(fate: random.Random) -> Meddle:
    """Somebody who takes recognisers out and back in, and a session that mutes and flushes."""

    async def meddle(adapter: FallbackSTT, stream: RecognizeStream) -> None:
        if fate.random() > 0.004:  # five times a minute
            return
        match fate.choice(("turn", "enable", "prefer", "mute", "flush")):
            case "turn":
                out, back = fate.sample(adapter.services, 2)
                adapter.enable(back)
                adapter.disable(out)
            case "enable":
                adapter.enable(fate.choice(adapter.services))
            case "prefer":
                adapter.prefer(fate.choice(adapter.services))
            case "mute":
                await asyncio.sleep(fate.choice((0.5, 5.0, 60.0)))
            case "flush":
                stream.flush()

    return meddle


async def _call(
    adapter: FallbackSTT, audio: list[rtc.AudioFrame], meddle: Meddle | None = None
) -> list[SpeechEvent]:
    events: list[SpeechEvent] = []
    async with adapter.stream() as stream:

        async def listen() -> None:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - a call that breaks off keeps what came

        listening = asyncio.create_task(listen(), name="session listens")
        stays = round(STAYS_SEC / FRAME_SEC)
        for frame in [*audio, *[SILENCE] * stays]:
            stream.push_frame(frame)
            await asyncio.sleep(FRAME_SEC)
            if meddle is not None:
                await meddle(adapter, stream)
        stream.end_input()
        await listening
    return events


def _assert_marks_alternate(events: list[SpeechEvent]) -> None:
    marks = (SpeechEventType.START_OF_SPEECH, SpeechEventType.END_OF_SPEECH)
    found = [event.type for event in events if event.type in marks]
    assert found == list(marks) * (len(found) // 2)


def _assert_times_go_on(events: list[SpeechEvent]) -> None:
    times = [
        (e.alternatives[0].start_time, e.alternatives[0].end_time)
        for e in events
        if e.type is SpeechEventType.FINAL_TRANSCRIPT and e.alternatives[0].end_time
    ]
    assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(times)), times


async def _run(seed: int, census: Census, *, standby: int = 0, is_long: bool = False) -> None:
    fate = random.Random(seed)
    utterances = fate.randrange(3, 8) if is_long else fate.randrange(1, 4)
    audio, words = speech(fate, utterances, has_long_pauses=is_long)
    entries = _recognisers(fate, len(audio))
    adapter = FallbackSTT(
        entries,
        vad=ScriptedVAD(min_silence=0.2),
        silence_timeout=PATIENCE,
        temporary_disable_sec=fate.choice((0.5, 5.0, 15.0) if is_long else (0.5, 5.0)),
        probe=fate.choice(("live", "replay", None)),
        total_timeout=None,
        standby=standby,
    )
    events = await _call(adapter, audio, _operator(fate) if is_long else None)
    await adapter.aclose()
    await turns(20)

    finals = [e for e in events if e.type is SpeechEventType.FINAL_TRANSCRIPT]
    heard = " ".join(e.alternatives[0].text for e in finals).split()
    assert heard == words, f"seed {seed}: {[e.instance.make for e in entries]}"
    _assert_marks_alternate(events)
    _assert_times_go_on(events)


@pytest.mark.parametrize("first", SEEDS[::PER_TEST])
async def test_every_word_is_heard_once(first: int, census: Census):
    """Whatever the recognisers are like, and whenever and however they are lost."""
    for seed in range(first, first + PER_TEST):
        await _run(seed, census)


@pytest.mark.parametrize("first", SEEDS[:STANDBY_SEEDS:PER_TEST])
async def test_every_word_is_heard_once_with_a_standby(first: int, census: Census):
    """Another one listens along, is lost as well, and takes over with what it heard."""
    for seed in range(first, first + PER_TEST):
        await _run(seed, census, standby=1)


@pytest.mark.parametrize("standby", [0, 1])
@pytest.mark.parametrize("first", SEEDS[:LONG_SEEDS:PER_TEST])
async def test_every_word_is_heard_once_in_a_long_call(first: int, standby: int, census: Census):
    """With pauses of many seconds, mutes, flushes, and recognisers taken out and preferred."""
    for seed in range(first, first + PER_TEST):
        await _run(seed, census, standby=standby, is_long=True)
