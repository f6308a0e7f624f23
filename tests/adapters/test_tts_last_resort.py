# SPDX-License-Identifier: Apache-2.0
"""What the caller hears when no voice speaks, and when none has spoken yet."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, FallbackTTS
from tests.support.audio import frames, tone
from tests.support.chains import voices
from tests.support.errors import gone
from tests.support.fakes import Audio, Fail, Hang, ScriptedTTS, Silence, Step, Wait, say, seconds_of
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from livekit import rtc

    from tests.support.census import Census
    from tests.support.script import Script

RATE = 24_000
DOWN: Script = [Fail(gone)]
PHRASE = [Audio(0.7, pitch=300.0)]  # what a voice makes of any text it speaks in advance
TEXT = "Good evening."


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A WAV file of 1.5 s at 16 kHz."""
    path = tmp_path / "sorry.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone(1.5, rate=16_000))
    return path


async def _listen(stream: Any, text: str = "") -> tuple[list[rtc.AudioFrame], Exception | None]:
    """What was heard, and what the session was told in the end."""
    heard: list[rtc.AudioFrame] = []
    async with stream:
        if text:
            stream.push_text(text)
            stream.end_input()
        try:
            async for audio in stream:
                heard.append(audio.frame)  # noqa: PERF401 - an error may follow
        except AllProvidersFailedError as error:
            return heard, error
    return heard, None


# --- last resort --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["path", "text", "frames"])
async def test_it_is_played_when_every_voice_has_failed(how: str, recording: Path, census: Census):
    """The caller hears the recording, the session goes on, and everybody is told."""
    source: Any = {"path": recording, "text": str(recording), "frames": frames(1.5)}[how]
    chain = voices(census, DOWN, DOWN, last_resort=source, total_timeout=1.0)

    heard, error = await _listen(chain.adapter.stream(), TEXT)

    assert isinstance(error, AllProvidersFailedError)  # the session is to know
    assert seconds_of(heard) == pytest.approx(1.5, abs=0.02)
    assert {frame.sample_rate for frame in heard} == {RATE}
    assert [event.error for event in chain.events.of("exhausted")] == [error]
    assert all(chain.recoverable)  # the session counts only the others against the call


async def test_synthesize_has_it_too(recording: Path, census: Census):
    """Both ways to ask for speech end well."""
    chain = voices(census, DOWN, last_resort=recording, total_timeout=1.0)

    heard, _ = await _listen(chain.adapter.synthesize(TEXT))

    assert seconds_of(heard) == pytest.approx(1.5, abs=0.02)


async def test_a_reply_that_broke_off_ends_with_it(recording: Path, census: Census):
    """What was spoken is not repeated, and the loss is told."""
    broken = ScriptedTTS([Audio(1.0), Fail(gone)], DOWN)
    chain = voices(
        census, broken, DOWN, last_resort=recording, total_timeout=1.0, on_partial="continue"
    )

    text = "This is a long sentence of more than one second. And more."
    heard, _ = await _listen(chain.adapter.stream(), text)

    assert seconds_of(heard) == pytest.approx(2.5, abs=0.05)
    assert len(chain.events.of("output_lost")) == 1


async def test_it_is_not_played_while_a_voice_is_left(recording: Path, census: Census):
    """A backup that speaks is better."""
    chain = voices(census, DOWN, [Audio(0.4)], last_resort=recording)

    assert seconds_of(await say(chain.adapter, TEXT)) == pytest.approx(0.4, abs=0.02)


async def test_a_text_is_spoken_once_in_advance(census: Census):
    """By a voice that works, beside the first reply; and is at hand when that voice is gone."""
    voice = ScriptedTTS([Audio(0.4)], PHRASE, DOWN, DOWN)
    chain = voices(census, voice, last_resort="Sorry.", total_timeout=1.0, probe=None)

    reply = await say(chain.adapter, TEXT)
    await turns(50)
    heard, _ = await _listen(chain.adapter.stream(), TEXT)

    assert [seconds_of(reply), seconds_of(heard)] == pytest.approx([0.4, 0.7], abs=0.02)
    assert [call.text for call in voice.calls].count("Sorry.") == 1


async def test_prewarming_prepares_a_text(census: Census):
    """An application that prewarms has it before the first reply."""
    voice = ScriptedTTS(PHRASE, DOWN)
    chain = voices(census, voice, last_resort="Sorry.", total_timeout=1.0)

    chain.adapter.prewarm()
    await turns(50)

    heard, _ = await _listen(chain.adapter.stream(), TEXT)
    assert seconds_of(heard) == pytest.approx(0.7, abs=0.02)


async def test_a_text_that_nobody_could_speak_changes_nothing(census: Census):
    """Without any voice there is no phrase: the error is raised as without the option."""
    chain = voices(census, DOWN, last_resort="Sorry.", total_timeout=1.0)
    chain.adapter.prewarm()
    await turns(50)

    with pytest.raises(AllProvidersFailedError):
        await say(chain.adapter, TEXT)

    assert chain.recoverable.count(False) == 1


@pytest.mark.parametrize("sick", [Silence(1.0), Audio(0.05)])
async def test_what_a_sick_voice_makes_of_a_text_is_not_kept(sick: Step, census: Census):
    """Silence, or the beginning of the first word, is no excuse: it is spoken anew."""
    text = "I am sorry, please call us again later."
    voice = ScriptedTTS([sick], [Audio(0.4)], [Audio(2.0)], DOWN)
    chain = voices(census, voice, last_resort=text, total_timeout=1.0, probe=None)
    chain.adapter.prewarm()
    await turns(50)

    await say(chain.adapter, TEXT)
    await turns(50)
    heard, _ = await _listen(chain.adapter.stream(), TEXT)

    assert [call.text for call in voice.calls[:3]] == [text, TEXT, text]
    assert seconds_of(heard) == pytest.approx(2.0, abs=0.05)


async def test_what_sessions_write_into_frames_is_not_kept(recording: Path, census: Census):
    """Each call gets frames of its own."""
    chain = voices(census, DOWN, last_resort=recording, total_timeout=0.5)

    first, _ = await _listen(chain.adapter.stream(), TEXT)
    for frame in first:
        frame.userdata["spoilt"] = True
    second, _ = await _listen(chain.adapter.stream(), TEXT)

    assert first
    assert all("spoilt" not in frame.userdata for frame in second)


# --- holding phrase -----------------------------------------------------------------------------


async def _timed(adapter: FallbackTTS, *tokens: str, text_after: float = 0.0) -> list[float]:
    """When each 10 ms of audio came, in seconds since the stream was opened."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    times: list[float] = []
    done = 0.0
    async with adapter.stream() as stream:

        async def write() -> None:
            await asyncio.sleep(text_after)
            for token in tokens:
                stream.push_text(token)
            stream.end_input()

        writing = asyncio.create_task(write(), name="model writes")
        async for audio in stream:
            count = round((done + audio.frame.duration) * 100) - round(done * 100)
            done += audio.frame.duration
            times += [loop.time() - begun] * count
        await writing
    return times


async def test_it_is_played_when_half_the_budget_is_used_up(census: Census):
    """Once, and the reply follows it."""
    slow: Script = [Wait(3.0), Audio(0.4)]
    chain = voices(
        census, slow, holding_phrase=frames(0.5), total_timeout=4.0, attempt_timeout=None
    )

    times = await _timed(chain.adapter, TEXT)

    assert len(times) == pytest.approx(90, abs=2)
    assert times[0] == pytest.approx(2.0, abs=0.01)
    assert times[-1] == pytest.approx(3.0, abs=0.05)


async def test_the_wait_begins_when_the_stream_is_opened(census: Census):
    """Whoever opens it before there is text has the wait for the text covered, too."""
    chain = voices(census, [Audio(0.4)], holding_phrase=frames(0.5), total_timeout=4.0)

    times = await _timed(chain.adapter, TEXT, text_after=5.0)

    assert times[0] == pytest.approx(2.0, abs=0.01)
    assert times[-1] == pytest.approx(5.0, abs=0.05)


async def test_a_voice_that_speaks_in_time_is_not_preceded_by_it(census: Census):
    """Nor is it played behind the reply."""
    quick: Script = [Wait(1.9), Audio(0.4), Wait(3.0), Audio(0.2)]
    chain = voices(
        census,
        quick,
        holding_phrase=frames(0.5),
        total_timeout=4.0,
        attempt_timeout=None,
        stall_timeout=None,
    )

    assert len(await _timed(chain.adapter, TEXT)) == pytest.approx(60, abs=2)


@pytest.mark.parametrize("tokens", [(), ("  ",)])
async def test_a_turn_without_words_ends_without_it(tokens: tuple[str, ...], census: Census):
    """A turn that only called a tool is over before."""
    chain = voices(census, [Audio(0.4)], holding_phrase=frames(0.5), total_timeout=4.0)

    assert await _timed(chain.adapter, *tokens, text_after=1.0) == []


@pytest.mark.parametrize("after", [1.9, 2.1])
async def test_an_interruption_ends_it(after: float, census: Census):
    """Before it is played, and while it is: nothing of it comes later, and nobody is blamed."""
    chain = voices(
        census, [Hang()], holding_phrase=frames(0.5), total_timeout=4.0, attempt_timeout=None
    )
    heard: list[rtc.AudioFrame] = []

    async def listen(stream: Any) -> None:
        async for audio in stream:
            heard.append(audio.frame)  # noqa: PERF401 - it is cut off

    async with chain.adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        listening = asyncio.create_task(listen(stream), name="session listens")
        await asyncio.sleep(after)
        listening.cancel()

    played = len(heard)
    await asyncio.sleep(1.0)
    assert bool(played) == (after > 2.0)
    assert len(heard) == played
    assert chain.events.of("error") == []


async def test_a_phrase_that_cannot_be_spoken_is_not_tried_for_ever(census: Census):
    """Each try is billed: after the third there is none."""
    voice = ScriptedTTS(lambda n: [Audio(0.4)] if n % 2 == 0 else DOWN)
    chain = voices(census, voice, last_resort="Sorry.", probe=None)

    for _ in range(8):
        await say(chain.adapter, TEXT)
        await turns(50)

    assert [call.text for call in voice.calls].count("Sorry.") == 3


async def test_closing_the_adapter_ends_the_making_of_a_phrase(census: Census):
    """Nothing is left of it, and none is begun afterwards."""
    voice = ScriptedTTS([Hang()])
    census.watch(voice)  # before the adapter listens: it leaves as it came
    adapter = FallbackTTS([voice], last_resort="Sorry.")
    adapter.prewarm()
    await turns(20)
    assert [call.text for call in voice.open_calls] == ["Sorry."]

    await adapter.aclose()
    adapter.prewarm()
    await turns(20)

    assert voice.open_calls == []
    assert len(voice.calls) == 1


async def test_what_nobody_speaks_in_the_end_is_told_as_before(census: Census):
    """A phrase is no answer: exhaustion comes at its time."""
    chain = voices(census, DOWN, holding_phrase=frames(0.5), total_timeout=1.0)

    with pytest.raises(AllProvidersFailedError):
        await say(chain.adapter, TEXT)

    assert chain.events.of("exhausted")[0].elapsed <= 1.0


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["last_resort", "holding_phrase"])
@pytest.mark.parametrize("value", ["", "  ", 3, [], ["x"], b"bytes"], ids=repr)
def test_what_is_no_phrase_is_refused(option: str, value: Any):
    """The message names the option, the value and what is allowed."""
    with pytest.raises(ValueError, match=option) as refused:
        FallbackTTS([ScriptedTTS()], **{option: value})

    assert "WAV" in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    """Whether it is missing or no WAV file."""
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no wave")
    for path in (tmp_path / "missing.wav", noise):
        with pytest.raises(ValueError, match=r"last_resort=.*WAV file"):
            FallbackTTS([ScriptedTTS()], last_resort=path)


def test_audio_of_other_channels_is_refused(recording: Path):
    """It could not be played where two channels were promised."""
    with pytest.raises(ValueError, match=r"holding_phrase=.*2 channel"):
        FallbackTTS([ScriptedTTS(num_channels=2)], holding_phrase=recording)


def test_a_holding_phrase_needs_a_budget(recording: Path):
    """Half of nothing never passes."""
    with pytest.raises(ValueError, match="total_timeout=None"):
        FallbackTTS([ScriptedTTS()], holding_phrase=recording, total_timeout=None)
