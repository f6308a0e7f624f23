# SPDX-License-Identifier: Apache-2.0
"""The fakes do what their scripts say, also under LiveKit's own fallback adapters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, llm, stt, tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from tests.support.audio import frames, number_of, numbered
from tests.support.fakes import (
    AfterAudio,
    Audio,
    BeforeText,
    End,
    Fail,
    FailInCall,
    Final,
    Hang,
    Interim,
    Repeat,
    RoleOnly,
    Say,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    Silence,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    Words,
    ask,
    finals_of,
    hear,
    say,
    seconds_of,
    text_of,
)
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.census import Census

ONCE = APIConnectOptions(max_retry=0)


class ProviderGoneError(Exception):
    """Stands for whatever a provider may raise."""


async def test_llm_plays_one_script_per_request_and_repeats_the_last(census: Census):
    model = ScriptedLLM([Say("one")], [Say("two "), Wait(0.5), Say("too")])
    census.watch(model)

    answers = [text_of(await ask(model)) for _ in range(3)]

    assert answers == ["one", "two too", "two too"]
    assert [call.kwargs["chat_ctx"].messages()[0].text_content for call in model.calls] == [
        "Hi",
        "Hi",
        "Hi",
    ]


async def test_llm_script_can_be_a_function_of_the_request():
    model = ScriptedLLM(lambda n: [Say(f"answer {n}")])

    assert [text_of(await ask(model)) for _ in range(2)] == ["answer 0", "answer 1"]


async def test_llm_chunks_are_what_the_script_says():
    model = ScriptedLLM([RoleOnly(), ToolCall("find_table", '{"seats": 2}'), UsageOnly(7, 3)])

    role, tool, usage = await ask(model)

    assert not role.has_response()
    assert tool.delta is not None
    assert tool.delta.tool_calls[0].name == "find_table"
    assert usage.usage is not None
    assert usage.usage.total_tokens == 10


async def test_llm_ignores_the_timeout_it_is_given():
    model = ScriptedLLM([Repeat([RoleOnly(), Wait(0.2)])])

    with Stopwatch() as watch, pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await ask(model, conn_options=APIConnectOptions(timeout=1.0))

    assert watch.elapsed == pytest.approx(60)
    assert model.calls[0].played.count(RoleOnly()) == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    "error",
    [
        APIStatusError("down", status_code=503),
        ProviderGoneError(),
        BaseExceptionGroup("several", [ProviderGoneError()]),
    ],
    ids=["api-error", "any-exception", "group"],
)
async def test_llm_raises_what_it_is_told(error: BaseException, census: Census):
    model = ScriptedLLM([Say("a"), Fail(error)])
    census.watch(model)

    with pytest.raises(type(error)):
        await ask(model, conn_options=ONCE)

    assert model.calls[0].error is error


async def test_llm_that_raises_cancelled_error_by_itself_ends_its_stream():
    model = ScriptedLLM([Fail(asyncio.CancelledError)])

    assert await ask(model) == []
    assert model.calls[0].cancelled_at is None
    assert isinstance(model.calls[0].error, asyncio.CancelledError)


async def test_refusing_in_the_call_itself_opens_nothing(census: Census):
    model = ScriptedLLM([FailInCall(ProviderGoneError)])
    census.watch(model)

    with pytest.raises(ProviderGoneError):
        model.chat(chat_ctx=llm.ChatContext.empty())

    assert model.open_calls == []


async def test_stubborn_provider_swallows_cancellation_for_a_while(census: Census):
    model = ScriptedLLM([Hang()], stubborn=3.0)
    census.watch(model)
    stream = model.chat(chat_ctx=llm.ChatContext.empty())
    await asyncio.sleep(1)

    with Stopwatch() as watch:
        await stream.aclose()

    assert watch.elapsed == pytest.approx(3)
    call = model.calls[0]
    assert call.cancelled_at == pytest.approx(call.opened_at + 1)
    assert call.ended_at == pytest.approx(call.opened_at + 4)


async def test_close_that_hangs_still_closes_when_given_up(census: Census):
    voice = ScriptedTTS(on_close=Hang())
    census.watch(voice)
    stream = voice.stream()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.aclose(), 2)

    assert voice.open_calls == []


async def test_close_that_raises_has_closed(census: Census):
    listener = ScriptedSTT(on_close=Fail(ProviderGoneError))
    census.watch(listener)

    with pytest.raises(ProviderGoneError):
        await listener.stream().aclose()

    assert listener.open_calls == []


@pytest.mark.parametrize("frame_rate", [16_000, 24_000, 48_000])
async def test_tts_speaks_exactly_the_audio_of_its_script(frame_rate: int, census: Census):
    voice = ScriptedTTS([Audio(0.5), Silence(0.25)], frame_rate=frame_rate)
    census.watch(voice)

    heard = await say(voice, "Hello ", "there.")

    assert seconds_of(heard) == pytest.approx(0.75, abs=1e-3)
    assert {frame.sample_rate for frame in heard} == {frame_rate}
    assert voice.calls[0].text == "Hello there."


async def test_tts_without_script_speaks_every_word():
    voice = ScriptedTTS()

    assert seconds_of(await say(voice, "one two ", "three")) == pytest.approx(0.6, abs=1e-3)


async def test_tts_synthesizes_without_a_stream(census: Census):
    voice = ScriptedTTS([Audio(0.3)])
    census.watch(voice)

    async with voice.synthesize("Hello") as stream:
        heard = await stream.collect()

    assert heard.duration == pytest.approx(0.3)


async def test_tts_is_heard_up_to_the_point_where_it_breaks():
    voice = ScriptedTTS([Audio(0.37), Fail(ProviderGoneError)])
    heard = []

    async def listen() -> None:
        async with voice.stream(conn_options=ONCE) as stream:
            stream.push_text("Hello")
            stream.end_input()
            async for audio in stream:
                heard.append(audio.frame)  # noqa: PERF401  what came before the failure counts

    with pytest.raises(ProviderGoneError):
        await listen()

    assert seconds_of(heard) == pytest.approx(0.37)


async def test_tts_waits_for_text_unless_told_not_to():
    patient = ScriptedTTS([Fail(ProviderGoneError)])
    hasty = ScriptedTTS([BeforeText(), Fail(ProviderGoneError)])
    streams = patient.stream(conn_options=ONCE), hasty.stream(conn_options=ONCE)

    await asyncio.sleep(5)

    assert patient.calls[0].error is None
    assert hasty.calls[0].error is not None
    with pytest.raises(ProviderGoneError):
        await anext(streams[1])
    for stream in streams:
        await stream.aclose()


async def test_tts_sends_timed_words_with_its_audio():
    voice = ScriptedTTS([Words("hello there", 0.1), Audio(0.5)], aligned_transcript=True)

    heard = await say(voice, "hello there")

    words = [word for frame in heard for word in frame.userdata[USERDATA_TIMED_TRANSCRIPT]]
    assert [(str(word), word.start_time) for word in words] == [
        ("hello ", pytest.approx(0.1)),
        ("there ", pytest.approx(0.3)),
    ]


async def test_stt_follows_the_audio_it_gets(census: Census):
    listener = ScriptedSTT([AfterAudio(0.5), Interim("one"), AfterAudio(1.0), Final("one", 0.2, 1)])
    census.watch(listener)

    async with listener.stream() as stream:
        stream.start_time_offset = 7.0
        for frame in frames(1.0):
            stream.push_frame(frame)
        stream.end_input()
        events = [event async for event in stream]

    assert finals_of(events) == ["one"]
    assert events[-1].alternatives[0].start_time == pytest.approx(7.2)
    assert listener.calls[0].audio_seconds == pytest.approx(1.0)


async def test_stt_listens_on_when_its_script_ran_out_but_not_after_an_end():
    listening = ScriptedSTT([Final("a")])
    ending = ScriptedSTT([Final("a"), End()])
    streams = listening.stream(), ending.stream()

    await asyncio.sleep(1)

    assert listening.calls[0].ended_at is None
    assert ending.calls[0].ended_at is not None
    for stream in streams:
        await stream.aclose()


async def test_stt_notes_which_frames_it_got():
    listener = ScriptedSTT()

    await hear(listener, [numbered(n) for n in range(30)])

    assert [number_of(frame) for frame in listener.calls[0].frames] == list(range(30))


async def test_stt_recognizes_its_last_final():
    listener = ScriptedSTT([Wait(0.3), Final("hello")], [Fail(ProviderGoneError)], [])

    assert finals_of([await listener.recognize(frames(0.5))]) == ["hello"]
    with pytest.raises(ProviderGoneError):
        await listener.recognize(frames(0.5))
    assert finals_of([await listener.recognize(frames(0.5))]) == []
    assert listener.open_calls == []


async def test_vad_hears_a_tone_as_speech(census: Census):
    detector = ScriptedVAD()
    listener = stt.StreamAdapter(stt=ScriptedSTT([Final("hello")]), vad=detector)
    census.watch(detector)

    events = await hear(listener, frames(0.4) + frames(0.4, pitch=0) + frames(0.2))

    assert [event.type.value for event in events] == [
        "start_of_speech",
        "end_of_speech",
        "final_transcript",
        "start_of_speech",
    ]


@pytest.mark.parametrize("broken", [[Fail(ProviderGoneError)], [FailInCall(ProviderGoneError)]])
async def test_livekit_llm_adapter_fails_over_between_fakes(broken: list[Step]):
    primary, backup = ScriptedLLM(broken, name="a"), ScriptedLLM([Say("hi")], name="b")
    adapter = llm.FallbackAdapter([primary, backup])
    recorder = EventRecorder(adapter)

    assert text_of(await ask(adapter)) == "hi"
    assert recorder.names[0] == "llm_availability_changed"
    assert primary.listeners == backup.listeners == 1
    recorder.close()
    await adapter.aclose()
    assert primary.listeners == backup.listeners == 0


async def test_livekit_tts_adapter_fails_over_between_fakes():
    primary = ScriptedTTS([Fail(APIConnectionError)], name="a")
    backup = ScriptedTTS([Audio(0.4)], name="b", sample_rate=16_000)
    adapter = tts.FallbackAdapter([primary, backup], max_retry_per_tts=0)

    heard = await say(adapter, "Hello")
    await adapter.aclose()

    assert seconds_of(heard) == pytest.approx(0.4, abs=0.02)
    assert {frame.sample_rate for frame in heard} == {24_000}


async def test_livekit_stt_adapter_fails_over_between_fakes():
    def failing_then_fine(request: int) -> list[Step]:
        return [AfterAudio(0.1), Fail(APIConnectionError)] if request == 0 else [Hang()]

    primary = ScriptedSTT(failing_then_fine, name="a")
    backup = ScriptedSTT([AfterAudio(0.2), Final("hello")], name="b")
    adapter = stt.FallbackAdapter([primary, backup], max_retry_per_stt=0)

    async with adapter.stream() as stream:
        events = []
        for frame in frames(2.0):
            stream.push_frame(frame)
            await asyncio.sleep(0.02)
        stream.end_input()
        async for event in stream:
            events.append(event)
            break
    await adapter.aclose()

    assert finals_of(events) == ["hello"]


@pytest.mark.parametrize("kind", [ScriptedLLM, ScriptedSTT, ScriptedTTS])
async def test_provider_notes_that_it_was_closed_and_prewarmed(kind: Callable[..., ScriptedLLM]):
    provider = kind()

    provider.prewarm()
    await provider.aclose()

    assert (provider.prewarmed, provider.closed) == (1, True)
