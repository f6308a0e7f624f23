# SPDX-License-Identifier: Apache-2.0
"""A detector that fails is left for the next one, and the session hardly notices."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.vad import VAD

from livekit_fallback import (
    AdapterClosedError,
    EnergyVAD,
    FallbackAdapter,
    FallbackSTT,
    FallbackVAD,
    Provider,
)
from tests.support.detectors import Heard, Line, quiet, voice
from tests.support.fakes import Final, ScriptedSTT, finals_of, hear
from tests.support.faulty_vad import (
    DONE,
    END,
    START,
    Crash,
    Crawl,
    Fault,
    FaultyVAD,
    FaultyVADStream,
    Freeze,
    NoStream,
    Quit,
    Refuse,
    speak,
)
from tests.support.recorder import EventRecorder
from tests.support.script import now
from tests.support.virtual_time import block, turns

if TYPE_CHECKING:
    from tests.support.census import Census

# Speech from 1 s to 3 s, and silence to 4 s.
CALL = [*quiet(1.0), *voice(2.0), *quiet(1.0)]


class Deaf(FaultyVAD):
    """Hears no speech."""

    def stream(self) -> FaultyVADStream:
        opened = super().stream()
        opened.is_deaf = True
        return opened


EVERY_FAULT = [Crash, Refuse, Quit, Freeze]
in_silence_and_in_speech = pytest.mark.parametrize("after", [0.0, 0.5, 0.98, 2.0, 2.98, 3.1, 3.5])


def one_segment(heard: Heard) -> tuple[Any, Any]:
    """When the only segment was told to begin and to end."""
    heard.check()
    assert heard.marks == "()"
    return heard.at(START)[0], heard.at(END)[0]


async def test_a_healthy_detector_is_passed_on_untouched(census: Census):
    """Nothing is added, left out, delayed or renumbered."""
    bare = FaultyVAD()
    stream = bare.stream()
    expected: list[Any] = []

    async def listen() -> None:
        expected.extend([event async for event in stream])

    listening = asyncio.create_task(listen())
    await speak(stream, CALL, then=stream.end_input)
    await listening
    await stream.aclose()
    line = Line(census, FaultyVAD(), FaultyVAD())

    heard = await line.call(CALL)

    assert [e.type for _, e in heard.events] == [e.type for e in expected]
    for (at, told), bares in zip(heard.events, expected, strict=True):
        assert (told.samples_index, told.timestamp) == (bares.samples_index, bares.timestamp)
        assert told.speech_duration == bares.speech_duration
        assert told.frames[0].data == bares.frames[0].data
        assert at == pytest.approx(told.timestamp)
    assert line.failovers == []
    assert line.detectors[1].streams == []


@pytest.mark.parametrize("fault", EVERY_FAULT)
@in_silence_and_in_speech
async def test_a_failure_moves_on_within_300_ms(fault: type[Fault], after: float, census: Census):
    """The segment is told once, and from beginning to end, wherever the detector fails."""
    line = Line(census, FaultyVAD(fault(after)), FaultyVAD())

    heard = await line.call(CALL)

    ((at, _),) = line.failovers
    assert at - after <= 0.3
    began, ended = one_segment(heard)
    assert began == pytest.approx(1.02, abs=0.3)
    assert ended == pytest.approx(3.2, abs=0.3)
    (start,), (end,) = heard.of(START), heard.of(END)
    assert end.speech_duration == pytest.approx(2.0, abs=0.1)
    assert end.frames[0].duration == pytest.approx(end.timestamp - 1.0, abs=0.1)
    assert start.frames


@pytest.mark.parametrize("fault", EVERY_FAULT)
async def test_every_window_is_told_once(fault: type[Fault], census: Census):
    """The audio that was lying there is judged by the next detector, and none twice."""
    line = Line(census, FaultyVAD(fault(2.0)), FaultyVAD())

    heard = await line.call(CALL)

    told = [round(event.timestamp, 3) for event in heard.of(DONE)]
    assert told == [round(0.02 * (i + 1), 3) for i in range(200)]
    assert [e.samples_index for e in heard.of(DONE)] == [320 * (i + 1) for i in range(200)]


async def test_the_newest_second_is_heard_again(census: Census):
    """No more: detectors need little, and the caller waits."""
    backup = FaultyVAD()
    line = Line(census, FaultyVAD(Crash(2.0)), backup)

    await line.call(CALL)

    assert backup.streams[0].seconds == pytest.approx(1.0 + 2.0, abs=0.03)


async def test_how_much_is_heard_again_is_the_users_choice(census: Census):
    """Down to nothing."""
    backup = FaultyVAD()
    line = Line(census, FaultyVAD(Crash(2.0)), backup, replay_buffer_sec=0.0)

    heard = await line.call(CALL)

    assert backup.streams[0].seconds == pytest.approx(2.0, abs=0.03)
    one_segment(heard)


async def test_a_detector_that_cannot_be_opened_is_left_at_once(census: Census):
    """Before the first frame."""
    line = Line(census, FaultyVAD(NoStream()), FaultyVAD())

    heard = await line.call(CALL)

    assert line.failovers == [(0.0, "exception")]
    assert one_segment(heard) == (pytest.approx(1.02), pytest.approx(3.2))


@pytest.mark.parametrize("pace", [1.2, 2.0, 5.0])
async def test_a_detector_that_falls_behind_is_left(pace: float, census: Census):
    """When it is 300 ms behind, not when it stands still."""
    line = Line(census, FaultyVAD(Crawl(1.0, pace=pace)), FaultyVAD())

    heard = await line.call([*CALL, *quiet(2.0)])

    ((at, reason),) = line.failovers
    assert reason == "stall"
    behind = (at - 1.0) * (pace - 1.0) / pace
    assert 0.2 <= behind <= 0.3
    one_segment(heard)
    lateness = [at - event.timestamp for at, event in heard.events if event.type is DONE]
    assert max(lateness) <= 0.3


async def test_a_detector_that_is_just_fast_enough_is_kept(census: Census):
    """A window takes all the time until the next one is there."""
    line = Line(census, FaultyVAD(pace=0.99), FaultyVAD())

    heard = await line.call(CALL)

    assert line.failovers == []
    one_segment(heard)


async def test_a_detector_that_is_alone_may_be_late(census: Census):
    """It is no worse off than without the adapter: to begin anew would make it later still."""
    line = Line(census, FaultyVAD(Crawl(1.0, pace=1.2)))

    heard = await line.call(CALL)

    assert len(line.detectors[0].streams) == 1
    one_segment(heard)


async def test_a_detector_that_is_alone_and_hangs_is_begun_anew(census: Census):
    """Late, but not never."""
    line = Line(census, FaultyVAD(Freeze(1.5)))

    heard = await line.call([*CALL, *quiet(2.0), *voice(1.0), *quiet(1.0)])

    heard.check()
    assert len(line.detectors[0].streams) >= 2
    assert heard.marks == "()()"


async def test_nothing_is_owed_without_audio(census: Census):
    """A caller who is muted sends none, for as long as they like."""
    line = Line(census, FaultyVAD(window=0.05), FaultyVAD())
    stream = line.adapter.stream()
    await speak(stream, quiet(0.98))
    await asyncio.sleep(3600.0)
    await speak(stream, quiet(0.98))
    await stream.aclose()
    await line.adapter.aclose()

    assert line.failovers == []


@pytest.mark.parametrize("before", [0.1, 0.12, 0.14])
@pytest.mark.parametrize("after", [0.02, 0.04])
async def test_nothing_is_owed_after_a_flush_either(before: float, after: float):
    """Sessions flush when a turn ends, and a detector drops what is no whole window."""
    adapter = FallbackVAD([EnergyVAD(), EnergyVAD()])
    events = EventRecorder(adapter, ("failover",))
    stream = adapter.stream()
    await speak(stream, quiet(before), then=stream.flush)
    await speak(stream, quiet(after))
    await asyncio.sleep(60.0)
    await stream.aclose()
    await adapter.aclose()

    assert events.names == []


async def test_a_burst_of_audio_trips_nobody(census: Census):
    """A minute at once takes a while, though the detector is three times as fast as people."""
    line = Line(census, FaultyVAD(pace=0.33), FaultyVAD())
    stream = line.adapter.stream()
    for frame in [*quiet(30.0), *voice(29.0), *quiet(1.0)]:
        stream.push_frame(frame)
    stream.end_input()
    heard = Heard([(now(), event) async for event in stream])
    await stream.aclose()
    await line.adapter.aclose()

    assert line.failovers == []
    one_segment(heard)


async def test_a_blocked_loop_trips_nobody(census: Census):
    """Again and again: what was judged meanwhile has only not been read."""
    line = Line(census, FaultyVAD(pace=0.2), FaultyVAD())
    loop = asyncio.get_running_loop()
    for at in (0.502, 1.704, 2.906):  # each a little after a window was given
        loop.call_later(at, block, 0.9)

    heard = await line.call(CALL)

    assert line.failovers == []
    one_segment(heard)


@pytest.mark.parametrize(("first", "second"), [(0.02, 0.06), (0.06, 0.02), (0.032, 0.1)])
async def test_detectors_may_report_at_different_intervals(
    first: float, second: float, census: Census
):
    """And count samples at different rates: the session sees the first one's."""
    a, b = FaultyVAD(Crash(2.0), window=first), FaultyVAD(window=second, rate=8_000)
    line = Line(census, a, b)

    heard = await line.call(CALL)

    assert line.adapter.capabilities.update_interval == max(first, second)
    one_segment(heard)
    for event in heard.of(DONE):
        assert event.samples_index == pytest.approx(16_000 * event.timestamp, abs=1)
    (end,) = heard.of(END)
    assert end.frames[0].duration == pytest.approx(end.timestamp - 1.0, abs=0.1)


async def test_two_failures_in_one_word(census: Census):
    """The third detector ends what the first began."""
    line = Line(census, FaultyVAD(Crash(1.5)), FaultyVAD(Crash(1.5)), FaultyVAD())

    heard = await line.call(CALL)

    assert [reason for _, reason in line.failovers] == ["exception", "exception"]
    began, ended = one_segment(heard)
    assert (began, ended) == (pytest.approx(1.02), pytest.approx(3.2, abs=0.03))
    (end,) = heard.of(END)
    assert end.speech_duration == pytest.approx(2.0, abs=0.05)
    assert end.frames[0].duration == pytest.approx(2.2, abs=0.05)


async def test_speech_goes_on_to_count_over_a_failure(census: Census):
    """A caller who interrupts is let in after half a second of speech, whoever hears it."""
    line = Line(census, FaultyVAD(Crash(2.0)), FaultyVAD())

    heard = await line.call(CALL)

    spoken = [e.speech_duration for e in heard.of(DONE) if 1.1 < e.timestamp < 3.0]
    assert all(a < b for a, b in pairwise(spoken))
    assert all(e.speaking for e in heard.of(DONE) if 1.1 < e.timestamp < 3.0)


async def test_speech_that_was_over_is_not_told_twice(census: Census):
    """The next detector hears it again, and believes in its end much later."""
    line = Line(census, FaultyVAD(Crash(3.3)), FaultyVAD(min_silence=0.6))

    heard = await line.call([*CALL, *quiet(1.0)])

    assert one_segment(heard) == (pytest.approx(1.02), pytest.approx(3.2))


async def test_speech_that_only_the_next_detector_hears_is_told(census: Census):
    """A deaf detector has said nothing of a caller who still speaks."""
    line = Line(census, Deaf(Crash(1.6)), FaultyVAD())

    heard = await line.call(CALL)

    began, ended = one_segment(heard)
    assert began == pytest.approx(1.6, abs=0.1)
    assert ended == pytest.approx(3.2)
    (start,), (end,) = heard.of(START), heard.of(END)
    assert start.frames[0].duration == pytest.approx(0.6, abs=0.1)
    assert start.speech_duration == pytest.approx(0.6, abs=0.1)
    assert end.frames[0].duration == pytest.approx(2.2, abs=0.1)


async def test_speech_that_the_next_detector_did_not_hear_is_ended(census: Census):
    """It is given too little to hear that anybody spoke."""
    line = Line(census, FaultyVAD(Crash(3.1)), FaultyVAD(), replay_buffer_sec=0.0)

    heard = await line.call(CALL)

    _, ended = one_segment(heard)
    assert ended == pytest.approx(3.1 + 0.55, abs=0.05)
    (end,) = heard.of(END)
    assert end.speech_duration == pytest.approx(2.0, abs=0.05)
    assert end.silence_duration == pytest.approx(ended - 3.0, abs=0.05)
    assert not end.speaking


async def test_a_pause_between_two_segments_is_kept(census: Census):
    """Over a failure in it."""
    call = [*quiet(0.5), *voice(1.0), *quiet(0.6), *voice(1.0), *quiet(0.5)]
    line = Line(census, FaultyVAD(Crash(1.9)), FaultyVAD())

    heard = await line.call(call)

    heard.check()
    assert heard.marks == "()()"


async def test_an_open_segment_is_ended_when_nobody_is_left(census: Census):
    """And the stream goes on: whoever works again hears the rest of the call."""
    dead: list[Fault | None] = [Crash(1.5), *[NoStream()] * 60, None]
    line = Line(census, FaultyVAD(*dead), probe=None)

    heard = await line.call([*CALL, *quiet(12.0), *voice(1.0), *quiet(1.0)])

    heard.check()
    assert heard.marks[:2] == "()"
    assert heard.at(END)[0] <= 1.5 + 2.0 + 0.3
    assert heard.of(END)[0].frames
    exhausted = [r.event for r in line.emitted.records if r.name == "exhausted"]
    assert len(exhausted) >= 1
    assert exhausted[0].component == "vad"


class Absent(FaultyVAD):
    """Cannot be opened for twenty seconds of every forty, and dies as an outage begins."""

    def stream(self) -> FaultyVADStream:
        until = (5.0 - now()) % 40.0  # the next outage, if none is going on
        if until > 20.0:
            raise RuntimeError("no stream")
        self.faults = [Crash(until)]
        return super().stream()


async def test_the_call_is_heard_to_its_end_after_an_outage_of_all(census: Census):
    """Nobody has to restart anything, and what came meanwhile is not all told late."""
    detector = Absent()
    line = Line(census, detector, probe=None)

    heard = await line.call([*quiet(6.0), *voice(10.0), *quiet(15.0), *voice(1.0), *quiet(1.0)])

    assert one_segment(heard) == (pytest.approx(31.02, abs=0.1), pytest.approx(32.2, abs=0.1))
    told = [event.timestamp for event in heard.of(DONE)]
    (back_at,) = (b for a, b in pairwise(told) if b - a > 1.0)
    assert 23.9 <= back_at <= 30.1
    assert detector.streams[-1].seconds == pytest.approx(33.0 - back_at, abs=0.03)


async def test_each_outage_of_all_is_searched_anew(census: Census):
    """Often at first, then more and more rarely, whatever has been before."""
    line = Line(census, Absent(), probe=None)

    await line.call(quiet(65.0))

    at = [r.at - line.began_at for r in line.emitted.records if r.name == "exhausted"]
    between = [later - earlier for earlier, later in pairwise(at)]
    first = [gap for gap, when in zip(between, at, strict=False) if when < 20.0]
    second = [gap for gap, when in zip(between, at, strict=False) if when > 45.0]
    assert first[0] == pytest.approx(second[0], abs=0.7)
    assert first[-1] >= first[0] + 2.0


async def test_an_open_segment_is_ended_when_the_audio_ends(census: Census):
    """Whoever recognises utterance by utterance waits for it."""
    line = Line(census, FaultyVAD())

    heard = await line.call([*quiet(0.5), *voice(1.0)])

    _, ended = one_segment(heard)
    assert ended == pytest.approx(1.5)
    (end,) = heard.of(END)
    assert end.frames[0].duration == pytest.approx(1.0, abs=0.03)
    assert end.speech_duration == pytest.approx(1.0, abs=0.03)


async def test_a_flush_begins_a_new_segment(census: Census):
    """As LiveKit has it: without an end, and with a start for whoever speaks on."""
    line = Line(census, FaultyVAD(Crash(2.5)), FaultyVAD())
    stream = line.adapter.stream()
    await speak(stream, [*quiet(0.5), *voice(1.0)], then=stream.flush)
    await speak(stream, [*voice(3.0), *quiet(1.0)], then=stream.end_input)
    heard = Heard([(0.0, event) async for event in stream])
    await stream.aclose()
    await line.adapter.aclose()

    assert heard.marks == "(()"
    assert [reason for _, reason in line.failovers] == ["exception"]
    told = [round(event.timestamp, 3) for event in heard.of(DONE)]
    assert told == [round(0.02 * (i + 1), 3) for i in range(275)]


async def test_what_was_flushed_is_not_heard_again(census: Census):
    """The session has dealt with it already."""
    backup = FaultyVAD()
    line = Line(census, FaultyVAD(Crash(0.6)), backup)
    stream = line.adapter.stream()
    await speak(stream, [*quiet(0.1), *voice(0.4)], then=stream.flush)
    await speak(stream, quiet(1.6))
    await stream.aclose()
    await line.adapter.aclose()

    assert backup.streams[0].seconds == pytest.approx(1.6, abs=0.02)


async def test_nothing_is_left_behind_when_the_session_hangs_up(census: Census):
    """In silence, in speech, in mid-failover."""
    for seconds in (0.0, 0.5, 1.5, 1.9):
        line = Line(census, FaultyVAD(Freeze(1.45)), FaultyVAD())
        stream = line.adapter.stream()
        await speak(stream, CALL[: round(seconds * 50)])
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(RuntimeError):
            stream.push_frame(CALL[0])
        await line.adapter.aclose()
        assert line.emitted.names.count("vad_availability_changed") == (seconds > 1.7)


async def test_closing_the_adapter_ends_its_streams(census: Census):
    """And no new ones begin."""
    line = Line(census, FaultyVAD(), FaultyVAD())
    stream = line.adapter.stream()
    await speak(stream, CALL[:100])
    await line.adapter.aclose()

    with pytest.raises(AdapterClosedError):
        [event async for event in stream]
    with pytest.raises(RuntimeError, match="closed"):
        line.adapter.stream()
    await stream.aclose()


async def test_streams_do_not_disturb_each_other(census: Census):
    """The failure of one is known to both, and ends nothing in the other."""
    primary = FaultyVAD(Crash(2.0), None)
    line = Line(census, primary, FaultyVAD())

    first, second = await asyncio.gather(line.call(CALL), _call_on(line, CALL))

    one_segment(first)
    one_segment(second)


async def _call_on(line: Line, audio: list[Any]) -> Heard:
    stream, heard = line.adapter.stream(), Heard()

    async def listen() -> None:
        async for event in stream:
            heard.events.append((now() - line.began_at, event))

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await speak(stream, audio[:-1], then=stream.end_input)
    await listening
    await stream.aclose()
    return heard


# --- what the session reads ----------------------------------------------------------------------


def test_it_is_a_detector():
    """It is passed to the session as any other, and names itself."""
    adapter = FallbackVAD([FaultyVAD(label="a"), FaultyVAD(label="b")])

    assert isinstance(adapter, VAD)
    assert (adapter.model, adapter.provider) == ("a", "tests")
    assert adapter.component == "vad"
    assert [s.model for s in adapter.services] == ["a", "b"]


def test_one_name_for_all_adapters():
    """`FallbackAdapter` looks at the primary."""
    adapter = FallbackAdapter(FaultyVAD(), [FaultyVAD()], timeout=1.0, max_retries=1)

    assert type(adapter) is FallbackVAD


def test_the_shortest_silence_of_all_is_what_turn_detectors_are_told():
    """They refuse a detector that would end speech before they have looked at it."""

    class Known(FaultyVAD):
        min_silence_duration = 0.4

    class Shorter(FaultyVAD):
        min_silence_duration = 0.1

    assert FallbackVAD([FaultyVAD()]).min_silence_duration is None
    assert FallbackVAD([FaultyVAD(), Known()]).min_silence_duration == 0.4
    assert FallbackVAD([Known(), Shorter()]).min_silence_duration == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stall_timeout": 0}, "stall_timeout=0: must be"),
        ({"hedge_after_ms": 5}, "unknown option hedge_after_ms=5"),
        ({"turn_budget": None}, "unknown option turn_budget=None"),
        ({"max_retry_per_stt": 1}, "unknown option max_retry_per_stt=1"),
        ({"replay_buffer_sec": -1}, "replay_buffer_sec=-1: must be"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str):
    """Those that would do nothing, too."""
    with pytest.raises(ValueError, match=message):
        FallbackVAD([FaultyVAD()], **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hedge_after_ms", 100.0),
        ("latency_threshold_ms", 100.0),
        ("stateful", True),
        ("silence_timeout", 7.0),
    ],
)
def test_so_are_those_of_one_detector(option: str, value: Any):
    """A provider's own options are as meaningless."""
    with pytest.raises(ValueError, match=f"{option}={value}: must not be given for a provider of"):
        FallbackVAD([Provider(FaultyVAD(), **{option: value})])


async def test_who_is_not_to_be_watched_is_not(census: Census):
    """A detector that reports no windows can be judged by its exceptions alone."""
    primary = FaultyVAD(Freeze(1.0))
    census.watch(primary)
    backup = FaultyVAD()
    adapter = FallbackVAD([Provider(primary, stall_timeout=None), backup])
    stream = adapter.stream()
    await speak(stream, CALL)
    await turns(5)
    await stream.aclose()
    await adapter.aclose()

    assert backup.streams == []


async def test_an_utterance_is_recognised_whole_over_a_failure(census: Census):
    """A recogniser that cannot stream is given what the detectors have heard together."""
    line = Line(census, FaultyVAD(Crash(2.0)), FaultyVAD())
    recogniser = ScriptedSTT([Final("hello")], streaming=False)
    stt = FallbackSTT([recogniser], vad=line.adapter)

    events = await hear(stt, CALL)

    assert finals_of(events) == ["hello"]
    (call,) = recogniser.calls
    assert sum(frame.duration for frame in call.frames) == pytest.approx(2.2, abs=0.1)
    assert len(line.failovers) == 1
    await stt.aclose()
    await line.adapter.aclose()
