# SPDX-License-Identifier: Apache-2.0
"""What hedging does to the tail of the time to first token, and what it costs.

    python -m benchmarks.tail [--seed N] [--json FILE] [--plot FILE]

Two providers that take equally long, independently of each other, are asked one request after the
other under several policies, twice:

- simulated, 100,000 requests: the package's rules (live percentile, budget) and nothing else;
- through the real `FallbackLLM` on virtual time, 10,000 requests. The same 10,000 are simulated as
  well, and each has to come out the same: what holds for the rules then holds for the adapter.

Nothing here is measured with a clock of the machine: with the same seed the figures are the same
everywhere. The exit code is 1 if a promise is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path

from benchmarks.overhead import machine
from benchmarks.tail_adapter import serve
from benchmarks.tail_cases import (
    P90,
    P90_UNBOUND,
    P95,
    POLICIES,
    TRACES,
    UNHEDGED,
    Policy,
    Trace,
)
from benchmarks.tail_simulated import Delay, Run, simulate

SIMULATED, SERVED = 100_000, 10_000  # requests

EXTRA_BOUND = 0.10  # promised of hedging at the live p95: extra calls per request
BURST = 3  # hedges that may be made beyond the budget's share, once

# The adapter and the simulation add up the same numbers in another order, no more.
SAME_SEC = 1e-6

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}


@dataclass(frozen=True)
class Twin:
    """One run through the adapter beside the simulation of the same requests."""

    served: Run
    simulated: Run

    @property
    def is_same(self) -> bool:
        """Whether each request took as long in both, at the same cost."""
        pairs = zip(self.served.waits, self.simulated.waits, strict=True)
        is_as_long = all(abs(a - b) < SAME_SEC for a, b in pairs)
        return is_as_long and self.served.extra_calls == self.simulated.extra_calls


@dataclass(frozen=True)
class Verdict:
    """A promise, and whether it is kept."""

    promise: str
    is_kept: bool

    def __str__(self) -> str:
        return f"{self.promise} {'ok' if self.is_kept else 'MISSED'}"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Args:
        policy: Its name.
        percentiles: Seconds to the first token, by the names of `PERCENTILES`.
        p99_part: The 99th percentile as a part of the unhedged.
        extra: Extra calls per request.
        delay: How the delay turned out.
        verdicts: On what is promised of this line.
    """

    policy: str
    percentiles: dict[str, float]
    p99_part: float
    extra: float
    delay: Delay | None
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Part:
    """A trace under all policies, in one of the two ways."""

    title: str
    trace: Trace
    runs: dict[Policy, Run]
    rows: dict[Policy, Row]


def percentile(ordered: list[float], percent: float) -> float:
    """The nearest rank."""
    return ordered[ceil(len(ordered) * percent / 100) - 1]


def run_simulated(trace: Trace, seed: int, policy: Policy) -> Run:
    """One run of the first part."""
    draw = partial(trace.draw, SIMULATED, seed=seed)
    return simulate(policy, draw("primary"), draw("backup"))


def run_served(trace: Trace, seed: int, policy: Policy) -> Twin:
    """One run of the second part."""
    draw = partial(trace.draw, SERVED, seed=seed)
    primary, backup = draw("primary"), draw("backup")
    return Twin(serve(policy, primary, backup), simulate(policy, primary, backup))


def measure(seed: int) -> Iterator[tuple[Part, Part]]:
    """Both parts of each trace, simulated and served, as soon as they are there; on all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # all at once, so that no core waits for the last run of a trace
        under_way = [
            (
                trace,
                pool.map(partial(run_simulated, trace, seed), POLICIES),
                pool.map(partial(run_served, trace, seed), POLICIES),
            )
            for trace in TRACES
        ]
        for trace, runs, pairs in under_way:
            simulated = dict(zip(POLICIES, runs, strict=True))
            twins = dict(zip(POLICIES, pairs, strict=True))
            served = {policy: twin.served for policy, twin in twins.items()}
            yield (
                part_of(trace, "simulated", simulated, {}),
                part_of(trace, "through FallbackLLM", served, twins),
            )


def part_of(trace: Trace, how: str, runs: dict[Policy, Run], twins: dict[Policy, Twin]) -> Part:
    """Make the rows of a part's runs, and judge them."""
    p99 = percentile(sorted(runs[UNHEDGED].waits), 99)
    rows = {}
    for policy, run in runs.items():
        ordered = sorted(run.waits)
        shown = {name: percentile(ordered, p) for name, p in PERCENTILES.items()}
        p99_part, count = shown["p99"] / p99, len(ordered)
        verdicts = judged(trace, policy, run, p99_part)
        if policy in twins:
            verdicts.append(Verdict("as simulated", twins[policy].is_same))
        row = Row(policy.name, shown, p99_part, run.extra_calls / count, run.delay, verdicts)
        rows[policy] = row
    title = f"{trace.name}, {how}, {len(runs[UNHEDGED].waits):,} requests"
    return Part(title, trace, runs, rows)


def judged(trace: Trace, policy: Policy, run: Run, p99_part: float) -> list[Verdict]:
    """What is promised of a run, and whether it is kept."""
    verdicts = []
    requests = len(run.waits)
    if policy == P95 and trace.p99_bound is not None:
        verdicts.append(Verdict(f"p99 < {trace.p99_bound:.0%}", p99_part < trace.p99_bound))
        is_cheap = run.extra_calls <= EXTRA_BOUND * requests
        verdicts.append(Verdict(f"extra <= {EXTRA_BOUND:.0%}", is_cheap))
    if policy.delay is not None and policy.budget < 1.0:
        is_within = run.extra_calls <= policy.budget * requests + BURST
        verdicts.append(Verdict("in budget", is_within))
    return verdicts


def print_part(part: Part) -> None:
    """The table, and what can be read from it."""
    print(f"\n{part.title}")
    names = "".join(f"{name:>9}" for name in PERCENTILES)
    is_looked_at = any(row.delay is not None for row in part.rows.values())
    held = "held back" if is_looked_at else ""
    head = f"{'time to first token':20}{names}{'p99 of unhedged':>18}{'extra calls':>14}{held:>12}"
    print(head.rstrip())
    for policy, row in part.rows.items():
        print(line(policy, row, len(part.runs[policy].waits)).rstrip())
    if part.trace.p99_bound is not None:
        print(trade(part.rows))
    if is_looked_at:
        print(bias(part))
    sys.stdout.flush()


def line(policy: Policy, row: Row, requests: int) -> str:
    """One line of the table."""
    seconds = "".join(f"{s:7.2f} s" for s in row.percentiles.values())
    held = ""  # hedges that were due, and not in the budget
    if row.delay is not None:
        held = f"{row.delay.exceeded / requests - row.extra:.2%}"
    verdicts = ", ".join(map(str, row.verdicts))
    return f"{policy.name:20}{seconds}{row.p99_part:>18.1%}{row.extra:>14.2%}{held:>12}  {verdicts}"


def trade(rows: dict[Policy, Row]) -> str:
    """What p90 would buy and cost against p95."""
    p95, p90, unbound = rows[P95], rows[P90], rows[P90_UNBOUND]
    return (
        f"p90 instead of p95: p99 {p95.p99_part:.1%} -> {p90.p99_part:.1%} of unhedged, "
        f"p99.9 {p95.percentiles['p99.9']:.2f} s -> {p90.percentiles['p99.9']:.2f} s, "
        f"extra calls {p95.extra:.2%} -> {p90.extra:.2%}\n"
        f"its budget holds it back: with 1.0 it is p99 {unbound.p99_part:.1%}, "
        f"p99.9 {unbound.percentiles['p99.9']:.2f} s, extra calls {unbound.extra:.2%}"
    )


def bias(part: Part) -> str:
    """How far the live p95 is from the trace's own."""
    delay = part.rows[P95].delay
    assert delay is not None
    truth = percentile(sorted(part.runs[UNHEDGED].waits), 95)
    exceeded = delay.exceeded / len(part.runs[P95].waits)
    return (
        f"the live p95: median {delay.median:.3f} s ({delay.median / truth - 1:+.1%}), mean "
        f"{delay.mean:.3f} s ({delay.mean / truth - 1:+.1%}), the trace's own {truth:.3f} s; "
        f"{exceeded:.2%} of the requests took longer than it"
    )


def processor_time() -> float:
    """Seconds that this process and those it has waited for have computed."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def print_all(seed: int) -> list[tuple[Part, Part]]:
    """Measure, and print each table when it is there."""
    started = time.perf_counter()
    pairs = []
    for pair in measure(seed):
        pairs.append(pair)
        for part in pair:
            print_part(part)
    took = time.perf_counter() - started
    print(f"\ntook {took:.0f} s, {processor_time():.0f} s of the processors")
    return pairs


def as_json(about: dict[str, str], parts: list[Part]) -> str:
    """The figures, for other programs."""
    tables = {part.title: [asdict(row) for row in part.rows.values()] for part in parts}
    return json.dumps({"about": about, "tables": tables}, indent=2)


def main() -> int:
    parser = argparse.ArgumentParser(description="What hedging does to the tail, and its cost.")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the latencies (1)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--plot", type=Path, help="also draw the tails into this file")
    arguments = parser.parse_args()

    about = {**machine(), "seed": str(arguments.seed)}
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="; virtual time\n")
    pairs = print_all(arguments.seed)
    parts = [part for pair in pairs for part in pair]
    if arguments.json:
        arguments.json.write_text(as_json(about, parts))
    if arguments.plot:
        # only the picture needs matplotlib
        from benchmarks.tail_plot import draw

        draw([(a.trace.name, a.runs, b.runs) for a, b in pairs], arguments.plot)
    verdicts = [v for part in parts for row in part.rows.values() for v in row.verdicts]
    return int(not all(verdict.is_kept for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
