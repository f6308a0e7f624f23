# SPDX-License-Identifier: Apache-2.0
"""Outcomes as tests need them: mostly ordinary, one thing special."""

from __future__ import annotations

from livekit_fallback.core.outcome import SERVED, Failure, FailureKind, Outcome, Status

__all__ = ["SERVED", "failed", "failure"]


def failed(
    kind: FailureKind = FailureKind.TRANSIENT,
    *,
    timed_out: bool = False,
    retry_after: float | None = None,
) -> Outcome:
    """A failed attempt; of the ordinary passing kind unless said otherwise."""
    failure = Failure(kind, f"some_{kind.value}", timed_out=timed_out, retry_after=retry_after)
    return Outcome(Status.FAILURE, failure=failure)


def failure(
    kind: FailureKind = FailureKind.TRANSIENT,
    *,
    timed_out: bool = False,
) -> Failure:
    """What such an attempt failed of."""
    what = failed(kind, timed_out=timed_out).failure
    assert what is not None
    return what
