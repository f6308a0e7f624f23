# SPDX-License-Identifier: Apache-2.0
"""What each kind of failure means for health, for a later pass, and for the same provider."""

from __future__ import annotations

import pytest

from livekit_fallback.core.outcome import (
    CANCELLED,
    OVERTAKEN,
    SERVED,
    TOO_SLOW,
    Failure,
    FailureKind,
    Status,
)

#: kind -> (counts against health, may pass, worth asking the same provider again)
MEANING = {
    FailureKind.TRANSIENT: (True, True, True),
    FailureKind.RATE_LIMITED: (True, True, False),
    FailureKind.AUTH: (True, False, False),
    FailureKind.REQUEST: (False, False, False),
}


@pytest.mark.parametrize("kind", FailureKind)
def test_kind_decides_what_a_failure_means(kind):
    """Every kind says whether it counts, may pass by itself, and is worth a retry at once."""
    failure = Failure(kind, "reason")

    assert (failure.counts, failure.may_pass, failure.worth_retrying) == MEANING[kind]


def test_deadline_that_passed_is_not_retried_on_the_same_provider():
    """A provider that was silent once would cost the caller the same silence twice."""
    failure = Failure(FailureKind.TRANSIENT, "stall", timed_out=True)

    assert not failure.worth_retrying
    assert failure.may_pass
    assert failure.counts


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (SERVED, Status.SUCCESS),
        (CANCELLED, Status.CANCELLED),
        (OVERTAKEN, Status.OVERTAKEN),
    ],
)
def test_only_a_failure_blames_anybody(outcome, status):
    """Who served, was cancelled or was overtaken has no failure, and each says which it is."""
    assert outcome.status is status
    assert outcome.failure is None


def test_too_slow_is_left_like_a_failure_that_may_pass():
    """A slow provider rests as after a passing failure, under a reason of its own."""
    assert (TOO_SLOW.kind, TOO_SLOW.reason) == (FailureKind.TRANSIENT, "latency")
    assert TOO_SLOW.retry_after is None


def test_what_happened_cannot_be_changed_afterwards():
    """Outcomes and failures are shared between health, walk and events, so they are frozen."""
    with pytest.raises(AttributeError):
        CANCELLED.status = Status.SUCCESS  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Failure(FailureKind.AUTH, "http_401").kind = FailureKind.REQUEST  # type: ignore[misc]
