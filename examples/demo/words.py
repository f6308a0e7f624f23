# SPDX-License-Identifier: Apache-2.0
"""Facts in the words that the terminal, the page and the pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .attempts import availability

if TYPE_CHECKING:
    from .record import Entry
    from .turns import TurnFacts, Verdict

BANNER = (
    "Real worker, real OpenAI, Deepgram and Cartesia plugins. The providers are local: the ears "
    "are a real recogniser, the voice a real synthesiser, the brain is scripted."
)

ADAPTERS = {
    "fallback": "livekit_fallback",
    "livekit": "LiveKit's own FallbackAdapter",
    "none": "no adapter, bare primaries",
}


def verdict_rows(result: Verdict) -> list[tuple[str, str]]:
    """The verdict in words, for every kind of table."""
    return [
        ("turns answered", f"{result.answered} of {result.turns}"),
        ("lines heard word for word", f"{result.heard_whole} of {result.turns}"),
        ("dead air, median", milliseconds(result.dead_air_p50)),
        ("dead air, longest", milliseconds(result.dead_air_max)),
        ("failovers", str(result.failovers)),
        ("recoveries", str(result.recoveries)),
        ("last turn on the primaries", "yes" if result.ended_on_primaries else "no"),
    ]


def dead_air(turn: TurnFacts) -> str:
    return milliseconds(turn.dead_air) if turn.answered else "unanswered"


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def names(vendors: tuple[str, ...]) -> str:
    return " + ".join(vendors) or "nobody"


def describe(event: Entry) -> str:
    """An adapter event in words, "" for those that say nothing new."""
    part = str(event.get("component", "")).upper()
    if event["event"] == "failover":
        moved = f"{part} {event['from_provider']} → {event['to_provider']}"
        # A speech-to-text stream is one attempt as long as it lives: its age says nothing here.
        after = "" if part == "STT" else f" after {event['elapsed'] * 1000:.0f} ms"
        return f"{moved}: {event['reason']}{after}"
    if event["event"] == "recovery":
        return f"{part} {event['provider']} is back"
    if event["event"] == "exhausted":
        return f"{part}: no provider left"
    if event["event"] == "output_lost":
        return f"{part} {event['provider']} broke off: {event['reason']}"
    if (available := availability(event)) is None:
        return ""
    return f"{part} {event.get('provider')} {'is back' if available else 'given up'}"
