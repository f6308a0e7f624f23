# SPDX-License-Identifier: Apache-2.0
"""What each exception of a provider means: its kind, its reason, and what can be read off it."""

from __future__ import annotations

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
    NotSupportedError,
    ProviderCancelledError,
    StallError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSIENT, LIMITED = FailureKind.TRANSIENT, FailureKind.RATE_LIMITED
AUTH, REQUEST = FailureKind.AUTH, FailureKind.REQUEST

KIND_OF_STATUS = {
    400: REQUEST,
    401: AUTH,
    402: AUTH,
    403: AUTH,
    404: AUTH,
    408: TRANSIENT,
    409: TRANSIENT,
    413: REQUEST,
    422: REQUEST,
    425: TRANSIENT,
    429: LIMITED,
    # somebody closed the request, and it was not us
    499: TRANSIENT,
    500: TRANSIENT,
    502: TRANSIENT,
    503: TRANSIENT,
    504: TRANSIENT,
    529: LIMITED,
}
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


# --- statuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kind"), KIND_OF_STATUS.items())
def test_status_decides_the_kind(status, kind):
    """Each HTTP status is one kind of failure, whoever reports it: a plugin or aiohttp."""
    for error in (APIStatusError("no", status_code=status), http_error(status)):
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
    assert (
        classify(raised(APIStatusError("no", status_code=503), http_error(401))).status_code == 503
    )
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
        (ExceptionGroup("both", [ValueError(), OSError()]), "exception"),
        (BaseExceptionGroup("both", [KeyboardInterrupt()]), "exception"),
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
    [(FirstOutputTimeoutError(2.5), "first_output_timeout"), (StallError(2.0), "stall")],
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


# --- quota and rate limits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}},
        {"type": "insufficient_quota"},
        '{"detail": {"status": "quota_exceeded"}}',
    ],
)
def test_rate_limit_without_quota_is_a_rejected_key(body):
    """Money does not come back by waiting: as for a wrong key, a person has to act."""
    assert classify(APIStatusError("no", status_code=429, body=body)).failure.kind is AUTH


@pytest.mark.parametrize("body", [None, "", {}, {"code": "rate_limit_exceeded"}, 429])
def test_ordinary_rate_limit_passes(body):
    """Without a word about quota a 429 passes with time."""
    assert classify(APIStatusError("no", status_code=429, body=body)).failure.kind is LIMITED


def test_quota_word_in_another_error_changes_nothing():
    """A prompt about quotas that causes a 500 is no reason to give the provider up."""
    error = APIStatusError("no", status_code=500, body="insufficient_quota")

    assert classify(error).failure.kind is TRANSIENT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_seconds(value, seconds):
    """Seconds are taken, never negative; a date is left to the ordinary cool-down."""
    assert classify(http_error(429, {"Retry-After": value})).failure.retry_after == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
@pytest.mark.parametrize("hide", [False, True])
def test_retry_after_is_found_where_plugins_leave_it(name, hide):
    """LiveKit's error has no headers: they are on the response of the vendor's own exception."""
    vendor = FromVendor(response=SimpleNamespace(headers={"server": "x", name: "20"}))
    error = raised(APIStatusError("slow down", status_code=429), vendor, hide=hide)

    assert classify(error).failure.retry_after == 20.0


def test_no_headers_no_retry_after():
    """Without the header nothing is made up."""
    assert classify(http_error(429)).failure.retry_after is None
    assert classify(FromVendor(headers=["Retry-After"])).failure.retry_after is None


# --- facts for the report ----------------------------------------------------------------------


def test_request_id_and_body_are_kept_for_the_report():
    """What a vendor's support asks for is in the attempt's report."""
    error = APIStatusError("no", status_code=500, request_id="req_7", body={"error": "x"})

    facts = classify(error)

    assert (facts.request_id, facts.body) == ("req_7", {"error": "x"})


@pytest.mark.parametrize("error", [ValueError("x"), FromVendor(request_id=12)])
def test_nothing_is_made_up(error):
    """An exception that carries nothing, or something else than a text, has no facts."""
    facts = classify(error)

    assert (facts.status_code, facts.request_id, facts.body) == (None, None, None)


# --- it never raises ---------------------------------------------------------------------------


class Nasty:
    """Something whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class NastyError(Exception):
    """Every attribute that is looked at raises."""

    @property
    def body(self) -> object:
        raise RuntimeError("no body")

    headers = request_id = response = status_code = body


def cycle() -> BaseException:
    first, second, third = APIConnectionError("1"), APIConnectionError("2"), ValueError("3")
    first.__cause__, second.__cause__, third.__context__ = second, third, first
    return first


def long_chain() -> BaseException:
    error: BaseException = ValueError("0")
    for number in range(1, 5000):
        outer = APIConnectionError(str(number))
        outer.__cause__, error = error, outer
    return error


class Unreadable(dict[str, str]):
    """Headers that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no items")

    def get(self, *_: object) -> Any:
        raise RuntimeError("no items")


NASTY = {
    "cycle": cycle,
    "long chain": long_chain,
    "every attribute raises": NastyError,
    "so do those of its origin": lambda: raised(ValueError(), NastyError()),
    "header is None": lambda: FromVendor(headers={"Retry-After": None}),
    "header is a list": lambda: FromVendor(headers={"Retry-After": ["1", "2"]}),
    "header has no text": lambda: FromVendor(headers={"Retry-After": Nasty()}),
    "headers are bytes": lambda: FromVendor(headers={None: b"1", b"retry-after": b"1"}),
    "headers cannot be read": lambda: FromVendor(headers=Unreadable(a="b")),
    "nothing has a text": lambda: FromVendor(headers=Nasty(), response=Nasty(), body=Nasty()),
    "body has no text": lambda: APIStatusError("no", status_code=429, body=Nasty()),
}


@pytest.mark.parametrize("make", NASTY.values(), ids=NASTY.keys())
def test_classify_never_raises(make):
    """Whatever an exception does when it is looked at, it is one failed attempt and no more."""
    assert classify(make()).failure.counts
