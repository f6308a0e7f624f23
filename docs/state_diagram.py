# SPDX-License-Identifier: Apache-2.0
"""Writes what docs/health.md says about states and rests, from the code that decides them.

``python -m docs.state_diagram`` rewrites the blocks between the page's markers. A test fails while
the page and the code differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from livekit_fallback.core.backoff import cool_down, spread
from livekit_fallback.core.circuit import TRANSITIONS, Signal, State
from livekit_fallback.options import LLM_DEFAULTS

PAGE = Path(__file__).with_name("health.md")

# Listed in the table only: they lead from nearly every state, and make the drawing a knot of lines.
BY_HAND = (Signal.DISABLED, Signal.ENABLED, Signal.RESET)

_RESTS_SHOWN = 8
_DEFAULT_BASE = LLM_DEFAULTS["temporary_disable_sec"]
_OTHER_BASES = (0.0, 30.0)


class Sign(NamedTuple):
    """What a signal is called in the diagram, and what it means."""

    label: str
    meaning: str


SIGNS: dict[Signal, Sign] = {
    Signal.FAILED: Sign("failed", "a request failed in a way that counts, see the failure kinds"),
    Signal.TOO_SLOW: Sign(
        "too slow",
        "its outputs took longer than `latency_threshold_ms` too often, see "
        "[latency.md](latency.md); off by default",
    ),
    Signal.SERVED: Sign(
        "served anyway",
        "nobody else was left, so it was asked although it was resting, and it answered",
    ),
    Signal.PROBE_STARTED: Sign("probe starts", "the rest is over and a probe goes out"),
    Signal.PROBE_GOOD: Sign(
        "probe good",
        "the probe gave useful output in time, and no slower than `latency_threshold_ms`",
    ),
    Signal.PROBE_BAD: Sign("probe bad", "it did not: the next, longer rest begins"),
    Signal.PROBE_ABANDONED: Sign(
        "probe void",
        "the probe says nothing: it was cancelled, there was nothing to ask, or what it repeated "
        "was at fault; the rest does not grow",
    ),
    Signal.PROVEN: Sign(
        "proven", "`probation_successes` good requests in every step of `reintroduction`"
    ),
    Signal.GIVEN_UP: Sign(
        "given up", "`permanent_disable_after_attempts` failed recoveries in a row; off by default"
    ),
    Signal.DISABLED: Sign("disable()", "somebody took it out"),
    Signal.ENABLED: Sign("enable()", "somebody took it back in"),
    Signal.RESET: Sign("reset()", "all failures are forgotten"),
}


def state_diagram() -> str:
    """Return the moves that providers make by themselves, as a Mermaid block."""
    labels: dict[tuple[State, State], list[str]] = {}
    for before, moves in TRANSITIONS.items():
        for signal, after in moves.items():
            if signal not in BY_HAND:
                labels.setdefault((before, after), []).append(SIGNS[signal].label)
    arrows = [
        f"    {before.value} --> {after.value}: {' / '.join(names)}"
        for (before, after), names in labels.items()
    ]
    start = f"    [*] --> {State.HEALTHY.value}"
    return "\n".join(["```mermaid", "stateDiagram-v2", start, *arrows, "```"])


def signal_table() -> str:
    """Return what each signal means, and which moves it causes."""
    rows = [
        f"| {sign.label} | {sign.meaning} | {_moves(signal)} |" for signal, sign in SIGNS.items()
    ]
    return "\n".join(["| arrow | meaning | moves |", "| --- | --- | --- |", *rows])


def rest_table() -> str:
    """Return how long a provider rests after each failure in a row."""
    cap = LLM_DEFAULTS["max_disable_sec"]
    numbers = range(1, _RESTS_SHOWN + 1)
    head = _row("`temporary_disable_sec`", [f"{number}." for number in numbers])
    rows = [head, _row("---", ["---:"] * _RESTS_SHOWN)]
    for base in (_DEFAULT_BASE, *_OTHER_BASES):
        rests = [cool_down(number, base=base, cap=cap) for number in numbers]
        rows.append(_row(f"{base:g}", [f"{rest:g}" for rest in rests]))
        if base == _DEFAULT_BASE:
            jittered = [f"{spread(rest, 1.0):g} to {rest:g}" for rest in rests]
            rows.append(_row(f"{base:g}, with jitter", jittered))
    return "\n".join(rows)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "diagram": state_diagram,
    "signals": signal_table,
    "rests": rest_table,
}


def rewritten(page: str) -> str:
    """Return the page with every block between markers written anew.

    Raises:
        KeyError: A marker names a block that nobody writes.
    """
    return re.sub(
        r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)",
        lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n",
        page,
        flags=re.DOTALL,
    )


def _moves(signal: Signal) -> str:
    origins: dict[State, list[str]] = {}
    for before, moves in TRANSITIONS.items():
        if signal in moves:
            origins.setdefault(moves[signal], []).append(before.value)
    return "; ".join(f"{', '.join(names)} → {after.value}" for after, names in origins.items())


def _row(first: str, cells: list[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
