# SPDX-License-Identifier: Apache-2.0
"""Real speech, real detectors: the one that livekit-agents bundles, and the one by loudness."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import inference
from livekit.agents.vad import VADEventType

from examples.local_providers.dialogue import LINES, TURNS
from livekit_fallback import EnergyVAD, FallbackLLM, FallbackSTT, FallbackTTS, FallbackVAD
from tests.integration.phone import calling_agent
from tests.integration.speech import line
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from livekit.agents.vad import VAD, VADEvent, VADStream

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

EARS = "sphinx"

RATE = 16_000
NUMBERS = range(1, 11)
START, END = VADEventType.START_OF_SPEECH, VADEventType.END_OF_SPEECH

# Two windows of 32 ms for the start. At the end, soft sounds count as speech for the one detector
# and as noise for the other.
START_SEC = 0.1
END_SEC = 0.25

# Real time is not needed, and the detector takes about a millisecond per window.
SPEED = 8


class Mortal(inference.VAD):
    """The bundled detector, with streams that crash after so much audio, or stand still."""

    def __init__(self, lives: list[float], *, freezes: bool = False) -> None:
        super().__init__()
        self.lives = lives
        self.freezes = freezes

    def stream(self) -> VADStream:
        stream = super().stream()
        if self.lives:
            self._shorten(stream, self.lives.pop(0))
        return stream

    def _shorten(self, stream: Any, life: float) -> None:
        native, windows = stream._native_vad, iter(range(int(life / 0.032)))
        loop = asyncio.get_running_loop()
        stuck = self.freezes

        class Native:
            def reset(self) -> None:
                native.reset()

            def predict(self, window: Any) -> float:
                if next(windows, None) is None:
                    if stuck:
                        asyncio.run_coroutine_threadsafe(asyncio.sleep(2.0), loop).result()
                    else:
                        raise RuntimeError("the model has crashed")
                probability: float = native.predict(window)
                return probability

        stream._native_vad = Native()


async def hear(
    detector: VAD, audio: list[rtc.AudioFrame], *, speed: float = SPEED
) -> list[VADEvent]:
    """What a detector tells of audio that comes faster than people speak."""
    stream = detector.stream()
    events: list[VADEvent] = []

    async def listen() -> None:
        events.extend([event async for event in stream])

    listening = asyncio.create_task(listen())
    for frame in audio:
        stream.push_frame(frame)
        await asyncio.sleep(frame.duration / speed)
    stream.end_input()
    await listening
    await stream.aclose()
    return events


def segments(events: list[VADEvent]) -> list[tuple[VADEvent, VADEvent]]:
    """The starts and ends of speech, which come in pairs."""
    marks = [event for event in events if event.type in (START, END)]
    assert [event.type for event in marks] == [START, END] * (len(marks) // 2)
    return list(zip(marks[::2], marks[1::2], strict=True))


def audio_of(event: VADEvent) -> Any:
    return np.concatenate([np.asarray(frame.data) for frame in event.frames])


def call() -> list[rtc.AudioFrame]:
    """The caller's lines, one after the other."""
    return [frame for number in NUMBERS for frame in line(number)]


def noisy(audio: list[rtc.AudioFrame], decibels: float, gain: float = 1.0) -> list[rtc.AudioFrame]:
    """The same, softer and on a line that hisses."""
    dice = np.random.default_rng(7)
    hissing = []
    for frame in audio:
        hiss = dice.normal(0.0, 32_768 * 10 ** (decibels / 20), frame.samples_per_channel)
        mixed = np.clip(np.asarray(frame.data) * gain + hiss, -32_768, 32_767).astype(np.int16)
        hissing.append(rtc.AudioFrame(mixed.tobytes(), RATE, 1, len(mixed)))
    return hissing


@pytest.mark.parametrize(
    ("hiss", "gain"),
    [(-96.0, 1.0), (-60.0, 1.0), (-45.0, 1.0), (-60.0, 0.1)],
    ids=["clean", "quiet", "noisy", "soft"],
)
async def test_loudness_hears_what_the_model_hears(hiss: float, gain: float):
    """Every line begins and ends where the bundled detector says, on usable lines."""
    audio = noisy(call(), hiss, gain)

    expected = segments(await hear(inference.VAD(), audio, speed=50))
    heard = segments(await hear(EnergyVAD(), audio, speed=1000))

    assert len(heard) == len(expected) == len(NUMBERS)
    for (start, end), (model_start, model_end) in zip(heard, expected, strict=True):
        assert abs(start.timestamp - model_start.timestamp) <= START_SEC
        assert abs(end.timestamp - model_end.timestamp) <= END_SEC


@pytest.mark.parametrize("hiss", [-90.0, -60.0, -45.0, -30.0])
async def test_a_hissing_line_is_silence(hiss: float):
    """However loud."""
    nothing = [rtc.AudioFrame(bytes(640), RATE, 1, 320)] * 500

    assert segments(await hear(EnergyVAD(), noisy(nothing, hiss), speed=1000)) == []


async def test_a_healthy_primary_is_heard_as_it_is():
    """Event for event, sample for sample."""
    audio = list(line(1))

    expected = await hear(inference.VAD(), audio)
    adapter = FallbackVAD([inference.VAD(), EnergyVAD()])
    heard = await hear(adapter, audio)
    await adapter.aclose()

    assert [(e.type, e.samples_index, e.probability) for e in heard] == [
        (e.type, e.samples_index, e.probability) for e in expected
    ]
    for (_, end), (_, bare_end) in zip(segments(heard), segments(expected), strict=True):
        assert np.array_equal(audio_of(end), audio_of(bare_end))


@pytest.mark.parametrize("life", [0.2, 0.5, 1.0, 1.5, 2.1, 2.5])
@pytest.mark.parametrize("backup", [inference.VAD, EnergyVAD])
async def test_a_crash_in_mid_word_is_not_heard(backup: type[Any], life: float):
    """Starts, ends and the audio of the utterance are those of a call without a fault."""
    audio = list(line(1))
    ((start, end),) = segments(await hear(inference.VAD(), audio))

    adapter = FallbackVAD([Mortal([life]), backup()])
    events = EventRecorder(adapter, ("failover",))
    heard = segments(await hear(adapter, audio))
    await adapter.aclose()

    assert events.names == ["failover"]
    ((heard_start, heard_end),) = heard
    assert abs(heard_start.timestamp - start.timestamp) <= START_SEC
    assert abs(heard_end.timestamp - end.timestamp) <= END_SEC
    spoken, expected = audio_of(heard_end), audio_of(end)
    assert abs(len(spoken) - len(expected)) <= (START_SEC + END_SEC) * RATE
    whole = np.concatenate([np.asarray(frame.data) for frame in audio])
    last = round(heard_end.timestamp * RATE)
    assert np.array_equal(spoken, whole[last - len(spoken) : last])


async def test_a_model_that_stands_still_is_left_in_time():
    """Its thread hangs; the caller's words are heard by the next."""
    audio = list(line(1))
    ((start, end),) = segments(await hear(inference.VAD(), audio))

    adapter = FallbackVAD([Mortal([1.0], freezes=True), EnergyVAD()])
    events = EventRecorder(adapter, ("failover",))
    heard = segments(await hear(adapter, audio, speed=1))
    await adapter.aclose()

    (failover,) = [record.event for record in events.records]
    assert failover.reason == "stall"
    assert failover.elapsed == pytest.approx(1.0 + 0.3, abs=0.2)
    ((heard_start, heard_end),) = heard
    assert abs(heard_start.timestamp - start.timestamp) <= START_SEC
    assert abs(heard_end.timestamp - end.timestamp) <= END_SEC


@pytest.mark.parametrize(("rate", "frame_ms"), [(24_000, 50), (8_000, 20), (16_000, 10)])
async def test_a_muted_caller_trips_nobody_whatever_frame_was_the_last(rate: int, frame_ms: int):
    """The model resamples, and holds back a little of a window that is complete by the clock."""
    count = rate * frame_ms // 1000
    frame = rtc.AudioFrame(bytes(2 * count), rate, 1, count)
    adapter = FallbackVAD([inference.VAD(), EnergyVAD()])
    events = EventRecorder(adapter, ("failover",))
    streams = [adapter.stream() for _ in range(33)]

    for number, stream in enumerate(streams):
        for _ in range(number):
            stream.push_frame(frame)
        await asyncio.sleep(0.01)
    await asyncio.sleep(33 * frame_ms / 1000 + 3 * 0.24)  # twice their pace, and the stall timeout
    for stream in streams:
        await stream.aclose()
    await adapter.aclose()

    assert events.names == []


async def test_turns_go_on_after_the_detector_was_killed(
    providers: LocalProviders, plugins: Plugins
):
    """A real session answers the line in which it happened, and the next."""
    async with (
        contextlib.aclosing(FallbackVAD([Mortal([1.2]), EnergyVAD()])) as vad,
        contextlib.aclosing(FallbackSTT([plugins.deepgram_stt()])) as stt,
        contextlib.aclosing(FallbackLLM([plugins.openai_llm()])) as llm,
        contextlib.aclosing(FallbackTTS([plugins.cartesia_tts()])) as tts,
    ):
        events = EventRecorder(vad, ("failover",))
        async with calling_agent(stt, llm, tts, vad=vad) as caller:
            states: list[str] = []
            caller.session.on("user_state_changed", lambda ev: states.append(ev.new_state))
            await caller.turn(1)
            await caller.turn(2)

            assert caller.history == [
                ("user", LINES[0]),
                ("assistant", TURNS[0].answer),
                ("user", LINES[1]),
                ("assistant", TURNS[1].answer),
            ]
            # without a detector the caller is never heard to speak, and can interrupt nobody
            assert states == ["speaking", "listening"] * 2
            assert events.names == ["failover"]
            assert caller.errors == []
