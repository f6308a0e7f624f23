# SPDX-License-Identifier: Apache-2.0
"""Bugs that LiveKit's own STT adapter had, or has: each by the number of its public issue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import NOT_GIVEN
from livekit.agents.stt import STTError

from livekit_fallback import FallbackSTT
from tests.support.audio import frames
from tests.support.caller import calling
from tests.support.chains import listeners
from tests.support.errors import gone, status
from tests.support.fakes import (
    AfterFrames,
    End,
    Fail,
    Final,
    Hang,
    Interim,
    ScriptedSTT,
    ScriptedVAD,
    SpeechEnd,
    SpeechStart,
    Wait,
    finals_of,
    hear,
)
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census

PROBED: Any = {"probe": "replay", "temporary_disable_sec": 1.0}


async def test_agents_1947_the_input_goes_on_after_an_exception(census: Census):
    """Frames that come after the first failure reach the next listener as they come."""
    chain = listeners(census, [AfterFrames(2), Fail(ValueError())], [])

    async with calling(chain.adapter) as caller:
        await caller.speak(3)
        before = len(chain.call("b").frames)
        await caller.speak(5)

        assert (before, len(chain.call("b").frames)) == (3, 8)


async def test_agents_2684_the_end_of_input_may_follow_the_end_of_a_stream(census: Census):
    """`end_input()` while no provider's stream is open raises nothing and ends the request."""
    chain = listeners(census, [AfterFrames(1), End()], [Fail(gone())])

    async with calling(chain.adapter) as caller:
        await caller.speak(1)
        caller.stream.end_input()
        await asyncio.sleep(20.0)

        assert caller.listening.done()


@pytest.mark.parametrize("probe", [[Fail(gone())], [Hang()], [End()]], ids=repr)
async def test_agents_4835_a_dead_probe_does_not_starve_the_call(probe: Any, census: Census):
    """Whatever becomes of a probe, every frame reaches the listener at work at once."""
    words = [Final("one"), AfterFrames(110), Final("two")]
    chain = listeners(
        census, ScriptedSTT([Fail(gone())], probe), [AfterFrames(55), *words], **PROBED
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(60)
        await asyncio.sleep(1.5)
        assert len(chain.providers["a"].calls) == 2
        for spoken in range(61, 121):
            await caller.speak(1)
            assert len(chain.call("b").frames) == spoken

        assert finals_of(caller.events) == ["one", "two"]
    await asyncio.sleep(6.0)  # the second word is good for a second probe


async def test_agents_1922_members_that_cannot_stream_get_the_attempts_options(census: Census):
    """A wrapped recogniser is driven without retries and within the attempt's deadline."""
    batch = ScriptedSTT([Fail(status(500))], streaming=False)
    chain = listeners(census, batch, vad=ScriptedVAD(), attempt_timeout=1.5, total_timeout=2.0)

    async with calling(chain.adapter) as caller:
        for frame in frames(0.5) + frames(0.5, pitch=0):
            caller.stream.push_frame(frame)
        await asyncio.sleep(0.01)

    options = chain.call("a").kwargs["conn_options"]
    assert options.max_retry == 0
    assert options.timeout <= 1.5


async def test_js_2381_what_comes_after_closing_is_dropped(census: Census):
    """A transcript that arrives while the stream is being closed harms nobody."""
    stubborn = ScriptedSTT([AfterFrames(1), Wait(0.1), Final("late")], stubborn=0.2)
    chain = listeners(census, stubborn)

    async with calling(chain.adapter) as caller:
        await caller.speak(2)
    await asyncio.sleep(1.0)

    assert caller.events == []
    assert chain.events.names == []


async def test_js_2494_idle_streams_that_are_recycled_are_no_outage(census: Census):
    """A server that closes idle streams every few minutes never uses up a budget of tries."""
    chain = listeners(census, [Wait(300.0), Fail(gone())], probe="live", temporary_disable_sec=1.0)

    async with calling(chain.adapter) as caller:
        await asyncio.sleep(3600.0)

        assert caller.error is None
    assert chain.events.of("exhausted") == []


async def test_agents_5717_a_connect_that_fails_at_its_timeout_fails_over(census: Census):
    """A try that lasts as long as its timeout is a failure like any other."""
    chain = listeners(census, [Wait(2.0), Fail(TimeoutError())], [], attempt_timeout=2.0)

    async with calling(chain.adapter) as caller:
        await caller.speak(150)

        assert finals_of(caller.events) == []
    assert chain.asked == "ab"
    assert len(chain.call("b").frames) == 150


async def test_agents_6246_a_backup_starts_at_the_right_time(census: Census):
    """The offset of the next listener is where its first frame lies in the call."""
    offsets = []

    class Noting(ScriptedSTT):
        def stream(self, **options: Any) -> Any:
            stream = super().stream(**options)
            asyncio.get_running_loop().call_later(
                0.01, lambda: offsets.append(stream.start_time_offset)
            )
            return stream

    first = Noting([AfterFrames(50), Final("x"), AfterFrames(100), Fail(gone())])
    chain = listeners(census, first, Noting([]))

    async with calling(chain.adapter) as caller:
        caller.stream.start_time_offset = 7.0
        await caller.speak(120)

    assert offsets == pytest.approx([7.0, 8.0], abs=0.04)


async def test_no_language_stays_not_given(census: Census):
    """A language that was not given is not handed on as `None`, which some plugins send."""
    chain = listeners(census, [Fail(gone())], [Final("x")])

    await hear(chain.adapter, frames(0.1))
    await chain.adapter.recognize(frames(0.1))

    given = [c.kwargs["language"] for ear in chain.providers.values() for c in ear.calls]
    assert len(given) >= 3
    assert all(language is NOT_GIVEN for language in given)


async def test_agents_7154_streams_leave_no_listener_on_wrapped_members(census: Census):
    """However many calls there were, a wrapped recogniser has the listeners it began with."""
    batch = ScriptedSTT([Fail(gone())], streaming=False)
    chain = listeners(census, batch, [], vad=ScriptedVAD())
    before = batch.listeners

    for _ in range(5):
        await hear(chain.adapter, frames(0.3) + frames(0.5, pitch=0))

    assert batch.listeners == before


async def test_agents_4685_a_499_is_not_the_end_of_the_call(census: Census):
    """A provider that gives up with 499 has failed: the next one hears the caller."""
    chain = listeners(census, [AfterFrames(2), Fail(status(499))], [AfterFrames(3), Final("x")])

    async with calling(chain.adapter) as caller:
        await caller.speak(5)

        assert finals_of(caller.events) == ["x"]


async def test_a_primary_that_is_back_is_used_when_the_backup_dies(census: Census):
    """One pass down the list is not all a stream gets: the search begins at the top again."""
    ear = ScriptedSTT([Fail(gone())], [AfterFrames(1), Final("back")])
    chain = listeners(census, ear, [AfterFrames(100), Fail(gone())], temporary_disable_sec=0.5)

    async with calling(chain.adapter) as caller:
        await caller.speak(130)

        assert finals_of(caller.events) == ["back"]
    assert chain.asked == "aba"


async def test_a_probe_of_a_closed_stream_does_not_ban_its_provider(census: Census):
    """After a call that was hung up in mid-probe, later calls go to the primary again."""
    ear = ScriptedSTT([Fail(gone())], [Hang()], [Final("probe")], [Final("primary")])
    words = [AfterFrames(5), SpeechStart(), Interim("o"), Final("one"), SpeechEnd()]
    chain = listeners(census, ear, words, attempt_timeout=2.0, **PROBED)

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(1.5)
    await asyncio.sleep(10.0)
    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(5.0)

    assert finals_of(await hear(chain.adapter, frames(0.2))) == ["primary"]


async def test_js_2399_a_providers_own_error_event_is_not_the_adapters(census: Census):
    """An error that a wrapped listener emits about anything else moves nobody."""
    chain = listeners(census, [AfterFrames(3), Final("x")], [])
    alien = STTError(timestamp=0.0, label="a", error=gone(), recoverable=False)

    async with calling(chain.adapter) as caller:
        await caller.speak(1)
        chain.providers["a"].emit("error", alien)
        await turns(5)
        await caller.speak(4)

        assert finals_of(caller.events) == ["x"]
    assert chain.asked == "a"
    assert chain.events.names == []


async def test_agents_4620_two_streams_do_not_eat_each_others_audio(census: Census):
    """Each stream of an adapter has its own audio, over failures too."""
    chain = listeners(
        census, ScriptedSTT([AfterFrames(2), Fail(gone())], [AfterFrames(2), Fail(gone())], []), []
    )

    async with calling(chain.adapter) as one, calling(chain.adapter) as two:
        await asyncio.gather(one.speak(30), two.speak(20))

    assert sorted(len(call.frames) for call in chain.providers["b"].calls) == [20, 30]


async def test_the_adapter_can_be_made_before_there_is_a_loop():
    """Workers build their models at import time or in `prewarm`, where no loop runs."""
    made = await asyncio.to_thread(FallbackSTT, [ScriptedSTT()])

    assert finals_of(await hear(made, frames(0.4))) == ["hello"]
    await made.aclose()
