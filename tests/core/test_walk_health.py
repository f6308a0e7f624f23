# SPDX-License-Identifier: Apache-2.0
"""What a walk makes of the chain's health: who is left out, held back, or worth going back to."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import State
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import FailureKind
from tests.support.circuits import new_book
from tests.support.outcomes import SERVED, failed, failure
from tests.support.walks import Walked

NOW = 1000.0  # when every walk of these tests begins


def down(book: HealthBook, *providers: int) -> None:
    for provider in providers:
        book.record(book.acquire(provider, NOW), failed(), NOW)


def on_probation(book: HealthBook, provider: int) -> None:
    book.circuit(provider).disable(NOW)
    book.circuit(provider).enable(NOW)


# --- taken out ---------------------------------------------------------------------------------


def test_disabled_provider_is_never_asked():
    """Not in any pass, not as the last resort, not though all others fail."""
    walked = Walked(3)
    walked.book.circuit(0).disable(NOW)

    asked = walked.fail_until_exhausted(lambda step: walked.fail(step, after=0.3))

    assert asked[:4] == [1, 2, 1, 2]
    assert set(asked) == {1, 2}


def test_provider_disabled_on_the_way_is_left_out():
    """Health is looked at for each step, so the next step already knows."""
    walked = Walked(3)
    walked.fail(walked.asked())
    walked.book.circuit(1).disable(walked.now)

    step = walked.asked()

    assert step.provider == 2
    assert step.is_last


def test_exhausted_when_only_disabled_providers_have_not_refused():
    """Nobody is left to ask: waiting for another pass would be waiting for nothing."""
    walked = Walked(2, total=None)
    walked.book.circuit(1).disable(NOW)
    walked.fail(walked.asked(), FailureKind.AUTH)

    assert walked.next() is None


def test_pass_goes_on_with_those_that_are_left():
    """A disabled provider does not keep the others from being asked again."""
    walked = Walked(2, total=None)
    walked.book.circuit(0).disable(NOW)
    walked.fail(walked.asked())
    walked.waited()

    step = walked.asked()

    assert (step.provider, step.is_last) == (1, True)


def test_provider_enabled_on_the_way_is_asked():
    """What an operator gives back helps the request that is looking for somebody."""
    walked = Walked(2)
    walked.book.circuit(1).disable(NOW)
    step = walked.asked()
    assert step.is_last
    walked.fail(step)
    walked.book.circuit(1).enable(walked.now)

    assert walked.asked().provider == 1


def test_given_up_provider_is_the_last_resort():
    """It is asked after everybody else, and asked it is."""
    book = new_book(3, give_up_after=1)
    down(book, 0)
    permit = book.circuit(0).probe_permit(NOW + 5.0)
    assert permit is not None
    book.record_probe(permit, failed(), NOW + 5.0)
    walked = Walked(3, book=book)

    asked = walked.fail_until_exhausted(walked.hang)

    assert asked == [1, 2, 0]


def test_cooling_provider_is_asked_though_the_healthy_one_hangs():
    """Exhausted means that every provider was asked, a cooling one included."""
    book = new_book(2)
    book.record(book.acquire(0, 999.0), failed(), 999.0)
    walked = Walked(2, book=book)

    assert walked.fail_until_exhausted(walked.hang) == [1, 0]


# --- held back ---------------------------------------------------------------------------------


def test_share_is_drawn_once_per_request():
    """However many steps a request takes, it spends one request of a returning provider."""
    book = new_book(2, shares=(0.5,), successes=100)
    on_probation(book, 0)
    first_asked = []
    for _ in range(6):
        walked = Walked(2, book=book)
        step = walked.asked()
        first_asked.append(step.provider)
        walked.fail(step, FailureKind.REQUEST)
        walked.asked()

    assert first_asked == [1, 0, 1, 0, 1, 0]


def test_held_back_provider_is_asked_when_the_others_fail():
    """Being held back is a matter of who goes first, not of being left out."""
    book = new_book(3, shares=(0.1,), successes=100)
    on_probation(book, 0)
    down(book, 2)
    walked = Walked(3, book=book)

    assert walked.fail_until_exhausted(walked.hang) == [1, 0, 2]


def test_share_is_drawn_anew_after_a_provider_has_served():
    """A stream without end is many requests, and each of them counts for the share."""
    book = new_book(2, shares=(0.5,), successes=100)
    on_probation(book, 0)
    walked = Walked(2, book=book)
    asked = []
    for _ in range(4):
        step = walked.asked()
        asked.append(step.provider)
        walked.serve(step)
        walked.now += 1.0

    assert asked == [1, 0, 1, 0]


def test_share_that_a_stream_goes_back_for_is_spent_once():
    """Leaving a backup for the provider whose turn it is begins with that very provider."""
    book = new_book(2, shares=(0.5,), successes=100)
    on_probation(book, 0)
    walked = Walked(2, book=book)
    backup = walked.asked()
    walked.serve(backup)
    walked.now += 1.0

    assert backup.provider == 1
    assert walked.walk.would_leave(1, walked.now)
    walked.walk.hand_over()
    assert walked.asked().provider == 0


def test_share_is_drawn_when_the_request_begins_to_ask():
    """What happened while it was waiting for its first words counts."""
    book = new_book(2, shares=(0.5,), successes=100)
    walked = Walked(2, book=book)
    on_probation(book, 0)

    assert walked.asked().provider == 1


# --- worth leaving the provider at work --------------------------------------------------------


@pytest.mark.parametrize("live_probe", [False, True])
def test_primary_that_rests_is_not_left_while_it_works(live_probe):
    """What it does goes well, or it would have failed: there is no reason to go."""
    book = new_book(2, live_probe=live_probe)
    down(book, 0)
    walked = Walked(2, book=book)

    assert not walked.walk.would_leave(0, walked.now)
    assert not walked.walk.would_leave(0, walked.now + 5.0)


@pytest.mark.parametrize(("live_probe", "leaves"), [(False, False), (True, True)])
def test_backup_is_left_for_a_rested_provider_only_if_the_request_is_its_probe(live_probe, leaves):
    """Where probes run beside the traffic, one of them has to be good first."""
    book = new_book(2, live_probe=live_probe)
    down(book, 0)
    walked = Walked(2, book=book)

    assert not walked.walk.would_leave(1, NOW + 4.999)
    assert walked.walk.would_leave(1, NOW + 5.0) == leaves


def test_nobody_is_left_for_a_provider_at_rest():
    """Better is only who is well: a backup is not exchanged for a dead primary."""
    book = new_book(3)
    down(book, 0, 1, 2)
    walked = Walked(3, book=book)

    assert book.order(walked.now)[0] == 0
    assert not walked.walk.would_leave(2, walked.now)


def test_backup_that_rests_is_not_left_for_one_of_lower_priority():
    """What it does goes well, or it would have failed; the other is worse, if well."""
    book = new_book(3)
    down(book, 0, 1)
    walked = Walked(3, book=book)

    assert book.order(walked.now)[0] == 2
    assert not walked.walk.would_leave(1, walked.now)


def test_backup_that_somebody_disabled_is_left():
    """Also for one of lower priority, and also if it is the primary."""
    walked = Walked(2)
    walked.book.circuit(0).disable(walked.now)

    assert walked.walk.would_leave(0, walked.now)


def test_disabled_provider_is_not_left_for_a_dead_one():
    """Its answer is better than none: it is left as soon as somebody else is well."""
    walked = Walked(2)
    walked.book.circuit(0).disable(walked.now)
    down(walked.book, 1)

    assert not walked.walk.would_leave(0, walked.now)


def test_preferred_provider_is_gone_to_and_not_left():
    """The preference comes before the list."""
    walked = Walked(2)
    walked.book.prefer(1)

    assert walked.walk.would_leave(0, walked.now)
    assert not walked.walk.would_leave(1, walked.now)


@pytest.mark.parametrize("staying", ["sticky", "dwelling"])
def test_provider_that_is_stayed_with_is_not_left(staying):
    """What holds for new requests holds for speech that goes on."""
    book = new_book(2, sticky=True) if staying == "sticky" else new_book(2, min_dwell=10.0)
    walked = Walked(2, book=book)
    book.mark_served(1, walked.now)

    assert not walked.walk.would_leave(1, walked.now + 9.999)
    assert walked.walk.would_leave(1, walked.now + 10.0) == (staying == "dwelling")


def test_request_outside_its_share_does_not_go_back():
    """A returning provider is not given speech by the one request that it is not to get."""
    book = new_book(2, shares=(0.5,), successes=100)
    on_probation(book, 0)
    walked = Walked(2, book=book)
    step = walked.asked()
    assert step.provider == 1
    leaves = [walked.walk.would_leave(1, walked.now)]

    walked.serve(step)
    leaves.append(walked.walk.would_leave(1, walked.now))

    assert leaves == [False, True]


# --- who is tested by the walk -----------------------------------------------------------------


def test_live_probe_is_the_request_of_the_walk():
    """With live probes the walk's own attempt is the test of a rested provider."""
    book = new_book(2, live_probe=True)
    book.record(book.acquire(0, 990.0), failed(), 990.0)
    walked = Walked(2, book=book)

    step = walked.asked()
    assert step.permit.is_probe
    assert book.circuit(0).state is State.PROBING

    book.record(step.permit, SERVED, walked.now)
    assert book.circuit(0).state is State.PROBATION


def test_every_step_takes_leave_of_its_provider():
    """The permit is as new as the step, so that a failure counts against the right outage."""
    walked = Walked(2)
    step = walked.asked()
    down(walked.book, 0)
    walked.fail(step)

    backup = walked.asked()

    assert walked.book.circuit(0).failures == 1
    assert walked.book.circuit(1).is_current(backup.permit)
    assert [walked.book.tally(i).requests for i in (0, 1)] == [2, 1]


def test_failed_walk_of_live_probes_lengthens_each_rest():
    """With everybody rested, the one request tests them all in turn."""
    book = new_book(2, live_probe=True)
    down(book, 0, 1)
    walked = Walked(2, book=book)
    walked.now += 5.0
    steps = []
    for _ in range(2):
        steps.append(walked.asked())
        walked.fail(steps[-1])

    assert all(step.permit.is_probe for step in steps)
    assert [book.circuit(i).due for i in (0, 1)] == [walked.now + 10.0] * 2


def test_provider_that_served_and_failed_is_gone_from():
    """The failure of work that went well until now is the beginning of a search."""
    walked = Walked(2)
    step = walked.asked()
    walked.book.record(step.permit, SERVED, walked.now)
    permit = walked.book.renew(0)
    walked.now += 60.0
    walked.book.record(permit, failed(), walked.now)
    walked.walk.report(step, failure(), walked.now, fresh=True)

    assert walked.book.circuit(0).state is State.COOLING_DOWN
    assert walked.asked().provider == 1
