# SPDX-License-Identifier: Apache-2.0
"""Writes what is left of a call: sound, picture, page and every event."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
from typing import TYPE_CHECKING, Any

from . import picture
from .audio import write_call
from .health import all_health
from .turns import TurnFacts, turn_facts, verdict
from .words import (
    ADAPTERS,
    BANNER,
    HEALTH,
    dead_air,
    lost_and_repeated,
    milliseconds,
    names,
    verdict_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .record import CallRecord, Entry

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       margin: 2rem auto; max-width: 84rem; padding: 0 1rem }
.wide { overflow-x: auto }
img { width: 100%; box-sizing: border-box; border: 1px solid #ddd }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem;
         border-bottom: 1px solid #ddd }
th { background: #f4f4f4 }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums }
.many td:last-child { min-width: 17rem }
audio { width: 100% }
.bad { color: #a33c00; font-weight: 600 }
.note { color: #555 }
@media (max-width: 64rem) {
  img { min-width: 80rem }
  .many, .many tr, .many td { display: block }
  .many td, .many td:last-child { border: 0; padding: .1rem 0; min-width: 0 }
  .many tr { border-bottom: 1px solid #ddd; padding: .5rem 0 }
  .many td::before { content: attr(data-head) ": "; color: #555 }
  .many tr:first-child, .many td:empty { display: none }
}
"""

_MANY = 6
"""Columns from which on a table is stacked on narrow screens: a line for each cell."""

_NUMBER = re.compile(r"\d+( ms| of \d+)?|\d+\.\d s")


def write(record: CallRecord, out: Path) -> None:
    """Write `call.wav`, `timeline.png`, `report.html` and `events.json` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_call(out / "call.wav", record.said, record.heard)
    picture.timeline(record, out / "timeline.png")
    (out / "events.json").write_text(json.dumps(as_json(record), indent=1), encoding="utf-8")
    (out / "report.html").write_text(_page(record, out / "timeline.png"), encoding="utf-8")


def as_json(record: CallRecord) -> dict[str, Any]:
    """All events of the call; times of events are unix, all others seconds of the call."""
    facts = turn_facts(record)
    return {
        "adapter": record.adapter,
        "began_at": record.began_at,
        "seconds": record.seconds,
        "verdict": dataclasses.asdict(verdict(record)),
        "lasting_faults": [dataclasses.asdict(fault) for fault in record.lasting_faults],
        "health": _plain_health(record),
        "turns": [dataclasses.asdict(turn) for turn in facts],
        "adapter_events": record.adapter_events,
        "session_events": record.session_events,
        "provider_log": record.provider_log,
    }


def page(title: str, body: Iterable[str]) -> str:
    """A page that needs no other file but the sound it plays."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"


def image(path: Path, alt: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return _wide(f"<img alt='{html.escape(alt)}' src='data:image/png;base64,{data}'>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    kind = "many" if len(head) >= _MANY else "few"
    return _wide(f"<table class='{kind}'><tr>{top}</tr>{body}</table>")


def _wide(content: str) -> str:
    """Let `content` scroll by itself where it is wider than the screen."""
    return f"<div class='wide'>{content}</div>"


def _cell(head: str, text: str) -> str:
    label = html.escape(head)
    kind = "number" if _NUMBER.fullmatch(text) else "bad" if text == "unanswered" else ""
    shown = html.escape(text).replace("\n", "<br>")
    return f"<td class='{kind}' data-head='{label}'>{shown}</td>"


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
            *_health(record),
        ],
    )


def _plain_health(record: CallRecord) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return {
        component: {name: list(map(dataclasses.asdict, spans)) for name, spans in chain.items()}
        for component, chain in all_health(record).items()
    }


def _health(record: CallRecord) -> list[str]:
    """Every change of health and every probe, [] for adapters that do not tell."""
    told = "health_changed", "probed"
    events = [event for event in record.adapter_events if event["event"] in told]
    if not events:
        return []
    return [
        "<h2>Health and probes</h2>",
        table(_HEALTH_HEAD, [_health_row(event, record) for event in events]),
    ]


_HEALTH_HEAD = ("second", "provider", "what", "why")


def _health_row(event: Entry, record: CallRecord) -> tuple[str, ...]:
    second = f"{record.clock(event['time']):.1f} s"
    provider = f"{event['component'].upper()} {event['provider']}"
    why = [str(event["reason"])] if event["reason"] else []
    if event["event"] == "probed":
        found = "probe: well" if event["good"] else "probe: not well yet"
        return second, provider, found, ", ".join([*why, f"after {milliseconds(event['elapsed'])}"])
    if event["rest"]:
        why.append(f"rests for {event['rest']:.1f} s")
    what = f"{HEALTH[event['before']]} → {HEALTH[event['after']]}"
    return second, provider, what, ", ".join(why)


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
    "words heard: lost, repeated",
    "words spoken: lost, repeated",
    "what the adapter did, and why",
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
        lost_and_repeated(turn.ears),
        lost_and_repeated(turn.voice),
        "\n".join(turn.switches),
    )
