# SPDX-License-Identifier: Apache-2.0
"""From the options of an adapter and its providers to the policies that core decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .core.circuit import HealthPolicy
from .core.health import OrderPolicy
from .core.hedging import HedgeDelay
from .core.latency import LatencyPolicy
from .core.walk import Limits
from .options import Probe, ProviderOptions


def limits(options: Mapping[str, Any], overrides: ProviderOptions, component: str) -> Limits:
    """Return what one provider is allowed: its own overrides before the adapter's options."""
    merged: dict[str, Any] = {**options, **overrides}
    is_auto = merged["attempt_timeout"] == "auto"
    return Limits(
        attempt_timeout=merged["attempt_timeout_ceiling" if is_auto else "attempt_timeout"],
        stall_timeout=merged["stall_timeout"],
        max_retry=overrides.get("max_retry", options[f"max_retry_per_{component}"]),
        adaptive_from=merged["attempt_timeout_floor"] if is_auto else None,
        silence_timeout=merged.get("silence_timeout"),
    )


def latency_policy(options: Mapping[str, Any], overrides: ProviderOptions) -> LatencyPolicy:
    """Return when one provider is too slow."""
    threshold = overrides.get("latency_threshold_ms", options["latency_threshold_ms"])
    return LatencyPolicy(
        threshold=None if threshold is None else threshold / 1000,
        hits=options["consecutive_latency_hits"],
        ratio=options["slow_ratio"],
        window=options["latency_window"],
    )


def hedge_delay(options: Mapping[str, Any], overrides: ProviderOptions) -> HedgeDelay | None:
    """Return for how long one provider may be silent alone; ``None``: it is never hedged."""
    after = overrides.get("hedge_after_ms", options["hedge_after_ms"])
    if after is None or overrides.get("stateful"):
        return None
    if isinstance(after, str):
        return HedgeDelay(percentile=float(after[1:]))
    return HedgeDelay(seconds=after / 1000)


def health_policy(options: Mapping[str, Any]) -> HealthPolicy:
    """Return how long failed providers rest, and how they come back."""
    return HealthPolicy(
        base=options["temporary_disable_sec"],
        cap=max(options["max_disable_sec"], options["temporary_disable_sec"]),
        give_up_after=options["permanent_disable_after_attempts"],
        shares=tuple(options["reintroduction"]),
        successes=options["probation_successes"],
    )


def order_policy(options: Mapping[str, Any], probes: Sequence[Probe]) -> OrderPolicy:
    """Return in which order to ask."""
    return OrderPolicy(
        live_probes=tuple(probe == "live" for probe in probes),
        sticky=options["sticky"],
        min_dwell=options["min_dwell_sec"],
        probed=frozenset(i for i, p in enumerate(probes) if p in ("ping", "replay")),
    )
