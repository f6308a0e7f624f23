# SPDX-License-Identifier: Apache-2.0
"""Operators take providers out and back in, and say who is asked first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, FallbackLLM, Provider
from tests.support.fakes import (
    ScriptedLLM,
    Wait,
)
from tests.support.outage import (
    BATCH_STT,
    BATCH_TTS,
    DOWN,
    LLM,
    STT,
    TTS,
    Kind,
    breaks,
    line,
)

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
every_kind = pytest.mark.parametrize("kind", [LLM, STT, BATCH_STT, TTS, BATCH_TTS], ids=repr)


def pair(census: Census, kind: Kind, **options: Any) -> Line:
    """Two providers that are well."""
    return line(census, kind, kind.answer("a"), kind.answer("b"), **options)


def availability(chain: Line) -> list[tuple[str, bool, str]]:
    changes = chain.events.of(f"{chain.adapter.component}_availability_changed")
    return [(e.provider, e.available, e.reason) for e in changes]


# --- services -----------------------------------------------------------------------------------


@every_kind
async def test_services_are_the_instances_passed_in(kind: Kind, census: Census):
    """In priority order, whatever the adapter has wrapped them in."""
    chain = pair(census, kind)

    assert chain.adapter.services == [chain.providers["a"], chain.providers["b"]]


@every_kind
async def test_the_active_service_is_who_is_asked_next(kind: Kind, census: Census):
    """The primary, the backup while the primary rests, the primary again."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), temporary_disable_sec=5)
    active = [chain.adapter.active_service]

    await chain.use()
    active.append(chain.adapter.active_service)
    await asyncio.sleep(6)
    active.append(chain.adapter.active_service)

    a, b = chain.providers["a"], chain.providers["b"]
    assert active == [a, b, a]


def test_everything_works_before_there_is_a_loop():
    """A worker configures its adapters while it starts."""
    a, b = ScriptedLLM(), ScriptedLLM()
    adapter = FallbackLLM([a, Provider(b, name="b")], health_check_interval=30.0)

    adapter.disable(a)
    while_disabled = adapter.active_service
    adapter.enable(a)
    adapter.prefer("b")
    preferred = adapter.active_service
    adapter.reset()

    assert (while_disabled, preferred, adapter.active_service) == (b, b, a)
    assert adapter.get_service_health(a).state == "healthy"


@each_kind
@pytest.mark.parametrize("method", ["disable", "enable", "prefer"])
async def test_an_unknown_service_is_refused(kind: Kind, method: str, census: Census):
    """The error names the services there are, and nothing has changed."""
    chain = pair(census, kind)

    for unknown in ("c", kind.make(DOWN)):
        with pytest.raises(ValueError, match=r"service=.* must be a provider of .*: 'a', 'b'"):
            getattr(chain.adapter, method)(unknown)
    assert chain.events.names == []
    assert chain.adapter.active_service is chain.providers["a"]


# --- disable ------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("by_name", [True, False], ids=["name", "instance"])
async def test_a_disabled_provider_gets_no_requests(kind: Kind, by_name: bool, census: Census):
    """Traffic goes elsewhere at once: no failover, no error, no probe, however long it takes."""
    chain = pair(census, kind, temporary_disable_sec=1)
    chain.adapter.disable("a" if by_name else chain.providers["a"], reason="maintenance")

    answers = []
    for _ in range(5):
        answers.append(await chain.use())
        await asyncio.sleep(100)

    assert answers == ["b"] * 5
    assert chain.asked == "bbbbb"
    assert {"failover", "error", "probed"}.isdisjoint(chain.events.names)


@each_kind
async def test_disabling_is_told_once_with_its_reason(kind: Kind, census: Census):
    """Subscribers learn that it is out, and by whose will; a second time is no news."""
    chain = pair(census, kind)

    chain.adapter.disable("a", reason="maintenance")
    chain.adapter.disable("a", reason="maintenance")

    (event,) = chain.events.of("health_changed")
    assert (event.component, event.provider) == (chain.adapter.component, "a")
    assert (event.before, event.after, event.reason) == ("healthy", "disabled", "maintenance")
    assert (event.kind, event.error, event.rest, event.down_for) == ("", None, 0.0, 0.0)
    assert availability(chain) == [("a", False, "maintenance")]
    health = chain.adapter.get_service_health("a")
    assert (health.state, health.healthy, health.reason) == ("disabled", False, "maintenance")


async def test_the_newest_reason_is_kept(census: Census):
    """A provider that was out already is out for what was said last."""
    primary = LLM.make(DOWN, DOWN)
    chain = line(census, LLM, primary, LLM.answer("b"), permanent_disable_after_attempts=1)
    await chain.use()
    await asyncio.sleep(6)
    assert chain.state() == "disabled"

    chain.adapter.disable("a", reason="key revoked")

    assert chain.adapter.get_service_health("a").reason == "key revoked"


@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_a_request_under_way_is_not_cut_off(kind: Kind, census: Census):
    """Who is being served is served to the end; what comes of it changes nothing."""
    slow = [*kind.answer("a")[:1], Wait(1), *kind.answer("a")[1:]]
    chain = line(census, kind, [Wait(1), *slow], kind.answer("b"))
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(0.5)

    chain.adapter.disable("a")

    assert await asking == "a"
    assert chain.state() == "disabled"
    assert await chain.use() == "b"


async def test_a_late_failure_of_a_disabled_provider_is_still_made_good(census: Census):
    """The request under way fails over as always, and the provider stays disabled."""
    chain = line(census, LLM, [Wait(1), *DOWN], LLM.answer("b"))
    asking = asyncio.create_task(chain.use())
    await asyncio.sleep(0.5)

    chain.adapter.disable("a")

    assert await asking == "b"
    assert chain.moves() == ["disabled"]


async def test_a_disabled_provider_is_not_even_the_last_resort(census: Census):
    """Somebody had a reason: it is not asked when all others fail."""
    chain = line(census, LLM, LLM.answer("a"), DOWN, DOWN, total_timeout=3.0)
    chain.adapter.disable("a")

    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.use()

    assert {attempt.provider for attempt in caught.value.attempts} == {"b", "c"}
    assert "a" not in chain.asked


@each_kind
async def test_the_last_one_that_is_enabled_stays(kind: Kind, census: Census):
    """An agent without any provider could only be silent."""
    chain = pair(census, kind)
    chain.adapter.disable("a")

    with pytest.raises(ValueError, match=r"service='b': must not be the last one .* enabled"):
        chain.adapter.disable("b")

    assert chain.state("b") == "healthy"
    chain.adapter.enable("a")
    chain.adapter.disable("b")
    assert await chain.use() == "a"


async def test_a_lone_provider_cannot_be_disabled(census: Census):
    """It is the last one from the beginning."""
    chain = line(census, LLM, LLM.answer("a"))

    with pytest.raises(ValueError, match="must not be the last one"):
        chain.adapter.disable("a")


async def test_one_that_is_down_counts_as_enabled(census: Census):
    """The only one left may be cooling down: it is asked all the same."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"))
    await chain.use()

    chain.adapter.disable("b")

    assert await chain.use() == "a"


async def test_a_probe_in_flight_does_not_bring_a_disabled_provider_back(census: Census):
    """It was disabled after the probe went out, so what the probe found is old news."""
    primary = LLM.make(DOWN, [Wait(2), *LLM.answer("a")])
    chain = line(census, LLM, primary, LLM.answer("b"), temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(6)
    assert chain.state() == "probing"

    chain.adapter.disable("a")
    await asyncio.sleep(60)

    assert chain.state() == "disabled"
    assert await chain.use() == "b"
