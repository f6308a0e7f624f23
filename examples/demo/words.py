# SPDX-License-Identifier: Apache-2.0
"""Facts in the words that the terminal, the page and the pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .attempts import availability

if TYPE_CHECKING:
    from .record import Entry
    from .tally import Words
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


HEALTH = {
    "healthy": "healthy",
    "cooling_down": "cooling down",
    "probing": "probing",
    "probation": "on probation",
    "disabled": "disabled",
    "unavailable": "unavailable",
}
"""States of a provider; `unavailable` is what LiveKit's adapters say."""


def verdict_rows(result: Verdict) -> list[tuple[str, str]]:
    """The verdict in words, for every kind of table."""
    return [
        ("turns answered", f"{result.answered} of {result.turns}"),
        ("lines heard word for word", f"{result.heard_whole} of {result.turns}"),
        ("words heard: lost, repeated", lost_and_repeated(result.ears)),
        ("words spoken: lost, repeated", lost_and_repeated(result.voice)),
        ("dead air, median", milliseconds(result.dead_air_p50)),
        ("dead air, longest", milliseconds(result.dead_air_max)),
        ("failovers", str(result.failovers)),
        ("recoveries", str(result.recoveries)),
        ("health changes", _count(result.health_changes)),
        ("probes: well", _count(result.probes_good)),
        ("probes: not well yet", _count(result.probes_bad)),
        ("requests answered 401 (rejected key)", str(result.rejections)),
        ("last turn on the primaries", "yes" if result.ended_on_primaries else "no"),
    ]


def dead_air(turn: TurnFacts) -> str:
    return milliseconds(turn.dead_air) if turn.answered else "unanswered"


def lost_and_repeated(counted: Words | None) -> str:
    """Figures of words, with those that were changed where there are any."""
    if counted is None:
        return "-"
    changed = f" ({counted.changed} changed)" if counted.changed else ""
    return f"{counted.lost}, {counted.repeated}{changed}"


def words_astray(counted: Words) -> str:
    """What became of words, in a few of them."""
    return f"{counted.lost} words lost, {counted.repeated} repeated"


def missed(turn: TurnFacts) -> str:
    """What went wrong with the words of a turn, "" if nothing did."""
    both = (("of the caller", turn.ears), ("of the reply", turn.voice))
    return "; ".join(
        f"{whose}: {count} {how}"
        for whose, counted in both
        if counted is not None
        for how, count in (
            ("lost", counted.lost),
            ("repeated", counted.repeated),
            ("changed", counted.changed),
        )
        if count
    )


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


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
    if event["event"] == "hedged":
        silent = f"{part} {event['provider']} silent for {event['hedged_after'] * 1000:.0f} ms"
        return f"{silent}, {event['hedge']} asked as well: {event['winner']} was faster"
    if event["event"] == "health_changed":
        said = _health_changed(event)
        return said and f"{part} {event['provider']} {said}"
    if (available := availability(event)) is None:
        return ""
    return f"{part} {event.get('provider')} {'is back' if available else 'given up'}"


def _health_changed(event: Entry) -> str:
    """A change of health in words, "" for the beginning of a probe: its end says more."""
    before, after = event["before"], event["after"]
    rest = f"{event.get('rest', 0.0):.1f} s"
    if after == "healthy":
        return "is trusted again"
    if after == "probation":
        return "answered its probe: on probation" if before == "probing" else "is on probation"
    if after == "disabled":
        return "is disabled"
    if after == "probing":
        return ""
    if before == "probing":
        return f"probed: {event['reason'] or 'called off'}, cools down for {rest}"
    rejected = f"rejects its key ({event['reason']}): " if event.get("kind") == "auth" else ""
    return f"{rejected}cools down for {rest}"
