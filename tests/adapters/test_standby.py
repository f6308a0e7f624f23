# SPDX-License-Identifier: Apache-2.0
"""A recogniser that listens along takes over at once, with what was not settled and no more."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackSTT, Provider
from tests.support.audio import frames, number_of, numbered
from tests.support.caller import FRAME, Caller, calling
from tests.support.errors import gone
from tests.support.fakes import (
    AfterAudio,
    AudioUsage,
    End,
    Fail,
    FailInCall,
    Final,
    Interim,
    Repeat,
    ScriptedSTT,
    ScriptedVAD,
    SpeechEnd,
    SpeechStart,
    Step,
    UntimedFinal,
    Wait,
    finals_of,
)
from tests.support.outage import ALL_EVENTS
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.census import Census

QUIET: list[Step] = []


class Call:
    """A caller, the recognisers a, b ..., and what happened."""

    def __init__(self, adapter: FallbackSTT, ears: list[ScriptedSTT], caller: Caller) -> None:
        self.adapter = adapter
        self.a, self.b, *_ = self.ears = ears
        self.caller = caller
        self.events = EventRecorder(adapter, ALL_EVENTS)

    async def speak(self, seconds: float) -> None:
        """Speak for so long."""
        await self.caller.speak(round(seconds / FRAME))

    async def be_silent(self, seconds: float) -> None:
        """Keep the line open for so long."""
        for frame in frames(seconds, pitch=0):
            self.caller.stream.push_frame(frame)
            await asyncio.sleep(FRAME)

    @property
    def finals(self) -> list[str]:
        """What was understood."""
        return finals_of(self.caller.events)

    @property
    def open_streams(self) -> list[str]:
        """Who has a stream open."""
        return [e.name for e in self.ears for c in e.calls if c.closed_at is None]


@asynccontextmanager
async def call(census: Census | None, *given: Any, **options: Any) -> AsyncIterator[Call]:
    """A call to recognisers with these scripts, the second of which listens along."""
    ears = [g if isinstance(g, ScriptedSTT) else ScriptedSTT(g) for g in given]
    for ear, name in zip(ears, "abc", strict=False):
        ear.name = name
    adapter = FallbackSTT(
        [Provider(ear, name=ear.name) for ear in ears],
        vad=ScriptedVAD(),
        **{"standby": 1, "silence_timeout": None, "probe": None, **options},
    )
    if census is not None:
        census.watch(*ears)
    async with calling(adapter) as caller:
        yield Call(adapter, ears, caller)
    await turns(20)


async def test_it_takes_over_without_a_new_connection(census: Census):
    """It was there all along, and hears the next frame."""
    dies = [AfterAudio(1.0), Fail(gone)]
    hears = [AfterAudio(1.1), Final("hello")]
    async with call(census, dies, hears) as it:
        await it.speak(1.0)
        (heard,) = it.b.calls
        assert heard.opened_at - it.a.calls[0].opened_at <= FRAME + 0.01
        await it.speak(0.2)

        assert it.finals == ["hello"]
        assert len(it.b.calls) == 1
        assert [number_of(f) for f in it.b.calls[0].frames] == list(range(60))


async def test_what_it_has_heard_is_told_on_the_takeover(census: Census):
    """At once: words that the other one did not come to give."""
    dies = [AfterAudio(1.0), Fail(gone)]
    heard = [AfterAudio(0.4), SpeechStart(), AfterAudio(0.8), Final("hello"), Interim("wor")]
    async with call(census, dies, heard) as it:
        await it.speak(0.98)
        assert it.caller.events == []
        await it.speak(0.06)

        assert it.caller.types == ["start_of_speech", "final_transcript", "interim_transcript"]
        assert it.finals == ["hello"]


@pytest.mark.parametrize("kind", [Final, UntimedFinal])
@pytest.mark.parametrize("is_ahead", [True, False])
async def test_what_was_settled_is_not_told_again(kind: Any, is_ahead: bool, census: Census):
    """Whichever of the two was faster to hear it."""
    early, late = [AfterAudio(0.6), kind("one two")], [AfterAudio(0.8), kind("One, two")]
    of_a, of_b = (late, early) if is_ahead else (early, late)
    dies = [*of_a, AfterAudio(1.2), Fail(gone)]
    hears = [*of_b, AfterAudio(1.4), kind("three")]
    async with call(census, dies, hears) as it:
        await it.speak(2.0)

        assert it.finals == ["one two" if not is_ahead else "One, two", "three"]
        assert len(it.b.calls) == 1


async def test_finals_that_are_cut_differently(census: Census):
    """Only the words that nobody has settled are told, from the middle of a final too."""
    dies = [AfterAudio(0.6), UntimedFinal("one"), AfterAudio(1.0), Fail(gone)]
    hears = [AfterAudio(0.8), UntimedFinal("one two three"), AfterAudio(1.5), UntimedFinal("four")]
    async with call(census, dies, hears) as it:
        await it.speak(2.0)

        assert it.finals == ["one", "two three", "four"]


async def test_part_of_what_it_heard_is_settled_later(census: Census):
    """The one at work comes after, and gives less."""
    dies = [AfterAudio(0.8), UntimedFinal("one two"), AfterAudio(1.0), Fail(gone)]
    hears = [AfterAudio(0.5), UntimedFinal("one two three")]
    async with call(census, dies, hears) as it:
        await it.speak(2.0)

        assert it.finals == ["one two", "three"]


async def test_words_that_are_still_to_come_from_it(census: Census):
    """It is slower: after the takeover it gives what was settled, and that is kept back."""
    dies = [AfterAudio(0.6), UntimedFinal("one two"), AfterAudio(0.8), Fail(gone)]
    hears = [AfterAudio(1.0), Interim("one two th"), AfterAudio(1.2), UntimedFinal("one two three")]
    async with call(census, dies, hears) as it:
        await it.speak(2.0)

        assert it.finals == ["one two", "three"]
        interims = [e for e in it.caller.events if e.type.value == "interim_transcript"]
        assert [e.alternatives[0].text for e in interims] == ["th"]


async def test_nothing_of_it_is_seen_before(census: Census):
    """No events, no failover, no change of health."""
    works = [AfterAudio(1.0), Final("hello")]
    hears = [SpeechStart(), Interim("hal"), Final("hallo"), SpeechEnd()]
    async with call(census, works, hears) as it:
        await it.speak(1.2)

        assert it.finals == ["hello"]
        assert it.caller.types == ["final_transcript"]
        assert it.adapter.get_service_health("b").requests == 0


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        ("five five five one two three four", "5551234"),
        ("5551234", "five five five one two three four"),
        ("um well you know I think so", "I think so"),
    ],
)
async def test_an_old_difference_in_spelling_is_forgotten(of_a: str, of_b: str, census: Census):
    """It swallows no words after the takeover, and repeats none of before."""
    replies = [("yes", 10.0), ("no thanks", 18.0), ("tuesday", 26.0)]
    a, b = [[AfterAudio(1.0), UntimedFinal(text)] for text in (of_a, of_b)]
    for text, at in replies:
        a += [AfterAudio(at), UntimedFinal(text)]
        b += [AfterAudio(at + 0.1), UntimedFinal(text)]
    dies = [*a, AfterAudio(28.0), Fail(gone)]
    async with call(census, dies, [*b, AfterAudio(29.0), UntimedFinal("goodbye")]) as it:
        await it.be_silent(30.0)

        assert it.finals == [of_a, *(text for text, _ in replies), "goodbye"]


async def test_its_usage_is_counted(census: Census):
    """It costs money all the same."""
    counts = [Repeat([Wait(0.2), AudioUsage(0.2)])]
    async with call(census, QUIET, counts) as it:
        await it.speak(1.0)

        metrics = it.events.of("metrics_collected")
        assert sum(m.audio_duration for m in metrics) == pytest.approx(0.8, abs=0.21)


@pytest.mark.parametrize(
    "fails",
    [[AfterAudio(0.5), Fail(gone)], [AfterAudio(0.5), End()], [FailInCall(gone)]],
    ids=["error", "end", "open"],
)
async def test_one_that_breaks_off_is_opened_anew_after_a_while(fails: list[Step], census: Census):
    """Without harm to the call, and nobody is blamed."""
    hears = [AfterAudio(1000)]
    async with call(census, hears, lambda n: fails if n == 0 else QUIET) as it:
        await it.be_silent(29.0)
        assert len(it.b.calls) == 1
        await it.be_silent(2.0)

        assert len(it.b.calls) == 2
        assert it.open_streams == ["a", "b"]
        assert it.adapter.get_service_health("b").state == "healthy"
        assert it.events.of("failover") == []


async def test_a_failover_while_none_listens_along(census: Census):
    """It is as without."""
    dies = [AfterAudio(0.8), Fail(gone)]
    b = ScriptedSTT(lambda n: [Fail(gone)] if n == 0 else [AfterAudio(1.0), Final("hello")])
    async with call(census, dies, b) as it:
        await it.speak(1.2)

        assert it.finals == ["hello"]
        assert len(it.b.calls) == 2


async def test_the_third_stands_by_once_the_second_works(census: Census):
    """There is always somebody next, as long as one is usable."""
    async with call(census, [AfterAudio(0.4), Fail(gone)], QUIET, QUIET) as it:
        await it.be_silent(1.0)

        assert it.open_streams == ["b", "c"]


async def test_those_that_cannot_stream_do_not_listen_along(census: Census):
    """They are asked utterance by utterance, and each costs."""
    batch = ScriptedSTT([Final("hello")], streaming=False)
    async with call(census, QUIET, batch, QUIET) as it:
        await it.be_silent(1.0)

        assert it.open_streams == ["a", "c"]


async def test_one_that_hears_nothing_is_let_go(census: Census):
    """It would have to be found out by the caller's next words otherwise."""
    text = " ".join(f"word{i}" for i in range(70))
    async with call(census, [AfterAudio(0.5), UntimedFinal(text)], QUIET) as it:
        await it.speak(1.0)

        assert it.open_streams == ["a"]


async def test_the_end_of_the_input_reaches_who_took_over(census: Census):
    """Also if it comes before the takeover."""
    dies = [AfterAudio(0.5), Wait(0.3), Fail(gone)]
    async with call(census, dies, [AfterAudio(100), Final("hello")]) as it:
        await it.speak(0.6)
        it.caller.stream.end_input()
        await asyncio.wait_for(it.caller.listening, 5)

        assert it.finals == ["hello"]
        assert it.b.calls[0].input_ended


async def test_nothing_is_left_when_the_call_ends(census: Census):
    """Neither who is at work nor who listens along."""
    async with call(census, QUIET, QUIET) as it:
        await it.speak(0.5)
        assert it.open_streams == ["a", "b"]
    assert it.open_streams == []


@pytest.mark.usefixtures("census")
async def test_nothing_is_left_when_the_adapter_is_closed():
    """In the middle of a call."""
    async with call(None, QUIET, QUIET) as it:
        await it.speak(0.5)
        await it.adapter.aclose()
        await turns(20)
        assert it.open_streams == []


@pytest.mark.parametrize("turns_after", range(8))
async def test_a_call_that_ends_in_the_takeover(turns_after: int, census: Census):
    """At any turn of the event loop: the census finds what is left."""
    async with call(census, [AfterAudio(0.5), Fail(gone)], QUIET) as it:
        await it.speak(0.48)
        it.caller.stream.push_frame(frames(FRAME)[0])
        await turns(turns_after)
        await it.caller.stream.aclose()
        await turns(20)
        assert it.open_streams == []


async def test_a_burst_of_frames_in_the_takeover(census: Census):
    """Each is heard, also those that come between the choice and the change."""
    async with call(census, [AfterAudio(0.5), Fail(gone)], QUIET) as it:
        await it.speak(0.48)
        for number in range(24, 36):
            it.caller.stream.push_frame(numbered(number))
            await turns(1)

        assert [number_of(f) for f in it.b.calls[0].frames] == list(range(36))


async def test_off_by_default(census: Census):
    """It doubles the bill."""
    async with call(census, QUIET, QUIET, standby=0) as it:
        await it.speak(0.5)

        assert it.open_streams == ["a"]


async def test_one_that_hears_everything_stays_however_long_the_call(census: Census):
    """Words that both have given are forgotten: they are no arrears."""
    talks = [Repeat([Wait(0.2), UntimedFinal("one two three four five")], times=20)]
    async with call(census, talks, talks) as it:
        await it.speak(5.0)

        assert len(it.finals) == 20
        assert it.open_streams == ["a", "b"]
        assert len(it.b.calls) == 1


async def test_its_usage_is_counted_once_behind_another_adapter():
    """Adapters may be nested; the outer one passes on what the inner one used."""
    counts = [Repeat([Wait(0.2), AudioUsage(0.2)])]
    inner = FallbackSTT(
        [ScriptedSTT(QUIET, name="a"), ScriptedSTT(counts, name="b")],
        vad=ScriptedVAD(),
        standby=1,
        silence_timeout=None,
    )
    outer = FallbackSTT([inner], vad=ScriptedVAD(), silence_timeout=None)
    events = EventRecorder(outer, ALL_EVENTS)
    async with calling(outer) as caller:
        await caller.speak(50)

    used = sum(m.audio_duration for m in events.of("metrics_collected"))
    assert used == pytest.approx(0.8, abs=0.21)
