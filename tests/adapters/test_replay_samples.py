# SPDX-License-Identifier: Apache-2.0
"""What `probe="replay"` repeats, and the ping that stands in where that would prove nothing.

Which part of a caller's speech is kept is in test_stt_turns.py, and how much of a reply in
test_probe_kinds.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.audio import frames, is_loud
from tests.support.caller import calling
from tests.support.fakes import AfterFrames, Final, hear, say
from tests.support.outage import BATCH_TTS, DOWN, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Call, Script

REPLAY: dict[str, Any] = {"probe": "replay", "temporary_disable_sec": 5.0}
PER_SECOND = 50


def _finals_after(*seconds: float) -> Script:
    """A recogniser that settles words when so much of the stream was heard."""
    return [
        step
        for at in seconds
        for step in (AfterFrames(round(at * PER_SECOND)), Final(f"words until {at}"))
    ]


def _probe(chain: Line) -> Call:
    """What the primary was sent when its rest was over."""
    return chain.call("a", 1)


def _is_ping(call: Call) -> bool:
    return call.audio_seconds == 1.0 and not any(is_loud(frame) for frame in call.frames)


# --- recognisers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_without_kept_audio_a_recogniser_is_pinged(seconds: float, census: Census):
    """There is nothing to repeat, and the provider is no less to be probed for that."""
    chain = line(census, STT, breaks(STT), STT.answer("b"), replay_buffer_sec=seconds, **REPLAY)

    await chain.use()
    await asyncio.sleep(5.5)

    assert _is_ping(_probe(chain))
    assert (chain.probes(), await chain.use()) == ([True], "a")


async def test_the_end_of_a_long_utterance_is_no_sample(census: Census):
    """A piece of it that holds no word does not take the place of one that does."""
    backup = _finals_after(4.0, 4.06)
    chain = line(census, STT, breaks(STT), backup, **REPLAY)

    async with calling(chain.adapter) as caller:
        await caller.speak(5 * PER_SECOND + 25)

        probe = _probe(chain)
    assert probe.audio_seconds == pytest.approx(4.0, abs=0.1)
    assert chain.probes() == [True]


async def test_a_short_utterance_of_the_next_call_is_no_sample_either(census: Census):
    """What was kept of another caller is better than a cough of this one."""
    backup = STT.make(_finals_after(3.0), _finals_after(0.3))
    chain = line(census, STT, breaks(STT), backup, **REPLAY)

    await hear(chain.adapter, frames(3.0))
    await hear(chain.adapter, frames(0.3))
    await asyncio.sleep(5.5)

    assert _probe(chain).audio_seconds == pytest.approx(3.0, abs=0.1)


async def test_a_newer_utterance_of_a_second_is_the_sample(census: Census):
    """What callers say now is what the provider has to understand."""
    backup = STT.make(_finals_after(3.0), _finals_after(1.2))
    chain = line(census, STT, breaks(STT), backup, **REPLAY)

    await hear(chain.adapter, frames(3.0))
    await hear(chain.adapter, frames(1.2))
    await asyncio.sleep(5.5)

    assert _probe(chain).audio_seconds == pytest.approx(1.2, abs=0.1)


async def test_with_short_utterances_only_a_recogniser_is_pinged(census: Census):
    """A real one answers nothing to a tenth of a second, well as it may be."""
    chain = line(census, STT, breaks(STT), _finals_after(0.1), **REPLAY)

    await hear(chain.adapter, frames(0.1))
    await asyncio.sleep(5.5)

    assert _is_ping(_probe(chain))


# --- voices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TTS, BATCH_TTS], ids=repr)
async def test_a_voice_that_was_given_nothing_to_say_is_pinged(kind: Kind, census: Census):
    """A text that begins without a word makes no sample, and proves nothing."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), **REPLAY)

    await say(chain.adapter, "-" * 80 + " Good evening.")
    await asyncio.sleep(5.5)

    assert len(_probe(chain).text.split()) == 1
    assert any(letter.isalpha() for letter in _probe(chain).text)
    assert chain.probes() == [True]
    assert chain.adapter.get_service_health("a").probes == 1


async def test_a_provider_without_a_sample_is_pinged_until_it_is_back(census: Census):
    """Each rest ends with a probe, not only the first."""
    primary = STT.make(DOWN, DOWN, DOWN, STT.answer("a"))
    chain = line(census, STT, primary, STT.answer("b"), replay_buffer_sec=0, **REPLAY)

    answers = ""
    for _ in range(10):
        answers += await chain.use()
        await asyncio.sleep(5.0)

    assert chain.probes() == [False, False, True]
    assert answers[-1] == "a"
