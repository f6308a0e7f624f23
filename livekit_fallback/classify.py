# SPDX-License-Identifier: Apache-2.0
"""What an exception from a provider means. The only file that knows LiveKit's error types."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from .core.outcome import Failure, FailureKind
from .errors import (
    EndedEarlyError,
    FirstOutputTimeoutError,
    NoOutputError,
    NotSupportedError,
    ProviderCancelledError,
    StallError,
)

# Statuses not listed are transient: 408, 499 and 5xx, and websocket close codes such as 1011,
# which plugins report as a status. A 499 that nobody here caused is the provider giving up.
_KIND_OF_STATUS: dict[int, FailureKind] = {
    400: FailureKind.REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.AUTH,
    413: FailureKind.REQUEST,
    422: FailureKind.REQUEST,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.RATE_LIMITED,
}

# The first match wins, so subclasses stand before their bases.
_REASON_OF_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (FirstOutputTimeoutError, "first_output_timeout"),
    (StallError, "stall"),
    (NoOutputError, "empty"),
    (EndedEarlyError, "ended_early"),
    (NotSupportedError, "not_supported"),
    (ProviderCancelledError, "cancelled_itself"),
    (APITimeoutError, "timeout"),
    (asyncio.TimeoutError, "timeout"),
    (APIConnectionError, "connection"),
    (aiohttp.ClientError, "connection"),
    (OSError, "connection"),
    (APIError, "api_error"),
)

_QUOTA_WORDS = ("insufficient_quota", "quota_exceeded")


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What can be read off an exception.

    Args:
        failure: The failure as the core understands it.
        status_code: HTTP status or websocket close code, if there is one.
        request_id: The provider's id of the request, if there is one.
        body: Body of the error response, if the plugin kept it.
    """

    failure: Failure
    status_code: int | None = None
    request_id: str | None = None
    body: object | None = None


def classify(error: BaseException) -> ErrorFacts:
    """Read an exception raised by a provider, of any type, or by the adapter on its behalf."""
    status = _status_code(error)
    body = getattr(error, "body", None)
    return ErrorFacts(
        failure=Failure(
            kind=_kind(error, status, body),
            reason=_reason(error, status),
            timed_out=isinstance(error, FirstOutputTimeoutError | StallError),
            retry_after=_retry_after(error),
        ),
        status_code=status,
        request_id=getattr(error, "request_id", None),
        body=body,
    )


def _status_code(error: BaseException) -> int | None:
    if isinstance(error, APIStatusError):
        return error.status_code if error.status_code > 0 else None
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status
    # some plugins wrap a refused websocket handshake in a bare connection error
    cause = error.__cause__
    return _status_code(cause) if cause is not None and cause is not error else None


def _kind(error: BaseException, status: int | None, body: object | None) -> FailureKind:
    if isinstance(error, NotSupportedError):
        return FailureKind.REQUEST
    kind = _KIND_OF_STATUS.get(status or 0, FailureKind.TRANSIENT)
    if kind is FailureKind.RATE_LIMITED and any(word in str(body) for word in _QUOTA_WORDS):
        return FailureKind.AUTH
    return kind


def _reason(error: BaseException, status: int | None) -> str:
    if status is not None:
        return f"http_{status}" if status < 1000 else f"closed_{status}"
    for error_type, reason in _REASON_OF_TYPE:
        if isinstance(error, error_type):
            return reason
    return "exception"


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(error, "headers", None)
    if not isinstance(headers, Mapping):
        return None
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None  # an HTTP date or nothing: the ordinary cool-down applies
