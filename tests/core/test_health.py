# SPDX-License-Identifier: Apache-2.0
"""The order in which a chain is asked, and who is allowed to probe."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import CoolDownPolicy, State
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import CANCELLED
from tests.support.outcomes import SERVED, failed

NOW = 1000.0
REST = 5.0
RESTED = NOW + REST


def new_book(size: int = 3, *, live_probe: bool = False, sticky: bool = False) -> HealthBook:
    policies = [CoolDownPolicy(base=REST, cap=300.0)] * size
    return HealthBook(policies, live_probe=live_probe, sticky=sticky)


def fail(book: HealthBook, *providers: int, now: float = NOW) -> None:
    for provider in providers:
        book.record(book.acquire(provider, now), failed(), now)


def states(book: HealthBook) -> list[State]:
    return [book.circuit(i).state for i in range(len(book))]


def test_healthy_chain_is_asked_in_its_own_order():
    """The list's order is the priority; the primary is first."""
    book = new_book(4)

    assert len(book) == 4
    assert book.order(NOW) == [0, 1, 2, 3]
    assert book.first(NOW) == 0
    assert book.last_served == 0


def test_failed_provider_loses_its_turn():
    """A provider that cools down is asked after all that are healthy."""
    book = new_book()
    fail(book, 0)

    assert book.order(NOW) == [1, 2, 0]
    assert states(book) == [State.COOLING_DOWN, State.HEALTHY, State.HEALTHY]


def test_rested_provider_waits_for_its_probe():
    """Replayed probes: real requests keep away from a provider until a probe was good."""
    book = new_book(live_probe=False)
    fail(book, 0)

    assert book.order(RESTED) == [1, 2, 0]
    assert not book.acquire(0, RESTED).is_probe


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


def test_outcome_goes_to_the_provider_of_its_permit():
    """Of concurrent attempts on several providers each changes only its own provider."""
    book = new_book()
    permits = [book.acquire(i, NOW) for i in range(3)]

    book.record(permits[1], failed(), NOW)

    assert states(book) == [State.HEALTHY, State.COOLING_DOWN, State.HEALTHY]


# --- the next request is the probe -------------------------------------------------------------


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


# --- staying -----------------------------------------------------------------------------------


def test_sticky_chain_stays_with_who_served_last():
    """A primary that is back is not worth another change of voice in the middle of a call."""
    book = new_book(sticky=True)
    book.mark_served(1)

    assert book.order(NOW) == [1, 0, 2]
    assert book.last_served == 1


def test_chain_goes_back_to_the_primary_unless_sticky():
    """By default the best healthy provider is asked, whoever served last."""
    book = new_book()
    book.mark_served(1)

    assert book.order(NOW) == [0, 1, 2]


def test_sticky_chain_leaves_a_provider_that_failed():
    """After a failure the remaining providers are asked in the given order."""
    book = new_book(sticky=True)
    book.mark_served(1)
    fail(book, 1)

    assert book.order(NOW) == [0, 2, 1]


def test_sticky_chain_does_not_go_back_to_test_the_one_that_failed():
    """Only a healthy provider is stayed with, not one that is merely due for its live probe."""
    book = new_book(sticky=True, live_probe=True)
    book.mark_served(1)
    fail(book, 1)

    assert book.order(RESTED) == [0, 1, 2]
