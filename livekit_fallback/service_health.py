# SPDX-License-Identifier: Apache-2.0
"""What an adapter knows about one of its providers, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import AttemptReport


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The health of one provider, as of the moment it was asked for.

    Args:
        name: The provider's name.
        state: ``"healthy"``, ``"cooling_down"``, ``"probing"``, ``"probation"`` or
            ``"disabled"``.
        healthy: Whether it is sent requests while there is a choice: ``"healthy"`` or
            ``"probation"``.
        reason: Why its state is not ``"healthy"``, such as ``"http_503"`` or what ``disable()``
            was told; empty if it is.
        disabled_by_hand: Whether somebody disabled it: it is not asked even when all others
            have failed, as one is that was given up.
        last_error: The newest exception of a request or a probe, whatever its kind; ``None``
            before the first, and after ``reset()``.
        last_failure: The same with its kind, status, request id and duration.
        since: When the state was entered: wall-clock time, Unix seconds.
        cooldown_remaining: Seconds until it may be probed; 0.0 if it is not cooling down.
        consecutive_failures: Failures since it was last healthy, failed probes included.
        requests: How many requests it was given. Each utterance of a speech stream is one.
        successes: How many of them it served.
        failures: How many failed, by kind: ``"transient"``, ``"rate_limited"``, ``"auth"``,
            ``"request"``.
        cancelled: How many were cancelled by the caller before any output.
        overtaken: How many were cancelled because a hedge, or what it was to hedge, was faster.
        hedges: How many of the requests were hedges: sent while another provider was silent.
        slow: How many outputs were above ``latency_threshold_ms``, or overtaken by a hedge, ever.
        latency_p50: Median seconds from the debt to the first useful output, over the newest
            1024 outputs; of speech streams from the end of speech to the transcript, where that
            is timed. Outputs that were not waited for any longer count as longer than that.
            ``None`` before the first, and while too many of them were not waited for.
        latency_p95: 95th percentile of the same.
        latency_p99: 99th percentile of the same.
        share: What part of the adapter's newest 100 served requests it served, 0 to 1.
        probes: How many probes it was sent, cancelled ones included.
        probe_usage: What it counted for them itself: tokens (LLM), characters (TTS), seconds of
            audio (STT). No part of the session's usage. Providers that report at the end of an
            answer report nothing for probes, which are stopped at their first output.
    """

    name: str
    state: str
    healthy: bool
    reason: str
    disabled_by_hand: bool
    last_error: Exception | None
    last_failure: AttemptReport | None
    since: float
    cooldown_remaining: float
    consecutive_failures: int
    requests: int
    successes: int
    failures: Mapping[str, int]
    cancelled: int
    overtaken: int
    hedges: int
    slow: int
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    share: float
    probes: int
    probe_usage: int
