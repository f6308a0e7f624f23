# SPDX-License-Identifier: Apache-2.0
"""Reports and comparisons: every figure stands in the column of its own call."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest

from examples.demo.scenario import CHAINS
from examples.demo.spoken import Played
from tests.support.demo_call import (
    call,
    failover,
    health_changed,
    probed,
    replied,
    sound,
    turn,
)

if TYPE_CHECKING:
    from pathlib import Path

    from examples.demo.record import CallRecord

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from examples.demo import comparison, lanes, report


def _calls() -> list[CallRecord]:
    """Two calls that differ in every figure."""
    marks = [turn(1, 2.0, 5.0), turn(2, 7.0, 14.0)]
    ours = call(marks, (2.5, 4.0), (8.0, 9.0), adapter="fallback")
    ours.adapter_events = [failover(7.5, "llm", "openai", "cerebras")]
    bare = call(marks, (2.7, 4.0), adapter="none")
    ours.provider_log = replied(2.2, "Good evening.")
    ours.played = {1: [Played("evening.", 2.8)], 2: []}
    bare.played = {1: [], 2: []}
    for record in (ours, bare):
        record.said = sound(15.0, (1.0, 2.0), (6.0, 7.0))
    return [ours, bare]


def _rows(page: str) -> list[tuple[str, ...]]:
    """The cells of the page's first table."""
    return [tuple(re.findall(r"<td[^>]*>(.*?)</td>", row)) for row in page.split("<tr>")[2:]]


def test_a_comparison_has_a_column_for_each_call():
    """Verdicts first, then the dead air turn by turn, in the order of the calls."""
    rows = comparison.rows(_calls())

    assert rows == [
        ("turns answered", "2 of 2", "1 of 2"),
        ("lines heard word for word", "0 of 2", "0 of 2"),
        ("words heard: lost, repeated", "4, 0", "4, 0"),
        ("words spoken: lost, repeated", "1, 0", "0, 0"),
        ("dead air, median", "750 ms", "3850 ms"),
        ("dead air, longest", "1000 ms", "7000 ms"),
        ("failovers", "1", "0"),
        ("recoveries", "0", "0"),
        ("health changes", "0", "-"),
        ("probes: well", "0", "-"),
        ("probes: not well yet", "0", "-"),
        ("requests answered 401 (rejected key)", "0", "0"),
        ("last turn on the primaries", "no", "no"),
        ("1 turn 1", "500 ms", "700 ms"),
        ("1 words", "of the caller: 2 lost; of the reply: 1 lost", "of the caller: 2 lost"),
        ("2 turn 2", "1000 ms", "unanswered"),
        ("2 words", "of the caller: 2 lost", "of the caller: 2 lost"),
    ]


def test_calls_of_different_length_are_not_compared():
    """A missing turn would put the figures of others beside the wrong line."""
    ours, bare = _calls()
    bare.turns.pop()

    with pytest.raises(ValueError, match="shorter"):
        comparison.rows([ours, bare])


def test_what_is_written_says_the_same_everywhere(tmp_path: Path):
    """The page's table, the file for programs and the terminal have one source."""
    records = _calls()

    comparison.write(records, tmp_path)

    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    shown = _rows(page)
    assert re.findall(r"<th>(.*?)</th>", page)[1:] == [
        "livekit_fallback", "no adapter, bare primaries",
    ]  # fmt: skip
    assert shown == comparison.rows(records)
    assert [data[name]["verdict"]["answered"] for name in ("fallback", "none")] == [2, 1]
    assert data["none"]["turns"][1]["dead_air"] is None


def test_a_report_has_a_row_for_each_turn(tmp_path: Path):
    """Its page, its sound and its events are about the same call."""
    record = _calls()[1]
    record.played = {1: [Played("oh", 2.8), Played("oh", 3.0)], 2: []}

    report.write(record, tmp_path)

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "events.json").read_text(encoding="utf-8"))
    assert re.findall(r"data-head='dead air'>(.*?)</td>", page) == ["700 ms", "unanswered"]
    assert re.findall(r"data-head='words heard: lost, repeated'>(.*?)</td>", page) == ["2, 0"] * 2
    assert re.findall(r"data-head='words spoken: lost, repeated'>(.*?)</td>", page) == [
        "0, 0 (2 changed)", "0, 0",
    ]  # fmt: skip
    assert data["seconds"] == pytest.approx(15.0)
    assert (tmp_path / "call.wav").stat().st_size > 15 * 24_000 * 2 * 2


def test_a_report_tells_the_health_of_a_call(tmp_path: Path):
    """Changes and probes in the order of time; the file for programs has them as spans."""
    record = _calls()[0]
    record.adapter_events = [
        health_changed(
            8.0, "llm", "openai", "healthy", "cooling_down", reason="http_503", rest=2.5
        ),
        health_changed(10.5, "llm", "openai", "cooling_down", "probing"),
        probed(10.6, "llm", "openai", good=True),
        health_changed(10.6, "llm", "openai", "probing", "probation"),
    ]

    report.write(record, tmp_path)

    page = (tmp_path / "report.html").read_text(encoding="utf-8").split("Health and probes")[1]
    assert [cells[1:] for cells in _rows(page)] == [
        ("LLM openai", "healthy → cooling down", "http_503, rests for 2.5 s"),
        ("LLM openai", "cooling down → probing", ""),
        ("LLM openai", "probe: well", "after 60 ms"),
        ("LLM openai", "probing → on probation", ""),
    ]
    data = json.loads((tmp_path / "events.json").read_text(encoding="utf-8"))
    assert [span["state"] for span in data["health"]["llm"]["openai"]] == [
        "healthy", "cooling_down", "probing", "probation",
    ]  # fmt: skip


def test_a_lane_for_each_provider_and_none_on_another():
    """In the order in which they are asked, chain under chain."""
    chains = lanes.layout()

    middles = [middle for rows in chains.values() for middle in rows.values()]
    assert {name: tuple(rows) for name, rows in chains.items()} == CHAINS
    assert all(upper - lower >= 1.0 for upper, lower in itertools.pairwise(middles))
    assert middles[-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("adapter", "explained"),
    [
        ("fallback", ["healthy", "cooling down: gets no requests", "probe found it not well yet"]),
        ("livekit", ["healthy", "cooling down: gets no requests", "probe found it not well yet"]),
        ("none", []),
    ],
)
def test_only_what_is_drawn_is_explained(adapter: str, explained: list[str]):
    """A legend of states that the call had, and of results that its probes had."""
    record = _calls()[0]
    record.adapter = adapter
    record.adapter_events = [
        health_changed(8.0, "llm", "openai", "healthy", "cooling_down"),
        probed(10.6, "llm", "openai", good=False),
    ]

    _, health = lanes.legends(record)

    assert [mark.get_label() for mark in health][1:] == explained


def test_only_a_number_is_set_as_one():
    """A sentence that ends in milliseconds is text: it wraps, so the table fits the screen."""
    page = report.table(
        ("dead air", "why"), [("635 ms", "LLM a → b: silent after 250 ms"), ("unanswered", "")]
    )

    assert re.findall(r"class='(\w*)' data-head='(.*?)'", page) == [
        ("number", "dead air"), ("", "why"), ("bad", "dead air"), ("", "why"),
    ]  # fmt: skip


def test_what_was_said_is_text_not_markup():
    """A recogniser may hear anything."""
    page = report.table(("agent's words",), [("<script>'&\nnext",)])

    assert "<script>" not in page
    assert "&lt;script&gt;&#x27;&amp;<br>next" in page
    assert "data-head='agent&#x27;s words'" in page
