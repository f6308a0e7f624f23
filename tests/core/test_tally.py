# SPDX-License-Identifier: Apache-2.0
"""What is counted of a provider."""

from __future__ import annotations

import pytest

from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, FailureKind
from livekit_fallback.core.tally import Tally
from tests.support.outcomes import SERVED, failed

NOW = 1000.0


def counts(tally: Tally) -> tuple[int, int, int, int, int]:
    return (
        tally.successes,
        tally.failures.total(),
        tally.cancelled,
        tally.overtaken,
        tally.probes,
    )


def test_new_tally_is_empty():
    """Nothing is known of a provider that was never asked."""
    tally = Tally()

    assert (tally.requests, tally.hedges) == (0, 0)
    assert counts(tally) == (0, 0, 0, 0, 0)
    assert tally.heard_at is None


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (SERVED, (1, 0, 0, 0, 0)),
        (failed(), (0, 1, 0, 0, 0)),
        (CANCELLED, (0, 0, 1, 0, 0)),
        (OVERTAKEN, (0, 0, 0, 1, 0)),
    ],
    ids=lambda value: value.status.value if hasattr(value, "status") else "",
)
def test_request_ends_in_exactly_one_count(outcome, counted):
    """Served, failed, cancelled or overtaken: never two of them, and never none."""
    tally = Tally()

    tally.add_request(outcome, NOW)

    assert counts(tally) == counted


def test_failures_are_told_apart_by_kind():
    """Operators want to know whether a key was rejected or the line was bad."""
    tally = Tally()
    for kind in [*FailureKind, FailureKind.AUTH]:
        tally.add_request(failed(kind), NOW)

    assert tally.failures == {
        FailureKind.TRANSIENT: 1,
        FailureKind.RATE_LIMITED: 1,
        FailureKind.AUTH: 2,
        FailureKind.REQUEST: 1,
    }


def test_probe_is_no_request():
    """Probes are counted by themselves, and are no answer to anybody."""
    tally = Tally()

    tally.add_probe()

    assert counts(tally) == (0, 0, 0, 0, 1)
    assert tally.heard_at is None


@pytest.mark.parametrize("mute", [CANCELLED, OVERTAKEN], ids=lambda o: o.status.value)
def test_heard_of_whoever_served_or_failed(mute):
    """A provider that answered, well or badly, need not be checked; one that did not, does."""
    tally = Tally()

    tally.add_request(mute, NOW)
    heard = [tally.heard_at]
    for i, outcome in enumerate([SERVED, failed(), mute]):
        tally.add_request(outcome, NOW + i)
        heard.append(tally.heard_at)

    assert heard == [None, NOW, NOW + 1, NOW + 1]
