# SPDX-License-Identifier: Apache-2.0
"""What an exception from a provider means. The only file that knows LiveKit's error types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from .core.outcome import Failure, FailureKind
from .errors import (
    AllProvidersFailedError,
    EndedEarlyError,
    FirstOutputTimeoutError,
    NoOutputError,
    NotListeningError,
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
    (NotListeningError, "not_listening"),
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

# As deep as LiveKit itself looks for a cause.
_MAX_CHAIN = 10

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
    """Read an exception raised by a provider, of any type, or by the adapter on its behalf.

    Never raises, whatever the exception's attributes do.
    """
    if isinstance(error, AllProvidersFailedError) and error.attempts:
        return _of_nested(error)
    chain = list(_chain(error))
    status = next((code for code in map(_status_code, chain) if code is not None), None)
    body = _attribute(error, "body")
    retry_after = next((sec for sec in map(_retry_after, chain) if sec is not None), None)
    request_id = _attribute(error, "request_id")
    return ErrorFacts(
        failure=Failure(
            kind=_kind(error, status, body),
            reason=_reason(error, status),
            timed_out=isinstance(error, FirstOutputTimeoutError | NotListeningError | StallError),
            retry_after=retry_after,
        ),
        status_code=status,
        request_id=request_id if isinstance(request_id, str) else None,
        body=body,
    )


def _of_nested(error: AllProvidersFailedError) -> ErrorFacts:
    """Read the failure of an adapter inside an adapter: it is as lasting as its least lasting."""
    kinds = {attempt.kind for attempt in error.attempts}
    kind = kinds.pop() if len(kinds) == 1 else FailureKind.TRANSIENT
    return ErrorFacts(Failure(kind, reason="all_failed"))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from or while handling.

    Plugins often raise ``from None`` and keep the original, with its status and headers, only
    as the context. Chains can be cyclic, hence the bound.
    """
    current: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _attribute(holder: object, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # a property of somebody else's exception
        return None


def _status_code(error: BaseException) -> int | None:
    if isinstance(error, APIStatusError):
        status = error.status_code
    elif isinstance(error, aiohttp.ClientResponseError):
        status = error.status
    else:
        return None
    return status if status > 0 else None


def _kind(error: BaseException, status: int | None, body: object | None) -> FailureKind:
    if isinstance(error, NotSupportedError):
        return FailureKind.REQUEST
    kind = _KIND_OF_STATUS.get(status or 0, FailureKind.TRANSIENT)
    if kind is FailureKind.RATE_LIMITED and _is_out_of_quota(body):
        return FailureKind.AUTH
    return kind


def _is_out_of_quota(body: object | None) -> bool:
    try:
        text = str(body)
    except Exception:  # a __str__ of somebody else's
        return False
    return any(word in text for word in _QUOTA_WORDS)


def _reason(error: BaseException, status: int | None) -> str:
    if status is not None:
        return f"http_{status}" if status < 1000 else f"closed_{status}"
    for error_type, reason in _REASON_OF_TYPE:
        if isinstance(error, error_type):
            return reason
    return "exception"


def _retry_after(error: BaseException) -> float | None:
    try:
        headers = getattr(error, "headers", None) or error.response.headers  # type: ignore[attr-defined]
        for name, value in headers.items():
            if name.lower() == "retry-after":
                return max(0.0, float(value))
    except Exception:  # no headers, no number (an HTTP date), or somebody else's mistake
        return None
    return None
