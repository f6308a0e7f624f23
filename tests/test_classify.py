# SPDX-License-Identifier: Apache-2.0
"""What each exception of a provider means: its kind, its reason, and what can be read off it."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from livekit_fallback.classify import classify
from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.errors import (
    EndedEarlyError,
    FirstOutputTimeoutError,
    NoOutputError,
    NotListeningError,
    NotSupportedError,
    ProviderCancelledError,
    StallError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSIENT, LIMITED = FailureKind.TRANSIENT, FailureKind.RATE_LIMITED
AUTH, REQUEST = FailureKind.AUTH, FailureKind.REQUEST

KIND_OF_STATUS = {
    **dict.fromkeys((400, 413, 415, 422), REQUEST),
    **dict.fromkeys((401, 402, 403, 404), AUTH),
    **dict.fromkeys((429, 529), LIMITED),
    # 499: somebody closed the request, and it was not us
    **dict.fromkeys((408, 409, 425, 499, 500, 502, 503, 504), TRANSIENT),
}
REFUSED = APIStatusError("no", status_code=401)
URL_ASKED = URL("ws://127.0.0.1/")
REQUEST_INFO = aiohttp.RequestInfo(URL_ASKED, "GET", CIMultiDictProxy(CIMultiDict()), URL_ASKED)


def http_error(status: int, headers: Mapping[str, str] | None = None) -> aiohttp.ClientError:
    return aiohttp.WSServerHandshakeError(
        REQUEST_INFO, (), status=status, headers=CIMultiDict(headers or {})
    )


def raised(error: BaseException, origin: BaseException, *, hide: bool = False) -> BaseException:
    """`error`, raised while `origin` was handled: `from origin`, or `from None`."""
    try:
        try:
            raise origin
        except BaseException as caught:
            raise error from (None if hide else caught)
    except BaseException as final:
        return final


class FromVendor(Exception):
    """An exception of a vendor's own library, with whatever attributes it likes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("vendor")
        vars(self).update(attributes)


def foreign_error(name: str, base: str) -> Exception:
    """An exception of a library that is not installed: its family is known by name."""
    return type(name, (type(base, (Exception,), {}),), {})()  # type: ignore[no-any-return]


# --- statuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kind"), KIND_OF_STATUS.items())
def test_status_decides_the_kind(status, kind):
    """Each HTTP status is one kind of failure, whoever reports it."""
    theirs = (
        FromVendor(status_code=status),
        FromVendor(response=SimpleNamespace(status_code=status)),
    )
    for error in (APIStatusError("no", status_code=status), http_error(status), *theirs):
        facts = classify(error)

        assert facts.failure.kind is kind
        assert facts.failure.reason == f"http_{status}"
        assert facts.status_code == status
        assert not facts.failure.timed_out


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012, 1013, 4000])
def test_websocket_close_codes_are_transient(code):
    """Plugins report the code of a closed websocket as a status; it is none of HTTP's."""
    facts = classify(APIStatusError("closed", status_code=code))

    assert facts.failure.kind is TRANSIENT
    assert facts.failure.reason == f"closed_{code}"
    assert facts.status_code == code


@pytest.mark.parametrize("wrapper", [APIConnectionError("failed"), APITimeoutError(), ValueError()])
@pytest.mark.parametrize("hide", [False, True])
def test_status_is_found_behind_the_wrapping_exception(wrapper, hide):
    """A refused handshake that a plugin wraps, even `from None`, is still a rejected key."""
    facts = classify(raised(wrapper, http_error(401), hide=hide))

    assert facts.failure.kind is AUTH
    assert facts.failure.reason == "http_401"
    assert facts.status_code == 401


def test_outermost_status_wins():
    """What the plugin says is nearer to the truth; only where it says nothing look further in."""
    assert classify(raised(REFUSED, http_error(503))).status_code == 401
    assert classify(raised(APIStatusError("no"), http_error(403))).status_code == 403


@pytest.mark.parametrize("error", [APIStatusError("no"), http_error(0)])
def test_missing_status_is_no_status(error):
    """-1 and 0 are LiveKit's and aiohttp's ways to say that there was none."""
    facts = classify(error)

    assert facts.status_code is None
    assert facts.failure.kind is TRANSIENT
    assert facts.failure.reason in ("api_error", "connection")


# --- other exceptions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (APITimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (aiohttp.ServerTimeoutError(), "timeout"),
        (APIConnectionError(), "connection"),
        (aiohttp.ClientError(), "connection"),
        (aiohttp.ClientPayloadError(), "connection"),
        (aiohttp.ServerDisconnectedError(), "connection"),
        (ConnectionRefusedError(), "connection"),
        (ConnectionResetError(), "connection"),
        (BrokenPipeError(), "connection"),
        (ssl.SSLError(), "connection"),
        (OSError(), "connection"),
        (APIError("bad event"), "api_error"),
        (ValueError("surprise"), "exception"),
        (KeyError("choices"), "exception"),
        (AssertionError(), "exception"),
        (RuntimeError(), "exception"),
        (StopAsyncIteration(), "exception"),
        (BaseExceptionGroup("both", [KeyboardInterrupt()]), "exception"),
        (foreign_error("ReadTimeout", "TimeoutException"), "timeout"),
        (foreign_error("ReadError", "TransportError"), "connection"),
        (foreign_error("ConnectionClosedOK", "ConnectionClosed"), "connection"),
        (asyncio.CancelledError(), "cancelled_itself"),
        (GeneratorExit(), "exception"),
        (NoOutputError("audio"), "empty"),
        (EndedEarlyError("half"), "ended_early"),
        (ProviderCancelledError(), "cancelled_itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_exception_without_a_status_is_transient(error, reason):
    """An exception of any type is a failure that may pass; its reason is one short word."""
    facts = classify(error)

    assert facts.failure.kind is TRANSIENT
    assert facts.failure.reason == reason
    assert facts.failure.worth_retrying
    assert facts.status_code is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FirstOutputTimeoutError(2.5), "first_output_timeout"),
        (NotListeningError(2.0), "not_listening"),
        (StallError(2.0), "stall"),
    ],
)
def test_deadline_of_ours_is_not_retried(error, reason):
    """Only the adapter's own clocks say `timed_out`: the caller has waited that long already."""
    failure = classify(error).failure

    assert (failure.kind, failure.reason, failure.timed_out) == (TRANSIENT, reason, True)
    assert not failure.worth_retrying


def test_missing_capability_is_the_requests_fault():
    """A provider that cannot do what is asked is skipped, and its health is untouched."""
    failure = classify(NotSupportedError("streaming")).failure

    assert (failure.kind, failure.reason) == (REQUEST, "not_supported")
    assert not failure.counts


# --- what a body says --------------------------------------------------------------------------

QUOTA = {"error": {"type": "insufficient_quota", "code": None, "message": "You exceeded ..."}}
GOOGLE = {"code": 400, "details": [{"@type": "x"}, {"reason": "API_KEY_INVALID"}]}
AZURE = {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
SENTENCE = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, QUOTA, AUTH),
        (400, '{"detail": {"status": "voice_not_found"}}', AUTH),
        (429, "insufficient_quota: add credits", AUTH),
        (400, [{"error": GOOGLE}], AUTH),
        (400, {"error": {"message": "Your credit balance is too low to"}}, AUTH),
        (3000, "msg.extra='invalid_request_error.invalid_api_key'", AUTH),
        (3000, "msg.extra='invalid_request_error'", REQUEST),
        (-1, QUOTA, AUTH),
        (-1, {"status_code": 402}, AUTH),
        (-1, {"error": {"code": 8, "status": "RESOURCE_EXHAUSTED"}}, LIMITED),
        (-1, {"type": "invalid_request_error", "code": "inference_rate_limit_exceeded"}, LIMITED),
        (-1, {"type": "invalid_request_error", "code": "invalid_value"}, REQUEST),
        (500, {"code": "context_length_exceeded"}, REQUEST),
        (403, {"code": "content_policy_violation"}, REQUEST),
        (503, AZURE, REQUEST),
    ],
)
def test_code_in_the_body_tells_more_than_the_status(status, body, kind):
    """An empty account that looks like a rate limit is still a person's to fill."""
    assert classify(APIStatusError("no", status_code=status, body=body)).failure.kind is kind


CODES = {
    AUTH: "insufficient_quota credit_balance_exhausted invalid_api_key account_deactivated "
    "billing_hard_limit_reached billing_not_active project_spend_limit_exceeded quota_exceeded "
    "organization_spend_limit_exceeded authentication_error permission_error billing_error "
    "model_not_found voice_not_found model_decommissioned API_KEY_INVALID",
    LIMITED: "rate_limit_exceeded rate_limit_error overloaded_error inference_rate_limit_exceeded",
    REQUEST: "context_length_exceeded invalid_prompt content_filter request_too_large",
    TRANSIENT: "server_error session_expired",
}


@pytest.mark.parametrize(("kind", "codes"), CODES.items())
def test_code_stands_for_the_status_that_a_stream_lacks(kind, codes):
    """Within a stream the code is all that a provider says."""
    for code in codes.split():
        assert classify(APIError("no", body={"error_code": code})).failure.kind is kind, code


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, None, LIMITED),
        (429, {"code": "rate_limit_exceeded"}, LIMITED),
        (429, {"status": "RESOURCE_EXHAUSTED", "message": SENTENCE}, LIMITED),  # Gemini, per minute
        (401, {"type": "invalid_request_error"}, AUTH),
        (500, QUOTA, TRANSIENT),
        (503, {"type": "overloaded_error"}, TRANSIENT),
        (500, "insufficient_quota content_filter", TRANSIENT),
        (500, {"message": SENTENCE}, TRANSIENT),
        (-1, "insufficient_quota", TRANSIENT),
        (-1, {"message": f"asked: {SENTENCE}"}, TRANSIENT),
        (400, "asked: insufficient_quota", REQUEST),
        (400, {"message": "asked: insufficient_quota", "input": QUOTA}, REQUEST),
    ],
)
def test_quotation_or_a_surer_status_stands(status, body, kind):
    """A prompt about quotas, quoted in a body, is no reason to give a provider up."""
    assert classify(APIStatusError("no", status_code=status, body=body)).failure.kind is kind


def cartesia_error(status: int) -> APIError:
    frame = {"type": "error", "done": True, "status_code": status, "context_id": None}
    return APIError(f"Cartesia returned error: {frame}")


FROM_PLUGINS = [
    # openai: chat and TTS, refused; chat, an error in the stream
    (raised(APIStatusError("no", status_code=429, body=QUOTA), OSError()), AUTH, "http_429"),
    (raised(APIConnectionError(), FromVendor(body=QUOTA)), AUTH, "connection"),
    # openai: Responses, refused, and in the stream, where only the sentence is kept
    (raised(APIConnectionError("failed to connect"), http_error(401)), AUTH, "http_401"),
    (APIStatusError(SENTENCE), AUTH, "api_error"),
    (APIStatusError("Rate limit reached for gpt-5 on tokens per min."), LIMITED, "api_error"),
    (APIStatusError("Your input exceeds the context window of this"), REQUEST, "api_error"),
    (APIStatusError("response incomplete: max_output_tokens"), REQUEST, "api_error"),
    # openai: realtime STT, refused (aiohttp's own exception), and in the stream
    (http_error(403), AUTH, "http_403"),
    (APIError("STT error: no", body={"code": "invalid_api_key"}), AUTH, "api_error"),
    # deepgram: refused, audio it cannot decode, a TTS error, any status of recognize() (lost)
    (raised(APIStatusError("no", status_code=402), http_error(402)), AUTH, "http_402"),
    (APIStatusError("closed", status_code=1008, body="'DATA-0000'"), TRANSIENT, "closed_1008"),
    (APIError("Deepgram TTS returned error", body={"type": "Error"}), TRANSIENT, "api_error"),
    (raised(APIConnectionError(), KeyError("metadata")), TRANSIENT, "connection"),
    # cartesia: refused as deepgram; TTS errors in the stream, of which only a repr is kept
    *((cartesia_error(n), KIND_OF_STATUS[n], "api_error") for n in (400, 402, 429, 500)),
]


@pytest.mark.parametrize(("error", "kind", "reason"), FROM_PLUGINS, ids=repr)
def test_what_plugins_raise(error, kind, reason):
    """Each plugin keeps something else of an error response; what it kept is understood."""
    failure = classify(error).failure

    assert (failure.kind, failure.reason) == (kind, reason)


# --- several at once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ExceptionGroup("both", [OSError(), REFUSED]), AUTH, "http_401"),
        (ExceptionGroup("deep", [ExceptionGroup("er", [REFUSED]), OSError()]), AUTH, "http_401"),
        (ExceptionGroup("one", [APITimeoutError()]), TRANSIENT, "timeout"),
        (ExceptionGroup("both", [OSError(), http_error(422)]), REQUEST, "http_422"),
        (ExceptionGroup("both", [http_error(422), http_error(429)]), LIMITED, "http_429"),
        (raised(ValueError(), ExceptionGroup("one", [REFUSED])), AUTH, "http_401"),
        (ExceptionGroup("many", [OSError()] * 1000), TRANSIENT, "connection"),
    ],
)
def test_most_telling_of_several_failures_is_read(error, kind, reason):
    """A plugin's tasks fail together: the rejected key explains the lost connection."""
    failure = classify(error).failure

    assert (failure.kind, failure.reason) == (kind, reason)


# --- facts for the report ----------------------------------------------------------------------


def test_request_id_and_body_are_kept_for_the_report():
    """What a vendor's support asks for is in the attempt's report."""
    error = APIStatusError("no", status_code=500, request_id="req_7", body={"error": "x"})

    for facts in (classify(error), classify(raised(APIConnectionError(), error))):
        assert (facts.request_id, facts.body) == ("req_7", {"error": "x"})


@pytest.mark.parametrize("error", [ValueError("x"), FromVendor(request_id=12)])
def test_nothing_is_made_up(error):
    """An exception that carries nothing, or something else than a text, has no facts."""
    facts = classify(error)

    assert (facts.status_code, facts.request_id, facts.body) == (None, None, None)
