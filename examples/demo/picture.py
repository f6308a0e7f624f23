# SPDX-License-Identifier: Apache-2.0
"""One call as a picture: who spoke, who served, what failed, and how long the caller waited."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .attempts import attempts, is_failover, is_recovery
from .audio import RATE, Samples, Span
from .scenario import BACKUPS, PRIMARIES
from .turns import TurnFacts, call_length, switches, turn_facts, verdict
from .words import ADAPTERS, milliseconds

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from .record import CallRecord, FaultMark

# Okabe and Ito's palette, told apart by all kinds of colour vision.
BLUE, ORANGE, GREEN, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
INK, GREY, PALE = "#222222", "#777777", "#E9E9E9"

COMPONENTS = {"stt": "ears (STT)", "llm": "brain (LLM)", "tts": "voice (TTS)"}
MARK_WIDTH = 0.22
"""Seconds that the shortest request is drawn wide: loopback answers are thinner than a pixel."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}


def timeline(record: CallRecord, path: Path) -> None:
    """Draw the whole call."""
    facts = turn_facts(record)
    with plt.rc_context(STYLE):
        figure, (sound, service, waits) = plt.subplots(
            3,
            1,
            figsize=(20, 11.5),
            sharex=True,
            gridspec_kw={"height_ratios": [2.0, 4.2, 2.0], "hspace": 0.1},
        )
        _sound(sound, record, facts)
        _service(service, record, facts)
        _waits(waits, facts)
        waits.set_xlim(0, call_length(record))
        _heading(figure.text, record)
        figure.legend(handles=_legend(), loc="lower center", ncols=9, frameon=False, fontsize=11.5)
        figure.subplots_adjust(left=0.085, right=0.985, top=0.845, bottom=0.1)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def headline(record: CallRecord) -> str:
    """The verdict in one line."""
    result = verdict(record)
    return (
        f"{result.answered} of {result.turns} turns answered, "
        f"dead air median {milliseconds(result.dead_air_p50)}, "
        f"longest {milliseconds(result.dead_air_max)}"
    )


def draw_sound(axes: Axes, samples: Samples, middle: float, colour: str) -> None:
    """Draw sound as its envelope around `middle`, about one unit high."""
    step = RATE // 50
    whole = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step)
    level = np.abs(whole).max(axis=1)
    level = 0.46 * level / max(1.0, float(level.max()))
    seconds = np.arange(len(level)) * step / RATE
    axes.fill_between(seconds, middle - level, middle + level, color=colour, linewidth=0)


def shade(axes: Axes, turn: TurnFacts, low: float, high: float) -> None:
    """Mark the silences of a turn between two heights."""
    for start, end in turn.silences:
        axes.fill_between(
            (start, end),
            low,
            high,
            facecolor=RED,
            alpha=0.32 if turn.answered else 0.6,
            linewidth=0,
        )


def _heading(text: object, record: CallRecord) -> None:
    assert callable(text)
    title = f"One call through failing providers: {ADAPTERS[record.adapter]}"
    text(0.085, 0.955, title, fontsize=19, fontweight="bold", color=INK)
    text(0.085, 0.925, headline(record), fontsize=14, color=INK)


def _sound(axes: Axes, record: CallRecord, facts: list[TurnFacts]) -> None:
    draw_sound(axes, record.said, 1.5, INK)
    draw_sound(axes, record.heard, 0.5, GREEN)
    for turn in facts:
        shade(axes, turn, 0.0, 1.0)
        axes.axvline(turn.mark.began, color=PALE, linewidth=1, zorder=0)
        number = str(turn.mark.number)
        axes.text(turn.mark.began, 2.12, number, fontsize=14, fontweight="bold")
        axes.annotate(
            textwrap.fill(turn.mark.title, 13),
            (turn.mark.began, 2.12),
            xytext=(4 + 10 * len(number), 0),
            textcoords="offset points",
            annotation_clip=False,
            fontsize=10.5,
        )
    axes.set_ylim(0, 2.1)
    axes.set_yticks([1.5, 0.5], ["caller", "agent"], fontsize=13)
    _bare(axes)


def _service(axes: Axes, record: CallRecord, facts: list[TurnFacts]) -> None:
    ticks = []
    for index, component in enumerate(COMPONENTS):
        upper = 8.0 - 3 * index
        rows = {PRIMARIES[component]: upper, BACKUPS[component]: upper - 1}
        axes.axhspan(upper - 1.5, upper + 0.5, color="#F7F7F7", zorder=-2)
        axes.text(
            0.004,
            upper + 0.56,
            COMPONENTS[component],
            transform=axes.get_yaxis_transform(),
            fontsize=12,
            fontweight="bold",
            va="bottom",
        )
        ticks += [(upper, PRIMARIES[component]), (upper - 1, BACKUPS[component])]
        _faults(axes, component, rows, facts)
        _use(axes, record, component, rows, facts)
        _moves(axes, record, component, upper)
    for turn in facts:
        axes.axvline(turn.mark.began, color=PALE, linewidth=1, zorder=-1)
    axes.set_ylim(0.3, 9.2)
    axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks], fontsize=12)
    _bare(axes)


def _faults(axes: Axes, component: str, rows: dict[str, float], facts: list[TurnFacts]) -> None:
    for turn in facts:
        faults = [fault for fault in turn.mark.faults if fault.service == component]
        for fault in faults:
            if fault.cut:
                axes.plot(
                    fault.on, rows[fault.vendor], "X", ms=13, color=INK, mec="white", zorder=8
                )
            else:
                _box(axes, fault, rows[fault.vendor])
        if len(faults) == 1 and faults[0].cut:
            axes.text(
                turn.mark.speech_end + 0.3, rows[faults[0].vendor], faults[0].label, va="center"
            )


def _cross(axes: Axes, at: float, row: float) -> None:
    axes.plot(at, row, "X", markersize=13, color=INK, markeredgecolor="white", zorder=8)


def _box(axes: Axes, fault: FaultMark, row: float) -> None:
    """Hatch the time a lasting fault is on, and name it where requests rarely are: its start."""
    end = fault.on if fault.off is None else fault.off
    axes.broken_barh(
        [(fault.on, end - fault.on)],
        (row - 0.42, 0.84),
        facecolor="white",
        edgecolor=GREY,
        hatch="////",
        linewidth=0.8,
        zorder=1,
    )
    axes.text(
        fault.on + 0.5,
        row,
        fault.label,
        va="center",
        fontsize=11.5,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _use(
    axes: Axes, record: CallRecord, component: str, rows: dict[str, float], facts: list[TurnFacts]
) -> None:
    """Fill the rows of the vendors that served, outline requests in vain, pale probes."""
    if component == "stt":
        for turn in facts:
            for vendor in turn.heard_by:
                span = turn.mark.began, turn.mark.speech_end
                _bar(axes, rows[vendor], span, _colour(component, vendor))
        return
    for request in attempts(record, component):
        colour = _colour(component, request.vendor)
        span = request.start, max(request.end, request.start + MARK_WIDTH)
        row = rows[request.vendor]
        if request.wasted:
            _bar(axes, row, span, RED, facecolor="none", linewidth=1.8)
        elif request.probe:
            _bar(axes, row, span, colour, facecolor="white", linewidth=1.4)
        else:
            _bar(axes, row, span, colour)


def _bar(axes: Axes, row: float, span: Span, colour: str, **look: Any) -> None:
    look = {"facecolor": colour, "edgecolor": colour, "linewidth": 0.5, **look}
    axes.broken_barh([(span[0], span[1] - span[0])], (row - 0.3, 0.6), zorder=4, **look)


def _colour(component: str, vendor: str) -> str:
    return BLUE if vendor == PRIMARIES[component] else ORANGE


def _moves(axes: Axes, record: CallRecord, component: str, upper: float) -> None:
    """Arrows down for failovers, up for recoveries."""
    for event in switches(record):
        if event["component"] != component:
            continue
        at = record.clock(event["time"])
        if is_failover(event):
            _arrow(axes, at, upper - 0.1, upper - 0.95, RED)
        elif is_recovery(event):
            _arrow(axes, at, upper - 0.9, upper - 0.05, GREEN)


def _arrow(axes: Axes, at: float, tail: float, head: float, colour: str) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "lw": 2.4, "mutation_scale": 18}
    axes.annotate("", xy=(at, head), xytext=(at, tail), arrowprops=look, zorder=7)


def _waits(axes: Axes, facts: list[TurnFacts]) -> None:
    for turn in facts:
        start, wait = turn.mark.speech_end, turn.waited
        look: dict[str, Any] = {"color": RED}
        if not turn.answered:
            look = {"color": "white", "hatch": "////"}
        axes.bar(start + 0.1, wait * 1000, width=1.1, align="edge", edgecolor=RED, **look)
        label = milliseconds(wait) if turn.answered else "unanswered"
        axes.annotate(
            label,
            (start + 0.65, wait * 1000),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=12,
        )
    axes.set_ylim(0, max(3000.0, axes.dataLim.ymax) * 1.18)
    axes.set_ylabel("dead air (ms)", fontsize=12)
    axes.set_xlabel("seconds of the call", fontsize=12)
    axes.grid(axis="y", color=PALE)
    axes.set_axisbelow(True)


def _bare(axes: Axes) -> None:
    axes.tick_params(axis="both", length=0)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _legend() -> list[Patch | Line2D]:
    return [
        Patch(facecolor=BLUE, label="primary serves"),
        Patch(facecolor=ORANGE, label="backup serves"),
        Patch(facecolor="none", edgecolor=RED, linewidth=1.8, label="request in vain"),
        Patch(facecolor="white", edgecolor=BLUE, linewidth=1.4, label="probe"),
        Patch(facecolor="white", edgecolor=INK, hatch="////", label="fault switched on"),
        Line2D([], [], color=INK, marker="X", linestyle="", markersize=10, label="cut off"),
        Line2D([], [], color=RED, marker="v", linestyle="", markersize=10, label="failover"),
        Line2D([], [], color=GREEN, marker="^", linestyle="", markersize=10, label="recovery"),
        Patch(facecolor=RED, alpha=0.4, label="dead air"),
    ]
