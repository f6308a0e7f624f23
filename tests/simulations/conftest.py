# SPDX-License-Identifier: Apache-2.0
"""Collects the figures of the simulations and prints them at the end of a verbose run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulations.outages import HEAD, Table

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_TABLE = Table()


@pytest.fixture
def table() -> Table:
    """Where a simulation writes its figures."""
    return _TABLE


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Calls to the dead provider, and how soon the primary was back; `pytest -v` shows it."""
    if config.get_verbosity() < 1 or not (_TABLE.rows or _TABLE.switches):
        return
    terminalreporter.section("outages")
    for line in (HEAD, *(row.line for row in _TABLE.rows), *_TABLE.switches):
        terminalreporter.write_line(line)
