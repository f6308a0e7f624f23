# SPDX-License-Identifier: Apache-2.0
"""What an exception from a provider means. The only file that knows LiveKit's error types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import aiohttp
from livekit.agents import APIConnectionError, APIError, APITimeoutError

from . import _retry_after
from ._said import Said, attribute, attributes, said_in
from .core.outcome import Failure, FailureKind
from .errors import (
    AllProvidersFailedError,
    CutShortError,
    DigitalSilenceError,
    EndedEarlyError,
    FirstOutputTimeoutError,
    NoOutputError,
    NotListeningError,
    NotSupportedError,
    ProviderCancelledError,
    SilentError,
    StallError,
)

# Statuses not listed are transient: 408, 409, 425, 499 and 5xx, and websocket close codes, which
# plugins report as a status. A 499 that nobody here caused is the provider giving up. A close
# code alone does not tell: 1008 is a policy, but Deepgram's is audio that it cannot decode.
_KIND_OF_STATUS: dict[int, FailureKind] = {
    400: FailureKind.REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.AUTH,
    413: FailureKind.REQUEST,
    415: FailureKind.REQUEST,
    422: FailureKind.REQUEST,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.RATE_LIMITED,
}

# The request's fault under any status: providers do not agree on one.
_REQUEST_CODES = frozenset(
    {
        "context_length_exceeded",  # OpenAI
        "invalid_prompt",  # OpenAI's Responses API: its safety systems
        "content_policy_violation",  # OpenAI
        "content_filter",  # Azure
        "responsibleaipolicyviolation",  # Azure, as the inner code
        "request_too_large",  # Anthropic
    }
)

# What a person has to mend. Looked for only where the status hides it, see _HIDING_STATUSES.
_LASTING_CODES = frozenset(
    {
        # what LiveKit's own OpenAI realtime model gives up for
        "insufficient_quota",
        "credit_balance_exhausted",
        "invalid_api_key",
        "account_deactivated",
        "billing_hard_limit_reached",
        # further codes of the OpenAI library (openai.types)
        "billing_not_active",
        "project_spend_limit_exceeded",
        "organization_spend_limit_exceeded",
        "model_not_found",
        "authentication_error",  # also Anthropic's type
        "permission_error",  # Anthropic
        "billing_error",  # Anthropic
        "api_key_invalid",  # Google, in a 400
        "quota_exceeded",  # ElevenLabs
        "voice_not_found",  # ElevenLabs, in a 400
        "model_decommissioned",  # Groq, in a 400
    }
)

# Errors sent as a message within a stream have no status: there the code has to stand for it.
_KIND_OF_STREAMED_CODE: dict[str, FailureKind] = {
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,  # OpenAI
    "inference_rate_limit_exceeded": FailureKind.RATE_LIMITED,  # OpenAI realtime
    "rate_limit_error": FailureKind.RATE_LIMITED,  # Anthropic
    "overloaded_error": FailureKind.RATE_LIMITED,  # Anthropic, its 529
    "resource_exhausted": FailureKind.RATE_LIMITED,  # Google, its 429
    "invalid_request_error": FailureKind.REQUEST,  # OpenAI and Anthropic, their 400
}

# OpenAI has 429 for an empty account, Google has 400 for a wrong key, and an error within a
# stream has no status. 5xx is the server's fault, whatever it says.
_HIDING_STATUSES = frozenset({None, 400, 429})

# The OpenAI plugin keeps only the sentence of an error within a Responses stream. Sentences are
# compared from their beginning, where nothing is quoted, and not for a 429: Gemini's has
# OpenAI's sentence for a limit per minute.
_KIND_OF_SENTENCE: tuple[tuple[str, FailureKind], ...] = (
    ("you exceeded your current quota", FailureKind.AUTH),
    ("your credit balance is too low", FailureKind.AUTH),  # Anthropic, in a 400
    ("rate limit reached", FailureKind.RATE_LIMITED),
    ("your input exceeds the context window", FailureKind.REQUEST),
    ("response incomplete: ", FailureKind.REQUEST),  # the plugin's own words: filtered, or long
)

# Of several failures at once: the more particular explains the more general, as a rejected key
# does the lost connection.
_MOST_TELLING = (
    FailureKind.AUTH,
    FailureKind.RATE_LIMITED,
    FailureKind.REQUEST,
    FailureKind.TRANSIENT,
)

# Deadlines of ours.
_TIMED_OUT = (FirstOutputTimeoutError, NotListeningError, SilentError, StallError)

# The first match wins, so subclasses stand before their bases.
_REASON_OF_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (FirstOutputTimeoutError, "first_output_timeout"),
    (StallError, "stall"),
    (DigitalSilenceError, "digital_silence"),
    (NoOutputError, "empty"),
    (NotListeningError, "not_listening"),
    (SilentError, "silent"),
    (CutShortError, "cut_short"),
    (EndedEarlyError, "ended_early"),
    (NotSupportedError, "not_supported"),
    (ProviderCancelledError, "cancelled_itself"),
    (asyncio.CancelledError, "cancelled_itself"),
    (APITimeoutError, "timeout"),
    (asyncio.TimeoutError, "timeout"),
    (APIConnectionError, "connection"),
    (aiohttp.ClientError, "connection"),
    (OSError, "connection"),
    (APIError, "api_error"),
)

# Bases of other HTTP clients' exceptions, by name: no plugin has to be installed.
_REASON_OF_NAME = {
    "TimeoutException": "timeout",  # httpx
    "TransportError": "connection",  # httpx
    "ConnectionClosed": "connection",  # websockets
}

_FIRST_CLOSE_CODE = 1000

# What is beyond is not looked at: LiveKit itself looks no deeper for a cause, and plugins do not
# run more at once.
_MAX_CHAIN = 10
_MAX_GROUPED = 32


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


def classify(error: BaseException, *, now: float | None = None) -> ErrorFacts:
    """Read an exception raised by a provider, of any type, or by the adapter on its behalf.

    Never raises, whatever the exception's attributes do. Of an exception group, the most
    telling member is read.

    Args:
        error: The exception.
        now: Unix seconds, for a ``Retry-After`` that is a date, in a response without a date.
    """
    found = [_read(member, now) for member in _members(error)]
    return min(found, key=lambda facts: _MOST_TELLING.index(facts.failure.kind))


def _read(error: BaseException, now: float | None) -> ErrorFacts:
    if isinstance(error, AllProvidersFailedError) and error.attempts:
        return _of_nested(error)
    chain = list(_chain(error))
    said = said_in(chain)
    status = next(filter(None, map(_status_code, chain)), None)
    kind = _kind(error, status or next(iter(said.statuses), None), said)
    return ErrorFacts(
        failure=Failure(
            kind=kind,
            reason=_reason(error, status),
            timed_out=isinstance(error, _TIMED_OUT),
            retry_after=_retry_after.in_chain(
                chain, now=now, limited=kind is FailureKind.RATE_LIMITED
            ),
        ),
        status_code=status,
        request_id=next(attributes(chain, "request_id", str), None),
        body=next(attributes(chain, "body", object), None),
    )


def _of_nested(error: AllProvidersFailedError) -> ErrorFacts:
    """Read the failure of an adapter inside an adapter: it is as lasting as its least lasting."""
    kinds = {attempt.kind for attempt in error.attempts}
    statuses = {attempt.status_code for attempt in error.attempts}
    kind = kinds.pop() if len(kinds) == 1 else FailureKind.TRANSIENT
    status = statuses.pop() if len(statuses) == 1 else None
    return ErrorFacts(Failure(kind, reason="all_failed"), status_code=status)


def _members(error: BaseException) -> list[BaseException]:
    """Return the exceptions that the error stands for: itself, and those it groups or wraps."""
    group = next((e for e in _chain(error) if isinstance(e, BaseExceptionGroup)), None)
    found: list[BaseException] = [] if group is None else [group]
    for member in islice(found, _MAX_GROUPED):  # grows while it is walked
        if isinstance(member, BaseExceptionGroup):
            found.extend(member.exceptions)
    members = [e for e in found[:_MAX_GROUPED] if not isinstance(e, BaseExceptionGroup)]
    return members if members and group is error else [error, *members]


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


def _status_code(error: BaseException) -> int | None:
    if isinstance(error, aiohttp.ClientResponseError):
        return _status(error.status)
    # LiveKit's, and those of the libraries beneath plugins, such as openai and httpx
    response = attribute(error, "response")
    return _status(attribute(error, "status_code")) or _status(attribute(response, "status_code"))


def _status(number: object) -> int | None:
    """Drop the -1 of LiveKit and the 0 of aiohttp: there was none."""
    return number if isinstance(number, int) and number > 0 else None


def _kind(error: BaseException, status: int | None, said: Said) -> FailureKind:
    by_status = _KIND_OF_STATUS.get(status or 0, FailureKind.TRANSIENT)
    return next(_overruling(error, status, said), by_status)


def _overruling(error: BaseException, status: int | None, said: Said) -> Iterator[FailureKind]:
    """Yield the kinds that overrule the status, the strongest first."""
    closed = status is not None and status >= _FIRST_CLOSE_CODE
    # who limits or closes has not read the request, and so quotes nothing: words will do
    codes = said.codes | said.words if closed or status == 429 else said.codes
    if isinstance(error, NotSupportedError) or codes & _REQUEST_CODES:
        yield FailureKind.REQUEST
    if (closed or status in _HIDING_STATUSES) and codes & _LASTING_CODES:
        yield FailureKind.AUTH
    if status in (None, 400):
        for opening, kind in _KIND_OF_SENTENCE:
            if any(sentence.startswith(opening) for sentence in said.sentences):
                yield kind
    if closed or status is None:
        kinds = {_KIND_OF_STREAMED_CODE.get(code) for code in codes}
        yield from (kind for kind in _MOST_TELLING if kind in kinds)


def _reason(error: BaseException, status: int | None) -> str:
    if status is not None:
        return f"http_{status}" if status < _FIRST_CLOSE_CODE else f"closed_{status}"
    for error_type, reason in _REASON_OF_TYPE:
        if isinstance(error, error_type):
            return reason
    names = (base.__name__ for base in type(error).__mro__)
    return next((_REASON_OF_NAME[name] for name in names if name in _REASON_OF_NAME), "exception")
