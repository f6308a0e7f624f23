# SPDX-License-Identifier: Apache-2.0
"""What is printed is what was measured: each figure under its own name and in its own unit."""

from __future__ import annotations

from typing import Any

import pytest

from examples.demo.record import Entry
from examples.demo.tally import Words
from examples.demo.turns import Verdict, turn_facts, verdict
from examples.demo.words import dead_air, describe, milliseconds, names, times, verdict_rows
from tests.support.demo_call import (
    at,
    availability,
    call,
    failover,
    health_changed,
    probed,
    recovery,
    turn,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.6349, "635 ms"), (3.1, "3100 ms"), (0.0, "0 ms"), (12.3456, "12346 ms"), (None, "-")],
)
def test_seconds_are_shown_in_milliseconds(seconds: float | None, text: str):
    """Rounded to whole ones; what was not measured is not a zero."""
    assert milliseconds(seconds) == text


def test_a_turn_in_vain_has_no_number():
    """Its wait is not shown as if an answer had ended it."""
    marks = [turn(1, 2.0, 5.0), turn(2, 7.0, 14.0)]

    shown = [dead_air(facts) for facts in turn_facts(call(marks, (2.6, 4.0)))]

    assert shown == ["600 ms", "unanswered"]


@pytest.mark.parametrize("ended", [True, False])
def test_every_figure_of_the_verdict_has_its_name(ended: bool):
    """All differ here, so that none can be taken for another."""
    result = Verdict(
        turns=10, answered=9, heard_whole=8, dead_air_p50=0.7, dead_air_max=3.1,
        failovers=6, recoveries=5, health_changes=27, probes_good=4, probes_bad=3, rejections=1,
        ended_on_primaries=ended, ears=Words(2, 12), voice=Words(14, 15, 16),
    )  # fmt: skip

    assert verdict_rows(result) == [
        ("turns answered", "9 of 10"),
        ("lines heard word for word", "8 of 10"),
        ("words heard: lost, repeated", "2, 12"),
        ("words spoken: lost, repeated", "14, 15 (16 changed)"),
        ("dead air, median", "700 ms"),
        ("dead air, longest", "3100 ms"),
        ("failovers", "6"),
        ("recoveries", "5"),
        ("health changes", "27"),
        ("probes: well", "4"),
        ("probes: not well yet", "3"),
        ("requests answered 401 (rejected key)", "1"),
        ("last turn on the primaries", "yes" if ended else "no"),
    ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (failover(1.0, "llm", "a", "b"), "LLM a → b: http_503 after 250 ms"),
        (failover(1.0, "stt", "a", "b"), "STT a → b: http_503"),
        (recovery(1.0, "tts", "a"), "TTS a is back"),
        (availability(1.0, "tts", "a", True), "TTS a is back"),
        (availability(1.0, "tts", "a", False), "TTS a given up"),
        (at(1.0, "exhausted", component="llm"), "LLM: no provider left"),
        (
            at(1.0, "output_lost", component="tts", provider="a", reason="stall"),
            "TTS a broke off: stall",
        ),
        (probed(1.0, "tts", "a", good=True), ""),
    ],
)
def test_events_are_told_in_words(event: Entry, text: str):
    """Who, where to, and why; what says nothing to a reader is left out."""
    assert describe(event) == text


@pytest.mark.parametrize(
    ("before", "after", "fields", "text"),
    [
        ("healthy", "cooling_down", {"rest": 2.81}, "cools down for 2.8 s"),
        (
            "healthy",
            "cooling_down",
            {"rest": 270.0, "reason": "http_401", "kind": "auth"},
            "rejects its key (http_401): cools down for 270.0 s",
        ),
        ("probation", "cooling_down", {"rest": 5.0}, "cools down for 5.0 s"),
        ("cooling_down", "probing", {}, ""),
        ("probing", "probation", {}, "answered its probe: on probation"),
        (
            "probing",
            "cooling_down",
            {"rest": 5.0, "reason": "http_503"},
            "probed: http_503, cools down for 5.0 s",
        ),
        ("probing", "cooling_down", {}, "probed: called off, cools down for 0.0 s"),
        ("probation", "healthy", {}, "is trusted again"),
        ("cooling_down", "healthy", {}, "is trusted again"),
        ("disabled", "probation", {}, "is on probation"),
        ("probing", "disabled", {}, "is disabled"),
    ],
)
def test_changes_of_health_are_told_in_a_line(
    before: str, after: str, fields: dict[str, Any], text: str
):
    """One for each step of an outage; that a probe begins is not worth one."""
    told = describe(health_changed(1.0, "llm", "a", before, after, **fields))

    assert told == (f"LLM a {text}" if text else "")


def test_what_an_adapter_does_not_tell_is_no_zero():
    """Bare providers and LiveKit's adapters have no probes to count."""
    rows = dict(verdict_rows(verdict(call([], adapter="livekit"))))

    assert [rows[name] for name in ("health changes", "probes: well", "failovers")] == [
        "-", "-", "0",
    ]  # fmt: skip


def test_what_happened_once_is_told_so():
    """And what did not happen at all, is counted like the rest."""
    assert [times(count) for count in (0, 1, 5)] == ["0 times", "once", "5 times"]


def test_vendors_are_named_in_order():
    """And nobody is nobody."""
    assert [names(v) for v in [("a",), ("b", "a"), ()]] == ["a", "b + a", "nobody"]
