# SPDX-License-Identifier: Apache-2.0
"""Waits double, stay under their cap, and never turn into a busy loop."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from livekit_fallback.core.backoff import cool_down, full_jitter, spread

ALMOST_ONE = 1 - 2**-53

seconds = st.floats(0, 1e6)


def test_full_jitter_doubles_its_upper_bound():
    """The largest possible wait doubles from one retry to the next, up to the cap."""
    waits = [full_jitter(n, base=0.5, cap=3.0, jitter=ALMOST_ONE) for n in range(5)]

    assert waits == pytest.approx([0.5, 1.0, 2.0, 3.0, 3.0])


def test_full_jitter_scales_with_the_draw():
    """The draw is spread over the whole of the wait, from nothing to the bound."""
    waits = [full_jitter(2, base=0.5, cap=9.0, jitter=draw) for draw in (0.0, 0.25, 0.5)]

    assert waits == [0.0, 0.5, 1.0]


@given(
    retry=st.integers(0, 10**9),
    base=seconds,
    cap=seconds,
    jitter=st.floats(0, 1, exclude_max=True),
)
@example(retry=10**9, base=float("inf"), cap=2.0, jitter=ALMOST_ONE)
def test_full_jitter_stays_between_zero_and_its_cap(retry, base, cap, jitter):
    """No number of retries and no draw make a wait negative or longer than its cap."""
    assert 0.0 <= full_jitter(retry, base=base, cap=cap, jitter=jitter) <= cap


def test_cool_down_begins_with_its_base_and_doubles():
    """The first rest is `temporary_disable_sec`, each further failure doubles it up to the cap."""
    rests = [cool_down(n, base=5.0, cap=60.0) for n in range(1, 7)]

    assert rests == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_cool_down_doubles_as_far_as_its_cap_is():
    """A cap of hours is reached from a base of a second, by doubling alone."""
    rests = [cool_down(n, base=1.0, cap=7200.0) for n in range(1, 16)]

    assert rests == [2.0**n for n in range(13)] + [7200.0] * 2


@pytest.mark.parametrize("base", [0.0, 0.01, 0.4])
def test_tiny_base_holds_for_the_first_rest_only(base):
    """Probing at once is allowed once; then rests are a second at least, and double as ever."""
    rests = [cool_down(n, base=base, cap=300.0) for n in range(1, 7)]

    assert rests == [base, 1.0, 2.0, 4.0, 8.0, 16.0]


def test_cap_below_the_base_wins():
    """No rest is longer than its cap, the first one included."""
    assert cool_down(1, base=30.0, cap=10.0) == 10.0
    assert cool_down(2, base=30.0, cap=10.0) == 10.0


@given(failures=st.integers(1, 10**9), base=seconds, cap=seconds)
def test_cool_down_never_shrinks_and_never_passes_its_cap(failures, base, cap):
    """One more failure never makes the rest shorter, and no number of them breaks the cap."""
    rest, longer = (cool_down(n, base=base, cap=cap) for n in (failures, failures + 1))

    assert 0.0 <= rest <= longer <= cap


def test_spread_shortens_a_rest_by_up_to_a_fifth():
    """What was asked for is the longest it takes; chance takes off a fifth at the most."""
    rests = [spread(10.0, draw) for draw in (0.0, 0.25, 0.5, ALMOST_ONE)]

    assert rests == pytest.approx([10.0, 9.5, 9.0, 8.0])


@given(rest=seconds, jitter=st.floats(0, 1, exclude_max=True))
def test_spread_never_lengthens_a_rest_nor_takes_most_of_it(rest, jitter):
    """No draw makes a rest longer than asked for, or shorter than four fifths of that."""
    assert rest * 0.8 <= spread(rest, jitter) * (1 + 1e-12)
    assert spread(rest, jitter) <= rest
