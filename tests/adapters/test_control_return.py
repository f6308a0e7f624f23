# SPDX-License-Identifier: Apache-2.0
"""Operators give providers back their traffic: `enable`, `prefer`, `reset`; speech streams too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.caller import calling
from tests.support.errors import status
from tests.support.fakes import (
    AfterFrames,
    Fail,
    Final,
    Interim,
    SpeechEnd,
    SpeechStart,
    finals_of,
)
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)


def pair(census: Census, kind: Kind, **options: Any) -> Line:
    """Two providers that are well."""
    return line(census, kind, kind.answer("a"), kind.answer("b"), **options)


def moves(chain: Line) -> list[tuple[str, str, str]]:
    return [(e.provider, e.before, e.after) for e in chain.events.of("health_changed")]


# --- enable -------------------------------------------------------------------------------------


@each_kind
async def test_an_enabled_provider_is_on_probation(kind: Kind, census: Census):
    """It is asked first again at once, and trusted once it has served well."""
    chain = pair(census, kind, probation_successes=2)
    chain.adapter.disable("a")
    await chain.use()
    await asyncio.sleep(7)

    chain.adapter.enable("a")

    assert chain.state() == "probation"
    assert chain.events.of("health_changed")[-1].down_for == pytest.approx(7, abs=0.01)
    assert [await chain.use(), await chain.use()] == ["a", "a"]
    assert chain.moves() == ["disabled", "probation", "healthy"]
    changes = chain.events.of(f"{chain.adapter.component}_availability_changed")
    assert [event.available for event in changes] == [False, True]


@each_kind
async def test_enabling_ends_a_cool_down(kind: Kind, census: Census):
    """Who knows that a provider is back need not wait for its probe."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), temporary_disable_sec=300)
    await chain.use()

    chain.adapter.enable("a")

    assert moves(chain) == [("a", "healthy", "cooling_down"), ("a", "cooling_down", "probation")]
    assert await chain.use() == "a"


@each_kind
async def test_enabling_a_provider_that_is_asked_anyway_changes_nothing(kind: Kind, census: Census):
    """Neither its health nor what it has proven on probation."""
    chain = pair(census, kind)

    chain.adapter.enable("a")
    chain.adapter.disable("a")
    chain.adapter.enable("a")
    chain.adapter.enable("a")

    assert chain.moves() == ["disabled", "probation"]


async def test_one_that_was_given_up_is_enabled(census: Census):
    """After too many failed recoveries a person decides, and a person can decide otherwise."""
    primary = LLM.make(DOWN, DOWN, LLM.answer("a"))
    chain = line(census, LLM, primary, LLM.answer("b"), permanent_disable_after_attempts=1)
    await chain.use()
    await asyncio.sleep(6)
    given_up = chain.state()

    chain.adapter.enable("a")

    assert (given_up, await chain.use()) == ("disabled", "a")


async def test_one_that_was_enabled_too_early_goes_back_for_longer(census: Census):
    """Enabling is no amnesty: the failures so far still count."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), temporary_disable_sec=5, probe=None)
    await chain.use()

    chain.adapter.enable("a")
    await chain.use()

    assert chain.rests() == [5.0, 10.0]


# --- prefer -------------------------------------------------------------------------------------


@each_kind
async def test_the_preferred_provider_is_asked_first(kind: Kind, census: Census):
    """Until told otherwise, without anybody's health being touched."""
    chain = pair(census, kind)
    answers = [await chain.use()]

    chain.adapter.prefer(chain.providers["b"])
    answers += [await chain.use(), await chain.use()]
    chain.adapter.prefer(None)
    answers += [await chain.use()]

    assert answers == ["a", "b", "b", "a"]
    assert moves(chain) == []


@each_kind
async def test_preferring_shows_at_once(kind: Kind, census: Census):
    """The active service is who the next request goes to."""
    chain = pair(census, kind)

    chain.adapter.prefer("b")

    assert chain.adapter.active_service is chain.providers["b"]


async def test_one_that_is_down_is_preferred_once_it_is_back(census: Census):
    """A preference is no order: while it rests the list's order holds."""
    chain = line(census, LLM, LLM.answer("a"), breaks(LLM, then=LLM.answer("b")), LLM.answer("c"))
    chain.adapter.prefer("b")

    answers = [await chain.use(), await chain.use()]
    await asyncio.sleep(6)
    answers.append(await chain.use())

    assert answers == ["a", "a", "b"]


async def test_the_last_preference_holds(census: Census):
    """There is one at a time."""
    chain = line(census, LLM, *(LLM.answer(name) for name in "abc"))

    chain.adapter.prefer("b")
    chain.adapter.prefer("c")

    assert await chain.use() == "c"


async def test_preferring_wins_over_staying(census: Census):
    """A person's word is newer than what `sticky` and the dwell time hold on to."""
    chain = pair(census, LLM, sticky=True, min_dwell_sec=60)
    await chain.use()

    chain.adapter.prefer("b")

    assert await chain.use() == "b"


# --- reset --------------------------------------------------------------------------------------


@each_kind
async def test_reset_forgets_failures_disabling_and_preference(kind: Kind, census: Census):
    """Everybody is healthy and the list's order holds, as in a new adapter."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), kind.answer("c"))
    await chain.use()
    chain.adapter.disable("b", reason="maintenance")
    chain.adapter.prefer("c")

    chain.adapter.reset()

    found = [chain.adapter.get_service_health(name) for name in "abc"]
    assert [(h.state, h.reason, h.last_error, h.consecutive_failures) for h in found] == [
        ("healthy", "", None, 0)
    ] * 3
    assert moves(chain)[-2:] == [("a", "cooling_down", "healthy"), ("b", "disabled", "healthy")]
    assert await chain.use() == "a"


async def test_reset_keeps_the_counts(census: Census):
    """What happened has happened."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"))
    await chain.use()

    chain.adapter.reset()

    health = chain.adapter.get_service_health("a")
    assert (health.requests, dict(health.failures)) == (1, {"transient": 1})
    assert chain.adapter.get_service_health("b").share == 1.0


async def test_reset_forgets_how_long_the_rests_have_grown(census: Census):
    """The next outage begins with the first cool-down."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(6)

    chain.adapter.reset()
    await chain.use()

    assert chain.rests() == [5.0, 10.0, 5.0]


async def test_reset_of_a_healthy_chain_is_no_news(census: Census):
    """Nothing has changed, so nothing is said."""
    chain = pair(census, LLM)

    chain.adapter.reset()

    assert chain.events.names == []


@each_kind
async def test_reset_calls_off_the_probe_that_was_due(kind: Kind, census: Census):
    """A provider that is healthy has nothing to prove, and its probe would cost something."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(2)

    chain.adapter.reset()
    await asyncio.sleep(60)

    assert chain.asked == "ab"
    assert chain.probes() == []


async def test_an_outage_after_reset_is_probed_as_any_other(census: Census):
    """Calling off the old probe does not call off the new one."""
    primary = LLM.make(DOWN, DOWN, LLM.answer("a"))
    chain = line(census, LLM, primary, LLM.answer("b"), temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(2)

    chain.adapter.reset()
    await chain.use()
    await asyncio.sleep(4.9)
    early = chain.state()
    await asyncio.sleep(0.2)

    assert (early, chain.state()) == ("cooling_down", "probation")


# --- speech streams -----------------------------------------------------------------------------

# An utterance of ten frames, another of ten after it, and so on until the caller falls silent.
TALK: Script = [
    step
    for n in range(3)
    for step in (
        AfterFrames(10 * n + 3),
        SpeechStart(),
        Interim("one"),
        AfterFrames(10 * n + 10),
        Final(f"a{n}"),
        SpeechEnd(),
    )
]
LISTENS: Script = [AfterFrames(3), Final("b")]


@pytest.mark.parametrize("method", ["disable", "prefer"])
async def test_a_speech_stream_leaves_between_two_utterances(method: str, census: Census):
    """Not a word is cut: the one under way is finished where it began."""
    chain = line(census, STT, TALK, LISTENS)

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        getattr(chain.adapter, method)("a" if method == "disable" else "b")
        await caller.speak(4)
        during = chain.asked
        await caller.speak(10)

    assert during == "a"
    assert finals_of(caller.events) == ["a0", "b"]
    assert chain.call("a").closed_at is not None
    assert "failover" not in chain.events.names


@pytest.mark.parametrize("method", ["disable", "prefer"])
async def test_a_speech_stream_at_rest_leaves_at_once(method: str, census: Census):
    """Nobody has to speak first."""
    chain = line(census, STT, TALK, LISTENS)

    async with calling(chain.adapter) as caller:
        await caller.speak(11)
        getattr(chain.adapter, method)("a" if method == "disable" else "b")
        await asyncio.sleep(0.1)
        moved = chain.asked
        await caller.speak(5)

    assert moved == "ab"
    assert finals_of(caller.events) == ["a0", "b"]


async def test_a_speech_stream_comes_back_when_its_provider_is_enabled(census: Census):
    """The return is as quiet as the leaving."""
    ears = STT.make(TALK, [AfterFrames(3), Final("back")])
    chain = line(census, STT, ears, LISTENS)

    async with calling(chain.adapter) as caller:
        await caller.speak(11)
        chain.adapter.disable("a")
        await caller.speak(5)
        chain.adapter.enable("a")
        await caller.speak(5)

    assert finals_of(caller.events) == ["a0", "b", "back"]
    assert "error" not in chain.events.names


async def test_reset_takes_a_speech_stream_back(census: Census):
    """The list's order holds again for the call under way, too."""
    ears = STT.make([Fail(status(401))], [AfterFrames(3), Final("back")])
    chain = line(census, STT, ears, LISTENS)

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        chain.adapter.reset()
        await caller.speak(5)

    assert finals_of(caller.events) == ["b", "back"]


async def test_reset_of_a_preference_takes_a_speech_stream_back(census: Census):
    """Nobody's health has changed, but the order has."""
    chain = line(census, STT, [AfterFrames(3), Final("a")], LISTENS)
    chain.adapter.prefer("b")

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        chain.adapter.reset()
        await caller.speak(5)

    assert finals_of(caller.events) == ["b", "a"]
