# SPDX-License-Identifier: Apache-2.0
"""What the options of an adapter and of one provider come to, in the core's own terms."""

from __future__ import annotations

import pytest

from livekit_fallback._policies import hedge_delay, latency_policy, limits
from livekit_fallback.core.hedging import HedgeDelay
from livekit_fallback.core.latency import LatencyPolicy
from livekit_fallback.core.walk import Limits
from livekit_fallback.options import LLM_DEFAULTS


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, Limits(2.5, 4.0, 3)),
        ({"attempt_timeout": 1.0}, Limits(1.0, 4.0, 3)),
        ({"attempt_timeout": None, "stall_timeout": None}, Limits(None, None, 3)),
        ({"max_retry": 0}, Limits(2.5, 4.0, 0)),
        ({"silence_timeout": 7.0}, Limits(2.5, 4.0, 3, silence_timeout=7.0)),
        ({"attempt_timeout": "auto"}, Limits(2.5, 4.0, 3, adaptive_from=0.8)),
    ],
)
def test_provider_overrides_win_over_the_adapter(overrides, expected):
    """What is special about one provider holds for it alone; `None` and 0 are values too."""
    options = {**LLM_DEFAULTS, "max_retry_per_llm": 3}

    assert limits(options, overrides, "llm") == expected


def test_a_deadline_that_follows_may_be_the_adapters():
    """And one provider may have a fixed one, or none, all the same."""
    options = {
        **LLM_DEFAULTS,
        "attempt_timeout": "auto",
        "attempt_timeout_floor": 0.5,
        "attempt_timeout_ceiling": None,
    }

    assert limits(options, {}, "llm") == Limits(None, 4.0, 0, adaptive_from=0.5)
    assert limits(options, {"attempt_timeout": 1.5}, "llm") == Limits(1.5, 4.0, 0)
    assert limits(options, {"attempt_timeout": None}, "llm") == Limits(None, 4.0, 0)


@pytest.mark.parametrize(
    ("overrides", "threshold"),
    [({}, 0.8), ({"latency_threshold_ms": 500}, 0.5), ({"latency_threshold_ms": None}, None)],
)
def test_latency_threshold_of_one_provider(overrides, threshold):
    """Vendors differ in what is slow; how much of it is too much is the adapter's to say."""
    options = {
        **LLM_DEFAULTS,
        "latency_threshold_ms": 800,
        "consecutive_latency_hits": 4,
        "slow_ratio": 0.25,
        "latency_window": 8,
    }

    policy = latency_policy(options, overrides)

    assert policy == LatencyPolicy(threshold, hits=4, ratio=0.25, window=8)


@pytest.mark.parametrize(
    ("overrides", "delay"),
    [
        ({}, HedgeDelay(seconds=0.8)),
        ({"hedge_after_ms": 500}, HedgeDelay(seconds=0.5)),
        ({"hedge_after_ms": "p95"}, HedgeDelay(percentile=95.0)),
        ({"hedge_after_ms": None}, None),
        ({"stateful": False}, HedgeDelay(seconds=0.8)),
        ({"stateful": True}, None),
        ({"stateful": True, "hedge_after_ms": 500}, None),
    ],
)
def test_hedge_delay_of_one_provider(overrides, delay):
    """Its own before the adapter's; what keeps a conversation has no part in races."""
    assert hedge_delay({**LLM_DEFAULTS, "hedge_after_ms": 800}, overrides) == delay


def test_nobody_is_hedged_by_default():
    """Unless it is said for one provider."""
    assert hedge_delay(LLM_DEFAULTS, {}) is None
    assert hedge_delay(LLM_DEFAULTS, {"hedge_after_ms": "p50"}) == HedgeDelay(percentile=50.0)
