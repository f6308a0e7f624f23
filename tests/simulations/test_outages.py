# SPDX-License-Identifier: Apache-2.0
"""Outages from a tenth of a second to an hour, under all kinds of traffic, through the adapters.

Whatever the traffic, a dead provider costs one call per growing rest; its callers are answered by
the backup; and traffic is back within one rest of its return. Traffic that would take too long
here is simulated on the core alone, in test_core_outages.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulations.outages import Figures, Outage, Turn, asked_at, rest_in_force
from tests.support.outage import DOWN, LLM, SILENT, STT, SYNTHESIZED, TTS, Kind, Line, line
from tests.support.script import now

if TYPE_CHECKING:
    from tests.simulations.outages import Table
    from tests.support.census import Census

QUIET_BEFORE = 3.0
PATIENCE = 2.5  # every provider's deadline

LENGTHS = [0.1, 5.0, 10.0, 60.0, 600.0, 3600.0]
RATES = [1 / 600, 1 / 30, 1.0, 10.0, 50.0]
# How many requests of each kind are bearable. Outages that meet none are left out.
MOST = {LLM: 600, STT: 600, TTS: 150, SYNTHESIZED: 60}


def _bearable(kind: Kind) -> list[Any]:
    lasting = [(length, length + min(300.0, 2 * length + 10.0)) for length in LENGTHS]
    return [
        pytest.param(kind, length, rate, id=f"{kind}-{length:g}s-{rate:.3g}/s")
        for length, lasts in lasting
        for rate in RATES
        if lasts * rate <= MOST[kind] and (rate >= 1.0 or length * rate >= 2.0)
    ]


class Simulation:
    """One primary with an outage, one backup, and callers who come at a constant rate."""

    def __init__(self, census: Census, kind: Kind, outage: Outage, bad: Any, probe: Any) -> None:
        self.outage = outage
        primary = kind.make(lambda _: bad if outage.is_on(now()) else kind.answer("a"))
        self.chain: Line = line(
            census, kind, primary, kind.answer("b"), probe=probe, attempt_timeout=PATIENCE
        )
        self.turns: list[Turn] = []

    async def ask(self) -> None:
        """One request."""
        turn = Turn(now(), "nobody")
        self.turns.append(turn)
        turn.by = await self.chain.use()

    async def traffic(self, rate: float, until: float) -> None:
        """Requests at this rate, none of which waits for another."""
        async with asyncio.TaskGroup() as callers:
            while now() < until:
                callers.create_task(self.ask())
                await asyncio.sleep(1 / rate)

    @property
    def found_dead_at(self) -> float:
        """When the adapter noticed; the end of the outage if it never did."""
        noticed = (r.at for r in self.chain.events.records if r.name == "health_changed")
        return next(noticed, self.outage.ends)

    @property
    def calls_when_dead(self) -> int:
        """How often the primary was asked though it was known to be dead, probes included."""
        calls = self.chain.providers["a"].calls
        return sum(self.found_dead_at < call.opened_at < self.outage.ends for call in calls)

    @property
    def back_after(self) -> float:
        """How long after its return the first request was the primary's, and stayed so."""
        elsewhere = [turn.at for turn in self.turns if turn.by != "a"]
        back = min(turn.at for turn in self.turns if turn.at > max(elsewhere, default=0.0))
        return max(0.0, back - self.outage.ends)


@pytest.mark.parametrize(
    ("kind", "length", "rate"),
    [case for kind in (LLM, STT, TTS, SYNTHESIZED) for case in _bearable(kind)],
)
@pytest.mark.parametrize(("bad", "probe"), [("down", "replay"), ("hangs", "live")])
async def test_an_outage(
    kind: Kind, length: float, rate: float, bad: str, probe: str, census: Census, table: Table
):
    """Few calls to the dead, everybody answered, and back within one rest."""
    if kind is STT and bad == "hangs":
        bad = "down"  # a recogniser may hear nothing: that is not yet noticed
    patience = PATIENCE if bad == "hangs" else 0.0
    outage = Outage(now() + QUIET_BEFORE, length)
    simulation = Simulation(census, kind, outage, SILENT if bad == "hangs" else DOWN, probe)
    back_within = rest_in_force(length, patience) + patience + 2 / rate + 1.0

    await simulation.traffic(rate, outage.ends + back_within + 2 / rate)
    await asyncio.sleep(PATIENCE)

    assert {turn.by for turn in simulation.turns} <= {"a", "b"}
    figures = Figures(
        f"{kind} {bad}, {probe}",
        outage=length,
        rate=rate,
        requests=len(simulation.turns),
        calls=simulation.calls_when_dead,
        allowed=len(asked_at(outage.ends - simulation.found_dead_at)),
        back_after=simulation.back_after,
        back_within=back_within,
    )
    table.rows.append(figures)
    assert figures.calls <= figures.allowed
    assert simulation.back_after <= back_within


@pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
@pytest.mark.parametrize("probe", ["replay", "live"])
@pytest.mark.parametrize("length", [1.0, 60.0, 3600.0])
async def test_an_outage_without_traffic(
    kind: Kind, probe: str, length: float, census: Census, table: Table
):
    """Who met it is answered; then nobody asks, so there is one probe at most, and all is well."""
    simulation = Simulation(census, kind, Outage(now(), length), DOWN, probe)

    await simulation.ask()
    await asyncio.sleep(length + 310.0)
    calls = simulation.calls_when_dead
    for _ in range(3):
        await simulation.ask()
        await asyncio.sleep(1.0)

    met_it, *later = [turn.by for turn in simulation.turns]
    table.rows.append(Figures(f"{kind} down, {probe}", length, 0.0, 4, calls, 1, None, None))
    assert calls <= min(1, len(asked_at(length)))
    assert met_it == "b"
    assert later[1:] == ["a", "a"]
