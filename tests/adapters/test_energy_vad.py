# SPDX-License-Identifier: Apache-2.0
"""The detector by loudness as LiveKit sees it: its events, their frames, its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.vad import VADEvent, VADEventType

from livekit_fallback import EnergyVAD
from tests.support.audio import frames, tone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.census import Census

START, DONE, END = (
    VADEventType.START_OF_SPEECH,
    VADEventType.INFERENCE_DONE,
    VADEventType.END_OF_SPEECH,
)


def babble(seconds: float, *, rate: int = 16_000) -> list[rtc.AudioFrame]:
    """A tone that swells and fades four times a second, as syllables do."""
    samples = np.frombuffer(tone(seconds, rate=rate), np.int16)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * np.arange(len(samples)) / rate)
    return cut((samples * swell).astype(np.int16), rate)


def cut(samples: Any, rate: int) -> list[rtc.AudioFrame]:
    size = rate // 50
    parts = [samples[i : i + size] for i in range(0, len(samples), size)]
    return [rtc.AudioFrame(part.tobytes(), rate, 1, len(part)) for part in parts]


def quiet(seconds: float, *, rate: int = 16_000) -> list[rtc.AudioFrame]:
    return frames(seconds, pitch=0.0, rate=rate)


async def hear(detector: EnergyVAD, audio: Iterable[rtc.AudioFrame]) -> list[VADEvent]:
    stream = detector.stream()
    for frame in audio:
        stream.push_frame(frame)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    return events


def of(kind: VADEventType, events: list[VADEvent]) -> list[VADEvent]:
    return [event for event in events if event.type is kind]


def length(event: VADEvent) -> float:
    return sum(frame.duration for frame in event.frames)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_speech_is_heard_at_any_rate(rate: int, census: Census):
    """One start and one end, in time, with the whole of the utterance."""
    audio = [*quiet(1.0, rate=rate), *babble(2.0, rate=rate), *quiet(1.0, rate=rate)]

    events = await hear(EnergyVAD(), audio)

    (start,), (end,) = of(START, events), of(END, events)
    assert start.timestamp == pytest.approx(1.0, abs=0.15)
    assert end.timestamp == pytest.approx(3.0 + 0.25, abs=0.15)
    assert end.speech_duration == pytest.approx(2.0, abs=0.15)
    assert end.silence_duration == pytest.approx(0.25, abs=0.04)
    assert length(start) == pytest.approx(0.5 + start.speech_duration, abs=0.04)
    assert length(end) == pytest.approx(end.timestamp - start.timestamp + length(start), abs=0.01)
    assert {frame.sample_rate for event in events for frame in event.frames} == {rate}


async def test_every_window_is_reported(census: Census):
    """One INFERENCE_DONE per update interval, counted on, with its own audio."""
    detector = EnergyVAD()

    events = of(DONE, await hear(detector, babble(1.0)))

    assert len(events) == int(1.0 / detector.capabilities.update_interval)
    assert [event.samples_index for event in events] == [512 * (i + 1) for i in range(31)]
    assert all(event.timestamp == pytest.approx(event.samples_index / 16_000) for event in events)
    heard = b"".join(bytes(event.frames[0].data.cast("B")) for event in events)
    assert b"".join(bytes(f.data.cast("B")) for f in babble(1.0)).startswith(heard)


async def test_the_mean_of_all_channels_is_judged(census: Census):
    """Speech in one of two channels is speech; the events' audio is mono."""
    audio = []
    for frame in [*quiet(0.5), *babble(1.0), *quiet(0.5)]:
        samples = np.frombuffer(frame.data, np.int16)
        both = np.stack([samples, np.zeros_like(samples)], axis=1)
        audio.append(rtc.AudioFrame(both.tobytes(), 16_000, 2, len(samples)))

    events = await hear(EnergyVAD(), audio)

    assert len(of(START, events)) == len(of(END, events)) == 1
    assert {frame.num_channels for event in events for frame in event.frames} == {1}


async def test_a_constant_offset_is_silence(census: Census):
    """Cheap sound cards add one."""
    offset = np.full(16_000, 3_000, np.int16)
    audio = [*quiet(0.5), *cut(offset, 16_000)]

    assert of(START, await hear(EnergyVAD(), audio)) == []


async def test_a_flush_begins_a_new_segment(census: Census):
    """A hard boundary: no end is told, and whoever speaks on is heard to begin again."""
    stream = EnergyVAD().stream()
    for frame in [*quiet(0.5), *babble(1.0)]:
        stream.push_frame(frame)
    stream.flush()
    for frame in [*babble(1.0), *quiet(1.0)]:
        stream.push_frame(frame)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()

    kinds = [event.type for event in events if event.type is not DONE]
    indices = [event.samples_index for event in events]
    assert kinds == [START, START, END]
    assert indices == sorted(indices)
    # the rest of a window that the flush cut off is counted, though not judged
    assert events[-1].timestamp == pytest.approx(3.5, abs=0.032)


async def test_another_rate_begins_anew(census: Census):
    """Frames of two rates are never mixed in one event."""
    events = await hear(
        EnergyVAD(), [*babble(0.5), *quiet(0.5, rate=8_000), *babble(0.5, rate=8_000)]
    )

    assert all(len({f.sample_rate for f in event.frames}) == 1 for event in events)
    assert of(START, events)


async def test_long_speech_is_kept_up_to_a_limit(census: Census):
    """Memory has an end; the durations are true all the same."""
    detector = EnergyVAD(max_buffered_speech=1.0, prefix_padding_duration=0.0)

    (end,) = of(END, await hear(detector, [*quiet(0.5), *babble(3.0), *quiet(0.5)]))

    assert length(end) == pytest.approx(1.0, abs=0.1)
    assert end.speech_duration == pytest.approx(3.0, abs=0.15)


async def test_without_padding_the_next_segment_has_no_audio_of_the_last(census: Census):
    """Zero is a number like any other."""
    detector = EnergyVAD(prefix_padding_duration=0.0)

    audio = [*quiet(0.5), *babble(1.0), *quiet(0.5), *babble(1.0), *quiet(0.5)]
    events = await hear(detector, audio)

    assert [length(start) for start in of(START, events)] == [pytest.approx(0.064)] * 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("min_speech_duration", -0.1),
        ("min_silence_duration", "long"),
        ("prefix_padding_duration", float("inf")),
        ("max_buffered_speech", 0),
        ("min_speech_duration", True),
    ],
)
def test_wrong_options_are_refused(option: str, value: Any):
    """The text names the option, the value and what is allowed."""
    with pytest.raises(ValueError, match=f"{option}=.*: must be a number of seconds"):
        EnergyVAD(**{option: value})


def test_it_says_what_it_is():
    """The session reads these."""
    detector = EnergyVAD(min_silence_duration=0.4)

    assert (detector.model, detector.provider) == ("energy", "livekit_fallback")
    assert detector.min_silence_duration == 0.4
    assert detector.capabilities.update_interval == 0.032
