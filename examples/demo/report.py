# SPDX-License-Identifier: Apache-2.0
"""Writes what is left of a call: sound, picture, page and every event."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
from typing import TYPE_CHECKING, Any

from . import picture
from .audio import write_call
from .turns import TurnFacts, call_length, turn_facts, verdict
from .words import ADAPTERS, BANNER, dead_air, names, verdict_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .record import CallRecord

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 78rem;
       padding: 0 1rem }
img { width: 100%; border: 1px solid #ddd }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem;
         border-bottom: 1px solid #ddd }
th { background: #f4f4f4 }
td.number { text-align: right; white-space: nowrap }
audio { width: 100% }
.bad { color: #a33c00; font-weight: 600 }
.note { color: #555 }
"""


def write(record: CallRecord, out: Path) -> None:
    """Write `call.wav`, `timeline.png`, `report.html` and `events.json` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_call(out / "call.wav", record.said, record.heard)
    picture.timeline(record, out / "timeline.png")
    (out / "events.json").write_text(json.dumps(as_json(record), indent=1), encoding="utf-8")
    (out / "report.html").write_text(_page(record, out / "timeline.png"), encoding="utf-8")


def as_json(record: CallRecord) -> dict[str, Any]:
    """All events of the call; times in `turns` are seconds of the call, others are unix."""
    facts = turn_facts(record)
    return {
        "adapter": record.adapter,
        "began_at": record.began_at,
        "seconds": call_length(record),
        "verdict": dataclasses.asdict(verdict(record)),
        "turns": [dataclasses.asdict(turn) for turn in facts],
        "adapter_events": record.adapter_events,
        "session_events": record.session_events,
        "provider_log": record.provider_log,
    }


def page(title: str, body: Iterable[str]) -> str:
    """A page that needs no other file."""
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"


def image(path: Path, alt: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='{html.escape(alt)}' src='data:image/png;base64,{data}'>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(text: str) -> str:
    kind = "number" if text.endswith(" ms") else "bad" if text == "unanswered" else ""
    return f"<td class='{kind}'>{html.escape(text).replace(chr(10), '<br>')}</td>"


def _page(record: CallRecord, timeline: Path) -> str:
    title = f"One call through failing providers: {ADAPTERS[record.adapter]}"
    return page(
        title,
        [
            f"<h1>{html.escape(title)}</h1><p class='note'>{html.escape(BANNER)}</p>",
            table(("verdict", ""), verdict_rows(verdict(record))),
            image(timeline, "timeline of the call"),
            "<h2>The call</h2><p class='note'>Left: the caller. Right: what the caller heard.</p>",
            "<audio controls src='call.wav'></audio><h2>Turn by turn</h2>",
            table(_TURN_HEAD, map(_turn_row, turn_facts(record))),
        ],
    )


_TURN_HEAD = (
    "turn",
    "what fails",
    "caller said",
    "agent understood",
    "agent said",
    "heard by",
    "thought by",
    "spoken by",
    "dead air",
    "what failed over, and why",
)


def _turn_row(turn: TurnFacts) -> tuple[str, ...]:
    return (
        str(turn.mark.number),
        turn.mark.title,
        turn.mark.said,
        turn.heard_text,
        turn.answer_text,
        names(turn.heard_by),
        names(turn.thought_by),
        names(turn.spoken_by),
        dead_air(turn),
        "\n".join(turn.switches),
    )
