# SPDX-License-Identifier: Apache-2.0
"""Whom a request asks, how long each may take, when it asks again, and when it gives up."""

from __future__ import annotations

import pytest

from livekit_fallback.core.latency import WARM_AFTER, Sample
from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.core.walk import Limits, Wait, Walk
from tests.support.circuits import new_book
from tests.support.outcomes import failed, failure
from tests.support.walks import Walked

HOPELESS = [FailureKind.AUTH, FailureKind.REQUEST]


# --- whom --------------------------------------------------------------------------------------


def test_providers_are_asked_one_after_the_other():
    """Each failure moves the request to the next provider, without a wait in between."""
    walked = Walked(3)

    order = []
    for _ in range(3):
        step = walked.asked()
        order.append(step.provider)
        walked.fail(step)

    assert order == [0, 1, 2]


def test_try_carries_the_limits_and_a_permit_of_its_provider():
    """What an attempt needs comes with the step: its own limits, and leave to report."""
    book = new_book(2)
    limits = [Limits(1.0, None), Limits(2.0, 0.5, max_retry=1)]
    walk = Walk(book, limits, total_timeout=9.0, retry_interval=0.5, jitter=lambda: 0.0)
    first = walk.next(0.0)
    assert not isinstance(first, Wait | None)
    walk.report(first, failure(), 0.0)

    second = walk.next(0.0)

    assert not isinstance(second, Wait | None)
    assert (first.limits, second.limits) == (limits[0], limits[1])
    assert (first.permit.provider, second.permit.provider) == (0, 1)


def test_provider_that_went_down_meanwhile_is_asked_last():
    """Health is looked at for each step: what other requests learnt counts at once."""
    walked = Walked(3)
    walked.fail(walked.asked())
    walked.book.record(walked.book.acquire(1, walked.now), failed(), walked.now)

    assert walked.asked().provider == 2


@pytest.mark.parametrize("live_probe", [False, True])
def test_everybody_is_asked_though_everybody_is_cooling_down(live_probe):
    """An agent never refuses to speak because of its own bookkeeping."""
    book = new_book(3, live_probe=live_probe)
    for provider in (2, 0, 1):
        book.record(book.acquire(provider, 999.0), failed(), 999.0)
    walked = Walked(3, book=book)

    silences = [walked.hang(walked.asked()) for _ in range(3)]

    assert silences == [2.0, 2.0, 8.0]
    assert walked.next() is None


# --- for how long ------------------------------------------------------------------------------


def test_first_output_is_due_after_the_attempt_timeout():
    """A provider that is not the last has its own deadline, counted from when it is owed."""
    walked = Walked(2, attempt_timeout=2.0)
    step = walked.asked()

    assert not step.is_last
    assert walked.walk.first_output_due(step, walked.now + 7.0) == walked.now + 9.0


def test_last_provider_gets_what_is_left_of_the_budget():
    """Nobody else is left to ask, so a slow answer is better than none."""
    walked = Walked(2, attempt_timeout=2.0, total=12.0)
    walked.hang(walked.asked())
    step = walked.asked()

    assert step.is_last
    assert walked.hang(step) == 10.0


def test_deadline_never_lies_behind_the_budget():
    """A generous attempt timeout does not lengthen the request."""
    walked = Walked(2, attempt_timeout=9.0, total=12.0)
    walked.hang(walked.asked())
    assert walked.walk.first_output_due(walked.asked(), walked.now) == 1012.0


def test_provider_without_attempt_timeout_has_the_budget():
    """`attempt_timeout=None` is as long as the request's budget."""
    walked = Walked(2, attempt_timeout=None, total=12.0)

    assert walked.walk.first_output_due(walked.asked(), walked.now) == walked.now + 12.0


@pytest.mark.parametrize("size", [1, 2])
def test_without_a_budget_every_attempt_keeps_its_own_deadline(size):
    """`total_timeout=None` is no reason to wait for ever for a provider that hangs."""
    walked = Walked(size, attempt_timeout=2.0, total=None)

    silences = [walked.hang(walked.asked()) for _ in range(size)]

    assert silences == [2.0] * size


def test_without_any_limit_nothing_is_ever_due():
    """Both timeouts `None`: the user asked for no clock at all."""
    walked = Walked(2, attempt_timeout=None, total=None)

    assert walked.walk.first_output_due(walked.asked(), walked.now) is None


def test_budget_starts_when_output_is_first_owed():
    """A voice that waits for its text for a minute has not used up the request's budget."""
    walked = Walked(1, total=12.0)
    step = walked.asked()
    walked.now += 60.0

    assert walked.hang(step) == 12.0


def test_budget_is_started_once():
    """Neither a second debt nor a second failure gives a request more time."""
    walked = Walked(2, attempt_timeout=2.0, total=12.0)
    walked.hang(walked.asked())
    walked.walk.start(walked.now)
    step = walked.asked()

    assert walked.walk.first_output_due(step, walked.now) == 1012.0


# --- again -------------------------------------------------------------------------------------


def test_same_provider_is_retried_as_often_as_allowed():
    """Retries come before the next provider, each after a longer wait with full jitter."""
    walked = Walked(2, max_retry=2, retry_interval=0.5)

    walked.fail(walked.asked())
    waits = [walked.waited()]
    again = walked.asked()
    walked.fail(again)
    waits.append(walked.waited())
    walked.fail(third := walked.asked())

    assert (again.provider, third.provider) == (0, 0)
    assert waits == pytest.approx([0.5, 1.0])
    assert walked.asked().provider == 1


def test_pass_that_failed_quickly_is_walked_again():
    """A blip of the local network hits all providers alike: wait, longer each time, and ask."""
    walked = Walked(2, retry_interval=0.5)

    waits = []
    for _ in range(4):
        for provider in (0, 1):
            step = walked.asked()
            assert step.provider == provider
            walked.fail(step)
        waits.append(walked.waited())

    assert waits == pytest.approx([0.5, 1.0, 2.0, 2.0])


def test_provider_is_not_asked_twice_in_a_moment():
    """Not even with no budget and no jitter: a tenth of a second lies between two passes."""
    walked = Walked(1, total=None, draw=0.0)
    walked.fail(walked.asked())

    waits = [walked.waited(), walked.waited()]

    assert waits == pytest.approx([0.0, 0.1])
    assert walked.asked().provider == 0


# --- giving up ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HOPELESS)
def test_failures_that_will_not_pass_are_not_walked_again(kind):
    """When nobody is left who might answer, the request is over at once."""
    walked = Walked(3, total=None)

    assert walked.fail_until_exhausted(lambda step: walked.fail(step, kind)) == [0, 1, 2]


@pytest.mark.parametrize("kind", HOPELESS)
def test_hopeless_provider_is_left_out_of_the_next_pass(kind):
    """The others are asked again; the one that refused for good is not."""
    walked = Walked(3)
    walked.fail(walked.asked())
    walked.fail(walked.asked(), kind)
    walked.fail(walked.asked())
    walked.waited()

    first, second = walked.asked(), None
    walked.fail(first)
    second = walked.asked()

    assert (first.provider, second.provider) == (0, 2)
    assert second.is_last


def test_exhausted_when_the_budget_is_spent():
    """At the deadline nobody is asked any more, not even one who was not asked yet."""
    walked = Walked(2, total=2.0, attempt_timeout=5.0)
    walked.hang(walked.asked())

    assert walked.next() is None


def test_scrap_of_the_budget_is_not_waited_for():
    """No provider answers in less than a tenth of a second, so the caller is told now."""
    walked = Walked(1, total=12.0)
    step = walked.asked()
    walked.walk.start(walked.now)
    walked.fail(step, after=11.95)

    assert walked.next() is None


def test_first_attempt_needs_no_budget():
    """However small the budget, somebody is asked."""
    assert Walked(1, total=1e-9).asked().provider == 0


# --- after a provider has served ---------------------------------------------------------------


def test_restart_forgets_everything():
    """A stream without end is many requests: who failed before is asked, with a new budget."""
    walked = Walked(2, total=12.0)
    walked.fail(walked.asked(), FailureKind.REQUEST)
    walked.serve(walked.asked())
    walked.now += 3600.0

    step = walked.asked()

    assert step.provider == 0
    assert not step.is_last
    assert walked.walk.first_output_due(step, walked.now) == walked.now + 2.0


def test_answer_that_broke_off_is_searched_for_with_a_new_budget():
    """The old budget was spent on an answer that flowed; its provider is not asked again."""
    walked = Walked(2, total=12.0, max_retry=3)
    step = walked.asked()
    walked.walk.first_output_due(step, walked.now)
    walked.now += 60.0
    walked.walk.report(step, failure(), walked.now, fresh=True, broke_off=True)

    backup = walked.asked()

    assert (backup.provider, backup.is_last) == (1, True)
    assert walked.hang(backup) == 12.0


def test_failure_before_anything_was_owed_leaves_the_budget_alone():
    """A voice that is refused while there is no text yet has cost the caller nothing."""
    walked = Walked(2, total=12.0)
    walked.walk.report(walked.asked(), failure(), walked.now, owed=False)
    walked.now += 60.0

    assert walked.hang(walked.asked()) == 12.0


def test_backup_is_left_for_a_better_provider_that_is_back():
    """Speech that goes on at a backup goes back when it may; nobody leaves a primary at work."""
    walked = Walked(2)
    walked.fail(walked.asked())
    assert not walked.walk.would_leave(1, walked.now)

    walked.book.circuit(0).enable(walked.now)

    assert walked.walk.would_leave(1, walked.now)
    assert not walked.walk.would_leave(0, walked.now)


def test_provider_that_failed_is_reintroduced_like_any_other():
    """A request that has met its outage does not go back to it the moment it is back."""
    book = new_book(2, shares=(0.5,), successes=100)
    walked = Walked(2, book=book)
    walked.fail(walked.asked())
    backup = walked.asked()
    book.circuit(0).enable(walked.now)
    leaves = [walked.walk.would_leave(1, walked.now)]
    for _ in range(2):
        walked.serve(backup)
        leaves.append(walked.walk.would_leave(1, walked.now))

    assert leaves == [False, False, True]


def test_a_retry_is_known_before_it_comes():
    """Whether a failure is the last word about a provider is told as soon as it is reported."""
    walked = Walked(2, max_retry=1)

    walked.fail(walked.asked())
    assert walked.walk.asks_again

    walked.waited()
    walked.fail(walked.asked())
    assert not walked.walk.asks_again


# --- when time is short: a first look; test_walk_hedge.py and test_walk_latency.py go on --------


def test_second_provider_is_asked_while_the_first_is_silent():
    """The next of those that are usable and were not asked; nobody, once there is nobody."""
    walked = Walked(2)
    first = walked.asked()

    hedge = walked.hedged(first.provider)

    assert (hedge.provider, hedge.permit.provider) == (1, 1)
    assert walked.walk.hedge(walked.now, [0, 1]) is None


def test_deadline_follows_what_the_provider_usually_takes():
    """Until that is known it is the longest."""
    walked = Walked(2, attempt_timeout=2.0, adaptive_from=0.5)
    step = walked.asked()
    due = [walked.walk.first_output_due(step, walked.now)]

    for _ in range(WARM_AFTER):
        walked.book.pace(0).add(Sample(0.4))
    due.append(walked.walk.first_output_due(step, walked.now))

    assert due == [walked.now + 2.0, walked.now + 0.8]
