# SPDX-License-Identifier: Apache-2.0
"""The providers' part of the timeline: a lane each, with its requests, its faults, its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import palette, words
from .attempts import attempts, is_failover, is_recovery
from .health import all_health, health_spans, probes
from .palette import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED
from .scenario import CHAINS, PRIMARIES
from .turns import TurnFacts, switches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .audio import Span
    from .record import CallRecord, Entry, FaultMark

COMPONENTS = {"stt": "ears (STT)", "llm": "brain (LLM)", "tts": "voice (TTS)"}

MARK_WIDTH = 0.22
"""Seconds that the shortest request is drawn wide: loopback answers are thinner than a pixel."""

REQUESTS, STRIP = 0.12, -0.33
"""Where in a lane the requests are drawn, and the strip that shows its health."""

HEADING = 0.8
"""Height above each chain for its name; a lane is 1 high."""

Rows = dict[str, float]
"""Providers of one chain and the middles of their lanes."""


def draw(axes: Axes, record: CallRecord, facts: list[TurnFacts]) -> None:
    """Draw the chains under each other, each in the order in which it is asked."""
    chains = layout()
    for component, rows in chains.items():
        _chain(axes, record, component, rows, facts)
    for turn in facts:
        axes.axvline(turn.mark.began, color=PALE, linewidth=1, zorder=-1)
    ticks = [(middle, name) for rows in chains.values() for name, middle in rows.items()]
    axes.set_yticks([middle for middle, _ in ticks], [name for _, name in ticks], fontsize=12)
    axes.set_ylim(-0.1, max(middle for middle, _ in ticks) + 0.5 + HEADING)


def layout() -> dict[str, Rows]:
    """Where the lanes are, from the top down to 0."""
    top = sum(len(chain) + HEADING for chain in CHAINS.values())
    chains = {}
    for component, chain in CHAINS.items():
        first = top - HEADING - 0.5
        chains[component] = {provider: first - index for index, provider in enumerate(chain)}
        top -= HEADING + len(chain)
    return chains


def legends(record: CallRecord) -> tuple[list[Any], list[Any]]:
    """What the marks mean: those of requests, and those of health."""
    return [_caption("requests:"), *_request_marks()], _health_marks(record)


def _chain(
    axes: Axes, record: CallRecord, component: str, rows: Rows, facts: list[TurnFacts]
) -> None:
    top, bottom = max(rows.values()) + 0.5, min(rows.values()) - 0.5
    axes.axhspan(bottom, top, color="#F7F7F7", zorder=-2)
    axes.text(
        0.004,
        top + 0.06,
        COMPONENTS[component],
        transform=axes.get_yaxis_transform(),
        fontsize=12,
        fontweight="bold",
        va="bottom",
    )
    _faults(axes, record, component, rows, facts)
    _use(axes, record, component, rows, facts)
    _health(axes, record, component, rows)
    for event in switches(record):
        if event["component"] == component:
            _move(axes, event, record.clock(event["time"]), rows)


def _faults(
    axes: Axes, record: CallRecord, component: str, rows: Rows, facts: list[TurnFacts]
) -> None:
    for fault in record.lasting_faults:
        if fault.service == component:
            _box(axes, fault, record.seconds, rows[fault.vendor], f"{fault.label} all call long")
    for turn in facts:
        faults = [fault for fault in turn.mark.faults if fault.service == component]
        for fault in faults:
            if fault.cut:
                _cross(axes, fault.on, rows[fault.vendor])
            else:
                end = fault.on if fault.off is None else fault.off
                _box(axes, fault, end, rows[fault.vendor], fault.label)
        if len(faults) == 1 and faults[0].cut:
            row = rows[faults[0].vendor] + REQUESTS
            axes.text(turn.mark.speech_end + 0.3, row, faults[0].label, va="center")


def _cross(axes: Axes, at: float, row: float) -> None:
    look: dict[str, Any] = {"color": INK, "markeredgecolor": "white"}
    axes.plot(at, row + REQUESTS, "X", markersize=13, zorder=8, **look)


def _box(axes: Axes, fault: FaultMark, end: float, row: float, label: str) -> None:
    """Hatch the time a lasting fault is on, and name it where requests rarely are: its start."""
    axes.broken_barh(
        [(fault.on, end - fault.on)],
        (row + REQUESTS - 0.34, 0.68),
        facecolor="white",
        edgecolor=GREY,
        hatch="////",
        linewidth=0.8,
        zorder=1,
    )
    axes.text(
        fault.on + 0.45,
        row + REQUESTS,
        label,
        va="center",
        fontsize=11.5,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _use(
    axes: Axes, record: CallRecord, component: str, rows: Rows, facts: list[TurnFacts]
) -> None:
    """Fill the lanes of the vendors that served, outline requests in vain, pale probes."""
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
    box = [(span[0], span[1] - span[0])]
    axes.broken_barh(box, (row + REQUESTS - 0.25, 0.5), zorder=4, **look)


def _colour(component: str, vendor: str) -> str:
    return BLUE if vendor == PRIMARIES[component] else ORANGE


def _health(axes: Axes, record: CallRecord, component: str, rows: Rows) -> None:
    """A strip under the requests of each provider; what its probes came to is marked on it."""
    for provider, row in rows.items():
        for span in health_spans(record, component, provider):
            axes.broken_barh(
                [(span.start, span.end - span.start)],
                (row + STRIP - 0.08, 0.16),
                facecolor=palette.HEALTH[span.state],
                zorder=2,
            )
    for probe in probes(record):
        if probe["component"] == component:
            at = record.clock(probe["time"])
            axes.plot(at, rows[probe["provider"]] + STRIP, **_probe_look(good=probe["good"]))


def _probe_look(*, good: bool) -> dict[str, Any]:
    """Told apart by shape too: a full dot is well, an empty square is not."""
    look: dict[str, Any] = {"marker": "s", "color": "white", "markeredgecolor": RED}
    if good:
        look = {"marker": "o", "color": GREEN, "markeredgecolor": "white"}
    return {**look, "linestyle": "", "markersize": 9, "markeredgewidth": 1.6, "zorder": 9}


def _move(axes: Axes, event: Entry, at: float, rows: Rows) -> None:
    """An arrow down for a failover, up for a recovery."""
    if is_failover(event):
        left = event.get("from_provider") or event["provider"]
        taken = event.get("to_provider") or _below(left, rows)
        _arrow(axes, at, rows[left], rows[taken] + 0.16, RED)
    elif is_recovery(event):
        back = event["provider"]
        left = event.get("from_provider") or _below(back, rows)
        _arrow(axes, at, rows[left], rows[back] - 0.02, GREEN)
    elif event["event"] == "hedged":
        asked = at - event["elapsed"] + event["hedged_after"]
        _arrow(axes, asked, rows[event["provider"]], rows[event["hedge"]] + 0.16, INK, "--")


def _below(provider: str, rows: Rows) -> str:
    """LiveKit's adapters do not say where traffic goes or came from: the next in the chain."""
    order = list(rows)
    return order[min(order.index(provider) + 1, len(order) - 1)]


def _arrow(axes: Axes, at: float, tail: float, head: float, colour: str, line: str = "-") -> None:
    look = {"arrowstyle": "-|>", "color": colour, "lw": 2.4, "mutation_scale": 18, "ls": line}
    axes.annotate("", xy=(at, head), xytext=(at, tail), arrowprops=look, zorder=7)


def _request_marks() -> list[Any]:
    dot: dict[str, Any] = {"linestyle": "", "markersize": 10}
    return [
        Patch(facecolor=BLUE, label="primary serves"),
        Patch(facecolor=ORANGE, label="backup serves"),
        Patch(facecolor="none", edgecolor=RED, linewidth=1.8, label="request in vain"),
        Patch(facecolor="white", edgecolor=BLUE, linewidth=1.4, label="probe"),
        Patch(facecolor="white", edgecolor=INK, hatch="////", label="fault switched on"),
        Line2D([], [], color=INK, marker="X", label="cut off", **dot),
        Line2D([], [], color=RED, marker="v", label="failover", **dot),
        Line2D([], [], color=INK, linestyle="--", linewidth=2.4, label="hedge"),
        Line2D([], [], color=GREEN, marker="^", label="recovery", **dot),
        Patch(facecolor=RED, alpha=0.4, label="dead air"),
    ]


_MEANING = {
    "cooling_down": ": gets no requests",
    "probation": ": one failure sends it back",
}


def _health_marks(record: CallRecord) -> list[Any]:
    chains = all_health(record).values()
    seen = {span.state for chain in chains for spans in chain.values() for span in spans}
    if not seen:
        return []
    marks: list[Any] = [
        Patch(facecolor=palette.HEALTH[state], label=name + _MEANING.get(state, ""))
        for state, name in words.HEALTH.items()
        if state in seen
    ]
    results = {bool(probe["good"]) for probe in probes(record)}
    found = {True: "probe found it well", False: "probe found it not well yet"}
    marks += [
        Line2D([], [], label=found[good], **_probe_look(good=good))
        for good in sorted(results, reverse=True)
    ]
    return [_caption("health, below each:"), *marks]


def _caption(text: str) -> Patch:
    return Patch(alpha=0, label=text)
