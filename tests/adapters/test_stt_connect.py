# SPDX-License-Identifier: Apache-2.0
"""A listener that does not take the audio is not connected, whatever it says of itself."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback.errors import NotListeningError
from tests.support.audio import number_of, numbered
from tests.support.caller import FRAME, calling
from tests.support.chains import listeners
from tests.support.errors import gone
from tests.support.fake_stt import ScriptedRecognizeStream
from tests.support.fakes import AfterFrames, Fail, Final, Hang, ScriptedSTT, finals_of
from tests.support.virtual_time import block, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.census import Census

DEADLINE = 2.0
HEARD = [AfterFrames(1), Final("hello")]


class Unhurried(ScriptedSTT):
    """Takes audio when it pleases, answers nothing, and keeps no timeout it was given.

    Args:
        pause_before: seconds it waits before it takes the frame of that number (from 0).
    """

    def __init__(self, pause_before: Callable[[int], float]) -> None:
        super().__init__([Hang()])
        self.pause_before = pause_before

    def stream(self, **options: Any) -> ScriptedRecognizeStream:
        return _UnhurriedStream(self, self.open_call("stream", **options))


class _UnhurriedStream(ScriptedRecognizeStream):
    async def _read(self) -> None:
        taken = 0
        while True:
            await asyncio.sleep(self._provider.pause_before(taken))  # type: ignore[attr-defined]
            self._call.frames.append(await self._input_ch.recv())  # type: ignore[arg-type]
            taken += 1


def unconnected() -> Unhurried:
    """A listener whose handshake never completes."""
    return Unhurried(lambda _: math.inf)


def _numbers(call: Any) -> list[int]:
    return [number_of(frame) for frame in call.frames]


async def test_a_handshake_that_never_completes_moves_on_at_the_deadline(census: Census):
    """Whoever leaves the audio lying for the deadline is left, and the next one hears it all."""
    chain = listeners(census, unconnected(), HEARD, attempt_timeout=DEADLINE)

    async with calling(chain.adapter) as caller:
        began = asyncio.get_running_loop().time()
        await caller.speak(150)

    assert chain.call("b").opened_at - began == pytest.approx(DEADLINE, abs=FRAME)
    assert _numbers(chain.call("b")) == list(range(150))
    assert finals_of(caller.events) == ["hello"]
    assert chain.reasons == ["not_listening"]
    assert isinstance(chain.events.of("failover")[0].error, NotListeningError)


async def test_a_connection_that_dies_unnoticed_is_left_within_two_deadlines(census: Census):
    """Audio that is no longer taken in mid-call is noticed, too, and given to the next one."""
    dying = Unhurried(lambda taken: math.inf if taken >= 200 else 0.0)
    chain = listeners(census, dying, HEARD, attempt_timeout=DEADLINE)

    async with calling(chain.adapter) as caller:
        began = asyncio.get_running_loop().time()
        await caller.speak(420)

    died_after = 200 * FRAME
    left_after = chain.call("b").opened_at - began
    assert died_after + DEADLINE <= left_after + FRAME
    assert left_after <= died_after + 2 * DEADLINE + FRAME
    assert _numbers(chain.call("b")) == list(range(420))


async def test_a_blocked_loop_takes_no_audio_either(census: Census):
    """However often in a call: what lay there meanwhile was not left lying by the listener."""
    due_while_blocked = 2 * DEADLINE + 0.5
    chain = listeners(
        census, Unhurried(lambda _: due_while_blocked), HEARD, attempt_timeout=DEADLINE
    )

    async with calling(chain.adapter) as caller:
        for _ in range(3):
            await asyncio.sleep(2 * DEADLINE)
            caller.stream.push_frame(numbered(0))
            await turns(3)
            block(DEADLINE + 0.5)
        await asyncio.sleep(1.0)

    assert len(chain.call("a").frames) == 3
    assert chain.asked == "a"


@pytest.mark.parametrize(
    "pause_before",
    [
        pytest.param(lambda taken: DEADLINE - 0.1 if taken == 0 else 0.0, id="slow handshake"),
        pytest.param(lambda taken: DEADLINE - 0.1 if taken % 150 == 0 else 0.0, id="stutters"),
        pytest.param(lambda _: 0.1, id="slower than real time"),
    ],
)
async def test_a_listener_that_takes_its_time_is_left_alone(pause_before, census: Census):
    """As long as some audio is taken within each deadline, the listener is connected."""
    chain = listeners(census, Unhurried(pause_before), HEARD, attempt_timeout=DEADLINE)

    async with calling(chain.adapter) as caller:
        await caller.speak(1000)

    assert chain.asked == "a"
    assert chain.unavailable == []


async def test_a_muted_caller_trips_nothing(census: Census):
    """Without audio to take there is nothing to hold against a listener."""
    chain = listeners(census, unconnected(), HEARD, attempt_timeout=DEADLINE)

    async with calling(chain.adapter):
        await asyncio.sleep(100 * DEADLINE)

    assert chain.asked == "a"


async def test_a_pause_in_the_audio_is_not_the_listeners(census: Census):
    """After a mute the clock starts with the first frame that is left lying, not before."""
    chain = listeners(
        census,
        Unhurried(lambda taken: DEADLINE - 0.1 if taken == 10 else 0.0),
        HEARD,
        attempt_timeout=DEADLINE,
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(10 * DEADLINE)
        await caller.speak(200)

    assert chain.asked == "a"


async def test_audio_that_has_ended_still_has_to_be_taken(census: Census):
    """A handshake that never completes does not hold a stream whose input is over."""
    chain = listeners(census, unconnected(), HEARD, attempt_timeout=DEADLINE)

    async with calling(chain.adapter) as caller:
        await caller.speak(5)
        caller.stream.end_input()
        await caller.listening

    assert finals_of(caller.events) == ["hello"]


async def test_without_a_deadline_a_handshake_may_take_for_ever(census: Census):
    """`attempt_timeout=None` means what it says."""
    chain = listeners(census, unconnected(), HEARD, attempt_timeout=None)

    async with calling(chain.adapter) as caller:
        await caller.speak(1000)

    assert chain.asked == "a"


async def test_a_live_probe_that_does_not_connect_costs_no_word(census: Census):
    """A caller handed back to a listener that never connects is heard by the other again."""
    returns_deaf = ScriptedSTT([AfterFrames(5), Fail(gone)])
    chain = listeners(
        census,
        returns_deaf,
        [AfterFrames(10), Final("one"), AfterFrames(100), Final("two")],
        attempt_timeout=DEADLINE,
        temporary_disable_sec=0.5,
        probe="live",
    )
    deaf = unconnected()
    returns_deaf.stream = _first_then(returns_deaf.stream, deaf.stream)  # type: ignore[method-assign]
    census.watch(deaf)

    async with calling(chain.adapter) as caller:
        await caller.speak(300)

    heard = {number for call in chain.providers["b"].calls for number in _numbers(call)}
    assert len(deaf.calls) == 1
    assert heard == set(range(300))


def _first_then(first: Any, then: Any) -> Any:
    ways = iter([first])
    return lambda **options: next(ways, then)(**options)
