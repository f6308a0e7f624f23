# SPDX-License-Identifier: Apache-2.0
"""How often a second provider may be asked while the first is silent."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.hedging import HedgeBudget, HedgeDelay


def hedges(budget: HedgeBudget, requests: int) -> list[int]:
    """Which of so many requests, from 1, can be hedged, when all of them would like to be."""
    hedged = []
    for request in range(1, requests + 1):
        budget.earn()
        if not budget.is_spent:
            budget.spend()
            hedged.append(request)
    return hedged


def test_three_can_follow_each_other_at_once():
    """As many as it takes, by default, to leave a provider that is slow."""
    assert hedges(HedgeBudget(0.1), 9) == [1, 2, 3]


@pytest.mark.parametrize(
    ("share", "hedged"),
    [
        (0.1, [1, 2, 3, 11, 21, 31]),
        (0.25, [1, 2, 3, 5, 9, 13, 17, 21, 25, 29, 33]),
        (0.01, [1, 2, 3]),
    ],
)
def test_after_that_they_are_a_fixed_part_of_the_requests(share, hedged):
    """When everybody is slow the load grows by that part, and not twofold."""
    assert hedges(HedgeBudget(share), 36) == hedged


def test_requests_that_need_no_hedge_save_up_three():
    """A quiet day does not allow for a storm of hedges."""
    budget = HedgeBudget(0.1)
    for _ in range(1000):
        budget.earn()

    assert hedges(budget, 36) == hedges(HedgeBudget(0.1), 36)


def test_without_a_share_nothing_is_hedged():
    """Not even once, however many requests there are."""
    assert HedgeBudget(0.0).is_spent
    assert hedges(HedgeBudget(0.0), 1000) == []


def test_whole_share_is_every_request():
    """`hedge_budget=1` is no limit."""
    assert hedges(HedgeBudget(1.0), 100) == list(range(1, 101))


def test_budget_is_spent_by_hedging_only():
    """Looking does not cost anything, and the last hedge leaves nothing."""
    budget = HedgeBudget(0.1)
    spent = []
    for _ in range(3):
        spent.append(budget.is_spent)
        budget.spend()

    assert spent == [False, False, False]
    assert budget.is_spent


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1 / 3])
def test_rounding_never_loses_a_hedge(share):
    """The computer's tenth is not quite a tenth; ten of them are a hedge all the same."""
    assert len(hedges(HedgeBudget(share), 9000)) == pytest.approx(9000 * share, abs=3.001)


@given(share=st.floats(0, 1), wanted=st.lists(st.booleans(), max_size=300))
def test_at_no_moment_are_there_more_than_the_share_and_three(share, wanted):
    """Whichever requests would like a hedge."""
    budget, granted = HedgeBudget(share), 0
    for requests, is_wanted in enumerate(wanted, 1):
        budget.earn()
        if is_wanted and not budget.is_spent:
            budget.spend()
            granted += 1
        assert granted <= share * requests + 3 + 1e-6


def test_delay_is_a_time_or_a_percentile():
    """Neither is made up where the other is given."""
    assert HedgeDelay(seconds=0.8).percentile is None
    assert HedgeDelay(percentile=95.0).seconds is None
