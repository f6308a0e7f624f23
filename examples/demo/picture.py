# SPDX-License-Identifier: Apache-2.0
"""One call as a picture: who spoke, who served, what failed, and how long the caller waited."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from . import lanes
from .audio import RATE, Samples
from .palette import GREEN, INK, PALE, RED, STYLE
from .tally import total
from .turns import TurnFacts, turn_facts, verdict
from .words import ADAPTERS, milliseconds, times, words_astray

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .record import CallRecord


def timeline(record: CallRecord, path: Path) -> None:
    """Draw the whole call."""
    facts = turn_facts(record)
    with plt.rc_context(STYLE):
        figure, (sound, service, waits) = plt.subplots(
            3,
            1,
            figsize=(18, 13),
            sharex=True,
            gridspec_kw={"height_ratios": [2.0, 6.4, 1.9], "hspace": 0.1},
        )
        _sound(sound, record, facts)
        lanes.draw(service, record, facts)
        _bare(service)
        _waits(waits, facts)
        waits.set_xlim(0, record.seconds)
        _heading(figure.text, record)
        _legend(figure, record)
        figure.subplots_adjust(left=0.085, right=0.985, top=0.872, bottom=0.115)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def headline(record: CallRecord) -> str:
    """The verdict in one line."""
    result = verdict(record)
    parts = [
        f"{result.answered} of {result.turns} turns answered",
        f"dead air median {milliseconds(result.dead_air_p50)}",
        f"longest {milliseconds(result.dead_air_max)}",
        words_astray(result.ears + result.voice),
    ]
    if result.rejections:
        parts.append(f"rejected key tried {times(result.rejections)}")
    return ", ".join(parts)


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
    text(0.085, 0.963, title, fontsize=19, fontweight="bold", color=INK)
    text(0.085, 0.938, headline(record), fontsize=14, color=INK)


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


def _waits(axes: Axes, facts: list[TurnFacts]) -> None:
    for turn in facts:
        start, wait = turn.mark.speech_end, turn.waited
        look: dict[str, Any] = {"color": RED}
        if not turn.answered:
            look = {"color": "white", "hatch": "////"}
        axes.bar(start + 0.1, wait * 1000, width=1.1, align="edge", edgecolor=RED, **look)
        label = milliseconds(wait) if turn.answered else "unanswered"
        astray = total((turn.ears, turn.voice))
        if astray.lost or astray.repeated:
            label = words_astray(astray).replace(", ", "\n") + f"\n{label}"
        axes.annotate(
            label,
            (start + 0.65, wait * 1000),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=12,
        )
    axes.set_ylim(0, max(3000.0, axes.dataLim.ymax) * 1.4)
    axes.set_ylabel("dead air (ms)", fontsize=12)
    axes.set_xlabel("seconds of the call", fontsize=12)
    axes.grid(axis="y", color=PALE)
    axes.set_axisbelow(True)


def _bare(axes: Axes) -> None:
    axes.tick_params(axis="both", length=0)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _legend(figure: Figure, record: CallRecord) -> None:
    """One line for the lanes' requests, one for the strips below them."""
    requests, health = lanes.legends(record)
    for bottom, marks in ((0.034, requests), (0.008, health)):
        figure.legend(
            handles=marks,
            loc="lower left",
            bbox_to_anchor=(0.0, bottom),
            ncols=max(1, len(marks)),
            columnspacing=1.5,
            frameon=False,
            fontsize=11.5,
        )
