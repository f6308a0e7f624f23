# SPDX-License-Identifier: Apache-2.0
"""Conversations with providers whose latency follows a trace, and what the options make of it.

A trace says how many seconds a provider takes, by the seconds since the conversation began. What
is expected of the adapters is worked out here from traces and options alone: nothing of the
package is asked for it.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import Provider
from tests.simulations.outages import rests
from tests.support.fakes import Wait
from tests.support.outage import DOWN, LLM, TTS, Kind, Line, line
from tests.support.paces import RECOGNIZED, record_hedges
from tests.support.script import now
from tests.support.virtual_time import block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.census import Census
    from tests.support.script import Script

    Trace = Callable[[float], float]


PAUSE = 5.0  # from the beginning of one turn to that of the next
FAST, BACKUP, SLOW = 0.3, 0.35, 1.5
THRESHOLD, HEDGE = 0.8, 0.5
FIRST_SLOW, FIRST_WELL = 20, 60  # turns

LIMITED: dict[str, Any] = {"latency_threshold_ms": 1000 * THRESHOLD, "consecutive_latency_hits": 3}
HEDGED: dict[str, Any] = {"hedge_after_ms": 1000 * HEDGE}
AUTO: dict[str, Any] = {"attempt_timeout": "auto"}
RATIO: dict[str, Any] = {"slow_ratio": 0.5, "latency_window": 10}

KINDS = [LLM, TTS, RECOGNIZED]
all_kinds = pytest.mark.parametrize("kind", KINDS, ids=repr)
# Of the options, for each kind: how long it may be silent, and no less than that with "auto".
DEADLINE = {LLM: 2.5, TTS: 2.0, RECOGNIZED: 3.0}
FLOOR = {LLM: 0.8, TTS: 0.6, RECOGNIZED: 1.0}
SCOUTED_AGAIN_AFTER = 30.0  # at the earliest


def turn_at(seconds: float) -> int:
    """The turn that is the newest by then."""
    return int(seconds / PAUSE + 1e-6)


def by_turn(latency: Callable[[int], Any]) -> Callable[[float], Any]:
    """A trace that changes from turn to turn; it may be `DOWN`, or several waits in a row."""
    return lambda at: latency(turn_at(at))


def steady(seconds: float) -> Trace:
    """Always the same."""
    return lambda at: seconds


def step(
    usual: float = FAST, slow: float = SLOW, begins: int = FIRST_SLOW, ends: int = FIRST_WELL
) -> Trace:
    """Slow from one turn on, and as usual again from another."""
    return by_turn(lambda turn: slow if begins <= turn < ends else usual)


def spikes(turns: Iterable[int], seconds: float) -> Trace:
    """Fast, but for these turns."""
    slow = frozenset(turns)
    return by_turn(lambda turn: seconds if turn in slow else FAST)


def by_chance(seed: int, share: float, turns: int) -> list[int]:
    """Turns that are drawn with this probability."""
    draws = random.Random(seed)
    return [turn for turn in range(turns) if draws.random() < share]


def wobbling(trace: Trace, seed: int) -> Trace:
    """A trace with up to a tenth more or less in each answer."""
    draws = random.Random(seed)
    return lambda at: trace(at) * draws.uniform(0.9, 1.1)


def drift(at: float) -> float:
    """From 0.3 s up to 2 s at turn 60, and down again; as usual before turn 20 and from 100 on."""
    return FAST + 1.7 * max(0.0, 1 - abs(at / PAUSE - 60) / 40)


def probed_until_well(trace: Trace, left_at: float, deadline: float) -> tuple[list[float], int]:
    """When a provider is probed that was left, and the first turn that is its own again.

    Args:
        trace: its latency.
        left_at: when it was left, in seconds.
        deadline: how long a probe may take.
    """
    asked, at = [], left_at
    for rest in rests():
        at += rest
        asked.append(at)
        took = trace(at)
        at += min(took, deadline)
        if took <= THRESHOLD:
            break
    return asked, turn_at(at) + 1


def hedged_turns(wanted: Iterable[int], turns: int, budget: float = 0.1) -> list[int]:
    """Which of the turns that want a hedge get one: each turn earns a part of one, up to three."""
    saved, allowed, wants = 3.0, [], frozenset(wanted)
    for turn in range(turns):
        saved = min(3.0, saved + budget)
        if turn in wants and saved >= 1 - 1e-9:
            saved -= 1
            allowed.append(turn)
    return allowed


@dataclass
class Conversation:
    """Turns some seconds apart through one adapter, and what was heard of them."""

    chain: Line
    began: float
    by: str = ""  # who answered, turn by turn
    waits: list[float] = field(default_factory=list)  # until they did, in seconds

    async def hold(self, turns: int, late: float = 0.0) -> None:
        """So many turns, and the end of what they left behind.

        Args:
            turns: how many.
            late: seconds from the beginning of the conversation to the first.
        """
        for turn in range(turns):
            began = self.began + late + turn * PAUSE
            await asyncio.sleep(max(0.0, began - now()))
            began = now()
            self.by += await self.chain.use()
            self.waits.append(round(now() - began, 3))
        await asyncio.sleep(PAUSE - 0.5)

    def block(self, turn: int, after: float, seconds: float) -> None:
        """Block the loop for so long, so many seconds after the beginning of a turn."""
        at = self.began + turn * PAUSE + after
        asyncio.get_running_loop().call_at(at, block, seconds)

    @property
    def switches(self) -> list[int]:
        """The turns that another provider answered than the one before."""
        pairs = enumerate(pairwise(self.by), start=1)
        return [turn for turn, (before, after) in pairs if before != after]

    @property
    def late(self) -> dict[int, float]:
        """The turns that took longer than a backup does, and how long."""
        return {turn: wait for turn, wait in enumerate(self.waits) if wait > BACKUP + 1e-3}

    @property
    def failovers(self) -> list[str]:
        """All failover events: from, to and why."""
        events = self.chain.events.of("failover")
        return [f"{e.from_provider}>{e.to_provider} {e.reason}" for e in events]

    @property
    def recoveries(self) -> list[tuple[int, str]]:
        """All recovery events: in which turn, and of whom."""
        records = self.chain.events.records
        return [
            (turn_at(record.at - self.began), record.event.provider)
            for record in records
            if record.name == "recovery"
        ]

    @property
    def hedges(self) -> list[int]:
        """The turns that were hedged."""
        records = self.chain.events.records
        return [turn_at(record.at - self.began) for record in records if record.name == "hedged"]

    def asked_beside(self, name: str) -> list[float]:
        """When a provider was asked later than a turn's beginning and its hedge, in seconds."""
        asked = [call.opened_at - self.began for call in self.chain.providers[name].calls]
        ours = [turn * PAUSE for turn in range(len(self.by))]
        ours += [turn * PAUSE + HEDGE for turn in self.hedges]
        return [round(at, 2) for at in asked if min(abs(at - own) for own in ours) > 1e-3]

    @property
    def blame(self) -> list[Any]:
        """All that was held against anybody: moves, changes of health, failures, slow outputs."""
        blame = [*self.failovers, *self.chain.events.of("health_changed")]
        for name in self.chain.providers:
            health = self.chain.adapter.get_service_health(name)
            blame += [name] * (sum(health.failures.values()) + health.slow)
        return blame


def conversation(census: Census, kind: Kind, *traces: Any, **options: Any) -> Conversation:
    """A conversation that begins now.

    Args:
        census: finds what is left open.
        kind: of all the providers.
        traces: of the providers a, b, c; or with the provider's own options, as a pair.
        options: of the adapter, over a threshold of 800 ms.
    """
    began = now()
    pairs = [trace if isinstance(trace, tuple) else (trace, {}) for trace in traces]
    entries = [
        Provider(kind.make(_following(kind, name, trace, began)), **own)
        for name, (trace, own) in zip("abc", pairs, strict=False)
    ]
    chain = record_hedges(line(census, kind, *entries, **{**LIMITED, **options}))
    return Conversation(chain, began)


def _following(
    kind: Kind, name: str, trace: Callable[[float], Any], began: float
) -> Callable[[int], Script]:
    def script(_: int) -> Script:
        taken = trace(now() - began)
        waits = taken if isinstance(taken, tuple) else (taken,)
        if waits == (DOWN,):
            return list(DOWN)
        return [*(Wait(seconds) for seconds in waits), *kind.answer(name)]

    return script
