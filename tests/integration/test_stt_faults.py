# SPDX-License-Identifier: Apache-2.0
"""The real Deepgram, OpenAI and Cartesia recognisers behind FallbackSTT, and faults on a wire."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIError, inference

from examples.local_providers.dialogue import LINES
from livekit_fallback import AllProvidersFailedError, FallbackSTT, Provider
from tests.integration.speech import calling, line
from tests.integration.support import (
    ATTEMPT,
    SLACK,
    Cases,
    Fault,
    each,
    failovers,
    recoverable,
    statuses,
    until,
)
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.stt import STT

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

EARS = "sphinx"  # these tests are about words

FIRST, SECOND, THIRD = LINES[:3]
MIDDLE = 60  # frames: after a second or so, in the middle of a line

# Recognition takes a while on a busy machine.
SOON = 5.0

AT_THE_DOOR: Cases = {
    "refuse": ({"mode": "refuse"}, "connection"),
    **statuses(401, 403, 429, 503),
    # the plugin has the adapter's deadline and may notice itself, at the same moment
    "hang_connect": ({"mode": "hang_connect"}, "not_listening or connection"),
}
MID_UTTERANCE: Cases = {
    "drop": ({"mode": "drop"}, "closed_1006"),
    "clean close": ({"mode": "truncate"}, "closed_1000"),
    "close with 1011": ({"mode": "close"}, "closed_1011"),
    "error_frame": ({"mode": "error_frame"}, "closed_1011"),
}
BATCH_OPENAI: Cases = {
    "refuse": ({"mode": "refuse"}, "connection"),
    **statuses(401, 408, 429, 503),
    "hang_connect": ({"mode": "hang_connect"}, "first_output_timeout"),
    "hang": ({"mode": "hang"}, "first_output_timeout"),
    "keepalive": ({"mode": "keepalive", "gap": 0.1}, "first_output_timeout"),
    "drop": ({"mode": "drop"}, "connection"),
    "truncate": ({"mode": "truncate"}, "connection"),
    "garbage": ({"mode": "garbage"}, "connection"),
}
BATCH_DEEPGRAM: Cases = {
    "refuse": ({"mode": "refuse"}, "connection"),
    # the plugin does not look at the status and stumbles over the body
    "status 401": ({"mode": "status", "status": 401}, "connection"),
    "status 503": ({"mode": "status", "status": 503}, "connection"),
    "hang": ({"mode": "hang"}, "first_output_timeout"),
    "drop": ({"mode": "drop"}, "connection"),
    "garbage": ({"mode": "garbage"}, "connection"),
}


def chain(plugins: Plugins, vendors: str = "deepgram openai", **options: Any) -> Chain:
    make: dict[str, Callable[[], STT]] = {
        "deepgram": plugins.deepgram_stt,
        "openai": plugins.openai_stt,
        "cartesia": plugins.cartesia_stt,
    }
    primary, *backups = vendors.split()
    stts = [
        Provider(make[primary](), name=primary, attempt_timeout=ATTEMPT),
        *(Provider(make[name](), name=name, attempt_timeout=SOON) for name in backups),
    ]
    return contextlib.aclosing(FallbackSTT(stts, vad=inference.VAD(), **options))


Chain = contextlib.aclosing[FallbackSTT]


def understood(providers: LocalProviders) -> list[str]:
    """The vendors that came to a final transcript, in order."""
    return [entry["vendor"] for entry in providers.log if entry["event"] == "final"]


@each(AT_THE_DOOR)
async def test_a_recogniser_that_does_not_let_us_in_is_passed_over(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """What was said while the primary was being tried is heard by the backup, from the start."""
    providers.set_fault(vendor="deepgram", service="stt", **fault)

    async with chain(plugins) as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1))
        await until(lambda: caller.finals, within=SOON)

    assert caller.finals == [FIRST]
    assert caller.is_balanced
    [(failed, then, why)] = failovers(events)
    assert (failed, then) == ("deepgram", "openai")
    assert why in reason.split(" or ")
    assert events.of("failover")[0].elapsed < ATTEMPT + SLACK
    assert recoverable(events) == [True]


@pytest.mark.parametrize("fault", ["hang", "drop", "garbage"])
async def test_a_batch_recogniser_owes_each_utterance(
    providers: LocalProviders, plugins: Plugins, fault: str
):
    """One that takes an utterance and gives nothing for it is passed over within its deadline."""
    providers.set_fault(fault, vendor="openai", service="stt")

    async with chain(plugins, "openai cartesia") as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1))
        await until(lambda: caller.finals, within=SOON)

    assert caller.finals == [FIRST]
    assert caller.is_balanced
    reason = "first_output_timeout" if fault == "hang" else "connection"
    assert failovers(events) == [("openai", "cartesia", reason)]


@pytest.mark.parametrize("backup", ["openai", "cartesia"])
@each(MID_UTTERANCE)
async def test_a_recogniser_lost_in_an_utterance_loses_no_word_of_it(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str, backup: str
):
    """The backup hears the utterance from its beginning, and the session hears of it once."""
    async with chain(plugins, f"deepgram {backup}") as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1)[:MIDDLE])
        providers.set_fault(vendor="deepgram", service="stt", times=1, **fault)
        await caller.says(line(1)[MIDDLE:])
        await until(lambda: caller.finals, within=SOON)

    assert caller.finals == [FIRST]
    assert caller.is_balanced
    assert understood(providers) == [backup]
    [(*moved, why)] = failovers(events)
    assert moved == ["deepgram", backup]
    assert why in (reason, "connection")  # the plugin's sender may be the first to notice
    assert recoverable(events) == [True]


async def test_an_utterance_survives_two_losses(providers: LocalProviders, plugins: Plugins):
    """While no final transcript has settled it, an utterance is passed on again and again."""
    providers.set_fault("drop", vendor="openai", service="stt")

    async with chain(plugins, "deepgram openai cartesia") as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1)[:MIDDLE])
        providers.kill("deepgram", "stt")
        await caller.says(line(1)[MIDDLE:])
        await until(lambda: caller.finals, within=SOON)

    assert caller.finals == [FIRST]
    assert caller.is_balanced
    assert understood(providers) == ["cartesia"]
    assert failovers(events) == [
        ("deepgram", "openai", "closed_1006"),
        ("openai", "cartesia", "connection"),
    ]


async def test_each_utterance_may_lose_its_recogniser(providers: LocalProviders, plugins: Plugins):
    """A provider that failed a moment ago is asked again rather than nobody."""
    async with chain(plugins, "deepgram cartesia") as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1)[:MIDDLE])
        providers.kill("deepgram", "stt")
        await caller.says(line(1)[MIDDLE:])
        await until(lambda: len(caller.finals) == 1, within=SOON)
        providers.kill("cartesia", "stt")
        await caller.says(line(2))
        await until(lambda: len(caller.finals) == 2, within=SOON)

    assert caller.finals == [FIRST, SECOND]
    assert caller.is_balanced
    assert [(a, b) for a, b, _ in failovers(events)] == [
        ("deepgram", "cartesia"),
        ("cartesia", "deepgram"),
    ]
    assert recoverable(events) == [True, True]


async def test_the_stream_returns_to_the_primary_between_two_utterances(
    providers: LocalProviders, plugins: Plugins
):
    """Once a probe has shown that the primary is back, it hears the next utterance, whole."""
    async with chain(plugins, temporary_disable_sec=0.1) as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1)[:MIDDLE])
        providers.kill("deepgram", "stt")
        await caller.says(line(1)[MIDDLE:])
        await until(lambda: len(events.of("stt_availability_changed")) == 2, within=SOON)
        await caller.says(line(2))
        await until(lambda: len(caller.finals) == 2, within=SOON)
        await caller.says(line(3))
        await until(lambda: len(caller.finals) == 3, within=SOON)

    assert caller.finals == [FIRST, SECOND, THIRD]
    assert caller.is_balanced
    [recovery] = events.of("recovery")
    assert (recovery.provider, recovery.from_provider) == ("deepgram", "openai")
    assert understood(providers)[-1] == "deepgram"
    assert recoverable(events) == [True]


async def test_what_is_said_while_nobody_listens_is_heard_later(
    providers: LocalProviders, plugins: Plugins
):
    """During an outage of all providers the audio is kept for the first that is back."""
    providers.set_fault("refuse")

    async with chain(plugins, total_timeout=20.0) as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        await caller.says(line(1))
        providers.clear_faults()
        await until(lambda: caller.finals, within=SOON)

    assert caller.finals == [FIRST]
    assert caller.error is None
    assert set(recoverable(events)) == {True}


async def test_when_nobody_can_listen_the_loss_is_told(providers: LocalProviders, plugins: Plugins):
    """Exhaustion ends the stream with one unrecoverable error and says how much was not heard."""
    for vendor in ("deepgram", "cartesia"):
        providers.set_fault("status", vendor=vendor, service="stt", status=401)

    async with chain(plugins, "deepgram cartesia") as stt:
        events = EventRecorder(stt)
        async with calling(stt) as caller:
            caller.stream.push_frame(line(1)[0])
            await until(lambda: caller.error)

    assert isinstance(caller.error, AllProvidersFailedError)
    assert [attempt.status_code for attempt in caller.error.attempts] == [401, 401]
    assert recoverable(events) == [True, False]
    [lost] = events.of("output_lost")
    assert lost.lost == pytest.approx(line(1)[0].duration)


@each(BATCH_OPENAI)
async def test_a_recording_is_recognised_by_the_next_provider(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """A batch recognition that fails or hangs is done by the backup."""
    await recognised(providers, plugins, "openai deepgram", fault, reason)


@each(BATCH_DEEPGRAM)
async def test_a_recording_is_recognised_whatever_the_plugin_makes_of_the_fault(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """A plugin that blurs what went wrong has failed all the same."""
    await recognised(providers, plugins, "deepgram openai", fault, reason)


async def recognised(
    providers: LocalProviders, plugins: Plugins, vendors: str, fault: Fault, reason: str
) -> None:
    first, second = vendors.split()
    providers.set_fault(vendor=first, service="stt", **fault)

    async with chain(plugins, vendors) as stt:
        events = EventRecorder(stt)
        event = await stt.recognize(list(line(1)))

    assert event.alternatives[0].text == FIRST
    assert understood(providers) == [second]
    assert failovers(events) == [(first, second, reason)]
    assert events.of("failover")[0].elapsed < ATTEMPT + SLACK
    assert len(events.of("metrics_collected")) == 1


async def test_a_recording_that_nobody_recognises_is_an_error(
    providers: LocalProviders, plugins: Plugins
):
    """Exhaustion raises, with the providers' own errors inside."""
    providers.set_fault("refuse")

    async with chain(plugins, total_timeout=1.0) as stt:
        events = EventRecorder(stt)
        with pytest.raises(AllProvidersFailedError) as raised:
            await stt.recognize(list(line(1)))

    assert {attempt.provider for attempt in raised.value.attempts} == {"deepgram", "openai"}
    assert all(isinstance(attempt.error, APIError) for attempt in raised.value.attempts)
    assert recoverable(events).count(False) == 1


async def test_a_cartesia_recogniser_comes_back_by_a_probe(
    providers: LocalProviders, plugins: Plugins
):
    """Its plugin ends at once if the end of the input is said before it runs: probes wait."""
    providers.set_fault(vendor="cartesia", service="stt", mode="status", status=503)

    options = {"temporary_disable_sec": 0.3}
    async with chain(plugins, "cartesia openai", **options) as stt, calling(stt) as caller:
        await caller.says(line(1))
        await until(lambda: caller.finals, within=SOON)
        providers.clear_faults()
        await caller.says(line(2))
        await until(lambda: stt.get_service_health("cartesia").healthy, within=SOON)

        assert stt.get_service_health("cartesia").probes >= 1
