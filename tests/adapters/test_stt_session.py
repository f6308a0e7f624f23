# SPDX-License-Identifier: Apache-2.0
"""`attach(session)`: recognisers timed by what a session reports, without a detector of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent
from livekit.agents.llm import ChatMessage, FunctionCall

from livekit_fallback import FallbackSTT, Provider
from tests.support.audio import frames, numbered
from tests.support.caller import FRAME, calling
from tests.support.fakes import (
    AfterFrames,
    Final,
    Preflight,
    ScriptedSTT,
    ScriptedVAD,
    Step,
    Wait,
    finals_of,
)
from tests.support.ids import stable
from tests.support.outage import ALL_EVENTS
from tests.support.recorder import EventRecorder
from tests.support.script import now
from tests.support.virtual_time import block

if TYPE_CHECKING:
    from livekit.agents import vad

    from tests.support.census import Census


@pytest.fixture
async def session() -> AgentSession[Any]:
    return AgentSession()


def _listeners(
    census: Census, session: AgentSession[Any] | None, *, detector: vad.VAD | None = None, **o: Any
) -> tuple[FallbackSTT, EventRecorder]:
    """Two recognisers, timed by a session or by a detector."""
    providers = [ScriptedSTT([], name=name) for name in "ab"]
    entries = [Provider(provider, name=provider.name) for provider in providers]
    options: dict[str, Any] = {"latency_threshold_ms": 500, "probe": "live", **o}
    adapter = FallbackSTT(entries, vad=detector, **options)
    census.watch(*providers)
    if session is not None:
        adapter.attach(session)
    return adapter, EventRecorder(adapter, ALL_EVENTS)


def _script(adapter: FallbackSTT, *steps: Step, name: str = "a") -> None:
    """What a recogniser does in its next call."""
    provider = next(p for p in adapter.services if p.provider == name)
    assert isinstance(provider, ScriptedSTT)
    provider.play(steps)


def _say(session: AgentSession[Any], delay: float | None, role: Any = "user") -> None:
    """The session tells of an utterance, and how late its transcript was."""
    message = ChatMessage(role=role, content=["hello"])
    if delay is not None:
        message.metrics["transcription_delay"] = delay
    session.emit("conversation_item_added", ConversationItemAddedEvent(item=message))


async def test_reported_delays_count(session: AgentSession[Any], census: Census):
    """So many slow utterances in a row, and the calls go elsewhere."""
    adapter, events = _listeners(census, session)

    for _ in range(2):
        _say(session, 0.8)
    assert events.of("health_changed") == []
    _say(session, 0.8)

    (change,) = events.of("health_changed")
    assert (change.provider, change.reason, change.latency) == ("a", "latency", 0.8)
    assert adapter.get_service_health("a").slow == 3
    assert adapter.get_service_health("a").latency_p50 == 0.8


async def test_a_fast_report_begins_the_count_anew(session: AgentSession[Any], census: Census):
    """As any fast output does."""
    adapter, events = _listeners(census, session)

    for delay in (0.8, 0.8, 0.2, 0.8, 0.8):
        _say(session, delay)

    assert adapter.get_service_health("a").slow == 4
    assert events.of("health_changed") == []


@pytest.mark.parametrize(("delay", "role"), [(0.0, "user"), (None, "user"), (0.8, "assistant")])
async def test_other_items_say_nothing(
    delay: float | None, role: str, session: AgentSession[Any], census: Census
):
    """0.0 is what a session reports when it does not know; and agents are not recognised."""
    adapter, events = _listeners(census, session)

    _say(session, 0.8)
    _say(session, 0.8)
    _say(session, delay, role)
    assert events.of("health_changed") == []
    _say(session, 0.8)

    assert adapter.get_service_health("a").slow == 3
    assert adapter.get_service_health("a").state == "cooling_down"


async def test_items_that_are_no_messages_are_left_aside(
    session: AgentSession[Any], census: Census
):
    """Tool calls are items of the conversation, too."""
    adapter, _ = _listeners(census, session)
    call = FunctionCall(call_id="x", name="x", arguments="{}")

    session.emit("conversation_item_added", ConversationItemAddedEvent.model_construct(item=call))

    assert adapter.get_service_health("a").slow == 0


async def test_a_detector_of_our_own_knows_better(session: AgentSession[Any], census: Census):
    """With `vad=` the session's reports are left aside: nothing is counted twice."""
    adapter, events = _listeners(census, session, detector=ScriptedVAD())

    for _ in range(5):
        _say(session, 0.8)

    assert adapter.get_service_health("a").slow == 0
    assert events.of("health_changed") == []


async def test_the_one_who_was_heard_last_is_judged(session: AgentSession[Any], census: Census):
    """Not the first of the list, if another gave the words."""
    adapter, _ = _listeners(census, session)
    adapter.prefer("b")
    for name in "ab":
        _script(adapter, AfterFrames(1), Final("x"), name=name)
    async with calling(adapter) as caller:
        await caller.speak(3)

        _say(session, 0.8)

    assert [adapter.get_service_health(name).slow for name in "ab"] == [0, 1]


async def test_an_attached_adapter_opens_no_detector(session: AgentSession[Any], census: Census):
    """That is what attaching saves."""
    adapter, _ = _listeners(census, session)
    before = asyncio.all_tasks()

    async with calling(adapter) as caller:
        await caller.speak(3)
        new = [task.get_name() for task in asyncio.all_tasks() - before]

    assert "fallback endpointing" not in new


def _callbacks(session: AgentSession[Any]) -> set[Any]:
    return {(name, callback) for name, given in session._events.items() for callback in given}


async def test_closing_the_adapter_detaches_it(session: AgentSession[Any], census: Census):
    """The session goes on without it, and keeps nothing of it."""
    before = _callbacks(session)
    adapter = FallbackSTT([ScriptedSTT()], latency_threshold_ms=500)
    adapter.attach(session)
    assert _callbacks(session) != before

    await adapter.aclose()
    _say(session, 0.8)

    assert _callbacks(session) == before
    assert adapter.get_service_health(adapter.services[0]).slow == 0


async def test_attaching_anew_leaves_the_old_session(session: AgentSession[Any], census: Census):
    """One session at a time; and the same one twice is once."""
    adapter, _ = _listeners(census, session)
    other: AgentSession[Any] = AgentSession()

    adapter.attach(other)
    adapter.attach(other)
    _say(session, 0.8)
    _say(other, 0.8)

    assert adapter.get_service_health("a").slow == 1


@pytest.mark.parametrize("wrong", [None, "session", object(), AgentSession], ids=stable)
async def test_what_is_no_session_is_refused(wrong: Any, census: Census):
    """With what it was and what it must be."""
    adapter, _ = _listeners(census, None, detector=ScriptedVAD())

    with pytest.raises(ValueError, match=r"session=.*must be an AgentSession"):
        adapter.attach(wrong)


async def _call(adapter: FallbackSTT, *, blocked_at: float, seconds: float) -> list[str]:
    """A caller who speaks for 0.4 s in real time, while the loop is blocked once."""
    async with calling(adapter) as caller:
        began = now()
        asyncio.get_running_loop().call_later(blocked_at, block, seconds)
        for i, frame in enumerate([numbered(n) for n in range(20)] + frames(1.6, pitch=0)):
            caller.stream.push_frame(frame)
            await asyncio.sleep(max(0.0, began + (i + 1) * FRAME - now()))
        return finals_of(caller.events)


@pytest.mark.parametrize(
    ("blocked_at", "wait"), [(0.9, 0.6), (0.42, 0.05)], ids=["after-the-detector", "before-it"]
)
async def test_a_blocked_loop_makes_no_recogniser_slow(
    blocked_at: float, wait: float, census: Census
):
    """Its words came in time, and lay there."""
    detector = ScriptedVAD(min_silence=0.5)
    adapter, _ = _listeners(census, None, detector=detector, latency_threshold_ms=300)
    _script(adapter, AfterFrames(20), Wait(wait), Final("a"))

    words = await _call(adapter, blocked_at=blocked_at, seconds=0.4)

    assert words == ["a"]
    assert adapter.get_service_health("a").slow == 0


async def test_a_preflight_before_the_end_is_not_the_end(census: Census):
    """Speech went on after it: the words that follow are waited for."""
    adapter, _ = _listeners(census, None, detector=ScriptedVAD(min_silence=0.2))
    _script(adapter, AfterFrames(10), Preflight("a"), AfterFrames(20), Wait(0.4), Final("a b"))

    await _call(adapter, blocked_at=3.0, seconds=0.0)

    assert adapter.get_service_health("a").latency_p50 == pytest.approx(0.4, abs=0.03)
