# SPDX-License-Identifier: Apache-2.0
"""How long a provider asks to be left alone, and that no exception is too strange to be read."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from livekit.agents import APIConnectionError, APIError, APIStatusError

from livekit_fallback import _retry_after
from livekit_fallback.classify import classify

if TYPE_CHECKING:
    from collections.abc import Mapping

SENT = "Wed, 21 Oct 2026 07:28:00 GMT"
SENT_UNIX = 1792567680.0
IN_A_MINUTE = "Wed, 21 Oct 2026 07:29:00 GMT"
DAY = 86400.0


class FromVendor(Exception):
    """An exception of a vendor's own library, with whatever attributes it likes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("vendor")
        vars(self).update(attributes)


def refused(
    headers: Mapping[str, str] | None = None,
    *,
    status: int = 429,
    body: object = None,
    message: str = "no",
) -> APIStatusError:
    """What the OpenAI plugin raises: without headers, which are on its library's exception."""
    error = APIStatusError(message, status_code=status, body=body)
    error.__context__ = FromVendor(response=SimpleNamespace(headers=headers))
    return error


def wait(*args: Any, now: float | None = None, **options: Any) -> float | None:
    return classify(refused(*args, **options), now=now).failure.retry_after


# --- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1e9", DAY),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_seconds(value, seconds):
    """Seconds are taken, never negative, never more than a day; what is no number is nothing."""
    assert wait({"Retry-After": value}) == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_taken_from_any_response(name, status):
    """A 503 may say when it will be over, too, in whatever case."""
    assert wait({"server": "x", name: "20"}, status=status) == 20.0


def test_retry_after_is_found_on_the_exception_itself():
    """aiohttp's exceptions carry the headers themselves."""
    assert classify(FromVendor(headers={"Retry-After": "20"})).failure.retry_after == 20.0


@pytest.mark.parametrize(
    ("headers", "now", "seconds"),
    [
        ({"Retry-After": IN_A_MINUTE, "Date": SENT}, None, 60.0),
        ({"Retry-After": IN_A_MINUTE, "Date": SENT}, SENT_UNIX + 3600, 60.0),
        ({"Retry-After": IN_A_MINUTE}, SENT_UNIX + 15, 45.0),
        ({"Retry-After": IN_A_MINUTE, "Date": "today"}, SENT_UNIX, 60.0),
        ({"Retry-After": IN_A_MINUTE}, SENT_UNIX + 3600, 0.0),
        ({"Retry-After": "Thu, 21 Oct 2027 07:28:00 GMT"}, SENT_UNIX, DAY),
        ({"Retry-After": IN_A_MINUTE}, None, None),
        ({"Retry-After": "Wed, 99 Oct 2026 07:28:00 GMT"}, SENT_UNIX, None),
        ({"Date": SENT}, SENT_UNIX, None),
    ],
)
def test_date_is_counted_from_the_providers_own_clock(headers, now, seconds):
    """A date is as far away as it was when the response was sent; else as the clock says."""
    assert wait(headers, now=now) == seconds


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [("1500", 1.5), ("-1", 0.0), ("x", 9.0), ("nan", 9.0)]
)
def test_milliseconds_are_more_exact(milliseconds, seconds):
    """Azure sends both headers."""
    assert wait({"retry-after-ms": milliseconds, "retry-after": "9"}) == seconds


# --- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.5s.", 1.5),
        ("Please try again in 20ms. Visit", 0.02),
        ("Please try again in 1m30s.", 90.0),
        ("try again in 1h2m3s", 3723.0),
        ("Please try again in 3 seconds", 3.0),
        ("Please retry after 6 seconds.", 6.0),
        ("Please retry in 8.941621227s.", 8.941621227),
        ("Try again in 2 minutes 3 seconds or more", 123.0),
        ("retry in 400 milliseconds", 0.4),
        ("try again in 1 day", DAY),
        ("try again in 3 days", DAY),
        ("retry after some time; try again in 4s", 4.0),
        ("try again in 5", None),
        ("try again in 5 steps", None),
        ("try again in -5s", None),
        ("try again in nans", None),
        ("wait 5s", None),
        ("", None),
        ("x" * 5000 + "try again in 5s", None),
    ],
)
def test_wait_is_read_from_the_message(text, seconds):
    """Where a plugin drops the headers, the sentence is what is left of them."""
    assert wait(message=text) == pytest.approx(seconds)
    assert wait(body={"error": {"message": text}}) == pytest.approx(seconds)


@pytest.mark.parametrize("body", [{"retryDelay": "13s"}, '{"retryDelay": "13s"}'])
def test_wait_is_read_from_googles_retry_info(body):
    """Gemini's wait is one of the details of its error, and no header."""
    assert wait(body=[{"error": {"details": [{"quotaValue": "250"}, body]}}]) == 13.0


@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_words_count_for_rate_limits_only(status):
    """ "Try again in 5 minutes", in a prompt that is quoted in a 500, is nobody's wait."""
    text = "asked: try again in 5s"
    headers = {"x-ratelimit-reset-requests": "6m0s"}

    assert wait(headers, status=status, message=text, body=text) is None


def test_wait_of_an_error_within_a_stream_is_read():
    """An error that has no status says by its code that it is a rate limit."""
    body = {"code": "rate_limit_exceeded", "message": "Please try again in 2s."}

    assert classify(APIError("no", body=body)).failure.retry_after == 2.0


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "tokens", "seconds"),
    [
        (("0", "6m0s"), ("100", "9s"), 360.0),
        (("0", "1s"), ("100", "9s"), 1.0),
        (("0", "1.2s"), ("0", "20ms"), 1.2),
        (("5", "1s"), ("7", "2s"), 2.0),
        (("0", "59"), ("-1", "0"), 59.0),
        (("-1", "-1"), ("-1", "0"), None),
        (("0", "1792567680"), ("0", "nan"), None),
        (("0", "soon"), ("3", "4s"), 4.0),
        (("", ""), ("", "1S"), 1.0),
    ],
)
def test_reset_of_the_used_up_limit_is_a_wait(requests, tokens, seconds):
    """The reset of the limit that is used up; of the later one, if the headers do not say."""
    headers = {
        "x-ratelimit-remaining-requests": requests[0],
        "x-ratelimit-reset-requests": requests[1],
        "x-ratelimit-remaining-tokens": tokens[0],
        "x-ratelimit-reset-tokens": tokens[1],
    }

    assert wait(headers) == seconds


def test_more_particular_wait_wins():
    """The header is the answer to the question; the sentence is nearer to it than the limits."""
    headers = {"Retry-After": "1", "x-ratelimit-reset-requests": "3s"}
    text = "try again in 2s"

    assert wait(headers, message=text) == 1.0
    assert wait({"x-ratelimit-reset-requests": "3s"}, message=text) == 2.0


def test_nothing_is_made_up():
    """Without a word about it there is no wait."""
    assert wait() is None
    assert wait({}) is None
    assert classify(FromVendor(headers=["Retry-After"])).failure.retry_after is None


# --- it never raises ---------------------------------------------------------------------------


@given(st.text() | st.from_regex(r"(try again in )?[0-9smh., :GMTOct-]{1,30}"))
def test_any_text_is_nothing_or_a_wait_within_a_day(text):
    """Whatever a provider sends, a wait is a finite number of seconds."""
    headers = {"retry-after": text, "retry-after-ms": text, "x-ratelimit-reset-tokens": text}
    waits = (
        _retry_after.in_headers(headers, now=SENT_UNIX),
        _retry_after.in_headers({"retry-after": text, "date": text}, now=SENT_UNIX),
        _retry_after.in_limits(headers),
        _retry_after.in_text(text),
    )

    assert all(wait is None or (math.isfinite(wait) and 0 <= wait <= DAY) for wait in waits)


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

    headers = request_id = response = status_code = message = body


class Unreadable(dict[str, str]):
    """Headers, or a body, that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no items")

    def get(self, *_: object) -> Any:
        raise RuntimeError("no items")


def cycle() -> BaseException:
    first, second, third = APIConnectionError("1"), APIConnectionError("2"), ValueError("3")
    first.__cause__, second.__cause__, third.__context__ = second, third, first
    return first


def group_in_its_own_chain() -> BaseException:
    member = ValueError("1")
    member.__cause__ = ExceptionGroup("both", [member, ExceptionGroup("one", [member])])
    return member


def deep_groups() -> BaseException:
    error: Exception = ValueError("0")
    for _ in range(500):
        error = ExceptionGroup("one", [error])
    return error


def long_chain() -> BaseException:
    error: BaseException = ValueError("0")
    for number in range(1, 5000):
        outer = APIConnectionError(str(number))
        outer.__cause__, error = error, outer
    return error


def circular_body() -> BaseException:
    body: dict[str, object] = {}
    body["error"] = [body, body]
    return refused(body=body)


NASTY = {
    "cycle": cycle,
    "group in its own chain": group_in_its_own_chain,
    "deep groups": deep_groups,
    "long chain": long_chain,
    "every attribute raises": NastyError,
    "so do those of its group": lambda: ExceptionGroup("one", [NastyError()]),
    "header is None": lambda: FromVendor(headers={"Retry-After": None}),
    "header is a list": lambda: FromVendor(headers={"Retry-After": ["1", "2"]}),
    "header has no text": lambda: FromVendor(headers={"Retry-After": Nasty()}),
    "headers are bytes": lambda: FromVendor(headers={None: b"1", b"retry-after": b"1"}),
    "headers cannot be read": lambda: FromVendor(headers=Unreadable(a="b")),
    "nothing has a text": lambda: FromVendor(headers=Nasty(), response=Nasty(), body=Nasty()),
    "body has no text": lambda: refused(body=Nasty()),
    "body cannot be read": lambda: refused(body=Unreadable(a="b")),
    "body holds itself": circular_body,
    "body is nested like a tower": lambda: refused(body="[" * 100_000),
    "so is the message": lambda: APIError("{" * 100_000),
    "message is no text": lambda: FromVendor(message=Nasty(), status_code="429"),
}


@pytest.mark.parametrize("make", NASTY.values(), ids=NASTY.keys())
def test_classify_never_raises(make):
    """Whatever an exception does when it is looked at, it is one failed attempt and no more."""
    assert classify(make()).failure.counts
