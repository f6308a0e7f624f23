# SPDX-License-Identifier: Apache-2.0
"""Whom work had better leave, and for whom: by priority, by preference, for being slow."""

from __future__ import annotations

import pytest

from livekit_fallback.core.health import HealthBook
from tests.support.circuits import NOW, new_book
from tests.support.outcomes import SERVED, failed

RESTED = NOW + 5.0


def fail(book: HealthBook, provider: int) -> None:
    book.record(book.acquire(provider, NOW), failed(), NOW)


def outranked_by(book: HealthBook, other: int) -> list[int]:
    """Who outranks a provider at work."""
    return [i for i in range(3) if book.outranks(i, other)]


def test_preferred_outranks_everybody_and_is_outranked_by_nobody():
    """The preference of an operator comes before the list, in both directions."""
    book = new_book()
    book.prefer(1)

    assert [outranked_by(book, i) for i in range(3)] == [[1], [], [0, 1]]
    assert all(book.can_be_outranked(i) for i in (0, 2))


def test_primary_that_rests_is_not_left_for_a_backup():
    """Its work goes well all the same, or it would have failed."""
    book = new_book()
    fail(book, 0)

    assert not book.can_be_outranked(0)
    assert outranked_by(book, 0) == []


@pytest.mark.parametrize("provider", [0, 1, 2])
def test_demoted_provider_is_outranked_by_all_others(provider):
    """What goes on at it goes on too slowly: even a primary is left, and for anybody."""
    book = new_book()

    book.demote(provider, NOW)

    assert book.can_be_outranked(provider)
    assert outranked_by(book, provider) == [i for i in range(3) if i != provider]


def test_demoted_favourite_is_left_too():
    """A preference is for a provider that is usable."""
    book = new_book()
    book.prefer(1)

    book.demote(1, NOW)

    assert outranked_by(book, 1) == [0, 2]
    assert outranked_by(book, 0) == [1]


def test_demoted_provider_that_is_back_has_its_rank_back():
    """A good probe is enough for work to stay with it, or to come back to it."""
    book = new_book()
    book.demote(0, NOW)
    probe = book.circuit(0).probe_permit(RESTED)
    assert probe is not None

    book.record_probe(probe, SERVED, RESTED)

    assert not book.can_be_outranked(0)
    assert [outranked_by(book, i) for i in range(3)] == [[], [0], [0, 1]]


def test_provider_that_failed_after_it_was_slow_is_judged_by_its_failure():
    """What it is still at goes well, or it would have failed: there is no reason to go."""
    book = new_book()
    book.demote(0, NOW)
    book.circuit(0).enable(NOW)

    fail(book, 0)

    assert not book.can_be_outranked(0)
    assert outranked_by(book, 0) == []
