# SPDX-License-Identifier: Apache-2.0
"""What is counted of a provider, and how its latencies are summed up."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.outcome import CANCELLED, FailureKind, Outcome, Status
from livekit_fallback.core.tally import Tally
from tests.support.outcomes import SERVED, failed

NOW = 1000.0
KEPT = 256


def tally_of(*latencies: float) -> Tally:
    """The tally of a provider that served with these latencies."""
    tally = Tally()
    for latency in latencies:
        tally.add_request(Outcome(Status.SUCCESS, latency), NOW)
    return tally


def counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.successes, tally.failures.total(), tally.cancelled, tally.probes


def test_new_tally_is_empty():
    """Nothing is known of a provider that was never asked."""
    tally = Tally()

    assert tally.requests == 0
    assert counts(tally) == (0, 0, 0, 0)
    assert tally.heard_at is None
    assert tally.percentile(50) is None


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [(SERVED, (1, 0, 0, 0)), (failed(), (0, 1, 0, 0)), (CANCELLED, (0, 0, 1, 0))],
)
def test_request_ends_in_exactly_one_count(outcome, counted):
    """Served, failed or cancelled: never two of them, and never none."""
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
    """Probes are counted by themselves, and have no part in the latency."""
    tally = Tally()

    tally.add_probe()

    assert counts(tally) == (0, 0, 0, 1)
    assert (tally.percentile(50), tally.heard_at) == (None, None)


def test_heard_of_whoever_served_or_failed():
    """A provider that answered, well or badly, need not be checked; a cancelled request is mute."""
    tally = Tally()

    tally.add_request(CANCELLED, NOW)
    heard = [tally.heard_at]
    for i, outcome in enumerate([SERVED, failed(), CANCELLED]):
        tally.add_request(outcome, NOW + i)
        heard.append(tally.heard_at)

    assert heard == [None, NOW, NOW + 1, NOW + 1]


@pytest.mark.parametrize(
    ("percent", "latency"), [(1, 0.1), (50, 0.5), (51, 0.6), (90, 0.9), (95, 1.0), (100, 1.0)]
)
def test_percentile_is_one_of_the_latencies_measured(percent, latency):
    """The nearest rank: so many percent of the requests took that long or less."""
    tally = tally_of(0.7, 0.1, 0.5, 1.0, 0.3, 0.2, 0.9, 0.4, 0.8, 0.6)

    assert tally.percentile(percent) == latency


def test_one_latency_is_every_percentile():
    """With one request there is nothing else to say."""
    tally = tally_of(0.4)

    assert (tally.percentile(1), tally.percentile(50), tally.percentile(100)) == (0.4, 0.4, 0.4)


@given(latencies=st.lists(st.floats(0, 60), min_size=1, max_size=40), percent=st.integers(1, 100))
def test_percentile_is_kept_by_so_many_percent(latencies, percent):
    """At least so many percent of the requests were no slower."""
    value = tally_of(*latencies).percentile(percent)

    assert value in latencies
    kept = sum(1 for latency in latencies if latency <= value)
    assert kept * 100 >= percent * len(latencies)


@pytest.mark.parametrize("percent", [50, 95])
def test_median_and_p95_are_not_one_too_high(percent):
    """Rounding errors of the computer move no rank: the next smaller latency is kept by fewer."""
    counts = range(1, KEPT + 1)

    values = [tally_of(*range(count)).percentile(percent) for count in counts]

    assert values == [-(-percent * count // 100) - 1 for count in counts]


def test_only_the_newest_latencies_are_kept():
    """Memory is bounded, and a provider that was slow this morning is not called slow tonight."""
    tally = tally_of(*[9.0] * 1000, *[0.5] * KEPT)
    assert tally.percentile(100) == 0.5

    tally = tally_of(9.0, *[0.5] * (KEPT - 1))
    assert tally.percentile(100) == 9.0


def test_success_without_a_latency_is_counted_all_the_same():
    """An answer that was interrupted before it was measured is good, but not fast or slow."""
    tally = tally_of(0.3)
    tally.add_request(Outcome(Status.SUCCESS), NOW)

    assert tally.successes == 2
    assert tally.percentile(100) == 0.3


def test_failures_have_no_latency():
    """How long a failure took says nothing about how fast the provider answers."""
    tally = tally_of(0.3)
    slow = failed()._replace(latency=30.0)

    tally.add_request(slow, NOW)
    tally.add_request(CANCELLED._replace(latency=30.0), NOW)

    assert tally.percentile(100) == 0.3


def test_no_latency_at_all_is_a_latency():
    """Zero seconds are measured like any other number."""
    assert tally_of(0.0).percentile(50) == 0.0
