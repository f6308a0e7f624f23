# SPDX-License-Identifier: Apache-2.0
"""A listener may fail at any moment: the next one hears every frame that no final has settled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.stt import StreamAdapter

from livekit_fallback import AllProvidersFailedError, FallbackSTT
from tests.support.audio import frames, is_loud, number_of, numbered
from tests.support.caller import FRAME, calling
from tests.support.chains import Chain, listeners
from tests.support.errors import ERRORS, STATUSES, gone, status
from tests.support.fakes import (
    AfterAudio,
    AfterFrames,
    AudioUsage,
    End,
    Fail,
    FailInCall,
    Final,
    Hang,
    Interim,
    Preflight,
    ScriptedSTT,
    ScriptedVAD,
    SpeechEnd,
    SpeechStart,
    Step,
    Wait,
    finals_of,
    hear,
)
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.census import Census

EarChain = Chain[FallbackSTT, ScriptedSTT]
WORDS = [SpeechStart(), Interim("well"), Final("well heard"), SpeechEnd()]


def _numbers(chain: EarChain, name: str, number: int = 0) -> list[int]:
    return [number_of(frame) for frame in chain.call(name, number).frames]


@pytest.mark.parametrize("code", STATUSES)
async def test_every_status_moves_on_with_the_audio(code: int, census: Census):
    """Whatever status ends a stream, the next listener hears the caller from the beginning."""
    chain = listeners(census, [AfterFrames(5), Fail(status(code))], [AfterFrames(10), *WORDS])

    async with calling(chain.adapter) as caller:
        await caller.speak(10)

    assert _numbers(chain, "b") == list(range(10))
    assert finals_of(caller.events) == ["well heard"]
    assert chain.recoverable == [True]


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("where", [Fail, FailInCall])
async def test_every_exception_moves_on(where, error, census: Census):
    """Whatever a listener raises, when asked or while it listens, is its failure alone."""
    chain = listeners(census, [where(error)], [AfterFrames(10), *WORDS])

    async with calling(chain.adapter) as caller:
        await caller.speak(10)

    assert _numbers(chain, "b") == list(range(10))
    assert chain.unavailable == ["a"]


class TouchyListener(ScriptedSTT):
    """Raises when one of its streams' input methods is called."""

    touchy = "push_frame"

    def stream(self, **options: Any) -> Any:
        def refuse(*_: Any) -> None:
            raise ValueError("not now")

        stream = super().stream(**options)
        setattr(stream, self.touchy, refuse)
        return stream


@pytest.mark.parametrize("live", [True, False], ids=["live", "replayed"])
@pytest.mark.parametrize("method", ["push_frame", "flush", "end_input"])
async def test_what_a_listeners_input_raises_is_its_failure(
    method: str, live: bool, census: Census
):
    """An exception from any input method moves on, closes the stream, and spares the caller."""
    ear = TouchyListener([])
    ear.touchy = method
    chain = listeners(census, ear, [AfterFrames(5), *WORDS])

    async with chain.adapter.stream() as stream:
        await turns(10 if live else 0)
        for number in range(5):
            stream.push_frame(numbered(number))
        stream.flush()
        stream.end_input()
        events = [event async for event in stream]

    assert finals_of(events) == ["well heard"]
    assert _numbers(chain, "b") == list(range(5))
    assert chain.unavailable == ["a"]


@pytest.mark.parametrize("end", [[End()], [Interim("we"), End()], [Final("well"), End()]])
async def test_a_clean_end_while_audio_is_coming_is_a_failure(end: list[Step], census: Census):
    """A stream that closes quietly in the middle of a call is replaced by the next one."""
    chain = listeners(census, [AfterFrames(5), *end], [AfterFrames(3), *WORDS])

    async with calling(chain.adapter) as caller:
        await caller.speak(20)

    assert "well heard" in finals_of(caller.events)
    assert chain.unavailable == ["a"]
    assert chain.reasons == ["ended_early"]


async def test_a_clean_end_after_the_end_of_input_is_a_success(census: Census):
    """When the caller is gone a listener may end, with words or without."""
    chain = listeners(census, [], [])

    events = await hear(chain.adapter, frames(0.4))

    assert events == []
    assert chain.asked == "a"
    assert chain.events.names == []


async def test_a_failure_after_the_end_of_input_is_made_good(census: Census):
    """The last words of a call count as well: the next listener gets them and their end."""
    chain = listeners(census, [AfterAudio(99), Fail(gone())], [AfterAudio(99), *WORDS])

    events = await hear(chain.adapter, [numbered(n) for n in range(20)])

    assert finals_of(events) == ["well heard"]
    assert _numbers(chain, "b") == list(range(20))
    assert chain.call("b").input_ended


async def test_exhaustion_raises_tells_the_loss_and_closes_the_utterance(census: Census):
    """Nobody listened for `total_timeout`: an error, what was lost, and the END of the START."""
    first = [AfterFrames(10), SpeechStart(), Interim("we"), Fail(gone())]
    chain = listeners(census, ScriptedSTT(first, [Fail(gone())]), [Fail(gone())], total_timeout=4.0)

    async with calling(chain.adapter) as caller:
        with Stopwatch() as watch:
            await caller.speak(100)
            await caller.listening

    assert isinstance(caller.error, AllProvidersFailedError)
    assert watch.elapsed == pytest.approx(4.2, abs=0.25)
    assert caller.types == ["start_of_speech", "interim_transcript", "end_of_speech"]
    assert chain.recoverable[-1] is False
    assert chain.recoverable.count(False) == 1
    (loss,) = chain.events.of("output_lost")
    assert loss.lost == pytest.approx(2.0, abs=FRAME)


@pytest.mark.parametrize(("kept", "lost"), [(30.0, []), (2.0, [pytest.approx(4.0, abs=0.1)])])
async def test_what_is_too_old_to_be_heard_again_is_told(
    kept: float, lost: list[Any], census: Census
):
    """A monologue that nothing was settled of: the next one hears its end, and the rest is gone."""
    first = [AfterFrames(50), Interim("we"), AfterFrames(350), Fail(gone())]
    unwell = [Fail(gone())]
    chain = listeners(census, first, unwell, [Final("the end")], replay_buffer_sec=kept)

    async with calling(chain.adapter) as caller:
        await caller.speak(400)

    assert finals_of(caller.events) == ["the end"]
    assert [loss.lost for loss in chain.events.of("output_lost")] == lost
    assert [loss.provider for loss in chain.events.of("output_lost")] == ["a"] * len(lost)


async def test_listeners_that_will_not_come_back_are_not_waited_for(census: Census):
    """Rejected keys everywhere end the stream at once."""
    chain = listeners(census, [Fail(status(401))], [Fail(status(403))])

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError) as raised:
        await hear(chain.adapter, frames(0.4))

    assert watch.elapsed < 0.1
    assert [a.status_code for a in raised.value.attempts] == [401, 403]


@pytest.mark.parametrize("quiet", [20.0, 300.0])
async def test_quiet_minutes_do_not_use_up_the_budget(quiet: float, census: Census):
    """A listener that listened to silence has served: when it dies later the search is new."""
    idle_end = [Wait(quiet), Fail(gone())]
    chain = listeners(census, ScriptedSTT([Fail(gone())], [AfterFrames(5), *WORDS]), [*idle_end])

    async with calling(chain.adapter) as caller:
        await asyncio.sleep(quiet + 1.0)
        await caller.speak(10)
        await asyncio.sleep(3.0)

    assert caller.error is None
    assert finals_of(caller.events) == ["well heard"]


async def test_a_listener_that_dies_every_minute_keeps_the_caller_heard(census: Census):
    """Socket recycling through a whole silent call never adds up to exhaustion."""
    chain = listeners(census, [Wait(60.0), Fail(gone())], [Wait(60.0), End()])

    async with calling(chain.adapter) as caller:
        await asyncio.sleep(1800.0)
        await caller.speak(1)

    assert caller.error is None
    assert chain.events.of("exhausted") == []


async def test_all_other_events_pass_through(census: Census):
    """Preflight transcripts and usage are the session's to judge."""
    chain = listeners(census, [AfterFrames(1), Preflight("we"), AudioUsage(1.0), *WORDS])

    async with calling(chain.adapter) as caller:
        await caller.speak(2)

    assert caller.types[:2] == ["preflight_transcript", "recognition_usage"]
    assert len(caller.events) == 6


async def test_input_after_its_end_is_refused_as_by_livekit(census: Census):
    """The session is told about frames that nobody will hear."""
    chain = listeners(census, [])

    async with chain.adapter.stream() as stream:
        stream.push_frame(numbered(0))
        with pytest.raises(ValueError, match="sample rate"):
            stream.push_frame(numbered(0, rate=8_000))
        stream.end_input()
        with pytest.raises(RuntimeError, match="input ended"):
            stream.push_frame(numbered(0))


async def test_hang_up_blames_nobody(census: Census):
    """A stream that the session closes leaves nothing open and nobody unavailable."""
    chain = listeners(census, [Hang()], [])

    async with calling(chain.adapter) as caller:
        await caller.speak(5)

    assert chain.providers["a"].open_calls == []
    assert chain.events.names == []


def test_a_listener_that_cannot_stream_needs_a_vad():
    """The mistake is said when the adapter is made, with the provider's name."""
    with pytest.raises(ValueError, match="vad"):
        FallbackSTT([ScriptedSTT(), ScriptedSTT(streaming=False)])


@pytest.mark.parametrize("first", [True, False], ids=["streaming-first", "streaming-last"])
async def test_streaming_and_other_listeners_may_be_mixed(first: bool, census: Census):
    """With a VAD a listener of either kind takes over from the other."""
    vad = ScriptedVAD()
    census.watch(vad)
    batch = ScriptedSTT([Final("by recording")], streaming=False)
    live = ScriptedSTT([AfterAudio(0.5), Final("by stream")])
    broken = ScriptedSTT([Fail(gone())], streaming=first)
    chain = listeners(census, broken, batch if first else live, vad=vad)

    async with chain.adapter.stream() as stream:
        for frame in frames(0.5) + frames(0.5, pitch=0):
            stream.push_frame(frame)
        await asyncio.sleep(1.0)
        stream.end_input()
        events = [event async for event in stream]

    assert finals_of(events) == ["by recording" if first else "by stream"]
    assert chain.unavailable == ["a"]


@pytest.mark.parametrize("by_session", [True, False], ids=["own-wrapper", "ours"])
async def test_times_of_recordings_are_not_taken_for_the_callers(by_session: bool, census: Census):
    """They count from the beginning of each utterance: all they say of the call is wrong."""
    vad = ScriptedVAD()
    recordings = [[Final(f"number {n}", start=0.1, end=0.4)] for n in range(3)]
    batch: Any = ScriptedSTT(*recordings, [Fail(gone())], streaming=False, name="a")
    batch = StreamAdapter(stt=batch, vad=vad) if by_session else batch
    live = ScriptedSTT([Hang()], name="b")
    census.watch(vad, live)
    adapter = FallbackSTT([batch, live], vad=vad, silence_timeout=None)

    async with adapter, calling(adapter) as caller:
        for frame in (frames(0.5) + frames(1.0, pitch=0)) * 4:
            caller.stream.push_frame(frame)
            await asyncio.sleep(FRAME)

        transcripts = [e.alternatives[0] for e in caller.events if e.alternatives]
        assert [t.text for t in transcripts] == ["number 0", "number 1", "number 2"]
        assert [(t.start_time, t.end_time, t.words) for t in transcripts] == [(0.0, 0.0, None)] * 3
        assert sum(map(is_loud, live.calls[0].frames)) * FRAME == pytest.approx(0.5)


async def test_a_wrapped_listener_that_hangs_is_left(census: Census):
    """A recogniser of recordings owes its answer once the utterance has ended."""
    chain = listeners(
        census,
        ScriptedSTT([Hang()], streaming=False),
        [AfterAudio(0.5), Final("well heard")],
        vad=ScriptedVAD(),
        attempt_timeout=1.0,
    )

    async with calling(chain.adapter) as caller:
        for frame in frames(0.5) + frames(0.5, pitch=0):
            caller.stream.push_frame(frame)
        await asyncio.sleep(1.5)

        assert finals_of(caller.events) == ["well heard"]
    assert chain.unavailable == ["a"]


async def test_closing_the_adapter_ends_its_streams(census: Census):
    """Nothing goes on after `aclose()`, nothing new begins, and no listener is left behind."""
    ear = ScriptedSTT([Hang()])
    census.watch(ear)
    adapter = FallbackSTT([ear])
    stream = adapter.stream()
    stream.push_frame(numbered(0))
    await turns(10)

    await adapter.aclose()
    await turns(10)

    assert ear.open_calls == []
    with pytest.raises(RuntimeError, match="closed"):
        adapter.stream()
    await stream.aclose()
