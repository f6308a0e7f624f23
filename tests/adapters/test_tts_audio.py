# SPDX-License-Identifier: Apache-2.0
"""Audio of any rate comes out as declared, with its word timings, its final mark, its metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.tts import SynthesizedAudio
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, USERDATA_TTS_STARTED_TIME

from livekit_fallback import FallbackTTS
from livekit_fallback.adapters._format import Format, Resampling
from tests.support.audio import frame, pitch_of, tone
from tests.support.chains import voices
from tests.support.errors import gone
from tests.support.fakes import (
    Audio,
    AwaitText,
    Fail,
    Hang,
    ScriptedTTS,
    Silence,
    Wait,
    Words,
    say,
    seconds_of,
)
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from livekit.agents.tts import AudioEmitter

    from tests.support.census import Census

TEXT = "Good evening, and welcome to the house."
RATES = [16_000, 22_050, 24_000, 48_000]
PITCH = 440.0
SPOKEN = [Audio(2.0, PITCH)]


class StereoVoice(ScriptedTTS):
    """Declares one channel and speaks with two."""

    def start_emitter(self, emitter: AudioEmitter, *, stream: bool) -> None:
        self._num_channels = 2
        super().start_emitter(emitter, stream=stream)
        self._num_channels = 1


def cut(samples: bytes, size: int) -> list[bytes]:
    """These samples in pieces of so many bytes; what is left over at the end is dropped."""
    return [samples[i : i + size] for i in range(0, len(samples) - size + 1, size)]


async def _all_of(stream: AsyncIterable[SynthesizedAudio]) -> list[SynthesizedAudio]:
    return [audio async for audio in stream]


@pytest.mark.parametrize("adapter_rate", RATES)
@pytest.mark.parametrize("voice_rate", RATES)
async def test_any_rate_comes_out_at_the_adapters_rate(
    voice_rate: int, adapter_rate: int, census: Census
):
    """Pitch and length of the speech are kept, whatever the two rates are."""
    voice = ScriptedTTS(SPOKEN, sample_rate=voice_rate)
    chain = voices(census, voice, sample_rate=adapter_rate)

    heard = await say(chain.adapter, TEXT)

    assert {f.sample_rate for f in heard} == {adapter_rate}
    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert pitch_of(heard) == pytest.approx(PITCH, rel=0.01)


@pytest.mark.parametrize("frame_rate", [16_000, 22_050, 48_000])
async def test_a_wrongly_declared_rate_does_not_change_the_voice(frame_rate: int, census: Census):
    """What counts is the rate that the frames have, not the one that the voice declares."""
    chain = voices(census, ScriptedTTS(SPOKEN, sample_rate=24_000, frame_rate=frame_rate))

    heard = await say(chain.adapter, TEXT)

    assert {f.sample_rate for f in heard} == {24_000}
    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert pitch_of(heard) == pytest.approx(PITCH, rel=0.01)


async def test_a_rate_that_changes_between_replies_is_followed(census: Census):
    """Each reply is resampled from the rate that its own frames have."""
    voice = ScriptedTTS(SPOKEN, sample_rate=24_000)
    chain = voices(census, voice)

    replies = []
    for rate in (16_000, 24_000, 48_000):
        voice.frame_rate = rate
        replies.append(await say(chain.adapter, TEXT))

    assert [seconds_of(heard) for heard in replies] == pytest.approx([2.0] * 3, abs=0.02)
    assert [pitch_of(heard) for heard in replies] == pytest.approx([PITCH] * 3, rel=0.01)


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param((16_000, 48_000), id="up"),
        pytest.param((48_000, 22_050), id="down"),
        pytest.param((24_000, 16_000), id="from-the-adapters-rate"),
        pytest.param((48_000, 24_000), id="to-the-adapters-rate"),
        pytest.param((48_000, 24_000, 48_000), id="there-and-back"),
    ],
)
def test_a_rate_that_changes_in_mid_reply_loses_nothing(rates: tuple[int, ...]):
    """Every second is heard whole, in its place and at its pitch, whatever rate it came at."""
    resampling = Resampling(Format(24_000, 1))
    pitches = [PITCH * number for number in range(1, len(rates) + 1)]
    seconds = [
        frame(tone(1.0, pitch=pitch, rate=rate), rate=rate)
        for pitch, rate in zip(pitches, rates, strict=True)
    ]

    heard = [
        piece.frame
        for second in seconds
        for piece in resampling.convert(
            SynthesizedAudio(second, "request", is_final=second is seconds[-1])
        )
    ]

    samples = b"".join(bytes(piece.data) for piece in heard)
    found = [pitch_of([frame(second, rate=24_000)]) for second in cut(samples, 48_000)]
    assert {piece.sample_rate for piece in heard} == {24_000}
    assert seconds_of(heard) == pytest.approx(len(rates), abs=0.001)
    assert found[: len(rates)] == pytest.approx(pitches, rel=0.01)


async def test_the_next_voice_may_have_another_rate(census: Census):
    """A switch between voices of different rates is heard as a switch of voices only."""
    silent = ScriptedTTS([Silence(0.4), Fail(gone())], sample_rate=48_000)
    chain = voices(census, silent, ScriptedTTS(SPOKEN, sample_rate=16_000))

    heard = await say(chain.adapter, TEXT)

    assert {f.sample_rate for f in heard} == {48_000}
    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert pitch_of(heard) == pytest.approx(PITCH, rel=0.01)


async def test_two_streams_at_once_do_not_share_a_resampler(census: Census):
    """Replies spoken at the same time, frame by frame, are both clean."""
    slow = [step for _ in range(10) for step in (Audio(0.2, PITCH), Wait(0.05))]
    high = [step for _ in range(10) for step in (Audio(0.2, 2 * PITCH), Wait(0.05))]
    chain = voices(census, ScriptedTTS(slow, high, sample_rate=22_050), sample_rate=48_000)

    heard = await asyncio.gather(say(chain.adapter, TEXT), say(chain.adapter, TEXT))

    assert [seconds_of(frames) for frames in heard] == pytest.approx([2.0, 2.0], abs=0.02)
    assert sorted(pitch_of(frames) for frames in heard) == pytest.approx(
        [PITCH, 2 * PITCH], rel=0.02
    )


@pytest.mark.parametrize("rate", [24_000, 16_000], ids=["same-rate", "resampled"])
async def test_frames_with_other_channels_than_declared_move_on(rate: int, census: Census):
    """Audio that would play garbled is not handed over: the next voice speaks instead."""
    chain = voices(census, StereoVoice(SPOKEN, sample_rate=rate), SPOKEN)

    heard = await say(chain.adapter, TEXT)

    assert {f.num_channels for f in heard} == {1}
    assert seconds_of(heard) == pytest.approx(2.0)
    assert chain.unavailable == ["a"]


def test_voices_with_different_channels_are_refused():
    """The mistake is said when the adapter is made, not heard when it speaks."""
    with pytest.raises(ValueError, match="num_channels"):
        FallbackTTS([ScriptedTTS(), ScriptedTTS(num_channels=2)])


def test_the_adapter_speaks_at_the_best_rate_of_its_voices():
    """No voice loses quality, unless another rate is asked for."""
    best = FallbackTTS([ScriptedTTS(sample_rate=16_000), ScriptedTTS(sample_rate=44_100)])
    asked = FallbackTTS([ScriptedTTS(sample_rate=16_000)], sample_rate=8_000)

    assert (best.sample_rate, asked.sample_rate) == (44_100, 8_000)


@pytest.mark.parametrize("rate", [24_000, 22_050], ids=["same-rate", "resampled"])
async def test_word_timings_come_through(rate: int, census: Census):
    """Every word arrives once, in order, with its times, at or before its own audio."""
    script = [Words("one two three"), Audio(0.6), Words("four five", start=0.6), Audio(0.4)]
    voice = ScriptedTTS(script, sample_rate=rate, aligned_transcript=True)
    chain = voices(census, voice, sample_rate=24_000)

    heard = await say(chain.adapter, "one two three four five")

    timed = [w for f in heard for w in f.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
    assert [str(word).strip() for word in timed] == ["one", "two", "three", "four", "five"]
    assert [word.start_time for word in timed] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


async def test_word_timings_of_a_voice_in_vain_are_not_heard(census: Census):
    """Words that a failed voice announced without speaking them leave no trace."""
    vain = ScriptedTTS([Words("never heard"), Silence(0.4), Fail(gone())])
    chain = voices(census, vain, ScriptedTTS([Words(TEXT), *SPOKEN]))

    heard = await say(chain.adapter, TEXT)

    timed = [w for f in heard for w in f.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
    assert [str(word).strip() for word in timed] == TEXT.split()


@pytest.mark.parametrize("rate", [24_000, 16_000], ids=["same-rate", "resampled"])
@pytest.mark.parametrize("way", ["stream", "synthesize"])
async def test_the_last_frame_and_only_the_last_is_final(way: str, rate: int, census: Census):
    """The session learns the end of a segment from its final frame, also when resampled."""
    chain = voices(census, ScriptedTTS(SPOKEN, sample_rate=rate), sample_rate=24_000)

    if way == "stream":
        async with chain.adapter.stream() as stream:
            stream.push_text(TEXT)
            stream.end_input()
            heard = await _all_of(stream)
    else:
        async with chain.adapter.synthesize(TEXT) as stream:
            heard = await _all_of(stream)

    assert [audio.is_final for audio in heard] == [False] * (len(heard) - 1) + [True]
    assert len({audio.segment_id for audio in heard}) == 1


def test_of_a_final_frame_in_pieces_the_last_is_final():
    """Resampling may cut the last frame into several: the segment ends with the last of them."""
    whole = frame(tone(1.0, rate=16_000), rate=16_000)
    resampling = Resampling(Format(48_000, 1))

    pieces = resampling.convert(SynthesizedAudio(whole, "request", is_final=True))

    assert len(pieces) > 1
    assert [piece.is_final for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert seconds_of([piece.frame for piece in pieces]) == pytest.approx(1.0, abs=0.01)


async def test_frames_carry_the_time_of_the_first_text(census: Census):
    """The time to the first audio is counted from the caller's text, over a switch as well."""
    chain = voices(census, [Hang()], SPOKEN, attempt_timeout=1.0)
    clock = asyncio.get_running_loop().time

    async with chain.adapter.stream() as stream:
        await asyncio.sleep(3.0)
        stream.push_text(" ")
        await asyncio.sleep(0.5)
        asked_at = clock()
        stream.push_text(TEXT)
        stream.end_input()
        heard = await _all_of(stream)

    started = [audio.frame.userdata[USERDATA_TTS_STARTED_TIME] for audio in heard]
    assert started == pytest.approx([asked_at] * len(heard), abs=0.01)


async def test_synthesized_frames_carry_the_time_of_the_call(census: Census):
    """In `synthesize()` the text is there from the beginning."""
    chain = voices(census, [Hang()], SPOKEN, attempt_timeout=1.0)
    asked_at = asyncio.get_running_loop().time()

    async with chain.adapter.synthesize(TEXT) as stream:
        heard = await _all_of(stream)

    started = [audio.frame.userdata[USERDATA_TTS_STARTED_TIME] for audio in heard]
    assert started == pytest.approx([asked_at] * len(heard), abs=0.01)


@pytest.mark.parametrize("live", [True, False], ids=["live-text", "text-at-once"])
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("way", ["stream", "synthesize"])
async def test_metrics_are_those_of_the_voice_that_spoke_once(
    way: str, streaming: bool, live: bool, census: Census
):
    """One reply, one metrics event, whoever failed before it and however it was asked."""
    vain = [AwaitText(10_000), Silence(1.0)]
    chain = voices(
        census,
        ScriptedTTS(vain if streaming else vain[1:], streaming=streaming),
        ScriptedTTS(SPOKEN, streaming=streaming),
    )

    if way == "synthesize":
        async with chain.adapter.synthesize(TEXT) as chunked:
            await _all_of(chunked)
    else:
        async with chain.adapter.stream() as stream:
            await turns(20 if live else 0)
            stream.push_text(TEXT)
            stream.end_input()
            await _all_of(stream)
    await turns(20)

    metrics: list[Any] = chain.events.of("metrics_collected")
    assert [m.label for m in metrics] == ["b"]
    assert metrics[0].metadata.model_name == "b-model"
    assert metrics[0].characters_count == len(TEXT)


@pytest.mark.parametrize("first", [True, False], ids=["streaming-first", "streaming-last"])
async def test_streaming_and_other_voices_may_be_mixed(first: bool, census: Census):
    """A voice that cannot stream is wrapped, and one of either kind takes over from the other."""
    chain = voices(
        census,
        ScriptedTTS([Fail(gone())], streaming=first),
        ScriptedTTS(SPOKEN, streaming=not first),
    )

    heard = await say(chain.adapter, TEXT)

    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert [call.kind for call in chain.providers["b"].calls] == [
        "synthesize" if first else "stream"
    ]
    assert chain.adapter.capabilities.streaming


@pytest.mark.parametrize(
    ("streaming", "aligned", "expected"),
    [
        ((True, True), (True, True), (True, True)),
        ((True, False), (True, False), (True, False)),
        ((False, True), (False, True), (True, False)),
        ((False, False), (True, True), (False, True)),
    ],
)
def test_capabilities_are_combined(streaming, aligned, expected):
    """Any voice that streams is enough; word timings are promised only if all have them."""
    adapter = FallbackTTS(
        [
            ScriptedTTS(name=name, streaming=s, aligned_transcript=a)
            for name, s, a in zip("ab", streaming, aligned, strict=True)
        ]
    )

    found = adapter.capabilities

    assert (found.streaming, found.aligned_transcript) == expected
