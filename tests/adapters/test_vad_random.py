# SPDX-License-Identifier: Apache-2.0
"""Whatever fails and whenever: segments come in pairs, positions grow, and no segment is missed."""

from __future__ import annotations

import random

import pytest

from tests.support.census import Census
from tests.support.detectors import Line, quiet, voice
from tests.support.faulty_vad import (
    DONE,
    END,
    START,
    Crash,
    Crawl,
    Fault,
    FaultyVAD,
    Freeze,
    NoStream,
    Quit,
    Refuse,
)

FAULTS = (Crash, Crawl, Freeze, NoStream, Quit, Refuse)
LAST_SEC = 2.0


def detectors(dice: random.Random) -> list[FaultyVAD]:
    """Two that fail again and again, at random, and one that never does."""
    bad = []
    for _ in range(2):
        faults: list[Fault | None] = [
            dice.choice(FAULTS)(dice.uniform(0.0, 3.0)) for _ in range(60)
        ]
        window = dice.choice([0.02, 0.04, 0.1])
        bad.append(FaultyVAD(*faults, window=window, min_silence=dice.choice([0.2, 0.4])))
    return [*bad, FaultyVAD()]


@pytest.mark.parametrize("seed", range(15))
async def test_a_call_among_failing_detectors(seed: int, census: Census):
    """Ten utterances with a second between them; detectors fail every other second."""
    dice = random.Random(seed)
    utterances = [(dice.uniform(1.0, 1.6), dice.uniform(0.4, 3.0)) for _ in range(10)]
    audio = []
    for pause, speech in utterances:
        audio += [*quiet(round(pause, 2)), *voice(round(speech, 2))]
    line = Line(census, *detectors(dice), temporary_disable_sec=0.5, max_disable_sec=0.5)

    heard = await line.call([*audio, *quiet(LAST_SEC)])

    heard.check()
    assert len(line.failovers) >= 2
    assert len(heard.of(START)) == len(heard.of(END)) == len(utterances)
    position = 0.0
    starts, ends = heard.of(START), heard.of(END)
    for (pause, speech), start, end in zip(utterances, starts, ends, strict=True):
        began, position = position + round(pause, 2), position + round(pause, 2) + round(speech, 2)
        assert start.timestamp - start.speech_duration == pytest.approx(began, abs=0.2)
        assert end.timestamp - end.silence_duration == pytest.approx(position, abs=0.2)
        assert end.speech_duration == pytest.approx(speech, abs=0.3)
        assert sum(f.duration for f in end.frames) == pytest.approx(
            end.timestamp - start.timestamp + start.speech_duration, abs=0.25
        )
    lateness = [at - event.timestamp for at, event in heard.events if event.type is DONE]
    # a frozen one, and one that is too slow to catch up, one after the other
    assert max(lateness) <= 1.0
