# SPDX-License-Identifier: Apache-2.0
"""What an attempt came to: success, failure with a kind, or cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class FailureKind(Enum):
    """Why a provider failed, as far as the next decision is concerned."""

    TRANSIENT = "transient"
    """Connection, 5xx, timeout, stall, empty output, unknown exception: may pass by itself."""
    RATE_LIMITED = "rate_limited"
    """429 or 529: passes with time, at the provider's own word if it sent Retry-After."""
    AUTH = "auth"
    """401, 402, 403, 404, quota: stays until a person changes something."""
    REQUEST = "request"
    """400, 413, 422: the request's fault. The provider's health is untouched."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One provider's failure.

    Args:
        kind: What the failure means for health and retries.
        reason: Short machine-readable word for events and logs, such as ``"http_503"``,
            ``"connection"``, ``"first_output_timeout"``, ``"stall"`` or ``"empty"``.
        timed_out: A deadline of ours passed. Asking the same provider again at once would
            cost the caller the same silence twice.
        retry_after: Seconds the provider asked to be left alone, if it said so.
    """

    kind: FailureKind
    reason: str
    timed_out: bool = False
    retry_after: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the failure says anything about the provider's health."""
        return self.kind is not FailureKind.REQUEST

    @property
    def may_pass(self) -> bool:
        """Whether walking the chain again later in the same request can help."""
        return self.kind in (FailureKind.TRANSIENT, FailureKind.RATE_LIMITED)

    @property
    def worth_retrying(self) -> bool:
        """Whether the same provider may be asked again before the next one."""
        return self.kind is FailureKind.TRANSIENT and not self.timed_out


class Status(Enum):
    """How an attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    OVERTAKEN = "overtaken"
    """Cancelled, because another provider that was asked for the same answered first."""


class Outcome(NamedTuple):
    """How one attempt ended.

    Args:
        status: Success, failure, cancelled or overtaken. Cancelled is never a provider's fault.
        failure: Set if and only if ``status`` is ``FAILURE``.
    """

    status: Status
    failure: Failure | None = None


SERVED = Outcome(Status.SUCCESS)
CANCELLED = Outcome(Status.CANCELLED)
OVERTAKEN = Outcome(Status.OVERTAKEN)

TOO_SLOW = Failure(FailureKind.TRANSIENT, "latency")
"""What a provider that serves, but too slowly, is left for."""
