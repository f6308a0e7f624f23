# SPDX-License-Identifier: Apache-2.0
"""Which outputs of a provider are held against it, and who stands back for a slow one."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import HealthPolicy, State
from livekit_fallback.core.health import HealthBook, OrderPolicy
from livekit_fallback.core.latency import Bound, LatencyPolicy, Sample
from tests.support.circuits import NOW, ROW, outputs, put_on_probation, timed_book
from tests.support.outcomes import SERVED, failed

RESTED = NOW + 5.0


def fail(book: HealthBook, *providers: int) -> None:
    for provider in providers:
        book.record(book.acquire(provider, NOW), failed(), NOW)


def mixed_book(*policies: LatencyPolicy) -> HealthBook:
    """Providers each with a threshold of its own, or none."""
    health, nobody_live = HealthPolicy(5.0, 300.0), (False,) * len(policies)
    order = OrderPolicy(nobody_live, probed=frozenset(range(len(policies))))
    return HealthBook([health] * len(policies), order, jitter=lambda: 0.0, latency=policies)


# --- judged ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "bound", "is_slow"),
    [
        (0.9, Bound.EXACT, True),
        (0.7, Bound.EXACT, False),
        (0.7, Bound.AT_LEAST, None),
        (0.9, Bound.AT_MOST, None),
        (0.1, Bound.OVERTAKEN, True),
    ],
)
def test_output_is_judged_and_noted(seconds, bound, is_slow):
    """What cannot be said leaves no trace, and nobody else is concerned."""
    book = timed_book()

    assert book.judge(1, Sample(seconds, bound), NOW + 3.0) is is_slow

    pace = book.pace(1)
    assert pace.judged_at == (None if is_slow is None else NOW + 3.0)
    assert pace.hits(book.circuit(1).generation) == pace.slow_outputs == bool(is_slow)
    assert [book.pace(i).judged_at for i in (0, 2)] == [None, None]


def test_each_provider_is_judged_by_its_own_threshold():
    """Vendors differ in what is slow."""
    book = mixed_book(LatencyPolicy(0.5), LatencyPolicy(1.5), LatencyPolicy())

    assert [book.judge(i, Sample(1.0), NOW) for i in range(3)] == [True, False, None]


def test_output_of_a_current_request_is_judged():
    """The permit is of now, so what is learnt is about now."""
    book = timed_book()
    permit = book.acquire(0, NOW)

    assert book.judge(0, Sample(2.0), NOW, permit) is True
    assert book.pace(0).slow_outputs == 1


def test_output_of_a_live_probe_is_judged():
    """Its request is as good as any other, and tells more."""
    order = OrderPolicy((True,))
    health = HealthPolicy(5.0, 300.0)
    book = HealthBook([health], order, jitter=lambda: 0.0, latency=[ROW])
    fail(book, 0)

    probe = book.acquire(0, RESTED)

    assert probe.is_probe
    assert book.judge(0, Sample(2.0), RESTED, probe) is True


def test_what_is_not_at_work_is_judged_for_its_absence_only():
    """A last resort's slow answers are known, but do not follow the provider back to work."""
    book = timed_book()
    fail(book, 0)
    outputs(book, 0, "sss")
    hits = [book.pace(0).hits(book.circuit(0).generation)]

    put_on_probation(book, 0)
    hits.append(book.pace(0).hits(book.circuit(0).generation))

    assert hits == [3, 0]
    assert book.pace(0).is_suspect


# --- standing back -----------------------------------------------------------------------------


def test_one_threshold_is_enough_for_somebody_to_stand_back():
    """Also where the others have none, and were only overtaken."""
    book = mixed_book(LatencyPolicy(0.8), LatencyPolicy(), LatencyPolicy())
    book.mark_served(2, NOW)

    book.judge(0, Sample(2.0), NOW)
    assert book.order(NOW) == [1, 2, 0]

    book.judge(1, Sample(0.1, Bound.OVERTAKEN), NOW)
    assert book.order(NOW) == [2, 0, 1]


def test_without_any_threshold_nobody_stands_back():
    """Being overtaken is counted then, and moves nothing."""
    book = mixed_book(LatencyPolicy(), LatencyPolicy())
    book.mark_served(1, NOW)

    book.judge(0, Sample(0.1, Bound.OVERTAKEN), NOW)

    assert book.order(NOW) == [0, 1]


def test_who_was_asked_and_has_nothing_against_it_does_not_stand_back():
    """A probe that cannot be timed, or not be judged, has shown that the provider is there."""
    book = outputs(timed_book(), 0, "s")
    book.mark_served(1, NOW)
    orders = [book.order(NOW)]

    book.pace(0).trust(NOW)
    orders.append(book.order(NOW))

    assert orders == [[1, 2, 0], [0, 1, 2]]


def test_slow_one_that_is_preferred_is_asked_first_all_the_same():
    """What an operator says comes before what was measured."""
    book = outputs(timed_book(), 1, "s")
    book.prefer(1)

    assert book.order(NOW) == [1, 0, 2]


# --- going on after being left -----------------------------------------------------------------


def test_what_was_left_for_being_slow_is_not_back_by_what_it_still_serves():
    """A stream that is at it goes on between two utterances: that is no test of its speed."""
    book = timed_book()
    book.demote(0, NOW)
    before = book.circuit(0).due

    permit = book.renew(0)

    assert book.record(permit, SERVED, NOW + 1.0) is None
    assert book.record(book.renew(0), failed(), NOW + 1.0) is None
    assert book.judge(0, Sample(0.1), NOW + 1.0, permit) is None
    assert (book.circuit(0).state, book.circuit(0).due) == (State.COOLING_DOWN, before)
    assert book.tally(0).requests == 2
