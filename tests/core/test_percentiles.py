# SPDX-License-Identifier: Apache-2.0
"""Percentiles of latencies: the nearest rank, and the product-limit estimate where some are cut."""

from __future__ import annotations

from fractions import Fraction
from itertools import cycle, groupby, islice

import pytest
from hypothesis import example, given, settings, strategies as st

from livekit_fallback.core.percentiles import Percentiles

KEPT = 1024
PERCENTS = [1, 50, 75, 90, 95, 99, 100]

Sample = tuple[float, bool]  # seconds, and whether it was cut off


def percentiles_of(*latencies: float) -> Percentiles:
    """The percentiles of a provider that served with these latencies."""
    return of([(latency, False) for latency in latencies])


def of(samples: list[Sample]) -> Percentiles:
    """The percentiles of a provider some of whose outputs were not waited for to the end."""
    percentiles = Percentiles()
    for seconds, is_cut_off in samples:
        percentiles.add(seconds, is_cut_off=is_cut_off)
    return percentiles


def survival(samples: list[Sample]) -> list[tuple[float, Fraction]]:
    """Kaplan and Meier's estimate as their paper defines it, in exact fractions.

    Returns:
        At each latency that was measured, what part of all outputs takes longer.
    """
    beyond, steps = Fraction(1), []
    measured = sorted(seconds for seconds, is_cut_off in samples if not is_cut_off)
    for seconds, same in groupby(measured):
        ended = len(list(same))
        at_risk = sum(1 for other, _ in samples if other >= seconds)
        beyond *= 1 - Fraction(ended, at_risk)
        steps.append((seconds, beyond))
    return steps


def naively_at(samples: list[Sample], percent: int) -> float | None:
    """The first latency that so many percent of the outputs keep to, by the estimate above."""
    wanted = Fraction(percent, 100)
    return next((s for s, beyond in survival(samples) if 1 - beyond >= wanted), None)


latencies = st.floats(0, 60)
# few different values, so that many are equal, and equal to some that were cut off
coarse = st.integers(0, 8).map(lambda eighths: eighths / 8)
samples = st.lists(st.tuples(st.one_of(coarse, latencies), st.booleans()), max_size=60)
percents = st.integers(1, 100)


# --- nothing was cut off -----------------------------------------------------------------------


def test_nothing_is_known_before_the_first():
    """No percentile is made up for a provider that has not answered yet."""
    percentiles = Percentiles()

    assert [percentiles.at(percent) for percent in PERCENTS] == [None] * len(PERCENTS)
    assert percentiles.at_least(50) is None
    assert percentiles.measured == 0


@pytest.mark.parametrize(
    ("percent", "latency"), [(1, 0.1), (50, 0.5), (51, 0.6), (90, 0.9), (95, 1.0), (100, 1.0)]
)
def test_percentile_is_one_of_the_latencies_measured(percent, latency):
    """The nearest rank: so many percent of the outputs took that long or less."""
    percentiles = percentiles_of(0.7, 0.1, 0.5, 1.0, 0.3, 0.2, 0.9, 0.4, 0.8, 0.6)

    assert percentiles.at(percent) == latency


def test_one_latency_is_every_percentile():
    """With one output there is nothing else to say."""
    percentiles = percentiles_of(0.4)

    assert [percentiles.at(percent) for percent in PERCENTS] == [0.4] * len(PERCENTS)


@given(latencies=st.lists(latencies, min_size=1, max_size=40), percent=percents)
def test_percentile_is_kept_by_so_many_percent(latencies, percent):
    """At least so many percent of the outputs were no slower, and fewer kept to any less."""
    value = percentiles_of(*latencies).at(percent)

    assert value in latencies
    kept = sum(1 for latency in latencies if latency <= value)
    assert kept * 100 >= percent * len(latencies)
    faster = sum(1 for latency in latencies if latency < value)
    assert faster * 100 < percent * len(latencies)


@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_percentiles_are_not_one_too_high(percent):
    """Rounding errors of the computer move no rank: the next smaller latency is kept by fewer."""
    percentiles, values = Percentiles(), []

    for latency in range(KEPT):
        percentiles.add(latency)
        values.append(percentiles.at(percent))

    assert values == [-(-percent * count // 100) - 1 for count in range(1, KEPT + 1)]


def test_no_latency_at_all_is_a_latency():
    """Zero seconds are measured like any other number."""
    percentiles = percentiles_of(0.0)

    assert (percentiles.at(50), percentiles.at_least(50)) == (0.0, 0.0)


def test_a_new_latency_counts_at_once():
    """What was asked before does not hide what has come since."""
    percentiles = percentiles_of(0.5)
    seen = [percentiles.at(100)]

    for latency in (0.3, 0.9):
        percentiles.add(latency)
        seen.append(percentiles.at(100))

    assert seen == [0.5, 0.5, 0.9]


def test_only_the_newest_latencies_are_kept():
    """Memory is bounded, and a provider that was slow this morning is not called slow tonight."""
    percentiles, seen = percentiles_of(*[9.0] * 10), []
    for _ in range(KEPT):
        percentiles.add(0.5)
        seen.append(percentiles.at(100))
    assert seen == [9.0] * (KEPT - 1) + [0.5]

    assert percentiles_of(*[9.0] * 1000, *[0.5] * KEPT).at(100) == 0.5
    assert percentiles_of(9.0, *[0.5] * (KEPT - 1)).at(100) == 9.0


def test_what_was_cut_off_is_forgotten_with_time_too():
    """It takes up the same place as a latency that was measured, and no more."""
    assert of([(1.0, True), *[(2.0, False)] * (KEPT - 1)]).at(100) == 2.0
    assert of([(9.0, False), *[(1.0, True)] * KEPT]).at(1) is None


# --- some were cut off -------------------------------------------------------------------------


def test_textbook_example():
    """Deaths and losses of the paper's kind, worked out by hand.

    Of six outputs one took 1 s: 5/6 take longer. One was cut off at 2 s. Of the four that were
    still waited for two took 3 s: 5/6 x 2/4 = 5/12. One was cut off at 4 s, and the last took 5 s.
    """
    percentiles = of(
        [(3.0, False), (5.0, False), (1.0, False), (4.0, True), (3.0, False), (2.0, True)]
    )

    assert [percentiles.at(p) for p in (16, 17, 58, 59, 100)] == [1.0, 3.0, 3.0, 5.0, 5.0]


@given(samples=samples, percent=percents)
@example(samples=[(0.5, True), (0.5, False)], percent=50)
@example(samples=[(0.5, True)] * 3, percent=1)
def test_percentile_is_that_of_the_product_limit_estimate(samples, percent):
    """The incremental computation gives what the definition gives, whatever was cut off."""
    assert of(samples).at(percent) == naively_at(samples, percent)


@given(
    old=samples,
    pattern=st.lists(st.tuples(st.one_of(coarse, latencies), st.booleans()), min_size=1),
    more=st.integers(0, 50),
    looks=st.lists(st.integers(0, KEPT + 100), max_size=3).map(sorted),
)
@settings(max_examples=25)
def test_full_memory_is_estimated_by_its_newest(old, pattern, more, looks):
    """Old outputs have no say, whatever they were, and whenever somebody has looked meanwhile."""
    everything = [*old, *islice(cycle(pattern), KEPT + more)]
    percentiles, begin = Percentiles(), 0

    for end in (*looks, len(everything)):
        for seconds, is_cut_off in everything[begin:end]:
            percentiles.add(seconds, is_cut_off=is_cut_off)
        begin = end
        newest = everything[:end][-KEPT:]
        assert [percentiles.at(p) for p in PERCENTS] == [naively_at(newest, p) for p in PERCENTS]


@given(samples=st.lists(st.tuples(coarse, st.booleans()), max_size=30))
def test_forgetting_is_forgetting_the_oldest(samples):
    """Of equal latencies, too, measured or cut off: one goes for each that comes."""
    percentiles = of([*samples, *[(0.5, False), (0.5, True)] * (KEPT // 2)])

    assert (percentiles.at(50), percentiles.at(51)) == (0.5, None)


@given(cut_off=st.lists(latencies, min_size=1), percent=percents)
def test_nothing_is_known_while_all_were_cut_off(cut_off, percent):
    """Somebody who was never waited for has not been timed: any number would be invented."""
    percentiles = of([(seconds, True) for seconds in cut_off])

    assert percentiles.at(percent) is None
    assert percentiles.at_least(percent) is None


def test_cut_off_is_longer_not_as_long():
    """Half of the outputs were cut off at 0.5 s: the median of the rest is not the median."""
    percentiles = of([(0.2, False), (0.3, False), (0.5, True), (0.5, True)])

    assert [percentiles.at(p) for p in (25, 50, 51, 95)] == [0.2, 0.3, None, None]


def test_cut_off_early_says_nothing_of_those_that_were_waited_for():
    """A caller who left after a moment makes nobody slow: the others decide."""
    percentiles = of([*[(0.01, True)] * 100, (0.4, False), (0.6, False)])

    assert (percentiles.at(50), percentiles.at(95)) == (0.4, 0.6)


def test_measured_at_the_moment_another_was_cut_off_comes_first():
    """What is known to be longer than a number is longer than one that was measured as that."""
    for samples in ([(0.5, False), (0.5, True)], [(0.5, True), (0.5, False)]):
        assert (of(samples).at(50), of(samples).at(51)) == (0.5, None)


def test_where_it_cannot_be_said_the_longest_measured_is_exceeded():
    """At least a bound can be given, once there is one latency."""
    percentiles = of([(0.3, False), (0.2, False), (0.9, True), (0.9, True)])

    assert percentiles.at(95) is None
    assert percentiles.at_least(95) == 0.3
    assert percentiles.at_least(25) == 0.2


@given(samples=samples, percent=percents)
def test_the_bound_is_the_percentile_where_that_is_known(samples, percent):
    """`at_least` never says anything else than `at`, except where `at` says nothing."""
    percentiles = of(samples)
    longest = max((seconds for seconds, is_cut_off in samples if not is_cut_off), default=None)

    known = percentiles.at(percent)

    assert percentiles.at_least(percent) == (longest if known is None else known)


@given(samples=samples)
def test_higher_percentiles_are_no_shorter(samples):
    """They rise, and where one cannot be said none above it can."""
    values = [of(samples).at(percent) for percent in range(1, 101)]
    known = [value for value in values if value is not None]

    assert known == sorted(known)
    assert values == known + [None] * (100 - len(known))


def test_measured_ones_are_counted_for_ever():
    """How much is known of a provider: those cut off and those forgotten make no difference."""
    percentiles = of([*[(0.5, False)] * 3000, *[(0.5, True)] * 2000])

    assert percentiles.measured == 3000


def test_memory_that_was_asked_goes_on_to_forget():
    """What was sorted in for an answer makes room for what comes later, measured or cut off."""
    percentiles = of([(9.0, False), (8.0, True), *[(0.5, False)] * (KEPT - 2)])
    assert percentiles.at(1) == 0.5
    assert percentiles.at(100) == 9.0

    percentiles.add(0.5)
    percentiles.add(0.5)

    assert percentiles.at(100) == 0.5
