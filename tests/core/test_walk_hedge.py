# SPDX-License-Identifier: Apache-2.0
"""Whom a request asks as well while those at work are silent, and how it goes on from there."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import State
from livekit_fallback.core.outcome import OVERTAKEN, FailureKind
from livekit_fallback.core.walk import Limits, Walk
from tests.support.circuits import new_book, paced_book, put_on_probation
from tests.support.outcomes import failed
from tests.support.walks import Walked

NOW = 1000.0  # when every walk of these tests begins


def fail(walked: Walked, *providers: int) -> None:
    """Other requests to these providers fail."""
    for provider in providers:
        permit = walked.book.acquire(provider, walked.now)
        walked.book.record(permit, failed(), walked.now)


def free(walked: Walked, *running: int) -> int | None:
    """Who would be asked as well."""
    step = walked.walk.hedge(walked.now, running)
    return None if step is None else step.provider


# --- who ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "hedge"), [([0], 1), ([1], 0), ([2], 0), ([0, 1], 2), ([0, 1, 2], None)]
)
def test_hedge_goes_to_the_next_that_is_not_at_work(running, hedge):
    """Asking a silent provider a second time would be no help."""
    assert free(Walked(3), *running) == hedge


def test_only_provider_is_not_hedged():
    """There is nobody else."""
    walked = Walked(1)

    assert free(walked, walked.asked().provider) is None


def test_hedge_carries_the_limits_and_a_permit_of_its_provider():
    """It is a step like any other: a request of that provider, counted as one."""
    book = new_book(2)
    limits = [Limits(1.0, None), Limits(2.0, 0.5, max_retry=1)]
    walk = Walk(book, limits, total_timeout=9.0, retry_interval=0.5, jitter=lambda: 0.0)
    walk.next(NOW)

    step = walk.hedge(NOW, [0])

    assert step is not None
    assert (step.limits, step.permit.provider) == (limits[1], 1)
    assert book.circuit(1).is_current(step.permit)
    assert [book.tally(i).requests for i in (0, 1)] == [1, 1]


def test_asking_nobody_costs_nobody_a_request():
    """Where there is nobody to hedge with, nothing is counted."""
    walked = Walked(2)
    first = walked.asked()
    fail(walked, 1)

    assert free(walked, first.provider) is None
    assert walked.book.tally(1).requests == 1


def test_provider_that_failed_this_request_is_no_hedge():
    """It is known what it says to it."""
    walked = Walked(3)
    walked.fail(walked.asked(), FailureKind.REQUEST)

    second = walked.asked()

    assert walked.book.circuit(0).state is State.HEALTHY
    assert (second.provider, free(walked, second.provider)) == (1, 2)


def test_provider_that_refused_in_an_earlier_pass_is_no_hedge():
    """The next pass leaves it out, and so does a hedge."""
    walked = Walked(3, total=None)
    walked.fail(walked.asked(), FailureKind.REQUEST)
    for _ in range(2):
        walked.fail(walked.asked())
    walked.waited()
    for provider in (1, 2):
        walked.book.circuit(provider).reset(walked.now)
    first = walked.asked()

    assert (first.provider, free(walked, 1)) == (1, 2)
    assert free(walked, 1, 2) is None


@pytest.mark.parametrize("live_probe", [False, True])
def test_who_is_out_is_no_hedge(live_probe):
    """Not who rests, not who was disabled, and not who would be tested by it."""
    walked = Walked(4, book=new_book(4, live_probe=live_probe))
    first = walked.asked()
    fail(walked, 1)
    walked.book.circuit(2).disable(walked.now)
    walked.now += 60.0

    assert free(walked, first.provider) == 3
    assert walked.book.circuit(1).state is State.COOLING_DOWN
    assert free(walked, first.provider, 3) is None


def test_who_is_on_probation_may_be_a_hedge():
    """It is usable, and the race is no risk for the caller."""
    walked = Walked(2)
    put_on_probation(walked.book, 1)

    assert free(walked, walked.asked().provider) == 1


def test_request_in_a_hurry_is_hedged_with_the_fastest():
    """The order is that of the request."""
    walked = Walked(3, urgent=True, book=paced_book(0.1, 0.3, 0.2))

    assert (walked.asked().provider, free(walked, 0)) == (0, 1)

    walked = Walked(3, urgent=True, book=paced_book(0.3, 0.2, 0.1))

    assert (walked.asked().provider, free(walked, 2)) == (2, 0)


# --- for how long ------------------------------------------------------------------------------


def test_hedge_has_a_deadline_of_its_own():
    """Counted from when it is owed, like that of any other attempt."""
    walked = Walked(3, attempt_timeout=2.0)
    walked.walk.first_output_due(walked.asked(), walked.now)
    walked.now += 0.8

    hedge = walked.hedged(0)

    assert not hedge.is_last
    assert walked.walk.first_output_due(hedge, walked.now) == NOW + 2.8


def test_hedge_that_nobody_comes_after_has_what_is_left_of_the_budget():
    """A slow answer is better than none, if the first fails; the budget does not begin anew."""
    walked = Walked(2, attempt_timeout=2.0, total=12.0)
    walked.walk.first_output_due(walked.asked(), walked.now)
    walked.now += 0.8

    hedge = walked.hedged(0)

    assert hedge.is_last
    assert walked.walk.first_output_due(hedge, walked.now) == NOW + 12.0


# --- and then ----------------------------------------------------------------------------------


def test_first_that_fails_leaves_the_request_to_its_hedge():
    """A further hedge may join it, and neither of the others is asked a second time."""
    walked = Walked(3)
    first = walked.asked()
    hedge = walked.hedged(first.provider)

    walked.fail(first)

    assert free(walked, hedge.provider) == 2


def test_hedge_that_fails_is_not_asked_again_in_this_pass():
    """Its failure is one of the request's: the next one may join instead."""
    walked = Walked(3)
    first = walked.asked()
    walked.fail(walked.hedged(first.provider))

    assert free(walked, first.provider) == 2


def test_both_have_failed_and_the_pass_goes_on_with_the_rest():
    """Whichever of them failed first."""
    for hedge_first in (False, True):
        walked = Walked(3)
        pair = [walked.asked()]
        pair.append(walked.hedged(0))

        for step in reversed(pair) if hedge_first else pair:
            walked.fail(step)

        assert walked.asked().provider == 2


def test_all_have_failed_and_the_chain_is_walked_again():
    """Those asked as hedges take part in the next pass like the others."""
    walked = Walked(2)
    walked.fail(walked.asked())
    walked.fail(walked.hedged())
    walked.waited()

    again = [walked.asked()]
    walked.fail(again[0])
    again.append(walked.asked())

    assert [step.provider for step in again] == [0, 1]


def test_hedge_that_refused_for_good_is_left_out_of_the_next_pass():
    """As if it had been asked in its turn."""
    walked = Walked(2)
    first = walked.asked()
    walked.fail(walked.hedged(0), FailureKind.REQUEST)
    walked.fail(first)
    walked.waited()

    assert walked.asked().provider == 0
    assert free(walked, 0) is None


def test_loser_of_a_race_is_as_well_as_before():
    """It was cancelled, whatever it was: its next request is its own."""
    walked = Walked(2)
    pair = [walked.asked()]
    pair.append(walked.hedged(0))

    for step in pair:
        walked.book.record(step.permit, OVERTAKEN, walked.now)

    assert [walked.book.circuit(i).state for i in (0, 1)] == [State.HEALTHY] * 2
    assert [walked.book.tally(i).overtaken for i in (0, 1)] == [1, 1]
    assert Walked(2, book=walked.book).asked().provider == 0
