# SPDX-License-Identifier: Apache-2.0
"""Too many failovers within a minute are noticed, and said once a minute."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.flapping import WINDOW_SEC, FlappingWatch

NOW = 1000.0


def said(watch: FlappingWatch, *times: float) -> list[int | None]:
    """What the watch says about a failover at each of these times."""
    return [watch.failed_over(NOW + time) for time in times]


def test_window_is_a_minute():
    """The limit is a number per minute, as its option says."""
    assert WINDOW_SEC == 60.0


@pytest.mark.parametrize("limit", [1, 2, 6])
def test_limit_itself_is_normal(limit):
    """One failover more than the limit is too many, and the number says how many there were."""
    watch = FlappingWatch(limit)

    assert said(watch, *range(limit + 1)) == [None] * limit + [limit + 1]


def test_failovers_a_minute_ago_are_forgotten():
    """The window slides: only what happened within the last minute counts."""
    watch = FlappingWatch(2)

    assert said(watch, 0.0, 1.0, 60.0) == [None, None, None]
    assert said(watch, 60.5) == [3]


def test_window_ends_after_exactly_a_minute():
    """What is a minute old is not within the minute any more, a moment earlier it is."""
    assert said(FlappingWatch(1), 0.0, 60.0) == [None, None]
    assert said(FlappingWatch(1), 0.0, 59.999) == [None, 2]


def test_said_once_a_minute():
    """Flapping that goes on is reported again when the report is a minute old, not before."""
    watch = FlappingWatch(1)

    assert said(watch, 0.0, 10.0, 20.0, 69.999) == [None, 2, None, None]
    assert said(watch, 70.0) == [3]


def test_quiet_chain_is_not_reported_when_the_minute_is_over():
    """There is no report of failovers that have stopped."""
    watch = FlappingWatch(1)

    assert said(watch, 0.0, 1.0, 200.0, 300.0) == [None, 2, None, None]


def test_without_a_limit_nothing_is_flapping():
    """`flapping_limit=None` switches the watch off."""
    assert said(FlappingWatch(None), *[0.0] * 50) == [None] * 50


@given(limit=st.integers(1, 5), gaps=st.lists(st.floats(0, 90), max_size=60))
def test_says_what_counting_by_hand_says(limit, gaps):
    """Whatever the failovers' times: many within a minute, and no report within the last one."""
    watch, now, times, spoke_at = FlappingWatch(limit), 0.0, [], -1e9
    for gap in gaps:
        now += gap
        times.append(now)
        recent = sum(1 for time in times if time > now - 60.0)
        told = watch.failed_over(now)
        if recent > limit and now >= spoke_at + 60.0:
            spoke_at = now
            assert told == recent
        else:
            assert told is None
