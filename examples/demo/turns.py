# SPDX-License-Identifier: Apache-2.0
"""From the raw record of a call to what each turn was worth. Pure: no clock, no I/O."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .attempts import attempts, is_down, is_failover, is_recovery
from .audio import Span, audible_spans
from .health import health_changes, probes, rejections
from .scenario import ANSWER_WITHIN, PRIMARIES
from .tally import Words, compare, total, words
from .words import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .record import CallRecord, Entry, TurnMark

_NAMED = ("failover", "recovery", "exhausted", "output_lost", "health_changed", "hedged")
"""What our adapter tells beside availability, and what of it a reader wants to know."""

LATE_ENTRY = 0.2
"""Seconds by which a provider may write down what it said after the session has heard it."""

LONG_GAP = 1.0
"""Seconds of silence inside an answer that a caller takes for a fault; shorter ones are pauses."""


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """One turn as the caller lived it.

    Attributes:
        dead_air: seconds the caller waited in silence, None if no answer came.
        silences: the stretches of the call that make up `dead_air`, or the wait in vain: until
            the caller has given up.
        heard_text: what the agent understood.
        answer_text: what it said, as far as it was played.
        heard_by, thought_by, spoken_by: vendors that served, in order.
        switches: what the adapter reported, in words.
        ears: the caller's words against those that the agent understood.
        voice: the words of the reply against those that the caller heard, None until the call is
            over.
    """

    mark: TurnMark
    dead_air: float | None
    silences: tuple[Span, ...]
    heard_text: str
    answer_text: str
    heard_by: tuple[str, ...]
    thought_by: tuple[str, ...]
    spoken_by: tuple[str, ...]
    switches: tuple[str, ...]
    ears: Words
    voice: Words | None

    @property
    def answered(self) -> bool:
        return self.dead_air is not None

    @property
    def waited(self) -> float:
        """Seconds of silence, whether or not an answer ended them."""
        return sum(end - start for start, end in self.silences)

    @property
    def heard_whole(self) -> bool:
        """Whether the agent understood every word, and none twice."""
        return self.ears.whole

    @property
    def on_primaries(self) -> bool:
        served = (self.heard_by, self.thought_by, self.spoken_by)
        return served == tuple((PRIMARIES[component],) for component in ("stt", "llm", "tts"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The call in a few numbers.

    Dead air is in seconds over all turns; one without an answer counts with the wait in vain.

    Attributes:
        health_changes, probes_good, probes_bad: as the adapter told them; None if it does not.
        rejections: requests to the provider whose key is rejected.
        ears: the caller's words that the agent did not understand, or twice.
        voice: the words of the replies that the caller did not hear, or twice.
    """

    turns: int
    answered: int
    heard_whole: int
    dead_air_p50: float | None
    dead_air_max: float | None
    failovers: int
    recoveries: int
    health_changes: int | None
    probes_good: int | None
    probes_bad: int | None
    rejections: int
    ended_on_primaries: bool
    ears: Words
    voice: Words

    @property
    def good(self) -> bool:
        """Whether every turn was answered, and no word of anybody lost or said twice."""
        both = self.ears + self.voice
        return self.answered == self.turns and not (both.lost or both.repeated)


def turn_facts(record: CallRecord) -> list[TurnFacts]:
    """Judge every turn that is over."""
    spans = audible_spans(record.heard)
    done = [turn for turn in record.turns if turn.ended is not None]
    return [_facts(record, turn, spans) for turn in done]


def verdict(record: CallRecord) -> Verdict:
    """Judge the call."""
    facts = turn_facts(record)
    waits = [turn.waited for turn in facts]
    good, bad = _probes(record)
    return Verdict(
        turns=len(facts),
        answered=sum(turn.answered for turn in facts),
        heard_whole=sum(turn.heard_whole for turn in facts),
        dead_air_p50=statistics.median(waits) if waits else None,
        dead_air_max=max(waits, default=None),
        failovers=sum(map(is_failover, switches(record))),
        recoveries=sum(map(is_recovery, switches(record))),
        health_changes=len(health_changes(record)) if _tells_health(record) else None,
        probes_good=good,
        probes_bad=bad,
        rejections=rejections(record),
        ended_on_primaries=bool(facts) and facts[-1].on_primaries,
        ears=total(turn.ears for turn in facts),
        voice=total(turn.voice for turn in facts),
    )


def switches(record: CallRecord) -> list[Entry]:
    """What the adapter did, told once: ours reports availability as well, as LiveKit's do."""
    if not _tells_health(record):
        return record.adapter_events
    return [e for e in record.adapter_events if e["event"] in _NAMED]


def _tells_health(record: CallRecord) -> bool:
    """Whether the adapter tells more than who is available."""
    return record.adapter == "fallback"


def _probes(record: CallRecord) -> tuple[int, int] | tuple[None, None]:
    """How many found the provider well, and how many did not."""
    if not _tells_health(record):
        return None, None
    good = sum(bool(probe["good"]) for probe in probes(record))
    return good, len(probes(record)) - good


def _facts(record: CallRecord, turn: TurnMark, spans: list[Span]) -> TurnFacts:
    end = turn.ended or turn.speech_end
    given_up = min(end, turn.speech_end + ANSWER_WITHIN)
    answer = [span for span in spans if turn.speech_end <= span[0] < end]
    answered = bool(answer) and answer[0][0] < given_up
    silences = _silences(turn.speech_end, answer) if answered else [(turn.speech_end, given_up)]
    session = _within(record, record.session_events, turn, end)
    finals = [e for e in session if _is_final(e)]
    heard_text = " ".join(str(e.get("transcript", "")) for e in finals).strip()
    return TurnFacts(
        mark=turn,
        dead_air=sum(b - a for a, b in silences) if answered else None,
        silences=tuple(silences),
        heard_text=heard_text,
        answer_text=" ".join(filter(None, map(_spoken_text, session))),
        heard_by=_heard_by(record, _within(record, record.provider_log, turn, end), finals),
        thought_by=_served(record, "llm", turn, end),
        spoken_by=_served(record, "tts", turn, end),
        switches=tuple(filter(None, map(describe, _within(record, switches(record), turn, end)))),
        ears=compare(words(turn.reference or turn.said), words(heard_text)),
        voice=_voice(record, turn, end),
    )


def _voice(record: CallRecord, turn: TurnMark, end: float) -> Words | None:
    """The words of the reply, as the language model gave it, against those in the recording."""
    if record.played is None:
        return None
    heard = [part for word in record.played[turn.number] for part in words(word.text)]
    return compare(words(_reply(record, turn, end)), heard)


def _reply(record: CallRecord, turn: TurnMark, end: float) -> str:
    """The newest whole reply to this line; what else is asked of a model are probes.

    A reply that was called off, because its voice had died, would have been the scripted one.
    """
    log = [e for e in _within(record, record.provider_log, turn, end) if e["service"] == "llm"]
    mine = {
        (e["vendor"], e["request"])
        for e in log
        if e["event"] == "request" and set(words(str(e.get("text", "")))) & set(words(turn.said))
    }
    told = [e for e in log if (e["vendor"], e["request"]) in mine]
    replies = [str(e["text"]) for e in told if e["event"] == "finished" and e.get("text")]
    if replies:
        return replies[-1]
    return turn.reply if any(e["event"] == "first_output" for e in told) else ""


def _silences(speech_end: float, answer: list[Span]) -> list[Span]:
    """The wait for the answer, then every long gap inside it."""
    gaps = [(a[1], b[0]) for a, b in itertools.pairwise(answer)]
    return [(speech_end, answer[0][0]), *(gap for gap in gaps if gap[1] - gap[0] > LONG_GAP)]


def _within(
    record: CallRecord, entries: Iterable[Entry], turn: TurnMark, end: float
) -> list[Entry]:
    return [e for e in entries if turn.opened <= record.clock(e["time"]) < end]


def _is_final(event: Entry) -> bool:
    return event["event"] == "user_input_transcribed" and bool(event.get("is_final"))


def _spoken_text(event: Entry) -> str:
    """The text of a message of the agent, "" for other events."""
    message = event.get("item", {}).get("message", {})
    if message.get("role") != "ASSISTANT":
        return ""
    return " ".join(part.get("text", "") for part in message.get("content", []))


def _heard_by(record: CallRecord, log: list[Entry], finals: list[Entry]) -> tuple[str, ...]:
    """The vendor of each transcript the session accepted: the latest that said these words."""
    vendors = []
    for final in finals:
        words = str(final.get("transcript", "")).strip()
        source = [
            e
            for e in log
            if e["service"] == "stt"
            and e["event"] == "final"
            and e["time"] <= final["time"] + LATE_ENTRY
            and str(e.get("text", "")).strip() == words
        ]
        up = [e for e in source if not is_down(record, "stt", e["vendor"], record.clock(e["time"]))]
        vendors += [e["vendor"] for e in (up or source)[-1:]]
    return tuple(dict.fromkeys(vendors))


def _served(record: CallRecord, service: str, turn: TurnMark, end: float) -> tuple[str, ...]:
    """Vendors that gave output for live traffic; requests to a provider that is down are probes."""
    useful = [
        attempt
        for attempt in attempts(record, service)
        if attempt.first_output is not None
        and turn.opened <= attempt.first_output < end
        and (attempt.finished or attempt.faulty)
    ]
    live = [a for a in useful if not a.probe]
    return tuple(dict.fromkeys(attempt.vendor for attempt in (live or useful)))
