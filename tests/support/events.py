# SPDX-License-Identifier: Apache-2.0
"""Events as adapters send them, for tests of their subscribers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livekit.agents import APIStatusError

from livekit_fallback import (
    AllProvidersFailedError,
    AttemptReport,
    ExhaustedEvent,
    FailoverEvent,
    FlappingEvent,
    HealthChangedEvent,
    HedgedEvent,
    OutputLostEvent,
    ProbedEvent,
    RecoveryEvent,
)
from livekit_fallback.core.outcome import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

WHEN = 1_750_000_000.25
SECRET = "my card number is 4711"  # what no line may show outside lk.pii.*


def broken() -> APIStatusError:
    """What a provider raised, quoting the caller."""
    return APIStatusError(SECRET, status_code=503, body=SECRET)


def failover(**changes: Any) -> FailoverEvent:
    """The primary answered 503."""
    fields: dict[str, Any] = {
        "component": "llm",
        "request_id": "req_1",
        "from_provider": "openai",
        "to_provider": "groq",
        "reason": "http_503",
        "elapsed": 2.5,
        "attempt": 1,
        "error": broken(),
        "timestamp": WHEN,
    }
    return FailoverEvent(**{**fields, **changes})


def recovery() -> RecoveryEvent:
    """The primary serves again."""
    return RecoveryEvent(
        component="llm",
        request_id="req_2",
        provider="openai",
        from_provider="groq",
        down_for=12.0,
        timestamp=WHEN,
    )


def exhausted() -> ExhaustedEvent:
    """Nobody served."""
    report = AttemptReport(
        provider="openai",
        kind=FailureKind.TRANSIENT,
        reason="http_503",
        status_code=503,
        request_id=None,
        body=SECRET,
        duration=0.5,
        error=broken(),
    )
    error = AllProvidersFailedError("llm", [report], duration=12.0)
    return ExhaustedEvent(
        component="llm", request_id="req_3", elapsed=12.0, attempts=1, error=error, timestamp=WHEN
    )


def output_lost() -> OutputLostEvent:
    """An answer broke off."""
    return OutputLostEvent(
        component="llm",
        request_id="req_4",
        provider="openai",
        reason="stall",
        delivered=17.0,
        lost=None,
        error=broken(),
        timestamp=WHEN,
    )


def health_changed(**changes: Any) -> HealthChangedEvent:
    """The primary answered 503, and rests."""
    fields: dict[str, Any] = {
        "component": "llm",
        "provider": "openai",
        "before": "healthy",
        "after": "cooling_down",
        "reason": "http_503",
        "kind": "transient",
        "down_for": 0.0,
        "rest": 5.0,
        "error": broken(),
        "latency": None,
        "latency_p50": 0.35,
        "latency_p95": 0.8,
        "latency_p99": None,
        "timestamp": WHEN,
    }
    return HealthChangedEvent(**{**fields, **changes})


def probed() -> ProbedEvent:
    """The primary is still down."""
    return ProbedEvent(
        component="llm",
        provider="openai",
        good=False,
        reason="http_503",
        elapsed=0.25,
        latency=None,
        error=broken(),
        timestamp=WHEN,
    )


def hedged() -> HedgedEvent:
    """The primary was silent, and the backup that was asked as well was faster."""
    return HedgedEvent(
        component="llm",
        request_id="req_5",
        provider="openai",
        hedge="groq",
        winner="groq",
        hedged_after=0.8,
        elapsed=1.1,
        timestamp=WHEN,
    )


def flapping() -> FlappingEvent:
    """More failovers within a minute than are normal."""
    return FlappingEvent(component="llm", failovers=7, window=60.0, timestamp=WHEN)


ALL: dict[str, Callable[[], Any]] = {
    "failover": failover,
    "recovery": recovery,
    "exhausted": exhausted,
    "output_lost": output_lost,
    "health_changed": health_changed,
    "probed": probed,
    "hedged": hedged,
    "flapping": flapping,
}
