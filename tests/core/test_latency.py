# SPDX-License-Identifier: Apache-2.0
"""How fast a provider is: what is slow, how much of it is too much, and what follows from it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.latency import WARM_AFTER, Bound, LatencyPolicy, Pace, Sample

NOW = 1000.0
THRESHOLD = 0.8
POLICY = LatencyPolicy(THRESHOLD)

EXACT, AT_LEAST, AT_MOST, OVERTAKEN = Bound.EXACT, Bound.AT_LEAST, Bound.AT_MOST, Bound.OVERTAKEN


def noted(pace: Pace, pattern: str, *, generation: int = 0) -> Pace:
    """Outputs, one a second: `s` was slow, anything else was not."""
    for second, letter in enumerate(pattern):
        pace.note(NOW + second, generation, is_slow=letter == "s")
    return pace


def timed(*latencies: float, bound: Bound = EXACT) -> Pace:
    """A provider that took so long for its outputs."""
    pace = Pace(POLICY)
    for latency in latencies:
        pace.add(Sample(latency, bound))
    return pace


# --- what is slow ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "below", "at", "above"),
    [
        (EXACT, False, False, True),
        # it would have taken more than that
        (AT_LEAST, None, True, True),
        # it may have taken less
        (AT_MOST, False, False, None),
        # somebody who was asked later was faster
        (OVERTAKEN, True, True, True),
    ],
)
def test_slow_is_what_certainly_took_longer_than_the_threshold(bound, below, at, above):
    """The threshold itself is still fast enough, and what cannot be said is not said."""
    pace = Pace(POLICY)

    judged = [pace.judge(Sample(s, bound)) for s in (0.799, THRESHOLD, 0.801)]

    assert judged == [below, at, above]


@pytest.mark.parametrize(
    ("bound", "is_slow"), [(EXACT, None), (AT_LEAST, None), (AT_MOST, None), (OVERTAKEN, True)]
)
def test_without_a_threshold_only_who_was_overtaken_was_slow(bound, is_slow):
    """Nobody has said how much is slow or fast, but another that was asked later was faster."""
    pace = Pace(LatencyPolicy())

    assert [pace.judge(Sample(seconds, bound)) for seconds in (0.0, 60.0)] == [is_slow] * 2


@given(seconds=st.floats(0, 60), beyond=st.floats(0, 60), bound=st.sampled_from(Bound))
def test_what_is_judged_holds_for_all_that_may_be_true(seconds, beyond, bound):
    """No output is called slow that may have been fast, nor fast that may have been slow."""
    judged = Pace(POLICY).judge(Sample(seconds, bound))

    might_be = {
        EXACT: [seconds],
        AT_LEAST: [seconds + 1e-6, seconds + beyond + 1e-6],
        AT_MOST: [0.0, max(0.0, seconds - beyond), seconds],
    }
    for true in might_be.get(bound, []):
        assert judged in (None, true > THRESHOLD)


def test_latency_is_exact_unless_it_is_said():
    """Most latencies are measured, and most tests mean those."""
    assert Sample(0.3).bound is EXACT


# --- how much of it is too much ----------------------------------------------------------------


def test_by_default_three_in_a_row_are_too_many():
    """One slow output is chance, and so may be two."""
    assert (POLICY.hits, POLICY.limit, Pace(POLICY).limit) == (3, 3, 3)


@pytest.mark.parametrize("ratio", [None, 0.5])
def test_without_a_threshold_no_number_is_too_many(ratio):
    """Who was overtaken is counted, and is not left for it."""
    pace = noted(Pace(LatencyPolicy(ratio=ratio)), "sssss")

    assert (pace.hits(0), pace.limit) == (5, inf)


@pytest.mark.parametrize(
    ("pattern", "hits"), [("", 0), ("s", 1), ("ss", 2), ("sss", 3), ("sfss", 2), ("sssf", 0)]
)
def test_slow_outputs_are_counted_in_a_row(pattern, hits):
    """A fast one begins the count anew."""
    assert noted(Pace(POLICY), pattern).hits(0) == hits


@pytest.mark.parametrize(
    ("ratio", "window", "limit"),
    [
        (0.5, 20, 10),
        (0.5, 5, 3),
        (0.05, 20, 1),
        (0.01, 20, 1),
        (1.0, 20, 20),
        (1.0, 1, 1),
        # 0.15 x 20, 0.07 x 100 and 0.55 x 100 are a little more than they should be in floating
        # point
        (0.15, 20, 3),
        (0.07, 100, 7),
        (0.55, 100, 55),
        (1 / 3, 3, 1),
    ],
)
def test_ratio_takes_the_place_of_the_row(ratio, window, limit):
    """So many of the newest are too many: the smallest number that is that part of them."""
    policy = LatencyPolicy(THRESHOLD, hits=2, ratio=ratio, window=window)

    assert (policy.limit, Pace(policy).limit) == (limit, limit)


@given(percent=st.integers(1, 100), window=st.integers(1, 200))
def test_limit_of_a_ratio_is_the_first_number_that_reaches_it(percent, window):
    """One fewer would be a smaller part than was asked for."""
    limit = LatencyPolicy(THRESHOLD, ratio=percent / 100, window=window).limit

    assert limit * 100 >= percent * window
    assert (limit - 1) * 100 < percent * window
    assert 1 <= limit <= window


@pytest.mark.parametrize(
    ("pattern", "hits"), [("sfsf", 2), ("ssss", 4), ("sffff", 0), ("sssfffs", 1), ("fsfsfs", 2)]
)
def test_ratio_is_of_the_newest_outputs(pattern, hits):
    """Wherever among them the slow ones stand; those before them are forgotten."""
    pace = Pace(LatencyPolicy(THRESHOLD, ratio=0.5, window=4))

    assert noted(pace, pattern).hits(0) == hits


def test_count_belongs_to_one_time_of_being_usable():
    """Who was left and is back begins anew, and what is asked about another time is nothing."""
    for policy in (POLICY, LatencyPolicy(THRESHOLD, ratio=0.5, window=4)):
        pace = noted(Pace(policy), "ss", generation=0)
        assert (pace.hits(0), pace.hits(1), pace.hits(-1)) == (2, 0, 0)

        noted(pace, "s", generation=2)
        assert (pace.hits(0), pace.hits(2)) == (0, 1)


def test_nothing_counts_before_the_first_output():
    """A new provider is neither slow nor fast."""
    pace = Pace(POLICY)

    assert (pace.hits(0), pace.slow_outputs) == (0, 0)
    assert (pace.is_suspect, pace.judged_at) == (False, None)


def test_slow_outputs_are_counted_for_ever():
    """Fast ones in between and absences do not make them undone."""
    pace = noted(Pace(POLICY), "ssfs", generation=0)

    assert noted(pace, "fs", generation=2).slow_outputs == 4


def test_newest_output_is_the_one_that_is_believed():
    """Whether it was slow, and when that was known, whatever came before."""
    pace = Pace(POLICY)
    seen = []
    for second, generation, is_slow in [(0, 0, True), (5, 0, False), (7, 2, True)]:
        pace.note(NOW + second, generation, is_slow=is_slow)
        seen.append((pace.is_suspect, pace.judged_at))

    assert seen == [(True, NOW), (False, NOW + 5), (True, NOW + 7)]


# --- what it usually takes ---------------------------------------------------------------------


def test_percentiles_are_those_of_what_was_timed():
    """Half of the outputs kept to the median."""
    pace = timed(0.1, 0.2, 0.3, 0.4)

    assert (pace.percentile(50), pace.percentile(99)) == (0.2, 0.4)


@pytest.mark.parametrize("bound", [AT_LEAST, OVERTAKEN])
def test_what_was_not_waited_for_is_longer_than_that(bound):
    """Leaving it out would make the provider look faster the slower it is."""
    pace = timed(0.1, 0.2)

    for _ in range(2):
        pace.add(Sample(0.9, bound))

    assert (pace.percentile(50), pace.percentile(51)) == (0.2, None)


def test_what_was_partly_ours_is_left_out():
    """A blocked event loop makes no provider look slow, nor fast."""
    pace = timed(0.1, 0.2)

    pace.add(Sample(9.0, AT_MOST))

    assert (pace.percentile(50), pace.percentile(100)) == (0.1, 0.2)


def test_typical_is_the_median_of_three_or_more():
    """Fewer do not tell who is the faster of two."""
    pace = Pace(POLICY)
    typical = []
    for latency in (0.5, 0.1, 0.3):
        pace.add(Sample(latency))
        typical.append(pace.typical)

    assert typical == [None, None, 0.3]
    assert timed(0.4, 0.2, 0.3, 0.1).typical == 0.2


def test_nobody_is_compared_by_outputs_that_were_not_waited_for():
    """They are no measurements, and too many of them hide the median."""
    assert timed(*[0.5] * 9, bound=AT_LEAST).typical is None

    pace = timed(0.1, 0.2, 0.3)
    for _ in range(4):
        pace.add(Sample(0.4, AT_LEAST))
    assert pace.typical is None


# --- when to hedge -----------------------------------------------------------------------------


def test_delay_of_a_hedge_is_known_after_twenty_outputs():
    """What fewer say of the tail is chance."""
    latencies = [n / 100 for n in range(1, WARM_AFTER + 1)]

    assert WARM_AFTER == 20
    assert timed(*latencies[:-1]).hedge_delay(95) is None
    assert timed(*latencies).hedge_delay(95) == 0.19
    assert timed(*latencies).hedge_delay(50) == 0.10


def test_twenty_have_to_be_measured():
    """Those that were not waited for, and those that were partly ours, do not make it known."""
    pace = timed(*[0.1] * (WARM_AFTER - 1))
    for bound in (AT_LEAST, AT_MOST, OVERTAKEN):
        pace.add(Sample(0.1, bound))

    assert pace.hedge_delay(50) is None


def test_provider_that_is_always_overtaken_is_hedged_all_the_same():
    """Where the percentile is not known any more, the longest that was measured is exceeded."""
    pace = timed(*[0.3] * WARM_AFTER)
    for _ in range(WARM_AFTER):
        pace.add(Sample(0.4, OVERTAKEN))

    assert pace.percentile(95) is None
    assert pace.hedge_delay(95) == 0.3


# --- a deadline that follows -------------------------------------------------------------------


@pytest.mark.parametrize("ceiling", [2.5, None])
def test_until_twenty_outputs_were_timed_the_deadline_is_the_longest(ceiling):
    """An unknown provider is given as much time as a fixed deadline would give it."""
    assert Pace(POLICY).deadline(0.8, ceiling) == ceiling
    assert timed(*[0.5] * (WARM_AFTER - 1)).deadline(0.8, ceiling) == ceiling


def test_deadline_is_twice_what_nearly_all_outputs_keep_to():
    """Nineteen of twenty: what the one that is left takes is out of the ordinary."""
    pace = timed(*[0.5] * 18, 0.6, 9.0)

    assert pace.deadline(0.8, 2.5) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("usual", "deadline"), [(0.1, 0.8), (0.4, 0.8), (0.5, 1.0), (1.25, 2.5), (3.0, 2.5)]
)
def test_deadline_lies_between_floor_and_ceiling(usual, deadline):
    """However fast, noise is not taken for silence; however slow, the caller is not kept longer."""
    assert timed(*[usual] * WARM_AFTER).deadline(0.8, 2.5) == deadline


def test_without_a_ceiling_a_slow_provider_has_all_the_time_it_usually_takes():
    """`None` is no limit of its own."""
    assert timed(*[30.0] * WARM_AFTER).deadline(0.8, None) == 60.0


def test_deadline_that_became_too_short_lengthens_itself():
    """Timeouts hide what the provider takes by now: until they end the longest one holds."""
    pace = timed(*[0.5] * 40)
    due = [pace.deadline(0.8, 2.5)]

    for _ in range(3):
        pace.add(Sample(1.0, AT_LEAST))
    due.append(pace.deadline(0.8, 2.5))
    for _ in range(60):
        pace.add(Sample(1.1))
    due.append(pace.deadline(0.8, 2.5))

    assert due == [1.0, 2.5, 2.2]


@given(
    latencies=st.lists(st.tuples(st.floats(0, 10), st.sampled_from(Bound)), max_size=60),
    floor=st.floats(0.1, 5),
    more=st.floats(0, 5),
)
def test_no_course_of_latencies_leads_out_of_the_bounds(latencies, floor, more):
    """Whatever was timed, cut off or blurred."""
    pace = Pace(POLICY)
    for seconds, bound in latencies:
        pace.add(Sample(seconds, bound))

    due = pace.deadline(floor, floor + more)

    assert due is not None
    assert floor <= due <= floor + more


# --- what is known, and for how long -----------------------------------------------------------


def test_what_is_known_grows_old():
    """For half a minute it is fresh, for a minute it is believed; before it nothing is known."""
    pace = Pace(POLICY)
    assert (pace.is_fresh(NOW), pace.is_known(NOW)) == (False, False)

    pace.note(NOW, 0, is_slow=True)

    ages = (0.0, 30.0, 30.1, 60.0, 60.1)
    assert [pace.is_fresh(NOW + age) for age in ages] == [True, True, False, False, False]
    assert [pace.is_known_slow(NOW + age) for age in ages] == [True, True, True, True, False]


def test_who_is_trusted_is_known_and_not_slow():
    """A probe that cannot be timed is good enough, and counts as no output."""
    pace = noted(Pace(POLICY), "ss")

    pace.trust(NOW + 100.0)

    assert pace.is_fresh(NOW + 100.0)
    assert not pace.is_known_slow(NOW + 100.0)
    assert pace.hits(0) == 2
