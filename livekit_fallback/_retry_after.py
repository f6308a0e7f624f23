# SPDX-License-Identifier: Apache-2.0
"""How long a provider asks to be left alone, read in each of the places where it may say so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime

# Whoever asks for more than a day will not be back within the call that is waiting.
_LONGEST_SEC = 86400.0

# The wait stands at the beginning; what follows may be long, and searching it would take time.
_LONGEST_TEXT = 4096

_SECONDS_PER_UNIT = {
    unit: seconds
    for seconds, units in (
        (0.001, "ms millisecond milliseconds"),
        (1.0, "s sec secs second seconds"),
        (60.0, "m min mins minute minutes"),
        (3600.0, "h hr hrs hour hours"),
        (86400.0, "d day days"),
    )
    for unit in units.split()
}

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)")

# "Please try again in 1m30s" (OpenAI, Groq), "Please retry after 6 seconds" (Azure), "Please
# retry in 8.94s" (Gemini), and the RetryInfo of Google's APIs: "retryDelay": "13s".
_ANNOUNCEMENT = re.compile(r"(?:try again|retry) (?:in|after) |retrydelay[\"']?\s*:\s*[\"']")

_LIMITS = ("requests", "tokens")


def in_chain(chain: Sequence[BaseException], *, now: float | None, limited: bool) -> float | None:
    """Return the seconds that an exception, or one that it was raised from, asks for.

    Never raises, whatever the exceptions' attributes do.

    Args:
        chain: The exceptions, the outermost first.
        now: Unix seconds, see ``in_headers``.
        limited: Whether the failure is a rate limit. Only then has a text, or a limit in the
            headers, to do with it.
    """
    headers = [_headers(error) for error in chain]
    waits = [in_headers(found, now=now) for found in headers]
    if limited:
        # a message is about this request; a limit's reset is when all of it is there again
        waits += map(in_text, _texts(chain))
        waits += map(in_limits, headers)
    return next((wait for wait in waits if wait is not None), None)


def in_headers(headers: Mapping[str, str], *, now: float | None) -> float | None:
    """Return the seconds that ``retry-after-ms`` or ``retry-after`` ask for.

    Args:
        headers: Headers of one response, by lower-case name.
        now: Unix seconds, for a ``retry-after`` that is a date. Read only if the response has
            no ``date`` of its own, from which the provider has counted; without either, a
            date says nothing.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    until, since = _date(value), _date(headers.get("date", ""))
    since = now if since is None else since
    return None if until is None or since is None else _bounded(until - since)


def in_limits(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the limits in a 429's headers are reset, as OpenAI sends them.

    A limit of which something remains is not what the request ran into, unless that is so for
    all: then too little remained of one of them, and the headers do not say of which.
    """
    resets = {limit: _reset(headers.get(f"x-ratelimit-reset-{limit}", "")) for limit in _LIMITS}
    known = {limit: seconds for limit, seconds in resets.items() if seconds}
    used_up = [known[limit] for limit in known if _remaining(headers, limit) == 0]
    return max(used_up or known.values(), default=None)


def in_text(text: str) -> float | None:
    """Return the seconds that a message or a body asks for in words."""
    text = text[:_LONGEST_TEXT].lower()
    waits = (_duration(text, announced.end()) for announced in _ANNOUNCEMENT.finditer(text))
    return next((wait for wait in waits if wait is not None), None)


def _headers(error: BaseException) -> dict[str, str]:
    try:
        headers = getattr(error, "headers", None) or error.response.headers  # type: ignore[attr-defined]
        return {name.lower(): str(value) for name, value in headers.items()}
    except Exception:  # no headers, or somebody else's mistake
        return {}


def _texts(chain: Sequence[BaseException]) -> Iterator[str]:
    for error in chain:
        for name in ("body", "message"):
            try:
                yield str(getattr(error, name, ""))
            except Exception:  # an attribute of somebody else's exception, or its text
                continue


def _remaining(headers: Mapping[str, str], limit: str) -> float | None:
    return _number(headers.get(f"x-ratelimit-remaining-{limit}", ""))


def _reset(value: str) -> float | None:
    """Read ``6m0s`` (OpenAI) or ``59`` (Azure); nothing from -1 for "unknown", or a timestamp."""
    seconds = _number(value)
    if seconds is None:
        return _duration(value.lower())
    return seconds if 0 <= seconds <= _LONGEST_SEC else None


def _duration(text: str, start: int = 0) -> float | None:
    """Add up the parts of ``1m30s`` or ``2 minutes 3 seconds``, up to the first other word."""
    total: float | None = None
    while (part := _PART.match(text, start)) and part[2] in _SECONDS_PER_UNIT:
        total = (total or 0.0) + float(part[1]) * _SECONDS_PER_UNIT[part[2]]
        start = part.end()
    return None if total is None else _bounded(total)


def _date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except Exception:  # no date: the parser says so in several ways
        return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_SEC)
