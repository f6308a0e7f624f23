# SPDX-License-Identifier: Apache-2.0
"""The errors are LiveKit's own kind, so code that handles those keeps working."""

from __future__ import annotations

import asyncio

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from livekit_fallback import AllProvidersFailedError, AttemptReport
from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.errors import (
    AdapterClosedError,
    EndedEarlyError,
    FirstOutputTimeoutError,
    NoOutputError,
    NotSupportedError,
    ProviderCancelledError,
    SlowOutputError,
    StallError,
    as_exception,
)

SECRET = "the caller's card number is 4711"


def report(provider: str, reason: str, error: Exception | None = None) -> AttemptReport:
    return AttemptReport(
        provider=provider,
        kind=FailureKind.TRANSIENT,
        reason=reason,
        status_code=503,
        request_id="req_1",
        body={"error": SECRET},
        duration=0.25,
        error=error or APIStatusError(SECRET, status_code=503, body=SECRET),
    )


@pytest.mark.parametrize(
    ("error", "bases", "text"),
    [
        (FirstOutputTimeoutError(2.5), APITimeoutError, "no useful output within 2.5 s"),
        (StallError(1.0), APITimeoutError, "no further output within 1 s"),
        (SlowOutputError(1.25), APITimeoutError, "the first useful output took 1.25 s or more"),
        (EndedEarlyError("half a reply"), APIConnectionError, "ended early: half a reply"),
        (NoOutputError("audio"), APIError, "ended without audio"),
        (NotSupportedError("streaming"), APIError, "streaming is not supported"),
        (AdapterClosedError("tts"), APIConnectionError, "the tts fallback adapter was closed"),
        (ProviderCancelledError(), APIError, "the provider cancelled itself"),
    ],
)
def test_what_providers_do_silently_is_a_livekit_error(error, bases, text):
    """Code that catches `APIError` and its kinds catches these, and can read them."""
    assert isinstance(error, bases)
    assert isinstance(error, APIError)
    assert str(error) == text
    assert error.message == text


def test_deadline_is_no_builtin_timeout():
    """A deadline of ours must not be taken for an `asyncio.timeout` of the caller's."""
    assert not isinstance(FirstOutputTimeoutError(1.0), TimeoutError | asyncio.CancelledError)


def test_only_what_cannot_change_is_not_retryable():
    """A capability that is missing stays missing; everything else may be different next time."""
    assert not NotSupportedError("streaming").retryable
    assert not AdapterClosedError("llm").retryable
    others = (StallError(1), SlowOutputError(1), NoOutputError("x"), EndedEarlyError("x"))
    assert all(error.retryable for error in others)


def test_only_what_was_slow_has_a_latency():
    """Who failed gave no output that could be timed, unless it is said."""
    assert report("a", "http_503").latency is None


def test_what_sessions_cannot_handle_is_wrapped():
    """LiveKit's events and `except Exception` take no other exceptions; the original is kept."""
    ordinary, group = ValueError("x"), BaseExceptionGroup("both", [KeyboardInterrupt()])

    wrapped = as_exception(group)

    assert as_exception(ordinary) is ordinary
    assert isinstance(wrapped, APIError)
    assert wrapped.message == "BaseExceptionGroup"
    assert wrapped.__cause__ is group


def test_exhaustion_is_a_connection_error_that_is_not_retried():
    """The session's own retries must not multiply the budget that was already spent."""
    error = AllProvidersFailedError("llm", [report("a", "http_503")], duration=3.21)

    assert isinstance(error, APIConnectionError)
    assert error.retryable is False


def test_exhaustion_tells_who_failed_how():
    """Each attempt has its entry, in order, and the text names them all."""
    reports = [report("a", "http_503"), report("b", "stall"), report("a", "connection")]

    error = AllProvidersFailedError("tts", reports, duration=3.216)

    assert error.attempts == tuple(reports)
    assert (error.component, error.duration) == ("tts", 3.216)
    assert error.message == (
        "all tts providers failed after 3.22 s (a: http_503, b: stall, a: connection)"
    )


def test_exhaustion_does_not_quote_what_was_said():
    """Bodies and texts of the providers' errors are in the entries, not in the message."""
    error = AllProvidersFailedError("stt", [report("a", "http_503")], duration=0.0)

    assert SECRET not in str(error)
    assert SECRET not in repr(error)
    assert SECRET in str(error.attempts[0].error)


def test_exhaustion_keeps_its_own_list():
    """The list that the adapter goes on using does not change an error already raised."""
    reports = [report("a", "http_503")]
    error = AllProvidersFailedError("llm", reports, duration=0.0)

    reports.clear()

    assert len(error.attempts) == 1


def test_exhaustion_has_a_cause_that_is_shown():
    """A traceback leads to the provider's own exception."""
    cause = APIStatusError("boom", status_code=503)
    error = AllProvidersFailedError("llm", [report("a", "http_503", cause)], duration=0.0)

    with pytest.raises(AllProvidersFailedError) as caught:
        raise error from cause

    assert caught.value.__cause__ is cause
