# SPDX-License-Identifier: Apache-2.0
"""With whom a chain stays: the one that served last, for a while or for good, or a favourite."""

from __future__ import annotations

import pytest

from livekit_fallback.core.health import HealthBook
from tests.support.circuits import NOW, new_book
from tests.support.outcomes import SERVED, failed

RESTED = NOW + 5.0
DWELL = 20.0


def fail(book: HealthBook, provider: int, now: float = NOW) -> None:
    book.record(book.acquire(provider, now), failed(), now)


def staying(kind: str, *, live_probe: bool = False) -> HealthBook:
    """A chain that stays with whom it has moved to at `NOW`: the second provider."""
    if kind == "sticky":
        book = new_book(sticky=True, live_probe=live_probe)
    else:
        book = new_book(min_dwell=DWELL, live_probe=live_probe)
    book.mark_served(1, NOW)
    return book


both_kinds = pytest.mark.parametrize("kind", ["sticky", "dwelling"])


def test_chain_goes_back_to_the_primary_at_once():
    """By default the best healthy provider is asked, whoever served last."""
    book = new_book()
    book.mark_served(1, NOW)

    assert book.order(NOW) == [0, 1, 2]
    assert book.last_served == 1


@both_kinds
def test_chain_stays_with_who_served_last(kind):
    """A primary that is back is not worth another change of voice in the middle of a call."""
    book = staying(kind)

    assert book.order(NOW) == [1, 0, 2]
    assert book.first(NOW + DWELL - 0.001) == 1


@both_kinds
def test_chain_leaves_a_provider_that_failed(kind):
    """After a failure the remaining providers are asked in the given order."""
    book = staying(kind)
    fail(book, 1)

    assert book.order(NOW) == [0, 2, 1]


@both_kinds
def test_chain_does_not_go_back_to_test_the_one_that_failed(kind):
    """Only a usable provider is stayed with, not one that is merely due for its live probe."""
    book = staying(kind, live_probe=True)
    fail(book, 1)

    assert book.order(RESTED) == [0, 1, 2]


@both_kinds
def test_chain_does_not_stay_with_whom_somebody_disabled(kind):
    """What was taken out is not asked, whoever served last."""
    book = staying(kind)
    book.circuit(1).disable(NOW)

    assert book.order(NOW) == [0, 2]


@both_kinds
def test_chain_does_not_stay_with_who_is_held_back(kind):
    """A request that is not in the provider's share goes elsewhere, and back there last."""
    book = staying(kind)

    assert book.order(NOW, frozenset({1})) == [0, 2, 1]


@both_kinds
def test_chain_stays_with_a_provider_on_probation(kind):
    """It is usable, and a change of voice would come on top of all."""
    book = staying(kind)
    fail(book, 1)
    book.circuit(1).enable(NOW)

    assert book.order(NOW) == [1, 0, 2]


def test_sticky_chain_stays_for_good():
    """Until the provider fails, that is."""
    assert staying("sticky").first(NOW + 1e9) == 1


def test_dwell_time_ends():
    """After it the chain goes back to the better provider; not a moment before."""
    book = staying("dwelling")

    assert book.first(NOW + DWELL - 0.001) == 1
    assert book.first(NOW + DWELL) == 0


def test_dwell_time_counts_from_the_switch():
    """Every further request that is served by the same provider does not begin it anew."""
    book = staying("dwelling")
    book.mark_served(1, NOW + DWELL - 1.0)

    assert book.first(NOW + DWELL) == 0


def test_each_switch_begins_a_dwell_time():
    """The time counts from the newest of them."""
    book = staying("dwelling")
    book.mark_served(2, NOW + 10.0)

    assert book.first(NOW + DWELL) == 2
    assert book.first(NOW + 10.0 + DWELL - 0.001) == 2
    assert book.first(NOW + 10.0 + DWELL) == 0


def test_new_chain_has_nobody_to_stay_with_but_the_primary():
    """The dwell time begins with a switch, and there was none."""
    book = new_book(min_dwell=DWELL)
    fail(book, 0, NOW)

    assert book.first(NOW) == 1


def test_sticky_chain_that_nobody_served_yet_begins_with_the_primary():
    """And it goes back to it if nobody else has served in the meantime."""
    book = new_book(sticky=True)
    fail(book, 0)
    assert book.first(NOW) == 1

    book.record(book.acquire(0, NOW), SERVED, NOW)

    assert book.first(NOW) == 0


# --- the favourite -----------------------------------------------------------------------------


def test_preferred_provider_is_asked_first():
    """The others follow in the order of the list."""
    book = new_book()
    book.prefer(2)

    assert book.order(NOW) == [2, 0, 1]


def test_preference_is_taken_back():
    """`None` is the order of the list again."""
    book = new_book()
    book.prefer(2)
    book.prefer(None)

    assert book.order(NOW) == [0, 1, 2]


def test_preferred_provider_must_be_usable():
    """A preference is no reason to ask somebody who does not answer."""
    book = new_book()
    book.prefer(2)
    fail(book, 2)

    assert book.order(NOW) == [0, 1, 2]


def test_preferred_provider_is_tested_first():
    """Where the next request is the probe, the favourite's test goes before the others' work."""
    book = new_book(live_probe=True)
    book.prefer(2)
    fail(book, 2)

    assert book.order(RESTED) == [2, 0, 1]


@both_kinds
def test_preference_goes_before_staying(kind):
    """Who names a provider means it, now and in the middle of a call; then who served last."""
    book = staying(kind)
    book.prefer(2)

    assert book.first(NOW) == 2
    assert book.order(NOW) == ([2, 1, 0] if kind == "sticky" else [2, 0, 1])


@pytest.mark.parametrize("favourite", [None, 2])
def test_preferring_ends_the_dwell_time(favourite):
    """The chain moves at once, as the operator has said; it does not sit out its time."""
    book = staying("dwelling")
    book.prefer(favourite)

    assert book.first(NOW) == (favourite or 0)


def test_chain_dwells_with_a_new_provider_after_a_preference():
    """Only the dwell time that was running is cut short, not the ones after it."""
    book = staying("dwelling")
    book.prefer(None)
    book.mark_served(2, NOW + 1.0)

    assert book.first(NOW + 1.0) == 2
