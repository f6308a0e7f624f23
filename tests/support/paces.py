# SPDX-License-Identifier: Apache-2.0
"""Providers of every kind whose speed a test may change: for demotion, hedging and deadlines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackSTT
from tests.support.audio import frames
from tests.support.fakes import Final, ScriptedSTT, ScriptedVAD, Wait
from tests.support.outage import ALL_EVENTS, LLM, SYNTHESIZED, TTS, Kind, Line, line
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script

RECORDING = frames(0.5)


async def _recognize(adapter: FallbackSTT) -> str:
    event = await adapter.recognize(RECORDING)
    return event.alternatives[0].text


RECOGNIZED = Kind(
    "recognize",
    ScriptedSTT,
    lambda entries, **options: FallbackSTT(entries, vad=ScriptedVAD(), **options),
    lambda name: [Final(name)],
    _recognize,
    Final("useful"),
)

# Kinds whose requests end with their answer. The rules of latency are the same for all of them.
FOUR = [LLM, TTS, SYNTHESIZED, RECOGNIZED]
four_kinds = pytest.mark.parametrize("kind", FOUR, ids=repr)

FAST, SLOW = 0.1, 0.8
LIMITED: dict[str, Any] = {"latency_threshold_ms": 500}


class Paced:
    """The scripts of a provider: each answers after `seconds`, as they are at that moment.

    Args:
        kind: of its provider.
        name: of its provider.
        seconds: to the first output.
        then: what the next requests take instead, one after the other, probes included.
    """

    def __init__(self, kind: Kind, name: str, seconds: float, *then: float) -> None:
        self.kind = kind
        self.name = name
        self.seconds = seconds
        self._then = [seconds, *then] if then else []

    def __call__(self, number: int) -> Script:
        if number < len(self._then):
            self.seconds = self._then[number]
        return [Wait(self.seconds), *self.kind.answer(self.name)]


def paced(
    census: Census | None, kind: Kind, a: float | Paced, b: float | Paced = FAST, **options: Any
) -> Line:
    """A chain of two whose first outputs take so many seconds, and which is slow above half one."""
    given = [
        speed if isinstance(speed, Paced) else Paced(kind, name, speed)
        for name, speed in (("a", a), ("b", b))
    ]
    return line(census, kind, *given, **{**LIMITED, **options})


def hedged_line(census: Census | None, kind: Kind, *given: Any, **options: Any) -> Line:
    """A chain that asks a second provider after 300 ms, and that records hedges too."""
    made = line(census, kind, *given, **{"hedge_after_ms": 300, "probe": "live", **options})
    return record_hedges(made)


def record_hedges(made: Line) -> Line:
    """Have a chain's recorder take hedges along."""
    made.events.close()
    made.events = EventRecorder(made.adapter, (*ALL_EVENTS, "hedged"))
    return made


async def use(chain: Line, times: int) -> str:
    """So many requests, one after the other; who answered."""
    return "".join([await chain.use() for _ in range(times)])


async def give_up(chain: Line, after: float) -> None:
    """One request whose caller leaves after so many seconds."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.use(), after)


def slow_ones(chain: Line, name: str = "a") -> int:
    """How many outputs of a provider were found slow."""
    slow: int = chain.adapter.get_service_health(name).slow
    return slow


def counts(chain: Line, name: str) -> tuple[int, int, int, int]:
    """A provider's requests served, failed, overtaken and cancelled."""
    health = chain.adapter.get_service_health(name)
    return health.successes, sum(health.failures.values()), health.overtaken, health.cancelled


def latency_failovers(chain: Line) -> list[Any]:
    """The moves of traffic that slowness caused."""
    return [event for event in chain.events.of("failover") if event.reason == "latency"]
