# SPDX-License-Identifier: Apache-2.0
"""The object that the adapters of one session share, to know how long the caller has waited."""

from __future__ import annotations

import math

import pytest

from livekit_fallback import TurnBudget


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -0.5, math.nan, True, "1", None, []])
def test_turn_budget_of_no_length_is_refused(seconds):
    """The budget is checked where it is made, with the same kind of error."""
    with pytest.raises(ValueError, match=r"^seconds=") as caught:
        TurnBudget(seconds)

    assert str(caught.value) == (f"seconds={seconds!r}: must be a number of seconds greater than 0")


@pytest.mark.parametrize("seconds", [0.001, 1, 1.5])
def test_turn_budget_shows_its_length(seconds):
    """Errors and logs quote options, so they can be read."""
    assert repr(TurnBudget(seconds)) == f"TurnBudget({float(seconds)})"
