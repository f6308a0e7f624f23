# SPDX-License-Identifier: Apache-2.0
"""A failed detector rests, is probed beside the call, and comes back when nobody speaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.detectors import Line, quiet, voice
from tests.support.faulty_vad import DONE, Crash, Crawl, FaultyVAD, Freeze, NoStream, speak

if TYPE_CHECKING:
    from livekit import rtc

    from tests.support.census import Census

MINUTE = quiet(60.0)


def recoveries(line: Line) -> list[float]:
    return [r.at - line.began_at for r in line.emitted.records if r.name == "recovery"]


def talk(*seconds: float) -> list[rtc.AudioFrame]:
    """Silence and speech by turns."""
    return [
        frame
        for i, length in enumerate(seconds)
        for frame in (voice(length) if i % 2 else quiet(length))
    ]


async def test_a_good_detector_comes_back_in_silence(census: Census):
    """After its rest, its probe, and a second in which nobody spoke."""
    primary, backup = FaultyVAD(Crash(1.0)), FaultyVAD()
    line = Line(census, primary, backup)

    heard = await line.call(quiet(12.0))

    heard.check()
    (at,) = recoveries(line)
    assert 6.0 <= at <= 7.5
    assert len(primary.streams) == 3  # the failed one, the probe, the one that came back
    told = [round(event.timestamp, 3) for event in heard.of(DONE)]
    assert told == [round(0.02 * (i + 1), 3) for i in range(600)]


async def test_nobody_comes_back_while_somebody_speaks(census: Census):
    """The caller speaks for as long as they like; the return waits for the second after it."""
    line = Line(census, FaultyVAD(Crash(1.0)), FaultyVAD())

    heard = await line.call(talk(2.0, 10.0, 5.0))

    heard.check()
    assert heard.marks == "()"
    (at,) = recoveries(line)
    assert 13.0 <= at <= 14.5


async def test_it_waits_for_a_second_of_silence(census: Census):
    """A pause for breath is none."""
    line = Line(census, FaultyVAD(Crash(1.0)), FaultyVAD())

    heard = await line.call(talk(2.0, *[3.0, 0.7] * 4, 3.0, 3.0))

    heard.check()
    assert heard.marks == "()" * 5
    (at,) = recoveries(line)
    assert at >= 19.8


@pytest.mark.parametrize("fault", [Freeze(0.1), Crawl(0.0, pace=1.5), NoStream(), Crash(0.2)])
async def test_a_bad_probe_sends_it_away_for_longer(fault: object, census: Census):
    """Also one that judges the first windows and then stands still, or is too slow for a call."""
    primary = FaultyVAD(Crash(1.0), fault)  # type: ignore[arg-type]
    line = Line(census, primary, FaultyVAD())

    await line.call(quiet(20.0))

    (at,) = recoveries(line)
    assert 16.0 <= at <= 18.0


@pytest.mark.parametrize("probe", ["ping", "live"])
async def test_other_probes_bring_it_back_too(probe: str, census: Census):
    """Half a second of silence, or the call itself."""
    line = Line(census, FaultyVAD(Crash(1.0)), FaultyVAD(), probe=probe)

    heard = await line.call(quiet(12.0))

    heard.check()
    assert len(recoveries(line)) == 1


async def test_without_probes_it_stays_away(census: Census):
    """Until somebody lets it in."""
    line = Line(census, FaultyVAD(Crash(1.0)), FaultyVAD(), probe=None)

    stream = line.adapter.stream()
    await speak(stream, quiet(30.0))
    assert recoveries(line) == []
    line.adapter.enable("faultyvad")
    await speak(stream, quiet(2.0))
    await stream.aclose()
    await line.adapter.aclose()

    assert len(recoveries(line)) == 1


async def test_an_operator_takes_a_detector_out_between_two_segments(census: Census):
    """Not in the middle of a word."""
    primary, backup = FaultyVAD(), FaultyVAD()
    line = Line(census, primary, backup)
    asyncio.get_running_loop().call_later(2.0, line.adapter.disable, primary)

    heard = await line.call(talk(1.0, 3.0, 3.0))

    heard.check()
    assert heard.marks == "()"
    assert backup.streams[0].seconds == pytest.approx(1.0 + 7.0 - 5.2, abs=1.1)


async def test_availability_is_told(census: Census):
    """The wrapped instance, and what happened to it."""
    primary = FaultyVAD(Crash(1.0))
    line = Line(census, primary, FaultyVAD())

    await line.call(quiet(12.0))

    told = [r.event for r in line.emitted.records if r.name == "vad_availability_changed"]
    assert [event.available for event in told] == [False, True]
    assert {event.vad for event in told} == {primary}
    assert told[0].reason == "exception"
    assert isinstance(told[0].error, RuntimeError)


async def test_health_counts_seconds_of_audio(census: Census):
    """Each second heard in time is a request served."""
    line = Line(census, FaultyVAD(), FaultyVAD())

    await line.call(quiet(10.02))

    health = line.adapter.get_service_health(line.detectors[0])
    assert health.successes == pytest.approx(10, abs=1)
    assert sum(health.failures.values()) == 0


async def test_metrics_are_those_of_the_detector_at_work(census: Census):
    """Once for each second, and none of probes."""
    line = Line(census, FaultyVAD(Crash(2.0), label="a"), FaultyVAD(label="b"))

    await line.call(quiet(12.0))

    metrics = [r.event for r in line.emitted.records if r.name == "metrics_collected"]
    assert [m.metadata.model_name for m in metrics][:2] == ["a", "b"]
    assert sum(m.inference_count for m in metrics) <= 600 + 2 * 50
    assert len(metrics) >= 9


async def test_a_flapping_detector_loses_no_segment(census: Census):
    """It dies again each time it has come back."""
    faults = [Crash(1.0), None] * 6
    line = Line(census, FaultyVAD(*faults), FaultyVAD(), temporary_disable_sec=1.0)

    heard = await line.call(talk(*[1.5, 2.0] * 10, 1.0))

    heard.check()
    assert heard.marks == "()" * 10
