# SPDX-License-Identifier: Apache-2.0
"""`docs/behaviour.md`: every row names a test that exists, and no phase is left out."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "behaviour.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

COMPONENTS = {
    "Language models": {"before the first text", "in mid-answer", "after a tool call", "nobody"},
    "Recognisers": {
        "before it listens",
        "between utterances",
        "in an utterance",
        "during a replay",
        "after the last audio",
        "nobody",
    },
    "Voices": {"before the first sound", "in mid-reply", "after the last word", "nobody"},
    "Detectors": {"in silence", "in speech", "nobody"},
    "Any": {"the caller leaves"},
}


class Row(NamedTuple):
    """What the page says about one failure."""

    component: str
    phase: str
    failure: str
    heard: str
    history: str
    events: str
    tests: list[tuple[str, str]]


def rows() -> list[Row]:
    """The rows of all tables, each with its heading."""
    found: list[Row] = []
    component = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            component = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and TEST.search(line):
            assert len(cells) == 6, line
            phase, failure, heard, history, events, tests = cells
            found.append(
                Row(component, phase, failure, heard, history, events, TEST.findall(tests))
            )
    return found


@functools.cache
def names_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions}


@pytest.mark.parametrize("row", rows(), ids=[f"row-{n}" for n, _ in enumerate(rows())])
def test_a_row_is_complete_and_its_tests_exist(row: Row):
    """What a reader is promised can be run."""
    assert all(row[:6])
    for path, name in row.tests:
        assert name in names_in(path), f"{path} has no {name}"


def test_every_phase_of_every_component_is_there():
    """A failure may come at any time."""
    told: dict[str, set[str]] = {}
    for row in rows():
        told.setdefault(row.component, set()).add(row.phase)

    assert told == COMPONENTS
