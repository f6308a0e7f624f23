# SPDX-License-Identifier: Apache-2.0
"""The order in which a chain is asked, who outranks whom, and what is counted."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import State
from livekit_fallback.core.health import NOBODY, HealthBook
from livekit_fallback.core.latency import LatencyPolicy, Sample
from livekit_fallback.core.outcome import CANCELLED, Outcome
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


def states(book: HealthBook, size: int = 3) -> list[State]:
    return [book.circuit(i).state for i in range(size)]


def test_healthy_chain_is_asked_in_its_own_order():
    """The list's order is the priority; the primary is first."""
    book = new_book(4)

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


def test_outcome_goes_to_the_provider_of_its_permit():
    """Of concurrent attempts on several providers each changes only its own provider."""
    book = new_book()
    permits = [book.acquire(i, NOW) for i in range(3)]

    book.record(permits[1], failed(), NOW)

    assert states(book) == [State.HEALTHY, State.COOLING_DOWN, State.HEALTHY]


# --- on probation, disabled --------------------------------------------------------------------


def test_provider_on_probation_has_its_place_back():
    """Its requests are what has to prove it well."""
    book = new_book()
    fail(book, 0)

    recover(book, 0)

    assert states(book)[0] is State.PROBATION
    assert book.order(RESTED) == [0, 1, 2]


def test_given_up_is_asked_after_all_others():
    """Even a provider at rest has a better chance, however long it still has to rest."""
    book = new_book(give_up_after=1)
    fail(book, 0, 1, 2)
    give_up(book, 0)

    assert states(book)[0] is State.DISABLED
    assert book.order(RESTED) == [1, 2, 0]


@pytest.mark.parametrize("others_are_down", [False, True])
def test_disabled_by_hand_is_not_asked_at_all(others_are_down):
    """What somebody has taken out gets no request, however badly the others do."""
    book = new_book()
    book.circuit(0).disable(NOW)
    if others_are_down:
        fail(book, 1, 2)

    assert book.order(NOW) == [1, 2]
    assert book.first(NOW) == 1


def test_last_provider_must_not_be_disabled():
    """Somebody has to be left to ask, well or not."""
    book = new_book()
    fail(book, 0, 1, 2)
    assert [book.may_disable(i) for i in range(3)] == [True, True, True]

    book.circuit(0).disable(NOW)
    book.circuit(1).disable(NOW)

    assert [book.may_disable(i) for i in range(3)] == [True, True, False]
    assert not new_book(1).may_disable(0)


# --- whom to leave, and for whom ---------------------------------------------------------------


def outranked_by(book: HealthBook, other: int) -> list[int]:
    """Who outranks a provider at work."""
    return [i for i in range(3) if book.outranks(i, other)]


def test_higher_priority_outranks():
    """Work at a backup had better go to whoever comes before it in the list."""
    book = new_book()

    assert [outranked_by(book, i) for i in range(3)] == [[], [0], [0, 1]]
    assert [book.can_be_outranked(i) for i in range(3)] == [False, True, True]


def test_disabled_provider_is_outranked_by_all_others():
    """Work does not stay with a provider that was taken out, not even with the primary."""
    book = new_book()
    book.circuit(0).disable(NOW)
    book.prefer(0)

    assert outranked_by(book, 0) == [1, 2]
    book.prefer(None)
    assert book.can_be_outranked(0)
    assert outranked_by(book, 0) == [1, 2]


# --- slow: a first look; test_demotion.py and test_health_urgent.py go on ----------------------


def test_whoever_is_left_for_being_slow_is_outranked_by_all():
    """It rests, and what it is still at had better go elsewhere."""
    book = new_book(latency=LatencyPolicy(0.8))

    book.demote(0, NOW)

    assert book.order(NOW) == [1, 2, 0]
    assert outranked_by(book, 0) == [1, 2]


def test_whoever_goes_on_with_what_it_was_left_for_shows_nothing_by_it():
    """It serves what it is at to the end, and rests all the same."""
    book = new_book(latency=LatencyPolicy(0.8))
    book.demote(0, NOW)

    change = book.record(book.renew(0), SERVED, NOW)

    assert change is None
    assert book.circuit(0).state is State.COOLING_DOWN


def test_slow_backup_stands_back_unless_it_is_at_work_or_out():
    """Who could be asked in its stead is asked first, and a probe has to show better."""
    book = new_book(latency=LatencyPolicy(0.8), probed=frozenset({1}))
    for provider in range(3):
        assert book.judge(provider, Sample(2.0), NOW)
    assert book.probed == {1}
    assert book.order(NOW) == [0, 1, 2]  # all stand back but for the first, which is at work

    assert [book.waits(i, NOW + 61.0) for i in range(3)] == [False, True, False]
    book.mark_served(1, NOW)
    fail(book, 2)
    assert [book.waits(i, NOW) for i in range(3)] == [True, False, False]
    assert book.order(NOW) == [1, 0, 2]


def test_output_of_an_older_time_is_not_judged():
    """A request that began before an outage says nothing about the provider that is back."""
    book = new_book(latency=LatencyPolicy(0.8))
    old = book.acquire(0, NOW)
    fail(book, 0)
    recover(book, 0)

    assert book.judge(0, Sample(2.0), NOW, old) is None
    assert book.pace(0).slow_outputs == 0


def test_fastest_is_asked_first_when_time_is_short():
    """Where it is known of the first how fast it is."""
    book = new_book(2)
    orders = []
    for provider, seconds in [(1, 0.2), (0, 0.3)]:
        for _ in range(3):
            book.pace(provider).add(Sample(seconds))
        orders.append(book.order(NOW, is_urgent=True))

    assert orders == [[0, 1], [1, 0]]


# --- what is counted ---------------------------------------------------------------------------


def test_outcomes_are_counted_with_their_provider():
    """A request is counted when it begins, and again by how it ended."""
    book = new_book()
    permits = [book.acquire(1, NOW) for _ in range(4)]
    for permit, outcome in zip(permits, [SERVED, failed(), CANCELLED], strict=False):
        book.record(permit, outcome, NOW)

    tally = book.tally(1)
    assert (tally.requests, tally.successes, tally.cancelled) == (4, 1, 1)
    assert tally.failures.total() == 1
    assert book.tally(0).requests == book.tally(2).requests == 0


def test_probe_is_counted_as_a_probe_only():
    """What the adapter asks for itself is no request."""
    book = new_book()
    fail(book, 0)

    recover(book, 0)

    tally = book.tally(0)
    assert (tally.requests, tally.successes, tally.probes) == (1, 0, 1)
    assert book.share(0) == 0.0


def test_renewed_permit_is_a_request_of_its_own():
    """A stream that goes on after a success begins its next request, and it may fail."""
    book = new_book(live_probe=True)
    book.record(book.acquire(0, NOW), SERVED, NOW)

    permit = book.renew(0)
    change = book.record(permit, failed(), NOW)

    assert not permit.is_probe
    assert change is not None
    assert book.tally(0).requests == 2


def test_released_permit_was_no_request():
    """Nothing was asked after all: nothing is counted, and nothing is learnt."""
    book = new_book()
    permit = book.acquire(0, NOW)
    assert book.release(permit, NOW) is None

    tally = book.tally(0)
    assert (tally.requests, tally.cancelled, tally.heard_at) == (0, 0, None)
    assert states(book)[0] is State.HEALTHY


def test_serving_is_taken_note_of():
    """Whoever served last is named, by whatever it served and however often."""
    book = new_book()
    served = []
    for provider in (0, 1, 1, 2):
        book.mark_served(provider, NOW)
        served.append(book.last_served)

    assert served == [0, 1, 1, 2]


def test_share_is_that_of_the_newest_requests_served():
    """Who has served how much of late; failures are nobody's share."""
    book = new_book()
    assert book.share(0) == 0.0

    for provider in (0, 0, 0, 1):
        book.record(book.acquire(provider, NOW), SERVED, NOW)
    book.record(book.acquire(2, NOW), failed(), NOW)
    book.record(book.acquire(2, NOW), CANCELLED, NOW)
    assert [book.share(i) for i in range(3)] == [0.75, 0.25, 0.0]

    for _ in range(99):
        book.record(book.acquire(2, NOW), SERVED, NOW)
    assert [book.share(i) for i in range(3)] == [0.0, 0.01, 0.99]


def test_reset_forgets_all_but_the_counts():
    """Everybody is healthy, nobody preferred or stayed with; what happened has happened."""
    book = new_book(sticky=True, min_dwell=60.0)
    book.mark_served(2, NOW)
    book.prefer(1)
    fail(book, 0, 2)
    book.circuit(1).disable(NOW)

    changes = book.reset(RESTED)

    assert [(c.provider, c.after) for c in changes] == [(i, State.HEALTHY) for i in range(3)]
    assert book.order(RESTED) == [0, 1, 2]
    assert book.last_served == 0
    assert not book.can_be_outranked(0)
    assert book.tally(0).failures.total() == 1
    assert book.reset(RESTED) == []


def test_nobody_is_held_back_where_return_is_not_gradual():
    """Without shares everyone usable gets every request; see test_health_shares.py."""
    book = new_book()
    fail(book, 0)
    recover(book, 0)

    assert book.hold_back() == NOBODY


def test_held_back_provider_is_asked_before_those_at_rest():
    """Its share is spent, but it is well: better than somebody who is not."""
    book = new_book(shares=(0.5,))
    fail(book, 0, 1)
    recover(book, 1)

    held_back = [book.hold_back() for _ in range(2)]

    assert held_back == [{0, 1}, {0}]
    assert [book.order(RESTED, held) for held in held_back] == [[2, 1, 0], [1, 2, 0]]
