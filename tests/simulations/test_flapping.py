# SPDX-License-Identifier: Apache-2.0
"""A primary that fails every other time, for a hundred turns: how often does the caller hear it?

A failure must be left at once, so what is bounded is the other direction: after traffic has moved,
whichever way, it does not go back to the primary before the dwell time is over. Without
`min_dwell_sec` that is the first rest.
"""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulations.outages import BASE, Turn, returns, switches
from tests.support.outage import DOWN, LLM, SILENT, STT, TTS, Kind, line
from tests.support.script import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulations.outages import Table
    from tests.support.census import Census
    from tests.support.script import Script

TURNS = 100
PAUSE = 4.0  # from one turn of a conversation to the next


def _every_second_call(n: int) -> bool:
    return n % 2 == 0


def _every_second_turn(_: int) -> bool:
    return int(now() // PAUSE) % 2 == 0


def _every_second_minute(_: int) -> bool:
    return int(now() // 60) % 2 == 0


def _by_chance(seed: int) -> Callable[[int], bool]:
    draws = random.Random(seed)
    return lambda _: draws.random() < 0.5


PATTERNS: dict[str, Callable[[], Callable[[int], bool]]] = {
    "every-second-call": lambda: _every_second_call,
    "every-second-turn": lambda: _every_second_turn,
    "every-second-minute": lambda: _every_second_minute,
    "by-chance-0": lambda: _by_chance(0),
    "by-chance-1": lambda: _by_chance(1),
    "by-chance-2": lambda: _by_chance(2),
}

# With the first options only the growing rests hold traffic back, with the others only the dwell.
EAGER: dict[str, Any] = {
    "temporary_disable_sec": 1.0,
    "max_disable_sec": 1.0,
    "probation_successes": 1,
}
OPTIONS: dict[float, dict[str, Any]] = {
    0.0: {},
    30.0: {"min_dwell_sec": 30.0, **EAGER},
    120.0: {"min_dwell_sec": 120.0, **EAGER},
}


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [*((LLM, pattern) for pattern in PATTERNS), (STT, "every-second-turn"), (TTS, "by-chance-0")],
    ids=str,
)
@pytest.mark.parametrize("dwell", OPTIONS)
@pytest.mark.parametrize("probe", ["ping", "live"])
async def test_one_in_two(
    kind: Kind, pattern: str, dwell: float, probe: str, census: Census, table: Table
):
    """Every turn is answered, and traffic goes back once per dwell time at most."""
    is_well = PATTERNS[pattern]()
    bad: Script = SILENT if kind is LLM else DOWN
    primary = kind.make(lambda n: kind.answer("a") if is_well(n) else bad)
    chain = line(census, kind, primary, kind.answer("b"), probe=probe, attempt_timeout=1.0,
                 **OPTIONS[dwell])  # fmt: skip

    turns = []
    for _ in range(TURNS):
        began = now()
        turns.append(Turn(began, await chain.use()))
        await asyncio.sleep(began + PAUSE - now())
    await asyncio.sleep(1.0)

    moved, back = switches(turns), returns(turns)
    table.switches.append(
        f"{kind!r:6} {pattern:20} dwell {dwell:5.0f} {probe:6} switches {len(moved):3d}, "
        f"of them back {len(back):3d}, turns served by the primary "
        f"{sum(turn.by == 'a' for turn in turns):3d}"
    )
    assert {turn.by for turn in turns} <= {"a", "b"}
    waited = [later - earlier for earlier, later in pairwise(moved) if later in back]
    assert all(seconds >= (dwell or BASE) for seconds in waited)
