# SPDX-License-Identifier: Apache-2.0
"""Chains in which the next request is the probe of a provider that has rested."""

from __future__ import annotations

from livekit_fallback.core.circuit import State
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import CANCELLED
from tests.support.circuits import NOW, new_book
from tests.support.outcomes import SERVED, failed

REST = 5.0
RESTED = NOW + REST


def fail(book: HealthBook, *providers: int, now: float = NOW) -> None:
    for provider in providers:
        book.record(book.acquire(provider, now), failed(), now)


def test_live_probe_gives_a_rested_provider_its_place_back():
    """After the cool-down, not before, the next request goes to the provider as its probe."""
    book = new_book(live_probe=True)
    fail(book, 0)

    assert book.order(RESTED - 0.001) == [1, 2, 0]
    assert book.order(RESTED) == [0, 1, 2]
    assert book.acquire(0, RESTED).is_probe


def test_only_one_of_concurrent_requests_is_the_live_probe():
    """While one request tests a provider, the others do not wait for the result."""
    book = new_book(live_probe=True)
    fail(book, 0)
    book.acquire(0, RESTED)

    assert book.order(RESTED) == [1, 2, 0]
    assert not book.acquire(0, RESTED).is_probe


def test_cancelled_live_probe_passes_the_test_on():
    """A caller who interrupts the test proves nothing; the next request repeats it."""
    book = new_book(live_probe=True)
    fail(book, 0)

    book.record(book.acquire(0, RESTED), CANCELLED, RESTED)

    assert book.first(RESTED) == 0
    assert book.acquire(0, RESTED).is_probe


def test_failed_live_probe_rests_twice_as_long():
    """Real requests that test a dead provider come at growing intervals."""
    book = new_book(live_probe=True)
    fail(book, 0)
    fail(book, 0, now=RESTED)

    assert book.first(RESTED + 2 * REST - 0.001) == 1
    assert book.first(RESTED + 2 * REST) == 0


def test_last_resort_during_the_cool_down_is_no_probe():
    """With everybody down a request is not a test: its failure does not lengthen the rest."""
    book = new_book(live_probe=True)
    fail(book, 0, 1, 2)

    permit = book.acquire(0, NOW + 1.0)
    change = book.record(permit, failed(), NOW + 1.0)

    assert not permit.is_probe
    assert change is None
    assert book.circuit(0).due == RESTED


def test_each_provider_has_its_own_kind_of_probe():
    """Only where the request is the probe does a rested provider get requests."""
    book = new_book(live_probe=(False, True, False))
    fail(book, 0, 1)

    assert book.order(RESTED) == [1, 2, 0]
    assert [book.usable(i, RESTED) for i in range(3)] == [False, True, True]
    assert not book.acquire(0, RESTED).is_probe
    assert book.acquire(1, RESTED).is_probe


def test_good_live_probe_leads_to_probation():
    """It counts as a request and not as a probe beside the traffic."""
    book = new_book(live_probe=True)
    fail(book, 0)

    change = book.record(book.acquire(0, RESTED), SERVED, RESTED)

    assert change is not None
    assert (change.before, change.after) == (State.PROBING, State.PROBATION)
    assert (book.tally(0).requests, book.tally(0).successes, book.tally(0).probes) == (2, 1, 0)


def test_given_up_provider_is_not_tested_by_requests():
    """Only a person brings it back, however long it has rested."""
    book = new_book(live_probe=True, give_up_after=1)
    fail(book, 0)
    fail(book, 0, now=RESTED)

    assert book.order(RESTED + 1e6) == [1, 2, 0]
    assert not book.acquire(0, RESTED + 1e6).is_probe


def test_renewed_permit_does_not_probe():
    """Whoever goes on with a provider at rest does so on its own account, not as its probe."""
    book = new_book(live_probe=True)
    fail(book, 0)

    assert not book.renew(0).is_probe
    assert book.circuit(0).state is State.COOLING_DOWN


def test_released_probe_passes_the_test_on():
    """The next request is the probe instead, at once."""
    book = new_book(live_probe=True)
    fail(book, 0)
    change = book.release(book.acquire(0, RESTED), RESTED)

    assert change is not None
    assert (change.before, change.after) == (State.PROBING, State.COOLING_DOWN)
    assert book.acquire(0, RESTED).is_probe
    assert book.tally(0).requests == 2
