# SPDX-License-Identifier: Apache-2.0
"""The real Cartesia, OpenAI and Deepgram voices behind FallbackTTS, and every fault on a wire."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIError

from livekit_fallback import AllProvidersFailedError, FallbackTTS, Provider
from tests.integration.support import (
    ATTEMPT,
    DEADLINES,
    LATE,
    REFUSALS,
    SLACK,
    Cases,
    Fault,
    failovers,
    recoverable,
    served,
    statuses,
    until,
    wrote,
)
from tests.integration.voice import TEXT, WORDS, assert_whole, heard, said
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.tts import TTS

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

HEARD = 10  # chunks of a tenth of a second, enough for every plugin to pass something on

# What a fault is called does not depend on the way it comes ...
ALL: Cases = {
    "refuse": ({"mode": "refuse"}, "connection"),
    **statuses(401, 503),
    "hang_connect": ({"mode": "hang_connect"}, "first_output_timeout"),
    "hang": ({"mode": "hang"}, "first_output_timeout"),
    "keepalive": ({"mode": "keepalive", "gap": 0.1}, "first_output_timeout"),
    "slow": ({"mode": "slow", "delay": LATE}, "first_output_timeout"),
    "silence": ({"mode": "silence"}, "digital_silence"),
    # LiveKit's base class takes a 499 for a cancellation and ends the stream quietly
    "status 499": ({"mode": "status", "status": 499}, "empty"),
    # ... and these the plugins themselves notice, each kind of wire in its own words
    "no_audio": ({"mode": "no_audio"}, "api_error"),
}
SOCKET: Cases = {
    **ALL,
    "drop": ({"mode": "drop"}, "closed_1006"),
    "empty": ({"mode": "empty"}, "closed_1000"),
    "error_frame": ({"mode": "error_frame"}, "api_error"),
    "garbage": ({"mode": "garbage"}, "connection"),
}
BODY: Cases = {
    **ALL,
    "drop": ({"mode": "drop"}, "connection"),
    "empty": ({"mode": "empty"}, "api_error"),
    # raw samples have no way to report an error but to break off, and all bytes are some sound
    "error_frame": ({"mode": "error_frame"}, "connection"),
}
EVENTS: Cases = {
    **BODY,
    "error_frame": ({"mode": "error_frame"}, "api_error"),
    "garbage": ({"mode": "garbage"}, "api_error"),
}
BEFORE_COMMIT: dict[str, Cases] = {
    "cartesia stream": {**SOCKET, **statuses(*REFUSALS)},
    "cartesia synthesize": BODY,
    # LiveKit's StreamAdapter misses the sound where the plugin alone ends quietly
    "openai stream": {**EVENTS, "status 499": (EVENTS["status 499"][0], "api_error")},
    "openai synthesize": EVENTS,
    "deepgram stream": SOCKET,
    "deepgram synthesize": BODY,
}

STALLED: Cases = {
    "stall": ({"mode": "stall", "after": HEARD}, "stall"),
    "slow": ({"mode": "slow", "after": HEARD, "delay": LATE}, "stall"),
    "keepalive": ({"mode": "keepalive", "after": HEARD, "gap": 0.1}, "stall"),
    "drip": ({"mode": "drip", "after": HEARD, "gap": LATE}, "stall"),
}
TORN_SOCKET: Cases = {
    "stall": STALLED["stall"],
    "drop": ({"mode": "drop", "after": HEARD}, "closed_1006"),
    "truncate": ({"mode": "truncate", "after": HEARD}, "closed_1000"),
    "error_frame": ({"mode": "error_frame", "after": HEARD}, "api_error"),
    "garbage": ({"mode": "garbage", "after": HEARD}, "connection"),
}
TORN_BODY: Cases = {
    "stall": STALLED["stall"],
    "drop": ({"mode": "drop", "after": HEARD}, "connection"),
    # plugins report a body that is cut off as a good end: only its length gives it away
    "truncate": ({"mode": "truncate", "after": HEARD}, "cut_short"),
}
TORN_EVENTS: Cases = {
    **TORN_BODY,
    "error_frame": ({"mode": "error_frame", "after": HEARD}, "cut_short"),
    "garbage": ({"mode": "garbage", "after": HEARD}, "cut_short"),
}
AFTER_COMMIT: dict[str, Cases] = {
    "cartesia stream": {**TORN_SOCKET, **STALLED},
    "cartesia synthesize": TORN_BODY,
    "openai stream": TORN_EVENTS,
    "openai synthesize": TORN_EVENTS,
    "deepgram stream": TORN_SOCKET,
    "deepgram synthesize": TORN_BODY,
}


def each_way(table: dict[str, Cases]) -> pytest.MarkDecorator:
    """Run a test of ``way``, ``fault`` and ``reason`` for each way to a voice and each case."""
    params = [
        pytest.param(way, fault, reason, id=f"{way}, {name}")
        for way, cases in table.items()
        for name, (fault, reason) in cases.items()
    ]
    return pytest.mark.parametrize(("way", "fault", "reason"), params)


def chain(plugins: Plugins, vendor: str = "cartesia", **options: Any) -> Chain:
    """The vendor's voice, and one of another vendor behind it."""
    make: dict[str, Callable[[], TTS]] = {
        "cartesia": plugins.cartesia_tts,
        "openai": plugins.openai_tts,
        "deepgram": plugins.deepgram_tts,
    }
    voices = [Provider(make[name](), name=name) for name in (vendor, BACKUP[vendor])]
    return contextlib.aclosing(FallbackTTS(voices, **{**DEADLINES, **options}))


Chain = contextlib.aclosing[FallbackTTS]
BACKUP = {"cartesia": "openai", "openai": "cartesia", "deepgram": "cartesia"}


@each_way(BEFORE_COMMIT)
async def test_before_the_commit_point_the_next_voice_speaks(
    providers: LocalProviders, plugins: Plugins, way: str, fault: Fault, reason: str
):
    """A voice that fails before its first sound costs a deadline at most, and no words."""
    vendor, how = way.split()
    providers.set_fault(vendor=vendor, service="tts", **fault)

    async with chain(plugins, vendor) as tts:
        events = EventRecorder(tts)
        reply = await heard(said(tts, how))

    assert_whole(reply, BACKUP[vendor])
    assert failovers(events) == [(vendor, BACKUP[vendor], reason)]
    assert events.of("failover")[0].elapsed < ATTEMPT + SLACK
    assert recoverable(events) == [True]
    assert spoken_characters(events) == pytest.approx(len(TEXT), abs=1)


def spoken_characters(events: EventRecorder) -> int:
    """What the session is told to pay for; sentences lose the blank between them."""
    return sum(metrics.characters_count for metrics in events.of("metrics_collected"))


@each_way(AFTER_COMMIT)
async def test_after_the_commit_point_the_reply_stops_and_the_loss_is_told(
    providers: LocalProviders, plugins: Plugins, way: str, fault: Fault, reason: str
):
    """With `on_partial="stop"`: what is missing is reported, and the next reply is whole."""
    vendor, how = way.split()
    providers.set_fault(vendor=vendor, service="tts", **fault)

    async with chain(plugins, vendor, on_partial="stop") as tts:
        events = EventRecorder(tts)
        broken, following = await heard(said(tts, how)), await heard(said(tts, how))

    assert isinstance(broken.error, APIError)
    assert broken.voices == [vendor]
    assert 0 < broken.words < WORDS
    [lost] = events.of("output_lost")
    assert (lost.provider, lost.reason) == (vendor, reason)
    assert lost.delivered == pytest.approx(broken.seconds, abs=0.1)
    assert 0 < lost.lost < len(TEXT)
    assert failovers(events) == []
    assert recoverable(events) == [True]
    assert_whole(following, BACKUP[vendor])


# A websocket is left out: the plugins' pools close it when they are next used, whoever asks.
@pytest.mark.parametrize("way", ["cartesia synthesize", "openai stream", "openai synthesize"])
async def test_a_voice_that_lost_its_turn_is_hung_up_on(
    providers: LocalProviders, plugins: Plugins, way: str
):
    """The request to a voice that missed its deadline is given up, not left to run."""
    vendor, how = way.split()
    providers.set_fault("slow", vendor=vendor, service="tts", delay=LATE)

    async with chain(plugins, vendor) as tts:
        await heard(said(tts, how))

        await until(lambda: wrote(providers, vendor, "tts", "closed_by_client"))


@pytest.mark.parametrize("said_before", ["Of course", "Of course we do. The mushroom risotto is"])
@pytest.mark.parametrize(("vendor", "pause"), [("cartesia", 2.0), ("openai", LATE)])
async def test_a_language_model_that_pauses_in_a_sentence_is_not_held_against_the_voice(
    providers: LocalProviders, plugins: Plugins, vendor: str, pause: float, said_before: str
):
    """While a voice waits for the rest of a sentence it owes nothing, however long that takes."""
    async with chain(plugins, vendor, attempt_timeout=0.5, stall_timeout=0.5) as tts:
        events = EventRecorder(tts)
        stream = tts.stream()
        listening = asyncio.create_task(heard(stream))
        stream.push_text(said_before)
        await asyncio.sleep(pause)
        stream.push_text(TEXT.removeprefix(said_before))
        stream.end_input()
        reply = await listening

    assert_whole(reply, vendor)
    assert set(events.names) == {"metrics_collected"}


async def test_voices_of_different_rates_sound_alike(providers: LocalProviders, plugins: Plugins):
    """A backup of another sample rate is resampled: same pitch, same length, one rate."""
    providers.set_fault("refuse", vendor="cartesia")
    voices = [
        Provider(plugins.cartesia_tts(sample_rate=44_100), name="cartesia"),
        Provider(plugins.openai_tts(), name="openai"),
    ]

    async with contextlib.aclosing(FallbackTTS(voices, **DEADLINES)) as tts:
        reply = await heard(said(tts))

    assert {frame.sample_rate for frame in reply.frames} == {44_100}
    assert_whole(reply, "openai")


async def test_when_no_voice_speaks_the_error_says_how_each_of_them_failed(
    providers: LocalProviders, plugins: Plugins
):
    """Exhaustion is one unrecoverable error with one report for each attempt."""
    for vendor, status in (("cartesia", 402), ("openai", 401)):
        providers.set_fault("status", vendor=vendor, service="tts", status=status)

    async with chain(plugins) as tts:
        events = EventRecorder(tts)
        reply = await heard(said(tts))

    assert isinstance(reply.error, AllProvidersFailedError)
    reports = [(a.provider, a.status_code) for a in reply.error.attempts]
    assert reports == [("cartesia", 402), ("openai", 401)]
    assert recoverable(events) == [True, False]


async def test_a_voice_that_is_back_speaks_again(providers: LocalProviders, plugins: Plugins):
    """A probe of a few words brings the primary back, and the caller does not hear it."""
    providers.set_fault("hang", vendor="cartesia", service="tts", times=1)

    async with chain(plugins, temporary_disable_sec=0.2) as tts:
        events = EventRecorder(tts)
        first = await heard(said(tts))
        await until(lambda: len(events.of("tts_availability_changed")) == 2, within=3.0)
        second = await heard(said(tts))

    assert_whole(first, "openai")
    assert_whole(second, "cartesia")
    [recovery] = events.of("recovery")
    assert (recovery.provider, recovery.from_provider) == ("cartesia", "openai")
    assert spoken_characters(events) == pytest.approx(2 * len(TEXT), abs=1)


async def test_an_interrupted_reply_blames_nobody(providers: LocalProviders, plugins: Plugins):
    """Barge-in ends a reply at once, and says nothing about the voice that was at work."""
    providers.set_fault("hang", vendor="cartesia", service="tts", times=1)

    async with chain(plugins, attempt_timeout=5.0) as tts:
        events = EventRecorder(tts)
        stream = said(tts)
        await until(lambda: wrote(providers, "cartesia", "tts", "fault"))
        async with asyncio.timeout(SLACK):
            await stream.aclose()

        assert events.records == []
        assert_whole(await heard(said(tts)), "cartesia")
        assert served(providers, "tts") == ["cartesia"]
