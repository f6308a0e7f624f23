# SPDX-License-Identifier: Apache-2.0
"""The event objects: LiveKit's own kind where LiveKit has one, and complete."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, get_args

import pytest
from livekit.agents import llm as lk_llm, stt as lk_stt, tts as lk_tts

from livekit_fallback import (
    ExhaustedEvent,
    FailoverEvent,
    FallbackLLM,
    FallbackSTT,
    FallbackTTS,
    FlappingEvent,
    HealthChangedEvent,
    HedgedEvent,
    LLMAvailabilityChangedEvent,
    OutputLostEvent,
    ProbedEvent,
    RecoveryEvent,
    STTAvailabilityChangedEvent,
    TTSAvailabilityChangedEvent,
    VADAvailabilityChangedEvent,
)
from livekit_fallback.events import Component, EventName, default_observers
from livekit_fallback.observability import EventLog
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS

if TYPE_CHECKING:
    from pathlib import Path

OF_REQUESTS = [FailoverEvent, RecoveryEvent, ExhaustedEvent, OutputLostEvent, HedgedEvent]
OF_PROVIDERS = [HealthChangedEvent, ProbedEvent]
OWN = [*OF_REQUESTS, *OF_PROVIDERS, FlappingEvent]
AVAILABILITY: dict[str, tuple[Any, Any]] = {
    "llm": (LLMAvailabilityChangedEvent, lk_llm.AvailabilityChangedEvent),
    "stt": (STTAvailabilityChangedEvent, lk_stt.AvailabilityChangedEvent),
    "tts": (TTSAvailabilityChangedEvent, lk_tts.AvailabilityChangedEvent),
    # LiveKit has none for detectors
    "vad": (VADAvailabilityChangedEvent, VADAvailabilityChangedEvent),
}

each_component = pytest.mark.parametrize("component", AVAILABILITY)


def field_names(event: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(event)}


@pytest.mark.parametrize("event", OWN)
def test_every_event_says_where_and_when(event):
    """Component and time are on every event, so that streams of them can be merged."""
    assert {"component", "timestamp"} <= field_names(event)


@pytest.mark.parametrize("event", OF_REQUESTS)
def test_event_of_a_request_says_of_which(event):
    """What concurrent requests went through can be told apart."""
    assert "request_id" in field_names(event)


@pytest.mark.parametrize("event", OF_PROVIDERS)
def test_event_of_a_provider_says_of_which_and_why(event):
    """An outage can be followed by provider, and is never without its cause."""
    assert {"provider", "reason", "error"} <= field_names(event)


def test_failover_says_from_to_why_and_after_how_long():
    """One event is enough to tell what happened, without looking anything up."""
    wanted = {"from_provider", "to_provider", "reason", "elapsed", "attempt", "error"}

    assert wanted <= field_names(FailoverEvent)


def test_move_of_health_says_how_fast_the_provider_is():
    """Whoever is told that a provider was too slow can compare that with what it usually takes."""
    wanted = {"latency", "latency_p50", "latency_p95", "latency_p99"}

    assert wanted <= field_names(HealthChangedEvent)


def test_probe_says_how_fast_it_was():
    """A provider that comes back is known by more than that it is back."""
    assert "latency" in field_names(ProbedEvent)


def test_hedge_says_who_raced_whom_and_who_won():
    """One event is enough to tell whether hedging was worth its price."""
    wanted = {"provider", "hedge", "winner", "hedged_after", "elapsed"}

    assert wanted <= field_names(HedgedEvent)


@pytest.mark.parametrize("event", OWN)
def test_event_cannot_be_changed_by_a_subscriber(event):
    """All subscribers receive the same object, so none may change it."""
    assert event.__dataclass_params__.frozen


@each_component
def test_availability_event_is_livekits_own_kind(component):
    """Handlers written for LiveKit's adapters keep working: same class, same two fields."""
    ours, livekits = AVAILABILITY[component]
    provider = object()

    event = ours(provider, False)

    assert isinstance(event, livekits)
    assert getattr(event, component) is provider
    assert event.available is False


@each_component
def test_availability_event_says_more_than_livekits(component):
    """Who, in which state, why, for how long, and the exception behind it."""
    event = AVAILABILITY[component][0](
        object(), True, provider="openai", state="healthy", down_for=3.0, timestamp=7.0
    )

    assert (event.provider, event.state, event.down_for) == ("openai", "healthy", 3.0)
    assert (event.reason, event.error, event.timestamp) == ("", None, 7.0)


def test_event_names_are_those_of_every_adapter():
    """What the types promise can be subscribed to."""
    assert set(get_args(EventName)) == {
        "failover",
        "recovery",
        "exhausted",
        "output_lost",
        "health_changed",
        "probed",
        "hedged",
        "flapping",
    }
    assert set(get_args(Component)) == set(AVAILABILITY)


def test_default_observers_are_shown_every_new_adapter():
    """A subscriber that is registered once sees all adapters made afterwards."""
    shown: list[Any] = []
    default_observers.append(shown.append)
    try:
        made = [FallbackLLM([ScriptedLLM()]), FallbackSTT([ScriptedSTT()])]
    finally:
        default_observers.remove(shown.append)
    FallbackTTS([ScriptedTTS()])

    assert shown == made


@pytest.mark.parametrize(
    ("adapter", "fake"),
    [(FallbackLLM, ScriptedLLM), (FallbackSTT, ScriptedSTT), (FallbackTTS, ScriptedTTS)],
)
def test_default_observers_may_use_the_adapter(adapter: Any, fake: Any, tmp_path: Path):
    """It is shown to them complete: an event log is attached to all adapters by one line."""
    log = EventLog(tmp_path / "events.jsonl")
    default_observers.append(log.attach)
    try:
        made = adapter([fake()])
    finally:
        default_observers.remove(log.attach)

    made.emit("flapping", FlappingEvent(made.component, 7, 60.0, 0.0))
    log.close()

    assert made.component in (tmp_path / "events.jsonl").read_text("utf-8")


def test_an_observer_that_raises_is_logged_and_breaks_nothing(caplog: pytest.LogCaptureFixture):
    """The adapter is made, the other observers see it, and what was said is marked as private."""
    shown: list[Any] = []

    def raising(_: Any) -> None:
        raise ValueError("4711")

    observers = [raising, shown.append]
    default_observers.extend(observers)
    try:
        made = FallbackLLM([ScriptedLLM()])
    finally:
        for observer in observers:
            default_observers.remove(observer)

    assert shown == [made]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    public = {k: v for k, v in vars(record).items() if not k.startswith("lk.pii.")}
    assert "4711" not in repr(public)
