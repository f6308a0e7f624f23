# SPDX-License-Identifier: Apache-2.0
"""The call in the terminal: a growing table on a tty, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .turns import TurnFacts, Verdict, switches, turn_facts
from .words import ADAPTERS, BANNER, dead_air, describe, missed, names, verdict_rows

if TYPE_CHECKING:
    from types import TracebackType

    from .record import CallRecord


class View(Protocol):
    """Shows a call while it goes on."""

    def __call__(self, record: CallRecord, doing: str) -> None: ...

    def __enter__(self) -> View: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_view(adapter: str) -> View:
    """The view that fits where the output goes."""
    return TableView(adapter) if sys.stdout.isatty() else LineView(adapter)


class TableView:
    """Prints a row per finished turn, with the turn that goes on in place below."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        self._facts: list[TurnFacts] = []
        self._live = Live(console=Console(), refresh_per_second=8)

    def __enter__(self) -> TableView:
        self._live.start()
        title = f"[bold]{ADAPTERS[self._adapter]}[/bold]"
        self._live.console.print(Panel(Text(BANNER, style="dim"), title=title), _row(*_HEAD))
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(Text())
        self._live.stop()

    def __call__(self, record: CallRecord, doing: str) -> None:
        facts = new_facts(record, self._facts)
        for turn in facts[len(self._facts) :]:
            self._live.console.print(_turn_row(turn))
        self._facts = facts
        happened = [Text(f"        {text}", style="yellow") for text in _lately(record)]
        self._live.update(Group(Text(doing, style="bold cyan"), *happened))


class LineView:
    """Prints each turn once it is over."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        self._facts: list[TurnFacts] = []

    def __enter__(self) -> LineView:
        print(f"== {ADAPTERS[self._adapter]}\n{BANNER}", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, record: CallRecord, doing: str) -> None:
        facts = new_facts(record, self._facts)
        for turn in facts[len(self._facts) :]:
            print(plain_turn(turn), flush=True)
        self._facts = facts


def new_facts(record: CallRecord, known: list[TurnFacts]) -> list[TurnFacts]:
    """Judge again only after a turn: it means looking at all sound so far, and the line ticks."""
    finished = sum(turn.ended is not None for turn in record.turns)
    return turn_facts(record) if finished > len(known) else known


def plain_turn(turn: TurnFacts) -> str:
    """One turn in a few lines of text."""
    lines = [
        f"{turn.mark.number:2}  {turn.mark.title}: {dead_air(turn)}",
        f'    said "{turn.mark.said}"  heard "{turn.heard_text}"',
        f"    heard by {names(turn.heard_by)}, thought by {names(turn.thought_by)}, "
        f"spoken by {names(turn.spoken_by)}",
        *(f"    {switch}" for switch in turn.switches),
        *([f"    words {missed(turn)}"] if missed(turn) else []),
    ]
    return "\n".join(lines)


_HEAD = (
    Text("what fails", style="bold"),
    Text("caller said", style="bold"),
    Text("heard by", style="bold"),
    Text("thought by", style="bold"),
    Text("spoken by", style="bold"),
    Text("dead air", style="bold"),
    Text("what the adapter did, and why", style="bold"),
)


def _row(*cells: Text) -> Table:
    """One line of a table that is printed as it grows, so its widths cannot depend on content."""
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    for ratio in (4, 5, 2, 2, 2):
        table.add_column(ratio=ratio)
    table.add_column(width=10, justify="right")
    table.add_column(ratio=6)
    table.add_row(*cells)
    return table


def _turn_row(turn: TurnFacts) -> Table:
    return _row(
        Text(f"{turn.mark.number} {turn.mark.title}"),
        _said(turn),
        Text(names(turn.heard_by)),
        Text(names(turn.thought_by)),
        Text(names(turn.spoken_by)),
        Text(dead_air(turn), style=_colour(turn)),
        Text("\n".join(turn.switches)),
    )


def _lately(record: CallRecord) -> list[str]:
    """What the adapter did in the turn that goes on."""
    if not record.turns or record.turns[-1].ended is not None:
        return []
    began = record.turns[-1].began
    events = [e for e in switches(record) if record.clock(e["time"]) >= began]
    return [text for text in map(describe, events) if text]


def verdict_table(adapter: str, result: Verdict) -> Table:
    """The end of the call."""
    table = Table(title=f"Verdict: {ADAPTERS[adapter]}", show_header=False)
    for name, value in verdict_rows(result):
        table.add_row(name, value)
    return table


def _said(turn: TurnFacts) -> Text:
    text = Text(turn.mark.said)
    if turn.heard_text and not turn.heard_whole:
        text.append(f"\nheard: {turn.heard_text}", style="yellow")
    return text


def _colour(turn: TurnFacts) -> str:
    if turn.dead_air is None:
        return "bold red"
    return "green" if turn.dead_air < 1.0 else "yellow"
