# SPDX-License-Identifier: Apache-2.0
"""Users' code that calls the adapter back: out of an event, a hook, or a probe of their own.

That mistakes in such code break nothing is in test_user_hooks.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AdapterClosedError, FallbackSTT
from tests.support.census import Census
from tests.support.fakes import ScriptedSTT, ScriptedVAD, Wait
from tests.support.outage import BATCH_STT, DOWN, LLM, STT, TTS, Kind, breaks, line
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.outage import Line

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
LIVE: dict[str, Any] = {"probe": "live", "temporary_disable_sec": 5.0}

COMMANDS: dict[str, Callable[[Any], None]] = {
    "enable": lambda adapter: adapter.enable("a"),
    "reset": lambda adapter: adapter.reset(),
}
each_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


def _when_down(chain: Line, command: Callable[[Any], None], name: str = "health_changed") -> None:
    """Give the command as soon as the primary is reported as not usable."""

    def react(event: Any) -> None:
        after = event.after if name == "health_changed" else event.state
        if (event.provider, after) == ("a", "cooling_down"):
            command(chain.adapter)

    chain.adapter.on(name, react)


def _subscribe(chain: Line, name: str) -> list[Any]:
    seen: list[Any] = []
    chain.adapter.on(name, seen.append)
    return seen


# --- commands in events -------------------------------------------------------------------------


@each_kind
@each_command
async def test_changes_are_told_in_the_order_they_happened(
    kind: Kind, command: Callable[[Any], None], census: Census
):
    """Who subscribed after a handler that gives commands hears of the cause before its effect."""
    chain = line(census, kind, DOWN, kind.answer("b"), probe="ping")
    _when_down(chain, command)
    changes = _subscribe(chain, "health_changed")

    await chain.use()

    first, second = [(e.before, e.after) for e in changes if e.provider == "a"][:2]
    assert first == ("healthy", "cooling_down")
    assert second[0] == "cooling_down"


@each_kind
@each_command
async def test_the_last_word_on_availability_is_true(
    kind: Kind, command: Callable[[Any], None], census: Census
):
    """A dashboard that follows the events agrees with the health that can be asked for."""
    chain = line(census, kind, DOWN, kind.answer("b"), probe="ping")
    _when_down(chain, command)
    told = _subscribe(chain, f"{chain.adapter.component}_availability_changed")

    await chain.use()

    of_a = [(e.available, e.state) for e in told if e.provider == "a"]
    now = chain.adapter.get_service_health("a")
    assert [available for available, _ in of_a] == [False, True]
    assert of_a[-1] == (now.healthy, now.state)


async def test_a_command_in_the_event_of_availability_is_told_after_it(census: Census):
    """The same from the handler that LiveKit's users have already."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), probe="ping")
    _when_down(chain, COMMANDS["enable"], "llm_availability_changed")
    told = _subscribe(chain, "llm_availability_changed")

    await chain.use()

    assert [event.available for event in told] == [False, True]


async def test_events_go_on_after_a_handler_that_gave_commands(census: Census):
    """Nothing is left in a queue, and nothing is told twice."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), probe="ping")
    _when_down(chain, COMMANDS["reset"])

    for _ in range(3):
        await chain.use()

    assert chain.moves("a") == ["cooling_down", "healthy"] * 3
    assert len(chain.events.of("failover")) == 3


@each_kind
async def test_a_live_probe_is_told_as_it_began(kind: Kind, census: Census):
    """Whatever a handler of the failover to it commands, each move is told once, and in turn."""
    chain = line(census, kind, DOWN, DOWN, kind.answer("c"), **LIVE)
    await chain.use()
    await asyncio.sleep(6.0)
    told = _subscribe(chain, "health_changed")
    chain.adapter.on("failover", lambda e: chain.adapter.enable(e.to_provider))
    chain.providers["b"].play(kind.answer("b"))

    await chain.use()

    of_b = [(e.before, e.after) for e in told if e.provider == "b"]
    assert of_b[:2] == [("cooling_down", "probing"), ("probing", "probation")]
    assert len(of_b) == len(set(of_b))


@each_kind
@pytest.mark.parametrize("by", ["event", "hook"])
async def test_a_provider_that_is_disabled_on_the_way_to_it_is_not_asked(
    kind: Kind, by: str, census: Census
):
    """The failover is told before the next one is asked, early enough to say no."""
    chain = line(census, kind, DOWN, kind.answer("b"), kind.answer("c"), probe="ping")
    if by == "event":
        chain.adapter.on("failover", lambda _: chain.adapter.disable("b"))
    else:
        chain.adapter.on_failover = lambda *_: chain.adapter.disable("b")

    assert await chain.use() == "c"
    assert chain.asked == "ac"
    assert chain.adapter.get_service_health("b").requests == 0


# --- closing from within ------------------------------------------------------------------------


def _recognisers(**options: Any) -> tuple[FallbackSTT, list[ScriptedSTT]]:
    """An adapter with wrappers of its own, which only its closing closes."""
    ears = [BATCH_STT.make(DOWN), BATCH_STT.make(BATCH_STT.answer("b"))]
    return FallbackSTT(ears, vad=ScriptedVAD(), **options), ears


def _note_closing(adapter: FallbackSTT) -> list[str]:
    """The names of the wrappers that have been closed, as they are."""
    closed: list[str] = []

    def note(member: Any) -> None:
        close = member.instance.aclose

        async def aclose() -> None:
            closed.append(member.name)
            await close()

        member.instance.aclose = aclose

    for member in adapter._chain.members:
        note(member)
    return closed


async def test_an_adapter_may_be_closed_by_its_own_hook():
    """A pager that hangs up: the hook itself ends well, and nothing stays open."""
    adapter, ears = _recognisers()
    ended: list[bool] = []

    async def hang_up(*_: Any) -> None:
        await adapter.aclose()
        ended.append(True)

    async with Census():
        closed = _note_closing(adapter)
        adapter.on_failover = hang_up
        with pytest.raises(AdapterClosedError):
            await BATCH_STT.use(adapter)
        await asyncio.sleep(2.0)

    assert ended == [True]
    assert len(closed) == 2
    assert [ear.listeners for ear in ears] == [0, 0]


async def test_an_adapter_may_be_closed_by_a_probe_of_the_user_s_own():
    """What the probe waits for is the closing of the adapter that waits for the probe."""
    made: list[FallbackSTT] = []
    adapter, ears = _recognisers(
        probe=lambda _: made[0].aclose(), temporary_disable_sec=1.0, attempt_timeout=3.0
    )
    made.append(adapter)

    async with Census():
        closed = _note_closing(adapter)
        await BATCH_STT.use(adapter)
        await asyncio.sleep(5.0)
        await adapter.aclose()

    assert len(closed) == 2
    assert [ear.listeners for ear in ears] == [0, 0]


async def test_closing_that_is_cut_short_leaves_no_wrapper_open():
    """Shutdown code gives `aclose()` little time; what has to be closed is closed all the same."""
    ear = BATCH_STT.make([Wait(60.0)], stubborn=5.0)
    adapter = FallbackSTT([ear], vad=ScriptedVAD(), attempt_timeout=None)
    closed = _note_closing(adapter)
    hearing = asyncio.ensure_future(BATCH_STT.use(adapter))
    await asyncio.sleep(2.0)

    with Stopwatch() as watch, pytest.raises(TimeoutError):
        await asyncio.wait_for(adapter.aclose(), 0.1)
    await asyncio.gather(hearing, return_exceptions=True)
    await asyncio.sleep(10.0)

    assert watch.elapsed < 2.0
    assert len(closed) == 1
    assert ear.listeners == 0


async def test_closing_a_breaking_provider_from_its_event_is_safe(census: Census):
    """A task that an event starts is as good a place to close as any other."""
    chain = line(None, LLM, breaks(LLM), LLM.answer("b"))
    closing: list[asyncio.Task[None]] = []
    chain.adapter.on(
        "failover", lambda _: closing.append(asyncio.create_task(chain.adapter.aclose()))
    )

    with pytest.raises(AdapterClosedError):
        await chain.use()
    await closing[0]

    assert chain.providers["a"].listeners == chain.providers["b"].listeners == 0
