# SPDX-License-Identifier: Apache-2.0
"""The health of each provider over the call, told from the adapter's events."""

from __future__ import annotations

from examples.demo.health import (
    UNKNOWN,
    HealthSpan,
    all_health,
    health_changes,
    health_spans,
    probes,
)
from examples.demo.record import CallRecord
from examples.demo.scenario import CHAINS
from tests.support.demo_call import availability, call, failover, health_changed, probed, turn

END = 21.0
"""Seconds of the calls here."""


def _call(adapter: str = "fallback") -> CallRecord:
    return call([turn(1, 5.0, END - 1.0)], adapter=adapter)


def _states(spans: list[HealthSpan]) -> list[tuple[str, float, float]]:
    return [(span.state, round(span.start, 3), round(span.end, 3)) for span in spans]


def test_a_provider_nobody_spoke_of_was_healthy_all_call_long():
    """Every provider of every chain has its span, from the first second to the last."""
    found = all_health(_call())

    assert {component: tuple(chain) for component, chain in found.items()} == CHAINS
    assert all(
        _states(spans) == [("healthy", 0.0, END)]
        for chain in found.values()
        for spans in chain.values()
    )


def test_an_outage_is_told_step_by_step():
    """Each state lasts until the next, and the last until the call is over."""
    record = _call()
    record.adapter_events = [
        health_changed(5.0, "llm", "openai", "healthy", "cooling_down"),
        availability(5.0, "llm", "openai", False) | {"state": "cooling_down"},
        failover(5.1, "llm", "openai", "together"),
        health_changed(8.0, "llm", "openai", "cooling_down", "probing"),
        probed(8.5, "llm", "openai", good=True),
        health_changed(8.5, "llm", "openai", "probing", "probation"),
        availability(8.5, "llm", "openai", True) | {"state": "probation"},
        health_changed(12.0, "llm", "openai", "probation", "healthy"),
    ]

    spans = health_spans(record, "llm", "openai")

    assert _states(spans) == [
        ("healthy", 0.0, 5.0),
        ("cooling_down", 5.0, 8.0),
        ("probing", 8.0, 8.5),
        ("probation", 8.5, 12.0),
        ("healthy", 12.0, END),
    ]


def test_health_is_that_of_one_provider_in_one_chain():
    """A vendor may be well as a voice and ill as a recogniser."""
    record = _call()
    record.adapter_events = [
        health_changed(5.0, "tts", "openai", "healthy", "cooling_down"),
        health_changed(6.0, "llm", "together", "healthy", "cooling_down"),
    ]

    ill = {
        (component, provider)
        for component, chain in all_health(record).items()
        for provider, spans in chain.items()
        if len(spans) > 1
    }

    assert ill == {("tts", "openai"), ("llm", "together")}


def test_an_adapter_with_a_yes_or_no_has_two_states():
    """LiveKit's adapters say who is available: nothing is made up about why, or how sure."""
    record = _call("livekit")
    record.adapter_events = [
        availability(5.0, "llm", "openai", False),
        availability(9.0, "llm", "openai", True),
    ]

    assert _states(health_spans(record, "llm", "openai")) == [
        ("healthy", 0.0, 5.0),
        (UNKNOWN, 5.0, 9.0),
        ("healthy", 9.0, END),
    ]


def test_without_an_adapter_nobody_thinks_of_health():
    """Bare primaries are not called healthy."""
    assert health_spans(_call("none"), "llm", "openai") == []


def test_an_event_after_the_last_sound_ends_no_span_before_it_began():
    """The events go on for a moment after the recording."""
    record = _call()
    record.adapter_events = [
        health_changed(END + 0.2, "llm", "openai", "healthy", "cooling_down"),
    ]

    assert all(span.start <= span.end for span in health_spans(record, "llm", "openai"))


def test_changes_and_probes_are_told_apart():
    """A probe that finds a healthy provider well changes nothing."""
    record = _call()
    change = health_changed(5.0, "llm", "openai", "healthy", "cooling_down")
    probe = probed(6.0, "llm", "cerebras", good=True)
    record.adapter_events = [change, probe, availability(6.0, "llm", "openai", False)]

    assert health_changes(record) == [change]
    assert probes(record) == [probe]
