# SPDX-License-Identifier: Apache-2.0
"""Records everything an adapter emits, in order and with its time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit import rtc

EVENTS = (
    "llm_availability_changed",
    "stt_availability_changed",
    "tts_availability_changed",
    "failover",
    "recovery",
    "exhausted",
    "output_lost",
    "error",
    "metrics_collected",
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event: loop time in seconds, name, and the object the listener was given."""

    at: float
    name: str
    event: Any


class EventRecorder:
    """Listens to an emitter until `close`.

    Args:
        emitter: an adapter, a provider, or anything else that emits.
        names: the events to record; all that the adapters and LiveKit's base classes emit
            by default.
    """

    def __init__(self, emitter: rtc.EventEmitter[Any], names: tuple[str, ...] = EVENTS) -> None:
        self._emitter = emitter
        self._callbacks = {name: self._recorder_of(name) for name in names}
        self.records: list[Recorded] = []
        for name, callback in self._callbacks.items():
            emitter.on(name, callback)

    def close(self) -> None:
        """Stop listening; what was recorded stays."""
        for name, callback in self._callbacks.items():
            self._emitter.off(name, callback)

    @property
    def names(self) -> list[str]:
        """The names of all events, in the order they came."""
        return [record.name for record in self.records]

    def of(self, name: str) -> list[Any]:
        """The event objects of one name, in the order they came."""
        return [record.event for record in self.records if record.name == name]

    def _recorder_of(self, name: str) -> Callable[[Any], None]:
        def record(event: Any) -> None:
            self.records.append(Recorded(asyncio.get_running_loop().time(), name, event))

        return record
