# SPDX-License-Identifier: Apache-2.0
"""Bugs that LiveKit's own TTS adapter had, or has: each by the number of its public issue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.tts import TTSError
from livekit.agents.types import USERDATA_TTS_STARTED_TIME

from livekit_fallback import FallbackTTS
from tests.support.audio import pitch_of
from tests.support.chains import voices
from tests.support.errors import gone, status
from tests.support.fakes import (
    Audio,
    AwaitText,
    Fail,
    Hang,
    ScriptedTTS,
    Wait,
    say,
    seconds_of,
)
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from livekit import rtc
    from livekit.agents.tts import SynthesizedAudio

    from tests.support.census import Census

TEXT = "Good evening, and welcome to the house."
A_PITCH, B_PITCH = 400.0, 800.0
GOOD = [Audio(2.0, B_PITCH)]
AS_IN_A_SESSION = APIConnectOptions()  # three retries, two seconds apart, ten seconds each


async def _synthesize(adapter: FallbackTTS, text: str) -> list[rtc.AudioFrame]:
    async with adapter.synthesize(text, conn_options=AS_IN_A_SESSION) as stream:
        return [audio.frame async for audio in stream]


async def _hear(stream: AsyncIterable[SynthesizedAudio], heard: list[rtc.AudioFrame]) -> None:
    async for audio in stream:
        heard.append(audio.frame)  # noqa: PERF401  kept although the loop may raise


async def test_agents_2419_a_voice_that_hangs_costs_its_deadline_in_a_session(census: Census):
    """With a session's options a hang before audio costs seconds, not half a minute."""
    chain = voices(census, [Hang()], GOOD)

    with Stopwatch() as watch:
        heard = await say(chain.adapter, TEXT, conn_options=AS_IN_A_SESSION)

    assert seconds_of(heard) == pytest.approx(2.0)
    assert watch.elapsed <= 2.05
    assert len(chain.providers["a"].calls) == 1


async def test_agents_4171_an_error_costs_nothing_in_a_session(census: Census):
    """The failed voice is not retried before the next one is asked."""
    chain = voices(census, [Fail(gone())], GOOD)

    with Stopwatch() as watch:
        await say(chain.adapter, TEXT, conn_options=AS_IN_A_SESSION)

    assert watch.elapsed < 0.05
    assert chain.asked == "ab"


@pytest.mark.parametrize("broken", [Fail(gone()), Fail(status(499)), Hang()], ids=repr)
async def test_agents_5242_synthesize_repeats_no_word(broken: Any, census: Census):
    """An error after eight words raises; the words are not said again by anybody."""
    voice = ScriptedTTS(GOOD, [Audio(0.8, A_PITCH), broken])
    chain = voices(census, voice, GOOD)
    # a 499 looks like a good end until the voice has once shown what its good ends look like
    await _synthesize(chain.adapter, TEXT)
    heard: list[rtc.AudioFrame] = []

    async with chain.adapter.synthesize(TEXT) as stream:
        with pytest.raises(APIError):
            await _hear(stream, heard)

    assert seconds_of(heard) == pytest.approx(0.8, abs=0.011)
    assert chain.asked == "aa"


@pytest.mark.parametrize("tries", [1, 3])
async def test_the_text_is_spoken_once_over_retries(tries: int, census: Census):
    """A voice that is asked again gets the text once, not once for each try."""
    voice = ScriptedTTS(*[[AwaitText(3), Fail(gone())]] * tries, [AwaitText(3), *GOOD])
    chain = voices(census, voice, max_retry_per_tts=tries)

    await say(chain.adapter, "Good evening, ", "and welcome ", "to the house.")

    assert [call.text for call in voice.calls] == [TEXT] * (tries + 1)


async def test_agents_2424_text_may_be_pushed_while_a_voice_is_closing(census: Census):
    """Text that comes between two voices raises nothing and reaches the second."""
    chain = voices(census, ScriptedTTS([AwaitText(1), Fail(gone())], on_close=Wait(0.5)), GOOD)

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening, ")
        for word in ("and ", "welcome ", "to ", "the ", "house."):
            await turns(1)
            stream.push_text(word)
        stream.end_input()
        async for _ in stream:
            pass
    await asyncio.sleep(1.0)

    assert chain.call("b").text == TEXT


async def test_agents_4840_replies_that_overlap_keep_their_pitch(census: Census):
    """The resampler of one reply is not fed with another's frames, nor flushed by its end."""
    long = [step for _ in range(20) for step in (Audio(0.1, A_PITCH), Wait(0.03))]
    chain = voices(census, ScriptedTTS(long, GOOD, sample_rate=16_000), sample_rate=24_000)

    first, second = await asyncio.gather(say(chain.adapter, TEXT), say(chain.adapter, TEXT))

    assert pitch_of(first) == pytest.approx(A_PITCH, rel=0.02)
    assert pitch_of(second) == pytest.approx(B_PITCH, rel=0.02)
    assert seconds_of(first) == pytest.approx(2.0, abs=0.02)


async def test_js_1218_a_resampler_makes_no_sound_of_its_own(census: Census):
    """A voice without audio is empty, at any rate: no flushed frame stands for speech."""
    chain = voices(census, ScriptedTTS([], sample_rate=16_000), GOOD, sample_rate=48_000)

    heard = await say(chain.adapter, TEXT)

    assert pitch_of(heard) == pytest.approx(B_PITCH, rel=0.02)
    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert chain.unavailable == ["a"]


async def test_agents_6300_the_first_byte_is_timed_from_the_text(census: Census):
    """Neither the language model's time nor the failed voice moves the start of the clock."""
    chain = voices(census, [Hang()], GOOD, attempt_timeout=1.0)

    async with chain.adapter.stream() as stream:
        await asyncio.sleep(5.0)
        asked_at = asyncio.get_running_loop().time()
        stream.push_text(TEXT)
        stream.end_input()
        first = await anext(stream)
        waited = asyncio.get_running_loop().time() - asked_at

    assert first.frame.userdata[USERDATA_TTS_STARTED_TIME] == pytest.approx(asked_at, abs=0.01)
    assert waited == pytest.approx(1.0, abs=0.05)


class TwoPaths(ScriptedTTS):
    """A voice whose `stream()` and `synthesize()` are up or down each for itself."""

    down: tuple[str, ...] = ()

    def open_call(self, kind: str, **kwargs: Any) -> Any:
        self.play([Fail(gone())] if kind in self.down else [Audio(2.0, A_PITCH)])
        return super().open_call(kind, **kwargs)


@pytest.mark.parametrize("path", ["stream", "synthesize"])
async def test_agents_6683_a_voice_is_back_when_the_path_in_use_is_back(path: str, census: Census):
    """A probe repeats the last request the way it was made: the other path proves nothing."""
    voice = TwoPaths()
    voice.down = (path,)
    chain = voices(census, voice, GOOD, probe="replay", temporary_disable_sec=1.0)
    speak = say if path == "stream" else _synthesize

    for _ in range(3):
        assert pitch_of(await speak(chain.adapter, TEXT)) == pytest.approx(B_PITCH, rel=0.02)
        await asyncio.sleep(1.5)
    voice.down = ()
    await say(chain.adapter, TEXT)
    await asyncio.sleep(20.0)

    heard = await speak(chain.adapter, TEXT)
    assert pitch_of(heard) == pytest.approx(A_PITCH, rel=0.02)
    changes = chain.events.of("tts_availability_changed")
    assert [event.available for event in changes] == [False, True]


async def test_agents_6684_no_probe_starts_after_closing():
    """A closed adapter asks nobody any more, whatever was due."""
    a, b = ScriptedTTS([Fail(gone())], name="a"), ScriptedTTS(GOOD, name="b")
    adapter = FallbackTTS([a, b], temporary_disable_sec=1.0)
    await say(adapter, TEXT)

    await adapter.aclose()
    await asyncio.sleep(60.0)

    assert (len(a.calls), len(b.calls)) == (1, 1)


async def test_js_1182_a_voice_that_broke_off_is_probed_too(census: Census):
    """Recovery begins at the failure, also when part of the reply had been heard."""
    chain = voices(
        census,
        ScriptedTTS([Audio(0.4, A_PITCH), Fail(gone())], [Audio(2.0, A_PITCH)]),
        GOOD,
        probe="replay",
        temporary_disable_sec=1.0,
    )

    with pytest.raises(APIError):
        await say(chain.adapter, TEXT)
    await asyncio.sleep(2.0)

    changes = chain.events.of("tts_availability_changed")
    assert [event.available for event in changes] == [False, True]


async def test_agents_3294_one_voice_that_cannot_stream_does_not_stop_the_others(census: Census):
    """With a mixed list the primary still streams."""
    chain = voices(census, GOOD, ScriptedTTS(streaming=False))

    await say(chain.adapter, TEXT)

    assert chain.adapter.capabilities.streaming
    assert chain.call("a").kind == "stream"


async def test_agents_7154_replies_leave_no_listener_on_wrapped_voices(census: Census):
    """However many replies there were, a wrapped voice has the listeners it began with."""
    voice = ScriptedTTS([Fail(gone())], streaming=False)
    chain = voices(census, voice, ScriptedTTS(GOOD, streaming=False))
    before = voice.listeners

    for _ in range(5):
        await say(chain.adapter, TEXT)

    assert voice.listeners == before


async def test_js_2480_another_replys_error_event_moves_nobody(census: Census):
    """What a voice emits about one request is not held against another."""
    chain = voices(census, [Audio(1.0, A_PITCH), Wait(0.5), Audio(1.0, A_PITCH)], GOOD)
    alien = TTSError(timestamp=0.0, label="a", error=gone(), recoverable=False)
    loop = asyncio.get_running_loop()

    loop.call_later(0.2, chain.providers["a"].emit, "error", alien)
    heard = await say(chain.adapter, TEXT)

    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert chain.asked == "a"
    assert chain.events.of("error") == []


async def test_agents_6225_a_pause_of_the_language_model_costs_no_words(census: Census):
    """A reply that pauses for a tool is spoken to its end by the voice that began it."""
    chain = voices(census, [AwaitText(5), Audio(3.0, A_PITCH), AwaitText(99), Audio(1.0, A_PITCH)])

    async with chain.adapter.stream() as stream:
        stream.push_text("One moment please, I will look at the tables. ")
        await asyncio.sleep(30.0)
        stream.push_text("There is one.")
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(4.0, abs=0.02)
    assert chain.asked == "a"


async def test_closing_a_reply_opens_no_request_to_the_failed_voice(census: Census):
    """Barge-in while the backup speaks asks nobody anything."""
    chain = voices(census, [Fail(gone())], [Audio(1.0), Hang()])

    async with chain.adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        await anext(stream)
    await asyncio.sleep(1.0)

    assert chain.asked == "ab"


async def test_a_voice_that_cannot_synthesize_comes_back_all_the_same(census: Census):
    """Voices that only stream are probed by streaming."""

    class StreamOnly(ScriptedTTS):
        def synthesize(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    voice = StreamOnly([Fail(gone())], [Audio(2.0, A_PITCH)])
    chain = voices(census, voice, GOOD, probe="replay", temporary_disable_sec=1.0)

    await say(chain.adapter, TEXT)
    await asyncio.sleep(2.0)

    assert pitch_of(await say(chain.adapter, TEXT)) == pytest.approx(A_PITCH, rel=0.02)
