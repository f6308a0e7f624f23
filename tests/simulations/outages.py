# SPDX-License-Identifier: Apache-2.0
"""Outages on a clock: what is down when, what that may cost, and the figures of each simulation.

The bounds are worked out here from the options alone: nothing of the package is asked for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE, CAP = 5.0, 300.0  # the rests of the options that are simulated: their defaults


@dataclass(frozen=True)
class Outage:
    """A provider does not answer from `begins` on, for so many seconds. Loop time."""

    begins: float
    seconds: float

    @property
    def ends(self) -> float:
        return self.begins + self.seconds

    def is_on(self, now: float) -> bool:
        return self.begins <= now < self.ends


def rests() -> Iterator[float]:
    """The rests of a provider that never comes back, in order, without end."""
    rest = BASE
    while True:
        yield min(rest, CAP)
        rest *= 2


def asked_at(horizon: float, patience: float = 0.0) -> list[float]:
    """When a dead provider is asked again, in seconds after it was found dead, at the earliest.

    Args:
        horizon: How long it is dead.
        patience: How long each try takes to fail.
    """
    moments = accumulate(rests(), lambda at, rest: at + patience + rest)
    return list(takewhile(lambda at: at < horizon, moments))


def rest_in_force(outage: float, patience: float = 0.0) -> float:
    """The longest rest that can be running when an outage of so many seconds ends."""
    endless = rests()
    for _ in asked_at(outage, patience):
        next(endless)
    return next(endless)


@dataclass
class Turn:
    """One request of a simulation, and who answered it."""

    at: float
    by: str


@dataclass
class Figures:
    """What one simulation came to."""

    what: str
    outage: float
    rate: float
    requests: int
    calls: int
    allowed: int
    back_after: float | None
    back_within: float | None

    @property
    def line(self) -> str:
        back = "-" if self.back_after is None else f"{self.back_after:.1f}"
        within = "-" if self.back_within is None else f"{self.back_within:.1f}"
        return (
            f"{self.what:24} {self.outage:8.1f} {self.rate:8.3f} {self.requests:8d} "
            f"{self.calls:6d} {self.allowed:8d} {back:>8} {within:>8}"
        )


HEAD = (
    f"{'simulation':24} {'outage s':>8} {'per s':>8} {'requests':>8} "
    f"{'calls':>6} {'allowed':>8} {'back s':>8} {'within':>8}"
)


@dataclass
class Table:
    """The figures of a whole run."""

    rows: list[Figures] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)


def returns(turns: list[Turn]) -> list[float]:
    """When traffic went back to the primary."""
    return [later.at for earlier, later in pairwise(turns) if later.by == "a" != earlier.by]


def switches(turns: list[Turn]) -> list[float]:
    """When traffic moved, whichever way."""
    return [later.at for earlier, later in pairwise(turns) if later.by != earlier.by]
