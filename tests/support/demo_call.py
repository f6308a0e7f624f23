# SPDX-License-Identifier: Apache-2.0
"""Recorded calls of the demo, made up: what the caller heard, and what everybody logged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from examples.demo.audio import RATE, Samples, Span
from examples.demo.record import CallRecord, Entry, FaultMark, TurnMark

BEGAN_AT = 1_700_000_000.0
"""Unix time of the calls' first sample: facts on the wall's clock are far from the call's."""


def sound(length: float, *spans: Span, level: int = 3000) -> Samples:
    """So many seconds of which these spans are loud."""
    samples = np.zeros(round(length * RATE), np.int16)
    for start, end in spans:
        samples[round(start * RATE) : round(end * RATE)] = level
    return samples


def turn(
    number: int,
    speech_end: float,
    ended: float | None,
    *,
    said: str = "Hello there.",
    faults: Sequence[FaultMark] = (),
) -> TurnMark:
    """A turn whose line took a second."""
    return TurnMark(
        number=number,
        title=f"turn {number}",
        said=said,
        began=speech_end - 1.0,
        speech_end=speech_end,
        ended=ended,
        faults=list(faults),
    )


def call(turns: Sequence[TurnMark], *heard: Span, adapter: str = "fallback") -> CallRecord:
    """A call in which the agent could be heard in these spans."""
    length = 1.0 + max([0.0, *(t.ended or t.speech_end for t in turns)])
    return CallRecord(adapter, BEGAN_AT, list(turns), heard=sound(length, *heard))


def at(second: float, event: str, **fields: Any) -> Entry:
    """Something that happened in that second of the call, as it is logged."""
    return {"time": BEGAN_AT + second, "event": event, **fields}


def failover(second: float, component: str, from_provider: str, to_provider: str) -> Entry:
    """Our adapter moved traffic down."""
    return at(
        second,
        "failover",
        component=component,
        from_provider=from_provider,
        to_provider=to_provider,
        reason="http_503",
        elapsed=0.25,
    )


def recovery(second: float, component: str, provider: str) -> Entry:
    """Our adapter moved traffic back up."""
    return at(second, "recovery", component=component, provider=provider)


def availability(second: float, component: str, provider: str, available: bool) -> Entry:
    """What LiveKit's adapters say, and ours as well."""
    return at(
        second,
        f"{component}_availability_changed",
        component=component,
        provider=provider,
        available=available,
    )


def health_changed(
    second: float, component: str, provider: str, before: str, after: str, **fields: Any
) -> Entry:
    """Our adapter thinks otherwise of a provider."""
    told: dict[str, Any] = {"reason": "", "kind": "", "rest": 0.0, **fields}
    names = {"component": component, "provider": provider}
    return at(second, "health_changed", **names, before=before, after=after, **told)


def probed(second: float, component: str, provider: str, *, good: bool) -> Entry:
    """Our adapter asked a provider only to learn whether it is well."""
    reason = "" if good else "http_503"
    names = {"component": component, "provider": provider}
    return at(second, "probed", **names, good=good, reason=reason, elapsed=0.06)


def logged(second: float, event: str, service: str, vendor: str, request: int) -> Entry:
    """What a local provider noted about one of its requests."""
    return at(second, event, service=service, vendor=vendor, request=request)


def answered(second: float, service: str, vendor: str, request: int) -> list[Entry]:
    """A request that a local provider answered to its end within half a second."""
    steps = ("request", "first_output", "finished")
    return [
        logged(second + delay, event, service, vendor, request)
        for delay, event in zip((0.0, 0.2, 0.5), steps, strict=True)
    ]


def understood(second: float, text: str) -> Entry:
    """The session got a final transcript."""
    return at(second, "user_input_transcribed", transcript=text, is_final=True)


def transcribed(second: float, vendor: str, text: str, request: int = 1) -> Entry:
    """A local recogniser sent a final transcript."""
    return {**logged(second, "final", "stt", vendor, request), "text": text}


def replied(second: float, text: str, asked: str = "Hello there.", request: int = 1) -> list[Entry]:
    """A local language model replied to what the caller had said."""
    first, output, last = answered(second, "llm", "openai", request)
    return [{**first, "text": asked}, output, {**last, "text": text}]
