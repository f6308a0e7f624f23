# SPDX-License-Identifier: Apache-2.0
"""What a speech provider may raise: LiveKit's errors, a network library's, anyone's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

STATUSES = [400, 401, 402, 403, 404, 408, 413, 422, 429, 499, 500, 503, 529]

ERRORS: dict[str, Callable[[], BaseException]] = {
    "connection": APIConnectionError,
    "timeout": APITimeoutError,
    "api": lambda: APIError("odd"),
    "bare-timeout": TimeoutError,
    "value": lambda: ValueError("no json"),
    "refused": ConnectionRefusedError,
    "aiohttp": aiohttp.ServerDisconnectedError,
    "group": lambda: BaseExceptionGroup("several", [ValueError(), asyncio.CancelledError()]),
    "base": lambda: BaseException("not even an exception"),
    "cancelled": asyncio.CancelledError,
}


def gone() -> APIConnectionError:
    """The connection to the provider broke."""
    return APIConnectionError("gone")


def status(code: int) -> APIStatusError:
    """The provider answered with this status."""
    return APIStatusError(f"status {code}", status_code=code)
