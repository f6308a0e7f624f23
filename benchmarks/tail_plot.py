# SPDX-License-Identifier: Apache-2.0
"""The tails as a picture: what share of the requests waits for longer than so many seconds."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.tail_cases import P90, P95, UNHEDGED, Policy
from benchmarks.tail_simulated import Run
from examples.demo.palette import BLUE, GREY, INK, ORANGE, PALE, STYLE

Runs = dict[Policy, Run]

LINES = (
    (UNHEDGED, INK, "no hedging"),
    (P95, BLUE, 'hedge_after_ms="p95"'),
    (P90, ORANGE, 'hedge_after_ms="p90"'),
)

RAREST = 2e-4  # of 100,000 requests, the slowest twenty: beyond that it is chance
DOTS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)

SECONDS = (0.2, 0.5, 1, 2, 5, 10)
SHARES = (1, 0.1, 0.01, 0.001)


def draw(parts: Sequence[tuple[str, Runs, Runs]], path: Path) -> None:
    """Draw one panel per trace: its name, its simulated runs, and those through the adapter."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(parts), figsize=(15, 5.6), sharey=True)
        for axes, (name, simulated, served) in zip(panels, parts, strict=True):
            _panel(axes, name, simulated, served)
        panels[0].set_ylabel("requests that wait longer")
        panels[0].text(0.19, 0.0104, "p99", color=GREY, va="bottom")
        _explain(figure, panels[0])
        figure.subplots_adjust(left=0.06, right=0.985, top=0.78, bottom=0.115, wspace=0.07)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _panel(axes: Axes, name: str, simulated: Runs, served: Runs) -> None:
    axes.set_title(name, loc="left", fontweight="bold")
    axes.axhline(0.01, color=GREY, linewidth=0.9, linestyle=":")
    # the widest at the bottom, so that lines that coincide are all seen
    for width, (policy, colour, label) in zip((4.2, 2.6, 1.3), LINES, strict=True):
        axes.plot(*_survival(simulated[policy]), color=colour, linewidth=width, label=label)
        waits = [_exceeded_by(share, sorted(served[policy].waits)) for share in DOTS]
        axes.plot(waits, DOTS, "o", color=colour, markersize=5, markeredgecolor="white")
    _scale(axes)
    costs = f"extra calls: p95 {_extra(simulated[P95])}, p90 {_extra(simulated[P90])}"
    axes.text(0.03, 0.04, costs, transform=axes.transAxes, fontsize=10)


def _extra(run: Run) -> str:
    return f"{100 * run.extra_calls / len(run.waits):.1f} %"


def _survival(run: Run) -> tuple[list[float], list[float]]:
    """Seconds, and the share of the requests that wait for longer: evenly spaced on its axis."""
    ordered = sorted(run.waits)
    shares = [RAREST ** (i / 600) for i in range(601)]
    return [_exceeded_by(share, ordered) for share in shares], shares


def _exceeded_by(share: float, ordered: list[float]) -> float:
    return ordered[max(ceil(len(ordered) * (1 - share)) - 1, 0)]


def _scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.18, 13)
    axes.set_ylim(RAREST, 1.15)
    axes.set_xlabel("time to first token")
    axes.xaxis.set_major_locator(FixedLocator(SECONDS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
    axes.yaxis.set_major_locator(FixedLocator(SHARES))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y * 100:g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(color=PALE, zorder=0)
    axes.set_axisbelow(True)


def _explain(figure: Figure, axes: Axes) -> None:
    figure.suptitle(
        "Asking a second provider when the first is silent: what it does to the tail",
        x=0.06,
        y=0.975,
        ha="left",
        fontsize=15,
        fontweight="bold",
    )
    lines, labels = axes.get_legend_handles_labels()
    figure.legend(
        lines, labels, loc="upper left", bbox_to_anchor=(0.053, 0.93), ncols=3, frameon=False
    )
    figure.text(
        0.985,
        0.895,
        "lines: 100,000 requests simulated; dots: 10,000 through FallbackLLM",
        ha="right",
        color=GREY,
    )
