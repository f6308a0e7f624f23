# SPDX-License-Identifier: Apache-2.0
"""What tests of all components do the same way: a case table, and waiting with a bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.local_providers import LocalProviders
    from tests.support.recorder import EventRecorder

ATTEMPT = 0.5
STALL = 0.5
DEADLINES: dict[str, Any] = {"attempt_timeout": ATTEMPT, "stall_timeout": STALL}
LATE = 3 * ATTEMPT  # later than any deadline above, for faults that are slow
SLACK = 1.0  # how late a busy machine may be

REFUSALS = (400, 401, 402, 403, 404, 408, 429, 500, 503, 529)

Fault = dict[str, Any]
Cases = dict[str, tuple[Fault, str]]
"""By name: a fault, and the reason that its failure has in events."""


def statuses(*codes: int) -> Cases:
    """One case for each status: the plugin reports it as what it is."""
    return {
        f"status {code}": ({"mode": "status", "status": code}, f"http_{code}") for code in codes
    }


def each(cases: Cases) -> pytest.MarkDecorator:
    """Run a test of ``fault`` and ``reason`` for each case."""
    return pytest.mark.parametrize(("fault", "reason"), cases.values(), ids=cases.keys())


async def comes_true(condition: Callable[[], object], *, within: float) -> bool:
    """Wait for something that takes a moment on a real wire; return whether it happened."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - nothing tells when a journal has grown
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True


async def until(condition: Callable[[], object], *, within: float = SLACK) -> None:
    """Wait for something that has to happen."""
    assert await comes_true(condition, within=within), f"did not happen within {within} s"


def wrote(providers: LocalProviders, vendor: str, service: str, event: str) -> int:
    """How often the providers noted an event in their journal."""
    wanted = (vendor, service, event)
    return sum((e["vendor"], e["service"], e["event"]) == wanted for e in providers.log)


def served(providers: LocalProviders, service: str) -> list[str]:
    """The vendors that gave useful output, in order."""
    return [
        entry["vendor"]
        for entry in providers.log
        if entry["service"] == service and entry["event"] == "first_output"
    ]


def failovers(events: EventRecorder) -> list[tuple[str, str, str]]:
    """From, to and reason of every failover."""
    return [(e.from_provider, e.to_provider, e.reason) for e in events.of("failover")]


def recoverable(events: EventRecorder) -> list[bool]:
    """Whether the call could go on, for each error that the session was told of."""
    return [error.recoverable for error in events.of("error")]
