# SPDX-License-Identifier: Apache-2.0
"""What the providers' log says, request by request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import CallRecord, Entry


@dataclass(slots=True)
class Attempt:
    """One request that reached a provider, in seconds of the call.

    Attributes:
        first_output: when it first gave something useful, None if never.
        finished: it was answered to its end.
        faulty: an injected fault struck it.
        probe: the adapter had given up on the provider then, so this only asked if it is back.
    """

    service: str
    vendor: str
    start: float
    end: float
    first_output: float | None = None
    finished: bool = False
    faulty: bool = False
    probe: bool = False

    @property
    def wasted(self) -> bool:
        """Whether nothing useful came of it."""
        return self.faulty or self.first_output is None


def attempts(record: CallRecord, service: str) -> list[Attempt]:
    """All requests to one kind of service, in order."""
    known: dict[tuple[str, int], Attempt] = {}
    for entry in record.provider_log:
        if entry["service"] == service:
            _note(known, entry, record.clock(entry["time"]))
    for attempt in known.values():
        attempt.probe = is_down(record, service, attempt.vendor, attempt.start)
    return list(known.values())


def is_down(record: CallRecord, component: str, vendor: str, at: float) -> bool:
    """Whether the adapter had given up on `vendor` at that second of the call."""
    down = False
    for event in record.adapter_events:
        if record.clock(event["time"]) > at:
            break
        if event["component"] == component:
            down = _now_down(event, vendor, down)
    return down


def is_failover(event: Entry) -> bool:
    """Whether traffic moved down; LiveKit's adapters say that a provider became unavailable."""
    return event["event"] == "failover" or availability(event) is False


def is_recovery(event: Entry) -> bool:
    """Whether a provider came back."""
    return event["event"] == "recovery" or availability(event) is True


def availability(event: Entry) -> bool | None:
    """What an availability event says, None for other events."""
    if not str(event["event"]).endswith("_availability_changed"):
        return None
    return bool(event.get("available"))


def _now_down(event: Entry, vendor: str, before: bool) -> bool:
    if event["event"] == "failover":
        return before or event["from_provider"] == vendor
    if event.get("provider") != vendor:
        return before
    return is_failover(event) or (before and not is_recovery(event))


def _note(known: dict[tuple[str, int], Attempt], entry: Entry, at: float) -> None:
    key = entry["vendor"], entry["request"]
    attempt = known.setdefault(key, Attempt(entry["service"], entry["vendor"], at, at))
    attempt.end = at
    if entry["event"] == "first_output" and attempt.first_output is None:
        attempt.first_output = at
    attempt.finished |= entry["event"] == "finished"
    attempt.faulty |= entry["event"] == "fault"
