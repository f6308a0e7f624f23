# SPDX-License-Identifier: Apache-2.0
"""In which order a chain is asked when time is short: the fastest first, if it is known."""

from __future__ import annotations

import pytest

from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.latency import Bound, Sample
from tests.support.circuits import NOW, paced_book
from tests.support.outcomes import failed


def urgently(book: HealthBook, *held_back: int) -> list[int]:
    return book.order(NOW, frozenset(held_back), is_urgent=True)


@pytest.mark.parametrize(
    ("latencies", "order"),
    [
        ((0.3, 0.2, 0.1), [2, 0, 1]),
        ((0.3, 0.1, 0.2), [1, 0, 2]),
        ((0.1, 0.2, 0.3), [0, 1, 2]),
        # nobody is faster than another who took the same
        ((0.3, 0.2, 0.2), [1, 0, 2]),
        ((0.2, 0.2, 0.2), [0, 1, 2]),
        # who was never timed is not known to be fast
        ((0.3, None, 0.2), [2, 0, 1]),
        ((0.3, None, None), [0, 1, 2]),
        # nor is anybody known to be faster than a primary that was never timed
        ((None, 0.1, 0.2), [0, 1, 2]),
        ((None, None, None), [0, 1, 2]),
    ],
)
def test_fastest_is_asked_first(latencies, order):
    """The others keep their order, and it takes numbers to leave the primary."""
    book = paced_book(*latencies)

    assert urgently(book) == order
    assert book.order(NOW) == [0, 1, 2]


def test_three_outputs_are_needed_to_be_known():
    """Two may be chance."""
    book = paced_book(0.3, None, None)
    orders = []
    for _ in range(3):
        book.pace(1).add(Sample(0.1))
        orders.append(urgently(book)[0])

    assert orders == [0, 0, 1]


def test_fastest_is_by_what_was_waited_for():
    """A provider whose outputs were cut off early is not fast by that."""
    book = paced_book(0.3, None, None)
    for _ in range(9):
        book.pace(1).add(Sample(0.1, Bound.AT_LEAST))

    assert urgently(book) == [0, 1, 2]


def test_fastest_has_to_be_usable():
    """A provider that rests is asked last, however fast it was."""
    book = paced_book(0.3, 0.1, 0.2)
    book.record(book.acquire(1, NOW), failed(), NOW)

    assert urgently(book) == [2, 0, 1]


def test_first_is_who_is_usable():
    """With the primary down, the first of those that are left is the one to be compared with."""
    book = paced_book(None, 0.3, 0.2)
    book.record(book.acquire(0, NOW), failed(), NOW)

    assert urgently(book) == [2, 1, 0]


def test_fastest_that_is_held_back_stays_held_back():
    """Its share of the requests does not grow because they are in a hurry."""
    assert urgently(paced_book(0.3, 0.1, 0.2), 1) == [2, 0, 1]


def test_nobody_usable_is_asked_as_ever():
    """Among those that rest, the soonest due is the best chance."""
    book = paced_book(0.3, 0.1, size=2)
    for provider in (1, 0):
        book.record(book.acquire(provider, NOW - provider), failed(), NOW - provider)

    assert urgently(book) == [1, 0]


def test_hurry_comes_before_staying_with_somebody():
    """For this one request; the next goes where it would have gone."""
    book = paced_book(0.3, 0.2, 0.1, sticky=True)
    book.mark_served(1, NOW)

    assert urgently(book) == [2, 1, 0]
    assert book.order(NOW) == [1, 0, 2]
