# SPDX-License-Identifier: Apache-2.0
"""When a request asks the same provider again, how long it waits, and when it begins anew."""

from __future__ import annotations

import itertools

import pytest

from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.core.walk import Wait
from tests.support.circuits import new_book
from tests.support.outcomes import failure
from tests.support.walks import Walked


@pytest.mark.parametrize("kind", [k for k in FailureKind if k is not FailureKind.TRANSIENT])
def test_failure_that_stays_is_not_retried(kind):
    """A rejected key, a bad request or a rate limit is the same a second later."""
    walked = Walked(2, max_retry=5)
    walked.fail(walked.asked(), kind)

    assert walked.asked().provider == 1


def test_deadline_that_passed_is_not_retried():
    """The caller would wait the same silence twice."""
    walked = Walked(2, max_retry=5)
    walked.hang(walked.asked())

    assert walked.asked().provider == 1


def test_retry_knows_whether_it_is_the_last():
    """A retry is not alone while other providers have not been asked."""
    walked = Walked(2, max_retry=1)
    walked.fail(walked.asked())
    walked.waited()
    first_again = walked.asked()
    walked.fail(first_again)
    walked.fail(walked.asked())
    walked.waited()

    assert not first_again.is_last
    assert walked.asked().is_last


def test_new_pass_grants_new_retries():
    """What a provider may be retried is counted per pass."""
    walked = Walked(2, max_retry=1)

    asked: list[int] = []
    while len(asked) < 8:
        while isinstance(step := walked.next(), Wait):
            walked.now += step.seconds
        assert step is not None
        asked.append(step.provider)
        walked.fail(step)

    assert asked == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("draw", [0.0, 0.5])
@pytest.mark.parametrize("retry_interval", [0.0, 0.5])
def test_dead_chain_is_never_asked_in_a_busy_loop(draw, retry_interval):
    """However jitter falls, a provider that fails at once is asked ten times a second at most."""
    walked = Walked(2, total=None, retry_interval=retry_interval, draw=draw)
    asked_at: dict[int, list[float]] = {0: [], 1: []}
    while len(asked_at[1]) < 20:
        step = walked.next()
        if isinstance(step, Wait):
            walked.now += step.seconds
        else:
            assert step is not None
            asked_at[step.provider].append(walked.now)
            walked.fail(step)

    for times in asked_at.values():
        assert all(b - a >= 0.0999 for a, b in itertools.pairwise(times))


def test_provider_that_fails_the_moment_it_has_served_is_no_busy_loop():
    """A recogniser that connects, says a word and dies, again and again, is given a pause."""
    walked = Walked(1)
    began = walked.now
    for _ in range(20):
        while isinstance(step := walked.next(), Wait):
            walked.now += step.seconds
        assert step is not None
        walked.serve(step)

    assert walked.now - began >= 19 * 0.0999


def test_wait_is_never_the_whole_rest_of_the_budget():
    """A wait is only good for the try that follows it."""
    walked = Walked(1, total=1.0, retry_interval=8.0)
    walked.fail(walked.asked())

    assert walked.waited() == 0.5
    assert walked.asked().provider == 0


def test_each_request_of_a_stream_has_its_own_retries():
    """What was retried before a provider has served is not held against what comes after."""
    walked = Walked(2, max_retry=1)
    for _ in range(3):
        walked.fail(walked.asked())
        walked.waited()
        again = walked.asked()
        assert again.provider == 0
        walked.serve(again)
        walked.now += 1.0


def test_restart_drops_a_pause_and_its_retry():
    """A wait that was planned for a provider is void once somebody served."""
    walked = Walked(2, max_retry=3)
    walked.fail(walked.asked())
    walked.walk.restart()

    assert walked.asked().provider == 1


def test_provider_that_was_disabled_meanwhile_is_not_retried():
    """What somebody takes out during the wait gets no more requests, this one's retry included."""
    walked = Walked(2, max_retry=3)
    walked.fail(walked.asked())
    walked.waited()
    walked.book.circuit(0).disable(walked.now)

    assert walked.asked().provider == 1


def test_only_provider_left_was_disabled_meanwhile():
    """With nobody else to ask the request is over: what was disabled is not the last resort."""
    walked = Walked(2, max_retry=3)
    walked.fail(walked.asked(), FailureKind.AUTH)
    walked.fail(walked.asked())
    walked.waited()
    walked.book.circuit(1).disable(walked.now)

    assert walked.next() is None


def test_provider_that_rests_is_retried_all_the_same():
    """Its failure has put it to rest; retries are about this request, not about its health."""
    book = new_book(2)
    walked = Walked(2, max_retry=1, book=book)
    walked.fail(walked.asked())
    walked.waited()

    assert not book.usable(0, walked.now)
    assert walked.asked().provider == 0


# --- after a provider has served ---------------------------------------------------------------


def test_old_deadline_is_void_after_a_provider_that_had_served():
    """A recogniser heard a silent caller for an hour: its end is not the end of the budget."""
    walked = Walked(2, total=12.0)
    step = walked.asked()
    walked.walk.first_output_due(step, walked.now)
    walked.now += 3600.0
    walked.walk.report(step, failure(), walked.now, owed=False, fresh=True)

    assert walked.hang(walked.asked()) == 12.0


def test_who_failed_before_another_served_is_asked_at_once():
    """After a minute of service the earlier failures are old news, and nobody waits for them."""
    walked = Walked(2)
    walked.fail(walked.asked())
    step = walked.asked()
    walked.now += 60.0
    walked.walk.report(step, failure(), walked.now, fresh=True)

    assert walked.asked().provider == 0
