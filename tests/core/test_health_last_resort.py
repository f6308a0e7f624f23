# SPDX-License-Identifier: Apache-2.0
"""Whom a chain asks when nobody is well: an agent never refuses to speak by its own bookkeeping."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import State
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import Outcome
from tests.support.circuits import NOW, new_book
from tests.support.outcomes import SERVED, failed

REST = 5.0
RESTED = NOW + REST


def fail(book: HealthBook, *providers: int, now: float = NOW) -> None:
    for provider in providers:
        book.record(book.acquire(provider, now), failed(), now)


def probed(book: HealthBook, provider: int, outcome: Outcome) -> None:
    probe = book.circuit(provider).probe_permit(RESTED)
    assert probe is not None
    book.record_probe(probe, outcome, RESTED)


def recover(book: HealthBook, provider: int) -> None:
    probed(book, provider, SERVED)


def give_up(book: HealthBook, provider: int) -> None:
    """The provider has to be resting in a chain that gives up after one failed recovery."""
    probed(book, provider, failed())


def test_all_cooling_down_are_asked_soonest_due_first():
    """An agent never refuses to speak: everybody is tried, the best chance first."""
    book = new_book()
    fail(book, 1, now=NOW)
    fail(book, 2, now=NOW + 1.0)
    fail(book, 0, now=NOW + 2.0)

    assert book.order(NOW + 3.0) == [1, 2, 0]


def test_equally_due_are_asked_by_priority():
    """One blip takes all providers down at once; the primary is still the first choice."""
    book = new_book()
    fail(book, 2, 1, 0)

    assert book.order(NOW) == [0, 1, 2]


@pytest.mark.parametrize("state", [State.COOLING_DOWN, State.PROBING])
def test_success_of_the_last_resort_heals(state):
    """A provider that served while all were down is healthy and asked first from then on."""
    book = new_book()
    fail(book, 0, 1, 2)
    if state is State.PROBING:
        book.circuit(2).probe_permit(RESTED)

    change = book.record(book.acquire(2, RESTED), SERVED, RESTED)

    assert change is not None
    assert (change.provider, change.before, change.after) == (2, state, State.HEALTHY)
    assert book.order(RESTED) == [2, 0, 1]


def test_all_given_up_are_asked_by_priority():
    """An agent never refuses to speak; who is known to speak after all is asked first."""
    book = new_book(give_up_after=1)
    for provider in (1, 2, 0):
        fail(book, provider)
        give_up(book, provider)

    assert book.order(RESTED) == [0, 1, 2]
    book.mark_served(1, RESTED)
    assert book.order(RESTED) == [1, 0, 2]


def test_given_up_provider_is_still_somebody_to_ask():
    """It is the last resort, so the others may be disabled."""
    book = new_book(2, give_up_after=1)
    fail(book, 1)
    give_up(book, 1)

    assert book.may_disable(0)
