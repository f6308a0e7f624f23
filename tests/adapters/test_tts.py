# SPDX-License-Identifier: Apache-2.0
"""Whatever a voice does instead of speaking, the next one speaks, and nothing is said twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIError

from livekit_fallback import AllProvidersFailedError, FallbackTTS, Provider
from tests.support.audio import pitch_of
from tests.support.chains import Chain, voices
from tests.support.errors import ERRORS, STATUSES, gone, status
from tests.support.fakes import (
    Audio,
    BeforeText,
    End,
    Fail,
    FailInCall,
    Hang,
    Repeat,
    ScriptedTTS,
    Silence,
    Step,
    Wait,
    say,
    seconds_of,
)
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit import rtc
    from livekit.agents.tts import AudioEmitter

    from tests.support.census import Census

TEXT = "Good evening, and welcome to the house."
LONG_TEXT = "Good evening, and welcome to the house. We have a table by the window for you. " * 3
A_PITCH, B_PITCH = 400.0, 800.0
GOOD = [Audio(2.0, B_PITCH)]

SILENT: dict[str, list[Step]] = {
    "hang": [Hang()],
    "hang-before-text": [BeforeText(), Hang()],
    "silence-then-hang": [Silence(0.4), Hang()],
    "silence-without-end": [Repeat([Silence(0.2), Wait(0.2)])],
    "too-late": [Wait(30.0), Audio(2.0, A_PITCH)],
}
EMPTY: dict[str, list[Step]] = {
    "nothing": [],
    "end-at-once": [BeforeText(), End()],
    "digital-silence": [Silence(2.0)],
}
BREAKS: dict[str, list[Step]] = {
    "drop": [Fail(gone())],
    "exception": [Fail(ValueError("no json"))],
    "499": [Fail(status(499))],
    "stall": [Hang()],
}


class FinishingVoice(ScriptedTTS):
    """Marks its last frame as final soon after it began, and goes on with its script."""

    def start_emitter(self, emitter: AudioEmitter, *, stream: bool) -> None:
        super().start_emitter(emitter, stream=stream)
        asyncio.get_running_loop().call_later(0.05, emitter.end_segment)


@pytest.fixture(params=["stream", "synthesize"])
def speak(request: pytest.FixtureRequest) -> Callable[[FallbackTTS, str], Any]:
    """Speaks a text in one of the two ways there are; returns the frames."""

    async def by_synthesize(adapter: FallbackTTS, text: str) -> list[rtc.AudioFrame]:
        async with adapter.synthesize(text) as stream:
            return [audio.frame async for audio in stream]

    return say if request.param == "stream" else by_synthesize


def _assert_only_b_spoke(heard: list[rtc.AudioFrame], seconds: float = 2.0) -> None:
    assert seconds_of(heard) == pytest.approx(seconds)
    assert pitch_of(heard) == pytest.approx(B_PITCH, rel=0.02)


@pytest.mark.parametrize("script", SILENT.values(), ids=SILENT.keys())
async def test_silence_costs_the_deadline_and_fifty_milliseconds(speak, script, census: Census):
    """A voice without sound is left at its deadline, closed, and nothing of it is heard."""
    chain = voices(census, script, GOOD, attempt_timeout=1.0)

    with Stopwatch() as watch:
        heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert 1.0 <= watch.elapsed <= 1.05
    assert chain.call("b").opened_at - chain.call("a").opened_at == pytest.approx(1.0, abs=0.05)
    assert chain.closed_at("a") - chain.call("b").opened_at <= 0.05
    assert chain.reasons == ["first_output_timeout"]
    assert chain.unavailable == ["a"]


@pytest.mark.parametrize("script", EMPTY.values(), ids=EMPTY.keys())
async def test_speech_without_sound_is_a_failure(speak, script, census: Census):
    """A clean end with no sound for real text asks the next voice at once."""
    chain = voices(census, script, GOOD)

    with Stopwatch() as watch:
        heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert watch.elapsed < 0.05
    assert chain.unavailable == ["a"]
    assert chain.recoverable == [True]


@pytest.mark.parametrize("code", STATUSES)
async def test_every_status_moves_on_at_once(speak, code: int, census: Census):
    """No status of one voice keeps the next one from speaking."""
    chain = voices(census, [Fail(status(code))], GOOD)

    with Stopwatch() as watch:
        heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert watch.elapsed < 0.05
    assert chain.asked == "ab"


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("where", [Fail, FailInCall])
async def test_every_exception_moves_on_at_once(speak, where, error, census: Census):
    """Whatever a voice raises, when it is asked or when it speaks, is its failure alone."""
    chain = voices(census, [where(error)], GOOD)

    heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert chain.unavailable == ["a"]
    assert chain.recoverable == [True]


async def test_leading_silence_is_kept(speak, census: Census):
    """Silence before the first sound is part of the speech: nothing is lost, nobody is blamed."""
    chain = voices(census, [Silence(0.6), Audio(1.4, A_PITCH)], GOOD)

    heard = await speak(chain.adapter, TEXT)

    assert seconds_of(heard) == pytest.approx(2.0)
    assert not any(bytes(heard[0].data))
    assert chain.asked == "a"
    assert chain.unavailable == []


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
async def test_after_sound_nothing_is_repeated_and_the_loss_is_told(
    speak, broken: list[Step], frames: int, census: Census
):
    """A voice that breaks off in mid-speech ends the request: loss reported, error raised."""
    said = frames * 0.2
    chain = voices(census, [Audio(said, A_PITCH), *broken], GOOD)

    with pytest.raises(Exception) as raised:  # noqa: PT011  each fault has its own type
        await speak(chain.adapter, LONG_TEXT)

    (loss,) = chain.events.of("output_lost")
    assert not isinstance(raised.value, AllProvidersFailedError)
    assert loss.error is raised.value
    assert loss.provider == "a"
    assert loss.delivered == pytest.approx(said, abs=0.011)
    assert 0 < loss.lost <= len(LONG_TEXT)
    assert chain.asked == "a"
    assert chain.recoverable == [True]
    assert chain.unavailable == ["a"]


async def test_a_stall_is_noticed_at_its_deadline(speak, census: Census):
    """Speech that stops while more is owed ends `stall_timeout` after the last frame."""
    chain = voices(census, [Audio(0.4), Wait(1.0), Audio(0.4), Hang()], GOOD, stall_timeout=1.2)

    with Stopwatch() as watch, pytest.raises(APIError):
        await speak(chain.adapter, LONG_TEXT)

    assert watch.elapsed == pytest.approx(2.2, abs=0.05)
    assert chain.events.of("output_lost")[0].reason == "stall"


async def test_speech_cut_short_by_a_clean_end_is_not_a_success(speak, census: Census):
    """Audio that cannot hold the text was cut off, however cleanly its body ended."""
    chain = voices(census, [Audio(0.4, A_PITCH)], GOOD)

    with pytest.raises(APIError):
        await speak(chain.adapter, LONG_TEXT)

    assert len(chain.events.of("output_lost")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Here you are: " + "-" * 120,
        "| Name | Time |\n|------|------|\n" + "|" + "=" * 100 + "|",
        "Done. " + "\N{PARTY POPPER}" * 80,
        "Good evening, " + "... " * 40,
        '<emotion value="' + "very " * 40 + 'warm"/>Good evening.',
    ],
    ids=["dashes", "table", "emoji", "dots", "markup"],
)
async def test_what_cannot_be_spoken_is_not_missed(speak, text: str, census: Census):
    """A voice that passes over signs and markup has spoken all there was to speak."""
    chain = voices(census, [Audio(1.0, A_PITCH)], GOOD)

    heard = await speak(chain.adapter, text)

    assert seconds_of(heard) == pytest.approx(1.0)
    assert chain.events.of("output_lost") == []
    assert chain.unavailable == []


@pytest.mark.parametrize("broken", [Fail(gone()), Fail(ValueError()), Hang()], ids=repr)
async def test_a_fault_after_the_last_frame_harms_nobody(broken: Step, census: Census):
    """Once the final frame was handed over the reply is complete, whatever comes after it."""
    voice = FinishingVoice([Audio(2.0, A_PITCH), Wait(0.1), broken])
    chain = voices(census, voice, GOOD)

    heard = await say(chain.adapter, TEXT)

    assert seconds_of(heard) == pytest.approx(2.0, abs=0.011)
    assert chain.events.of("error") == []
    assert chain.unavailable == []


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
@pytest.mark.parametrize("script", [[], [BeforeText(), Hang()], [Silence(0.2)]])
async def test_nothing_to_say_is_said_by_saying_nothing(speak, script, text, census: Census):
    """Blank text ends soon and without audio, and no voice is blamed for it."""
    chain = voices(census, script)

    with Stopwatch() as watch:
        heard = await speak(chain.adapter, text)

    assert not any(any(bytes(frame.data)) for frame in heard)
    assert watch.elapsed <= 8.05
    assert chain.unavailable == []
    assert chain.events.of("error") == []


async def test_all_voices_down_raises_one_error_with_all_attempts(speak, census: Census):
    """Exhaustion lists every attempt and is the only unrecoverable error."""
    chain = voices(census, [Fail(status(401))], [Fail(status(403))])

    with pytest.raises(AllProvidersFailedError) as raised:
        await speak(chain.adapter, TEXT)

    assert [(a.provider, a.status_code) for a in raised.value.attempts] == [("a", 401), ("b", 403)]
    assert raised.value.__cause__ is raised.value.attempts[-1].error
    assert raised.value.retryable is False
    assert chain.recoverable == [True, False]
    assert len(chain.events.of("exhausted")) == 1


async def test_the_last_voice_gets_what_is_left_of_the_budget(speak, census: Census):
    """No attempt deadline cuts off the last voice while the request has time left."""
    chain = voices(census, [Hang()], [Wait(4.0), *GOOD], attempt_timeout=1.0, total_timeout=6.0)

    heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)


async def test_the_budget_bounds_the_whole_search(speak, census: Census):
    """Voices that all hang cost `total_timeout`, not the sum of everything."""
    chain = voices(census, [Hang()], [Hang()], [Hang()], attempt_timeout=1.0, total_timeout=5.0)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError):
        await speak(chain.adapter, TEXT)

    assert watch.elapsed == pytest.approx(5.0, abs=0.05)
    assert chain.asked == "abc"


async def test_a_voice_has_the_deadlines_of_its_own_entry(speak, census: Census):
    """Limits given with `Provider` win over those of the adapter."""
    slow = Provider(ScriptedTTS([Wait(3.0), Audio(2.0)]), attempt_timeout=4.0, stall_timeout=None)
    chain = voices(census, slow, GOOD, attempt_timeout=1.0)

    await speak(chain.adapter, TEXT)

    assert chain.asked == "a"


async def test_a_blip_that_hits_all_voices_is_outlived(speak, census: Census):
    """Voices that are all back within the budget are asked again until one speaks."""
    blip = [[Fail(gone())], [Fail(gone())]]
    chain = voices(census, ScriptedTTS(*blip, GOOD), ScriptedTTS(*blip, GOOD))

    heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert False not in chain.recoverable


async def test_a_voice_that_ignores_cancellation_delays_nobody(speak, census: Census):
    """The next voice is asked at the deadline even if the old one refuses to stop."""
    chain = voices(census, ScriptedTTS([Hang()], stubborn=0.5), GOOD, attempt_timeout=1.0)

    with Stopwatch() as watch:
        heard = await speak(chain.adapter, TEXT)

    _assert_only_b_spoke(heard)
    assert watch.elapsed <= 1.05
    await asyncio.sleep(1.0)


async def test_barge_in_ends_everything_and_blames_nobody(speak, census: Census):
    """A cancelled request leaves no stream, no task, and no mark on the voice."""
    chain: Chain[FallbackTTS, ScriptedTTS] = voices(census, [Hang()], GOOD)

    task = asyncio.create_task(speak(chain.adapter, TEXT))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    await turns(10)

    assert chain.providers["a"].open_calls == []
    assert chain.asked == "a"
    assert set(chain.events.names) <= {"metrics_collected"}


async def test_two_replies_at_once_do_not_mix(speak, census: Census):
    """Concurrent replies of one adapter each come from one voice, complete."""
    flaky = ScriptedTTS([Audio(2.0, A_PITCH)], [Fail(gone())], [Audio(2.0, A_PITCH)])
    chain = voices(census, flaky, GOOD)

    first, second = await asyncio.gather(speak(chain.adapter, TEXT), speak(chain.adapter, TEXT))

    assert [seconds_of(first), seconds_of(second)] == pytest.approx([2.0, 2.0])
    assert pitch_of(first) == pytest.approx(A_PITCH, rel=0.02)
    assert pitch_of(second) == pytest.approx(B_PITCH, rel=0.02)
