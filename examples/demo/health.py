# SPDX-License-Identifier: Apache-2.0
"""What the adapter thought of each provider, and what it asked only to find out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .attempts import availability
from .scenario import CHAINS, REJECTED

if TYPE_CHECKING:
    from .record import CallRecord, Entry

UNKNOWN = "unavailable"
"""State of a provider of which the adapter said only that it is not used now."""


@dataclass(frozen=True, slots=True)
class HealthSpan:
    """How long a provider was in one state, in seconds of the call."""

    state: str
    start: float
    end: float


def health_spans(record: CallRecord, component: str, provider: str) -> list[HealthSpan]:
    """The states of one provider from the call's beginning to its end, [] without an adapter."""
    if record.adapter == "none":
        return []
    spans: list[HealthSpan] = []
    state, since = "healthy", 0.0
    for event in record.adapter_events:
        after = _state_after(event) if _is_about(event, component, provider) else state
        if after != state:
            at = record.clock(event["time"])
            spans.append(HealthSpan(state, since, at))
            state, since = after, at
    return [*spans, HealthSpan(state, since, max(since, record.seconds))]


def all_health(record: CallRecord) -> dict[str, dict[str, list[HealthSpan]]]:
    """The states of every provider of every chain."""
    return {
        component: {provider: health_spans(record, component, provider) for provider in chain}
        for component, chain in CHAINS.items()
    }


def health_changes(record: CallRecord) -> list[Entry]:
    """Every move from one state to another that the adapter told."""
    return [e for e in record.adapter_events if e["event"] == "health_changed"]


def probes(record: CallRecord) -> list[Entry]:
    """Every probe beside the traffic that the adapter told, each at the time of its end."""
    return [e for e in record.adapter_events if e["event"] == "probed"]


def rejections(record: CallRecord) -> int:
    """How many requests were answered with `REJECTED`: as the providers' own log has it."""
    answers = [e for e in record.provider_log if e["event"] == "fault"]
    return sum(e.get("status") == REJECTED for e in answers)


def _is_about(event: Entry, component: str, provider: str) -> bool:
    is_told = event["event"] == "health_changed" or availability(event) is not None
    return is_told and (event["component"], event.get("provider")) == (component, provider)


def _state_after(event: Entry) -> str:
    # Our availability events name the state as well, LiveKit's have no more than two.
    if named := event.get("after") or event.get("state"):
        return str(named)
    return "healthy" if availability(event) else UNKNOWN
