# SPDX-License-Identifier: Apache-2.0
"""How long the caller waits: from the end of speech, or the first work, to the answer's sound."""

from __future__ import annotations

import pytest

from livekit_fallback.core.turn import TurnClock

NOW = 1000.0
BUDGET = 1.5


def waiting(since: float = NOW) -> TurnClock:
    """The clock of a caller who fell silent then."""
    clock = TurnClock(BUDGET)
    clock.speech_ended(since)
    return clock


def test_nobody_waits_at_first():
    """A call that has just begun has used up nothing."""
    clock = TurnClock(BUDGET)

    assert clock.seconds == BUDGET
    assert clock.elapsed(NOW) is None
    assert not clock.is_spent(NOW)


def test_wait_is_counted_from_the_end_of_speech():
    """Not from when it was noticed: detectors believe in it only after some silence."""
    clock = TurnClock(BUDGET)

    clock.speech_ended(NOW - 0.5)

    assert clock.elapsed(NOW) == 0.5
    assert clock.elapsed(NOW + 1.0) == 1.5


def test_budget_is_spent_once_it_is_used_up():
    """At that moment, and from then on."""
    clock = waiting()

    assert [clock.is_spent(NOW + s) for s in (0.0, 1.499, 1.5, 29.0)] == [False, False, True, True]


def test_who_speaks_does_not_wait():
    """The caller went on: the wait begins anew with the end of that."""
    clock = waiting()

    clock.speech_began()
    assert (clock.elapsed(NOW + 2.0), clock.is_spent(NOW + 2.0)) == (None, False)

    clock.speech_ended(NOW + 3.0)
    assert clock.elapsed(NOW + 4.0) == 1.0


def test_wait_ends_with_the_answer():
    """What is said after its first sound keeps nobody waiting."""
    clock = waiting()

    clock.answered()

    assert (clock.elapsed(NOW + 2.0), clock.is_spent(NOW + 2.0)) == (None, False)


def test_work_does_not_put_off_the_beginning_of_the_wait():
    """What hearing took is part of it, and so is what thinking took when the voice is asked."""
    clock = waiting()

    clock.work_began(NOW + 0.5)
    clock.work_began(NOW + 1.0)

    assert clock.elapsed(NOW + 1.0) == 1.0


def test_where_nobody_hears_the_caller_stop_the_wait_begins_with_the_work():
    """A session without a recogniser of ours counts thinking and speaking."""
    clock = TurnClock(BUDGET)

    clock.work_began(NOW)
    clock.work_began(NOW + 1.0)

    assert clock.elapsed(NOW + 2.0) == 2.0


def test_each_turn_has_a_budget_of_its_own():
    """The work for the next answer begins a new wait once this one was heard."""
    clock = TurnClock(BUDGET)
    clock.work_began(NOW)
    clock.answered()

    clock.work_began(NOW + 10.0)

    assert clock.elapsed(NOW + 11.0) == 1.0


def test_turn_that_was_never_answered_is_over_after_half_a_minute():
    """A caller who was told nothing, such as after a tool that ends the call, waits no more."""
    clock = waiting()

    assert clock.elapsed(NOW + 30.0) == 30.0
    assert clock.elapsed(NOW + 30.1) is None
    assert not clock.is_spent(NOW + 30.1)


def test_work_after_a_turn_that_was_never_answered_begins_anew():
    """What somebody waited for a minute ago is not held against the next answer."""
    clock = waiting()

    clock.work_began(NOW + 60.0)

    assert clock.elapsed(NOW + 61.0) == 1.0


@pytest.mark.parametrize("end", [TurnClock.speech_began, TurnClock.answered])
def test_what_ends_a_wait_may_come_without_one(end):
    """Voices speak without being asked, and callers begin to speak more than once."""
    clock = TurnClock(BUDGET)

    end(clock)

    assert clock.elapsed(NOW) is None
