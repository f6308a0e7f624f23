# SPDX-License-Identifier: Apache-2.0
"""What a walk makes of latencies: deadlines that follow, haste, and leaving who is too slow."""

from __future__ import annotations

import pytest

from livekit_fallback.core.latency import WARM_AFTER, Bound, Sample
from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.core.walk import Limits, Try, Walk
from tests.support.circuits import new_book, paced_book
from tests.support.walks import Walked

NOW = 1000.0  # when every walk of these tests begins


def due(walked: Walked, step: Try) -> float | None:
    """How long a provider may owe its first output, from now."""
    at = walked.walk.first_output_due(step, walked.now)
    return None if at is None else at - walked.now


# --- deadlines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usual", "deadline"), [(None, 2.0), (0.1, 0.5), (0.25, 0.5), (0.5, 1.0), (3.0, 2.0)]
)
def test_deadline_follows_within_its_bounds(usual, deadline):
    """Twice what the provider usually takes; the longest, while that is not known."""
    book = paced_book(usual, times=WARM_AFTER)
    walked = Walked(3, attempt_timeout=2.0, adaptive_from=0.5, book=book)

    assert due(walked, walked.asked()) == deadline


def test_fixed_deadline_follows_nothing():
    """What is known of a provider changes only a deadline that is to follow it."""
    walked = Walked(3, attempt_timeout=2.0, book=paced_book(0.1, times=WARM_AFTER))

    assert due(walked, walked.asked()) == 2.0


def test_deadline_is_that_of_the_provider_that_is_asked():
    """A slow backup is given the time that it usually takes, not that of a fast primary."""
    book = paced_book(0.25, 0.75, times=WARM_AFTER)
    limits = [Limits(2.0, None, adaptive_from=floor) for floor in (0.75, 0.25, 0.25)]
    walk = Walk(book, limits, total_timeout=9.0, retry_interval=0.5, jitter=lambda: 0.0)
    first = walk.next(NOW)
    second = walk.hedge(NOW, [0])
    assert isinstance(first, Try)
    assert second is not None

    assert walk.first_output_due(first, NOW) == NOW + 0.75
    assert walk.first_output_due(second, NOW) == NOW + 1.5


def test_deadline_is_of_the_moment_at_which_output_is_owed():
    """What other requests have learnt meanwhile counts."""
    walked = Walked(2, attempt_timeout=2.0, adaptive_from=0.5)
    step = walked.asked()
    for _ in range(WARM_AFTER):
        walked.book.pace(0).add(Sample(0.5))

    assert due(walked, step) == 1.0


def test_last_provider_gets_what_is_left_of_the_budget_all_the_same():
    """Nobody else is left to ask, however fast it usually is."""
    book = paced_book(0.1, size=1, times=WARM_AFTER)
    walked = Walked(1, adaptive_from=0.5, total=12.0, book=book)

    assert due(walked, walked.asked()) == 12.0


@pytest.mark.parametrize(("total", "expected"), [(12.0, 12.0), (None, None)])
def test_without_a_ceiling_an_unknown_provider_has_the_budget(total, expected):
    """No limit of its own until it is known what it takes."""
    walked = Walked(2, attempt_timeout=None, adaptive_from=0.5, total=total)
    step = walked.asked()
    before = due(walked, step)
    for _ in range(WARM_AFTER):
        walked.book.pace(0).add(Sample(1.5))

    assert (before, due(walked, step)) == (expected, 3.0)


def test_deadline_never_lies_behind_the_budget():
    """A provider that is usually slow does not lengthen the request."""
    book = paced_book(3.0, times=WARM_AFTER)
    walked = Walked(3, attempt_timeout=9.0, adaptive_from=0.5, total=4.0, book=book)

    assert due(walked, walked.asked()) == 4.0


def test_deadline_that_is_missed_too_often_becomes_longer():
    """A provider that has become slower is not cut off for ever."""
    book = paced_book(0.25, times=WARM_AFTER)
    walked = Walked(3, attempt_timeout=2.0, adaptive_from=0.5, book=book)
    step = walked.asked()
    deadlines = []
    for _ in range(3):
        deadlines.append(due(walked, step))
        book.pace(0).add(Sample(0.5, Bound.AT_LEAST))

    assert deadlines == [0.5, 0.5, 2.0]


# --- haste -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("urgent", "asked"), [(False, [0, 1, 2]), (True, [2, 0, 1])])
def test_request_in_a_hurry_asks_the_fastest_first(urgent, asked):
    """And then the others in their order."""
    walked = Walked(3, urgent=urgent, book=paced_book(0.3, 0.2, 0.1))
    order = []
    for _ in range(3):
        step = walked.asked()
        order.append(step.provider)
        walked.fail(step, FailureKind.REQUEST)

    assert order == asked


def test_stream_in_a_hurry_does_not_leave_the_fastest_for_it():
    """Who was asked first because it is fast is not gone back from at once."""
    walked = Walked(3, urgent=True, book=paced_book(0.3, 0.2, 0.1))
    step = walked.asked()

    assert step.provider == 2
    assert not walked.walk.would_leave(2, walked.now)


# --- too slow ----------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [0, 1])
def test_demoted_provider_is_left_at_the_next_occasion(provider):
    """Speech that goes on at it goes to somebody faster, even from the primary to a backup."""
    walked = Walked(2)
    other = 1 - provider
    assert not walked.walk.would_leave(0, walked.now)

    walked.book.demote(provider, walked.now)

    assert walked.walk.would_leave(provider, walked.now)
    assert not walked.walk.would_leave(other, walked.now)


def test_demoted_provider_is_not_left_for_a_dead_one():
    """A slow answer is better than none."""
    walked = Walked(2)
    walked.fail(walked.asked())
    walked.book.demote(1, walked.now)

    assert not walked.walk.would_leave(1, walked.now)


def test_demoted_provider_is_the_last_resort():
    """Who serves too slowly is still asked when nobody else serves at all."""
    walked = Walked(2)
    walked.book.demote(0, walked.now)

    assert walked.fail_until_exhausted(walked.hang) == [1, 0]


def test_probation_of_a_demoted_provider_is_gradual_like_any_other():
    """It gets its share, whatever it was left for."""
    book = new_book(2, shares=(0.5,), successes=100)
    book.demote(0, NOW)
    book.circuit(0).enable(NOW)

    assert [Walked(2, book=book).asked().provider for _ in range(4)] == [1, 0, 1, 0]
