# SPDX-License-Identifier: Apache-2.0
"""Who is left for being slow, for whom, and whose speed has to be known before."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Change, State
from livekit_fallback.core.demotion import Demotion
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.latency import Bound, LatencyPolicy, Sample
from tests.support.circuits import HALF, NOW, ROW, new_book, outputs, put_on_probation, timed_book
from tests.support.outcomes import SERVED, failed

RESTED = NOW + 5.0
BELIEVED, FRESH = 60.0, 30.0
ONCE = LatencyPolicy(0.8, hits=1)


def unprobed(size: int = 3, policy: LatencyPolicy = ROW) -> HealthBook:
    """Nobody can be probed, so whoever is unknown is believed to be fast."""
    return timed_book(size, policy, probed=())


def left(book: HealthBook, now: float = NOW) -> int | None:
    return Demotion(book).to_leave(now)


def scouted(book: HealthBook, now: float = NOW) -> int | None:
    return Demotion(book).to_scout(now)


def looked_at_again(book: HealthBook, now: float = NOW) -> int | None:
    return Demotion(book).to_look_at_again(now)


def fail(book: HealthBook, *providers: int) -> None:
    for provider in providers:
        book.record(book.acquire(provider, NOW), failed(), NOW)


# --- too slow ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "pattern", "is_left"),
    [
        (ROW, "ss", False),
        (ROW, "sss", True),
        (ROW, "ssss", True),
        (ROW, "ssfs", False),
        (ROW, "ss?s", True),
        (HALF, "s", False),
        (HALF, "ss", True),
        (HALF, "sfs", True),
        (HALF, "sff", False),
        (HALF, "ssfff", False),
        (ONCE, "s", True),
    ],
)
def test_so_many_slow_outputs_are_too_many(policy, pattern, is_left):
    """So many in a row, or that part of the newest, as the policy says."""
    assert left(outputs(unprobed(policy=policy), 0, pattern)) == (0 if is_left else None)


@pytest.mark.parametrize("on_probation", [False, True])
def test_nobody_is_too_slow_by_default(on_probation):
    """Without a threshold latencies move no traffic, not even who was overtaken each time."""
    book = new_book()
    if on_probation:
        put_on_probation(book, 0)
    for _ in range(20):
        assert book.judge(0, Sample(2.0, Bound.OVERTAKEN), NOW)

    assert (left(book), scouted(book), looked_at_again(book)) == (None, None, None)


def test_only_who_is_first_can_be_left():
    """A backup that is not at work has no traffic that could move on from it."""
    book = outputs(unprobed(), 1, "sss")
    assert left(book) is None

    book.prefer(1)
    assert left(book) == 1


def test_on_probation_one_slow_output_is_too_many():
    """Whoever has yet to prove itself is given no second chance."""
    for policy in (ROW, HALF):
        book = unprobed(policy=policy)
        put_on_probation(book, 0)

        assert left(outputs(book, 0, "f")) is None
        assert left(outputs(book, 0, "s")) == 0


def test_whoever_is_the_last_resort_is_not_left_for_being_slow():
    """It is out already."""
    book = unprobed(1)
    fail(book, 0)

    assert left(outputs(book, 0, "ssss")) is None


def test_whoever_would_be_tested_by_the_next_request_is_not_left():
    """A provider that is out cannot be left, though its live probe makes it the first."""
    book = new_book(2, live_probe=True, latency=ROW)
    fail(book, 0)
    outputs(book, 0, "sss", RESTED)

    assert book.order(RESTED) == [0, 1]
    assert (left(book, RESTED), scouted(book, RESTED)) == (None, None)


def test_old_slow_outputs_are_not_held_against_anybody():
    """What was slow a minute ago may be fast by now."""
    book = outputs(unprobed(), 0, "sss")

    assert left(book, NOW + BELIEVED) == 0
    assert left(book, NOW + BELIEVED + 0.1) is None


def test_who_was_left_and_is_back_begins_anew():
    """The outputs of before have been paid for with the rest."""
    book = outputs(unprobed(), 0, "sss")
    change = book.demote(0, NOW)
    probe = book.circuit(0).probe_permit(RESTED)
    assert change == Change(0, State.HEALTHY, State.COOLING_DOWN, down_for=0.0, rest=5.0)
    assert probe is not None
    book.record_probe(probe, SERVED, RESTED)
    book.record(book.acquire(0, RESTED), SERVED, RESTED)

    assert left(outputs(book, 0, "fss", RESTED), RESTED) is None
    assert left(outputs(book, 0, "s", RESTED), RESTED) == 0


# --- for whom ----------------------------------------------------------------------------------


def test_the_only_provider_is_never_left():
    """There is nobody else."""
    assert left(outputs(unprobed(1), 0, "ssss")) is None


def test_nobody_is_left_where_everybody_is_slow():
    """The line is slow, or the world is: another provider would be no faster."""
    book = outputs(outputs(outputs(unprobed(), 0, "ssss"), 1, "s"), 2, "fs")

    assert left(book) is None


@pytest.mark.parametrize("state", [State.COOLING_DOWN, State.PROBING, State.DISABLED])
def test_who_is_out_cannot_stand_in(state):
    """A slow answer is better than that of a provider that is down."""
    book = outputs(unprobed(2), 0, "sss")
    fail(book, 1)
    if state is State.PROBING:
        book.circuit(1).probe_permit(RESTED)
    elif state is State.DISABLED:
        book.circuit(1).disable(NOW)

    assert book.circuit(1).state is state
    assert left(book, RESTED) is None


@pytest.mark.parametrize(
    ("pattern", "is_left"), [("", False), ("f", True), ("sssf", True), ("s", False), ("ffs", False)]
)
def test_who_can_be_probed_has_to_be_known_as_fast(pattern, is_left):
    """Traffic moves only to somebody whose newest output was fast."""
    book = outputs(outputs(timed_book(2), 1, pattern), 0, "sss")

    assert (left(book) == 0) is is_left


def test_what_is_known_of_a_stand_in_grows_old():
    """After half a minute it has to be looked at again."""
    book = outputs(outputs(timed_book(2), 1, "f"), 0, "sss")

    assert left(book, NOW + FRESH) == 0
    assert left(book, NOW + FRESH + 0.1) is None


def test_who_cannot_be_probed_is_believed_to_be_fast_but_for_a_minute_after_a_slow_output():
    """Without probes nobody would ever learn that a backup has become fast."""
    book = outputs(unprobed(2), 1, "s")

    assert left(outputs(book, 0, "sss", NOW + BELIEVED), NOW + BELIEVED) is None
    assert left(book, NOW + BELIEVED + 0.1) == 0


# --- whose speed has to be known ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "pattern", "is_scouted"),
    [
        (ROW, "", False),
        (ROW, "s", False),
        (ROW, "ss", True),
        (ROW, "ssf", False),
        (ROW, "ssss", True),
        (HALF, "", False),
        (HALF, "s", True),
        (HALF, "sffff", False),
        (ONCE, "", False),
        (ONCE, "f", False),
        (ONCE, "s", True),
    ],
)
def test_the_stand_in_is_looked_at_one_slow_output_before_it_is_needed(policy, pattern, is_scouted):
    """Not before anything was slow, and not after the first has become fast again."""
    book = outputs(timed_book(policy=policy), 0, pattern)

    assert scouted(book) == (1 if is_scouted else None)


def test_the_next_one_is_looked_at_if_the_stand_in_is_slow():
    """Down the list, to the first that is not known."""
    book = outputs(timed_book(), 0, "ss")
    outputs(book, 1, "s")
    assert scouted(book) == 2

    outputs(book, 2, "s")
    assert scouted(book) is None
    assert scouted(book, NOW + FRESH + 0.1) == 1


def test_nobody_is_looked_at_if_somebody_is_known_to_be_fast():
    """One is enough to go to."""
    book = outputs(outputs(timed_book(), 0, "ss"), 1, "f")

    assert scouted(book) is None
    assert scouted(book, NOW + FRESH + 0.1) == 1


def test_only_usable_ones_that_can_be_probed_are_looked_at():
    """Nobody else can be, or is of use."""
    later = NOW + FRESH + 1.0
    book = outputs(timed_book(probed={0, 2}), 1, "s")
    outputs(book, 0, "ss", later)
    assert scouted(book, later) == 2

    fail(book, 2)
    assert scouted(book, later) is None


# --- who stands back ---------------------------------------------------------------------------


def test_a_slow_backup_stands_back_behind_the_next():
    """Should the first fail, the traffic goes past it."""
    book = outputs(timed_book(), 1, "s")

    assert book.order(NOW) == [0, 2, 1]
    assert outputs(book, 1, "f").order(NOW) == [0, 1, 2]


def test_who_is_at_work_does_not_stand_back():
    """One slow output moves nothing."""
    book = outputs(timed_book(), 0, "s")

    assert book.order(NOW) == [0, 1, 2]
    book.mark_served(1, NOW)
    assert book.order(NOW) == [1, 2, 0]


def test_who_stands_back_is_looked_at_again_after_a_minute():
    """By a probe, where it has one, and not by a caller."""
    book = outputs(timed_book(), 0, "s")
    book.mark_served(1, NOW)

    assert looked_at_again(book, NOW + BELIEVED) is None
    assert looked_at_again(book, NOW + BELIEVED + 0.1) == 0
    assert book.order(NOW + 999.0) == [1, 2, 0]


def test_without_probes_it_is_tried_again_after_a_minute():
    """Nothing else could show that it is fast again."""
    book = outputs(unprobed(), 0, "s")
    book.mark_served(1, NOW)

    assert book.order(NOW + BELIEVED) == [1, 2, 0]
    assert book.order(NOW + BELIEVED + 0.1) == [0, 1, 2]
    assert looked_at_again(book, NOW + BELIEVED + 0.1) is None


def test_who_is_out_does_not_stand_back():
    """A slow one that rests is asked when it is due, like any other."""
    book = outputs(timed_book(), 0, "s")
    fail(book, 0)
    book.mark_served(1, NOW)

    assert not book.waits(0, NOW)
    assert looked_at_again(book, NOW + BELIEVED + 0.1) is None
