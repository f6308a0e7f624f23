# SPDX-License-Identifier: Apache-2.0
"""A call heard by a chain of detectors, and what the session is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from livekit_fallback import FallbackVAD
from tests.support.audio import frames
from tests.support.faulty_vad import DONE, END, START, FaultyVAD, speak
from tests.support.recorder import EventRecorder
from tests.support.script import now

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.vad import VADEvent, VADEventType

    from tests.support.census import Census

EVENTS = ("failover", "recovery", "exhausted", "vad_availability_changed", "metrics_collected")


def quiet(seconds: float, **kind: Any) -> list[rtc.AudioFrame]:
    """Nobody speaks."""
    return frames(seconds, pitch=0.0, **kind)


def voice(seconds: float, **kind: Any) -> list[rtc.AudioFrame]:
    """Somebody speaks."""
    return frames(seconds, **kind)


@dataclass
class Heard:
    """What the session was told, with the seconds since the call began."""

    events: list[tuple[float, VADEvent]] = field(default_factory=list)

    def of(self, kind: VADEventType) -> list[VADEvent]:
        return [event for _, event in self.events if event.type is kind]

    def at(self, kind: VADEventType) -> list[float]:
        return [at for at, event in self.events if event.type is kind]

    @property
    def marks(self) -> str:
        """Starts and ends of speech, in order: ``()`` is one segment."""
        signs = {START: "(", END: ")", DONE: ""}
        return "".join(signs[event.type] for _, event in self.events)

    def check(self) -> None:
        """What holds of every call: pairs, positions that grow, and both numbers agree."""
        assert self.marks == "()" * (len(self.marks) // 2)
        done = [event.timestamp for event in self.of(DONE)]
        assert all(a < b for a, b in pairwise(done))
        indices = [event.samples_index for _, event in self.events]
        assert indices == sorted(indices)
        times = [event.timestamp for _, event in self.events]
        assert times == sorted(times)


class Line:
    """Detectors in a `FallbackVAD`, and what it emits."""

    def __init__(self, census: Census, *detectors: FaultyVAD, **options: Any) -> None:
        census.watch(*detectors)
        self.detectors = detectors
        self.adapter = FallbackVAD(list(detectors), **options)
        self.emitted = EventRecorder(self.adapter, EVENTS)
        self.began_at = 0.0

    @property
    def failovers(self) -> list[tuple[float, str]]:
        """When, since the call began, and why."""
        moves = [r for r in self.emitted.records if r.name == "failover"]
        return [(r.at - self.began_at, r.event.reason) for r in moves]

    async def call(self, audio: list[rtc.AudioFrame]) -> Heard:
        """Hold a call from its first to its last frame, in real time, and hang up."""
        stream = self.adapter.stream()
        self.began_at = now()
        heard = Heard()

        async def listen() -> None:
            async for event in stream:
                heard.events.append((now() - self.began_at, event))

        listening = asyncio.create_task(listen())
        await speak(stream, audio, then=stream.end_input)
        await listening
        await stream.aclose()
        await self.adapter.aclose()
        return heard
