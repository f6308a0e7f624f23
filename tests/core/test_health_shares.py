# SPDX-License-Identifier: Apache-2.0
"""Gradual return: exactly its share of the requests for a provider on probation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from livekit_fallback.core.circuit import State
from livekit_fallback.core.health import NOBODY, HealthBook
from tests.support.circuits import NOW, new_book
from tests.support.outcomes import SERVED, failed

RESTED = NOW + 5.0


def returning(
    *providers: int, shares: tuple[float, ...], successes: int = 10**6, size: int = 3
) -> HealthBook:
    """A chain of which these providers are on probation."""
    book = new_book(size, shares=shares, successes=successes)
    for provider in providers:
        book.circuit(provider).disable(NOW)
        book.circuit(provider).enable(NOW)
        assert book.circuit(provider).state is State.PROBATION
    return book


def let_through(book: HealthBook, requests: int, provider: int = 0) -> list[int]:
    """Which of so many requests, from 1, the provider is not held back from."""
    return [n for n in range(1, requests + 1) if provider not in book.hold_back()]


@pytest.mark.parametrize(
    ("share", "requests"),
    [
        (0.1, [10, 20, 30, 40, 50, 60]),
        (0.05, [20, 40, 60]),
        (0.2, [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]),
        (0.5, list(range(2, 61, 2))),
        (0.75, [n for n in range(1, 61) if n % 4 != 1]),
        (1.0, list(range(1, 61))),
    ],
)
def test_share_is_exact_and_even(share, requests):
    """With a tenth every tenth request, not one in ten on the average."""
    assert let_through(returning(0, shares=(share,)), 60) == requests


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1 / 3])
def test_rounding_never_starves_a_provider(share):
    """The computer's tenth is not quite a tenth; a thousand of them are a hundred all the same."""
    book = returning(0, shares=(share,))

    assert len(let_through(book, 9000)) == pytest.approx(9000 * share, abs=1e-6)


@given(
    share=st.floats(0.001, 1.0),
    requests=st.integers(1, 300),
)
def test_any_share_is_kept_to_within_one_request(share, requests):
    """At no moment has a provider got more than its share, nor a whole request less."""
    got = len(let_through(returning(0, shares=(share,)), requests))

    assert share * requests - 1 < got + 1e-6
    assert got <= share * requests + 1e-6


def test_providers_return_each_by_its_own_share():
    """Of two on probation, neither spends what belongs to the other."""
    book = returning(0, 2, shares=(0.5,))
    held = [book.hold_back() for _ in range(4)]

    assert held == [{0, 2}, NOBODY, {0, 2}, NOBODY]


def test_healthy_provider_is_never_held_back():
    """Shares are for those who come back."""
    book = returning(1, shares=(0.1, 1.0))

    assert [book.hold_back() for _ in range(3)] == [{1}] * 3


@pytest.mark.parametrize("state", [State.COOLING_DOWN, State.PROBING, State.DISABLED])
def test_provider_that_is_out_is_held_back_should_it_come_back(state):
    """A request that began without it does not fall to it because its probe is good meanwhile."""
    book = new_book(2, shares=(0.5,), successes=10**6)
    book.record(book.acquire(0, NOW), failed(), NOW)
    if state is State.PROBING:
        book.circuit(0).probe_permit(RESTED)
    if state is State.DISABLED:
        book.circuit(0).disable(RESTED)

    held_back = [book.hold_back() for _ in range(3)]
    book.circuit(0).enable(RESTED)

    assert held_back == [{0}] * 3
    assert book.order(RESTED, held_back[0]) == [1, 0]
    assert let_through(book, 6) == [2, 4, 6]


def test_provider_whose_probe_is_a_request_is_not_held_back_from_it():
    """Its live probe is how it comes back at all; its share begins after that."""
    book = new_book(2, shares=(0.5,), successes=10**6, live_probe=True)
    book.record(book.acquire(0, NOW), failed(), NOW)

    held_back = book.hold_back()
    assert held_back == NOBODY
    assert book.order(RESTED, held_back) == [0, 1]

    book.record(book.acquire(0, RESTED), SERVED, RESTED)
    assert let_through(book, 4) == [2, 4]


@pytest.mark.parametrize("live_probe", [False, True])
def test_whole_share_is_never_held_back(live_probe):
    """Where the first step is everything there is nothing to be held back from."""
    book = new_book(2, shares=(1.0, 0.5), live_probe=live_probe)
    book.record(book.acquire(0, NOW), failed(), NOW)

    assert book.hold_back() == NOBODY


def test_steps_lead_to_all_requests():
    """Each step is earned by good requests; after the last the provider is healthy."""
    book = returning(0, shares=(0.25, 0.5, 1.0), successes=2)
    served_at = []
    for n in range(1, 21):
        if 0 in book.hold_back():
            continue
        served_at.append(n)
        book.record(book.acquire(0, RESTED), SERVED, RESTED)

    assert served_at == [4, 8, 10, 12, *range(13, 21)]
    assert book.circuit(0).state is State.HEALTHY


def test_held_back_request_goes_to_the_next():
    """And the provider is asked for it after all others that are well, before any that is not."""
    book = returning(0, shares=(0.1,))
    book.record(book.acquire(2, NOW), failed(), NOW)

    assert book.order(NOW, book.hold_back()) == [1, 0, 2]


def test_all_held_back_are_asked_by_priority():
    """A chain in which everybody is returning serves all the same."""
    book = returning(0, 1, 2, shares=(0.1,))

    assert book.order(NOW, book.hold_back()) == [0, 1, 2]


def test_preferred_provider_is_held_back_like_any_other():
    """A preference does not shorten a probation."""
    book = returning(1, shares=(0.5,))
    book.prefer(1)

    assert [book.order(NOW, book.hold_back())[0] for _ in range(4)] == [0, 1, 0, 1]


@given(
    shares=st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=3),
    successes=st.integers(1, 3),
)
@settings(max_examples=40)
def test_probation_always_comes_to_an_end(shares, successes):
    """However small the shares: requests keep coming, and good ones lead to health."""
    book = returning(0, shares=tuple(shares), successes=successes)
    needed = sum(successes / share for share in shares)
    for _ in range(int(needed) + 2):
        if book.order(RESTED, book.hold_back())[0] == 0:
            book.record(book.acquire(0, RESTED), SERVED, RESTED)

    assert book.circuit(0).state is State.HEALTHY
