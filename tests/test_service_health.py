# SPDX-License-Identifier: Apache-2.0
"""What `get_service_health` says of a provider, through an outage and back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIStatusError

from livekit_fallback import AllProvidersFailedError, ServiceHealth
from livekit_fallback.core.outcome import FailureKind
from tests.support.errors import status
from tests.support.fakes import (
    Fail,
    Wait,
)
from tests.support.ids import stable
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

KINDS = [LLM, STT, TTS]

each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


def health(chain: Line, name: str = "a") -> ServiceHealth:
    found: ServiceHealth = chain.adapter.get_service_health(name)
    return found


# --- who is asked about -------------------------------------------------------------------------


@each_kind
async def test_of_a_provider_that_was_never_asked(kind: Kind, census: Census):
    """Before the first request everybody is healthy, since the adapter was made."""
    made_at = time.time()
    chain = line(census, kind, DOWN, DOWN)
    await asyncio.sleep(100)

    assert asdict(health(chain)) == {
        "name": "a",
        "state": "healthy",
        "healthy": True,
        "reason": "",
        "disabled_by_hand": False,
        "last_error": None,
        "last_failure": None,
        "since": pytest.approx(made_at, abs=1e-3),
        "cooldown_remaining": 0.0,
        "consecutive_failures": 0,
        "requests": 0,
        "successes": 0,
        "failures": {},
        "cancelled": 0,
        "overtaken": 0,
        "hedges": 0,
        "slow": 0,
        "latency_p50": None,
        "latency_p95": None,
        "latency_p99": None,
        "share": 0.0,
        "probes": 0,
        "probe_usage": 0,
    }


@each_kind
async def test_by_name_and_by_instance_is_the_same(kind: Kind, census: Census):
    """Whoever holds the provider needs no name for it, and the other way round."""
    chain = line(census, kind, breaks(kind), kind.answer("b"))
    await chain.use()

    for name, instance in chain.providers.items():
        assert chain.adapter.get_service_health(instance) == health(chain, name)
        assert health(chain, name).name == name


@each_kind
@pytest.mark.parametrize("unknown", ["c", "", None, 0, object()], ids=stable)
async def test_an_unknown_service_is_refused_with_the_known_ones(
    kind: Kind, unknown: Any, census: Census
):
    """A typing mistake is answered with what is allowed."""
    chain = line(census, kind, DOWN, DOWN)

    with pytest.raises(ValueError, match=r"service=.* must be a provider of .*: 'a', 'b'"):
        chain.adapter.get_service_health(unknown)


@each_kind
async def test_somebody_else_s_provider_is_unknown(kind: Kind, census: Census):
    """An equal provider is not the same one."""
    chain = line(census, kind, DOWN, DOWN)

    with pytest.raises(ValueError, match="must be a provider of this adapter"):
        chain.adapter.get_service_health(kind.make(DOWN))


async def test_what_was_returned_does_not_change(census: Census):
    """It is the health at one moment, safe to keep."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"))
    before = health(chain)

    await chain.use()

    assert (before.state, before.requests) == ("healthy", 0)
    with pytest.raises(AttributeError):
        before.state = "disabled"  # type: ignore[misc]


# --- an outage and back -------------------------------------------------------------------------


@each_kind
async def test_states_through_an_outage_and_back(kind: Kind, census: Census):
    """Healthy, cooling down, probing, on probation, healthy: each with its time and its reason."""
    slow_probe = [Wait(1), *kind.answer("a")]
    primary = kind.make(DOWN, slow_probe, kind.answer("a"))
    chain = line(census, kind, primary, kind.answer("b"), temporary_disable_sec=5)
    start = time.time()
    seen: list[tuple[str, bool, str, float]] = []

    for seconds in (0, 4, 2, 1):
        await asyncio.sleep(seconds)
        if not seen:
            await chain.use()
        it = health(chain)
        seen.append((it.state, it.healthy, it.reason, round(it.since - start, 1)))
    while health(chain).state == "probation":
        await chain.use()

    assert seen == [
        ("cooling_down", False, "connection", 0.0),
        ("cooling_down", False, "connection", 0.0),
        ("probing", False, "connection", 5.0),
        ("probation", True, "connection", 6.0),
    ]
    assert (health(chain).state, health(chain).healthy) == ("healthy", True)
    assert health(chain).reason == ""
    assert health(chain).since == pytest.approx(time.time(), abs=0.1)


@each_kind
async def test_the_cool_down_is_counted_down(kind: Kind, census: Census):
    """Seconds until the provider may be probed; none once it is, or is well."""
    primary = kind.make(DOWN, [Wait(1), *kind.answer("a")])
    chain = line(census, kind, primary, kind.answer("b"), temporary_disable_sec=5)
    await chain.use()

    left = []
    for _ in range(7):
        left.append(health(chain).cooldown_remaining)
        await asyncio.sleep(0.9999)

    assert left == pytest.approx([5, 4, 3, 2, 1, 0, 0], abs=0.001)


async def test_a_cool_down_that_is_over_is_never_negative(census: Census):
    """A provider that waits for a request to prove itself has nothing left to wait for."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe="live", temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(60)

    assert (health(chain).state, health(chain).cooldown_remaining) == ("cooling_down", 0.0)


@pytest.mark.parametrize("method", ["enable", "disable", "reset"])
async def test_a_cool_down_that_was_ended_by_hand_is_not_counted(method: str, census: Census):
    """Only a provider that rests has something left to rest."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), temporary_disable_sec=300)
    await chain.use()

    getattr(chain.adapter, method)(*([] if method == "reset" else ["a"]))

    assert health(chain).cooldown_remaining == 0.0


@each_kind
async def test_the_last_error_is_the_provider_s_own(kind: Kind, census: Census):
    """With status, request id, body, and how long the attempt took."""
    error = APIStatusError("down", status_code=503, request_id="req_7", body={"code": "busy"})
    chain = line(census, kind, [Wait(0.5), Fail(error)], kind.answer("b"))

    await chain.use()

    it = health(chain)
    report = it.last_failure
    assert it.last_error is error
    assert report is not None
    assert report.error is error
    assert (report.provider, report.kind, report.reason) == ("a", FailureKind.TRANSIENT, "http_503")
    assert (report.status_code, report.request_id) == (503, "req_7")
    assert report.body == {"code": "busy"}
    assert report.duration == pytest.approx(0.5, abs=0.02)
    assert health(chain, "b").last_error is None


async def test_the_last_error_outlives_the_recovery(census: Census):
    """What went wrong last night can be read in the morning; the reason is gone with the outage."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe="live", probation_successes=1)
    await chain.use()
    await asyncio.sleep(10)

    await chain.use()
    await chain.use()

    it = health(chain)
    assert (it.state, it.reason) == ("healthy", "")
    assert it.last_error is chain.call("a").error


async def test_the_last_error_of_a_probe_counts(census: Census):
    """The newest exception is the one to look at, whoever met it."""
    primary = LLM.make(DOWN, [Fail(status(403))])
    chain = line(census, LLM, primary, LLM.answer("b"), temporary_disable_sec=5)
    await chain.use()

    await asyncio.sleep(6)

    it = health(chain)
    assert it.last_failure is not None
    assert (it.reason, it.last_failure.status_code) == ("http_403", 403)


@pytest.mark.parametrize("blamed_by", ["everybody", "rule"])
async def test_the_last_failure_of_a_request_that_was_at_fault_says_so(
    blamed_by: str, census: Census
):
    """The kinds that are counted and the kind of the newest agree."""
    rejects = [Fail(lambda: status(404))]
    rule = (lambda *_: False) if blamed_by == "rule" else None
    chain = line(census, LLM, rejects, rejects, should_failover=rule)

    with pytest.raises(APIStatusError if rule else AllProvidersFailedError):
        await chain.use()

    it = health(chain)
    assert it.failures == {"request": 1}
    assert it.last_failure is not None
    assert it.last_failure.kind is FailureKind.REQUEST
    assert it.last_error is chain.call("a").error


@each_kind
async def test_disabled_by_hand_is_told_apart_from_given_up(kind: Kind, census: Census):
    """One is never asked, the other is the last resort."""
    options = {"permanent_disable_after_attempts": 1, "temporary_disable_sec": 0.5}
    chain = line(census, kind, DOWN, kind.answer("b"), probe="ping", **options)
    await chain.use()
    await asyncio.sleep(1)
    given_up = health(chain)

    chain.adapter.disable("a")
    by_hand = health(chain)
    chain.adapter.enable("a")

    assert (given_up.state, given_up.disabled_by_hand) == ("disabled", False)
    assert (by_hand.state, by_hand.disabled_by_hand) == ("disabled", True)
    assert not health(chain).disabled_by_hand


async def test_failures_in_a_row_include_probes_and_end_with_the_recovery(census: Census):
    """What was met since the provider was last healthy: probation forgets nothing yet."""
    primary = LLM.make(DOWN, DOWN, DOWN, LLM.answer("a"))
    chain = line(census, LLM, primary, LLM.answer("b"), probe="live", temporary_disable_sec=5)
    counts = []

    for rest in (0, 5, 10, 20, 0, 0, 0):
        await asyncio.sleep(rest)
        await chain.use()
        counts.append(health(chain).consecutive_failures)

    assert counts == [1, 2, 3, 3, 3, 3, 0]
