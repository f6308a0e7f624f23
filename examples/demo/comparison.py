# SPDX-License-Identifier: Apache-2.0
"""Several calls side by side: one picture, one page, one table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from rich.table import Table

from . import picture, report
from .palette import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, STYLE
from .scenario import ANSWER_WITHIN
from .turns import TurnFacts, turn_facts, verdict
from .words import ADAPTERS, BANNER, dead_air, missed, verdict_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from .record import CallRecord

_ALL_CALL_LONG = "All call long, the first backup of the LLM rejects its key (401)."

COLOURS = {"fallback": BLUE, "livekit": ORANGE, "none": GREY}


def write(records: Sequence[CallRecord], out: Path) -> None:
    """Write `compare.png`, `compare.html` and `compare.json` into `out`."""
    draw(records, out / "compare.png")
    data = {record.adapter: report.as_json(record) for record in records}
    (out / "compare.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    (out / "compare.html").write_text(_page(records, out / "compare.png"), encoding="utf-8")


def rows(records: Sequence[CallRecord]) -> list[tuple[str, ...]]:
    """The verdicts, then every turn and its words if any went astray: one column per call."""
    verdicts = [verdict_rows(verdict(record)) for record in records]
    lines = [(pairs[0][0], *(value for _, value in pairs)) for pairs in zip(*verdicts, strict=True)]
    for turns in zip(*map(turn_facts, records), strict=True):
        mark = turns[0].mark
        lines.append((f"{mark.number} {mark.title}", *map(dead_air, turns)))
        if any(map(missed, turns)):
            lines.append((f"{mark.number} words", *(missed(turn) or "all, once" for turn in turns)))
    return lines


def terminal_table(records: Sequence[CallRecord]) -> Table:
    table = Table(title="The same call, three ways")
    for title in _head(records):
        table.add_column(title)
    for line in rows(records):
        table.add_row(*line)
    return table


def _head(records: Sequence[CallRecord]) -> tuple[str, ...]:
    return "", *(ADAPTERS[record.adapter] for record in records)


def _page(records: Sequence[CallRecord], path: Path) -> str:
    title = "The same call through failing providers, three ways"
    links = [
        f"<li><a href='{record.adapter}/report.html'>{ADAPTERS[record.adapter]}</a>"
        f"<br><audio controls src='{record.adapter}/call.wav'></audio></li>"
        for record in records
    ]
    return report.page(
        title,
        [
            f"<h1>{title}</h1><p class='note'>{BANNER}</p>",
            report.image(path, "three calls, and the dead air of each turn"),
            report.table(_head(records), rows(records)),
            "<h2>The calls</h2><ul>",
            *links,
            "</ul>",
        ],
    )


def draw(records: Sequence[CallRecord], path: Path) -> None:
    """Draw the calls under each other, and the dead air of every turn below."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(records) + 1,
            1,
            figsize=(18, 3.0 * len(records) + 4.6),
            gridspec_kw={"height_ratios": [*(1.0 for _ in records), 1.75], "hspace": 0.62},
        )
        longest = max(record.seconds for record in records)
        for strip, record in zip(axes, records, strict=False):
            _strip(strip, record, longest)
        _bars(axes[-1], records)
        figure.suptitle(
            "The same phone call through failing providers, three ways",
            x=0.06,
            y=0.987,
            ha="left",
            fontsize=20,
            fontweight="bold",
            color=INK,
        )
        figure.text(0.06, 0.949, _ALL_CALL_LONG, fontsize=14, color=INK)
        figure.subplots_adjust(left=0.06, right=0.985, top=0.88, bottom=0.07)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _strip(axes: Axes, record: CallRecord, longest: float) -> None:
    picture.draw_sound(axes, record.said, 1.5, INK)
    picture.draw_sound(axes, record.heard, 0.5, GREEN)
    for turn in turn_facts(record):
        picture.shade(axes, turn, 0.0, 2.0)
        axes.text(turn.mark.began, 2.08, str(turn.mark.number), fontsize=12, fontweight="bold")
        if not turn.answered:
            start, end = turn.silences[0]
            axes.text((start + end) / 2, 1.0, "✕", ha="center", va="center", fontsize=30)
    axes.set_title(
        f"{ADAPTERS[record.adapter]}: {picture.headline(record)}",
        loc="left",
        fontsize=12.5,
        fontweight="bold",
        pad=26,
        color=INK,
    )
    axes.set_xlim(0, longest)
    axes.set_ylim(0, 2)
    axes.set_yticks([1.5, 0.5], ["caller", "agent"], fontsize=12)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds of the call", fontsize=11, labelpad=1)


def _bars(axes: Axes, records: Sequence[CallRecord]) -> None:
    width = 0.8 / len(records)
    for index, record in enumerate(records):
        for turn in turn_facts(record):
            left = turn.mark.number - 0.4 + index * width
            _bar(axes, turn, left, width * 0.94, COLOURS[record.adapter])
    facts = turn_facts(records[0])
    axes.set_xticks(
        [turn.mark.number for turn in facts],
        [f"{turn.mark.number}\n{_wrapped(turn.mark.title)}" for turn in facts],
        fontsize=11.5,
    )
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, ANSWER_WITHIN * 1.12)
    axes.set_ylabel("dead air per turn (s)", fontsize=12)
    axes.grid(axis="y", color=PALE)
    axes.set_axisbelow(True)
    axes.legend(
        handles=_legend(records),
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=5,
        frameon=False,
        fontsize=12.5,
    )


def _bar(axes: Axes, turn: TurnFacts, left: float, width: float, colour: str) -> None:
    wait = turn.waited
    axes.bar(
        left,
        wait,
        width,
        align="edge",
        color=colour if turn.answered else "white",
        edgecolor=colour,
        hatch="" if turn.answered else "////",
    )
    label = f"{wait:.1f}" if turn.answered else "✕"
    axes.text(
        left + width / 2,
        wait + 0.1,
        label,
        ha="center",
        fontsize=11 if turn.answered else 15,
        color=INK if turn.answered else RED,
    )


def _wrapped(title: str) -> str:
    words = title.split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


def _legend(records: Sequence[CallRecord]) -> list[Patch]:
    calls = [Patch(color=COLOURS[r.adapter], label=ADAPTERS[r.adapter]) for r in records]
    silent = Patch(facecolor="white", edgecolor=INK, hatch="////", label="✕ not answered")
    return [*calls, silent, Patch(color=RED, alpha=0.35, label="dead air (above)")]
