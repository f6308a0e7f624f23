# SPDX-License-Identifier: Apache-2.0
"""How long a streaming recogniser takes, from the end of speech to the words that settle it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import vad

from livekit_fallback import FallbackSTT, Provider
from tests.support.audio import frames, number_of, numbered
from tests.support.caller import FRAME, Caller, calling
from tests.support.errors import gone
from tests.support.fake_vad import ScriptedVADStream
from tests.support.fakes import (
    AfterFrames,
    Fail,
    Final,
    Interim,
    Preflight,
    ScriptedSTT,
    ScriptedVAD,
    SpeechEnd,
    SpeechStart,
    Step,
    Wait,
    finals_of,
)
from tests.support.outage import ALL_EVENTS
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit import rtc

    from tests.support.census import Census

SPEECH, PAUSE = 20, 60  # frames of 20 ms: 0.4 s and 1.2 s
TURN = SPEECH + PAUSE
DETECTED = 0.2  # seconds of silence after which the detector is sure


def utterances(count: int, *steps: Step) -> list[Step]:
    """The script of a recogniser that does this after the end of each of so many utterances."""
    return [s for n in range(count) for s in (AfterFrames(n * TURN + SPEECH), *steps)]


class Call:
    """A call to an adapter whose own detector hears the caller."""

    def __init__(self, adapter: FallbackSTT, caller: Caller, events: EventRecorder) -> None:
        self.adapter = adapter
        self.caller = caller
        self.events = events
        self.number = 0

    async def say(self, times: int = 1, *, speech: int = SPEECH, pause: int = PAUSE) -> None:
        """Speak, and be silent, so many times."""
        for _ in range(times):
            for _ in range(speech):
                await self.push(numbered(self.number))
                self.number += 1
            for silence in frames(pause * FRAME, pitch=0):
                await self.push(silence)

    async def push(self, frame: rtc.AudioFrame) -> None:
        self.caller.stream.push_frame(frame)
        await asyncio.sleep(FRAME)

    @property
    def p50(self) -> float | None:
        median: float | None = self.adapter.get_service_health("a").latency_p50
        return median

    @property
    def slow(self) -> int:
        slow: int = self.adapter.get_service_health("a").slow
        return slow

    @property
    def heard(self) -> str:
        """What was final, in order, in one word."""
        return "".join(finals_of(self.caller.events))


@asynccontextmanager
async def call(
    census: Census, *given: Any, detector: vad.VAD | None = None, **options: Any
) -> AsyncIterator[Call]:
    """A call to recognisers a, b ...; none of them is slow below half a second."""
    providers = [g if isinstance(g, ScriptedSTT) else ScriptedSTT(g) for g in given]
    entries = [Provider(p, name=name) for p, name in zip(providers, "abc", strict=False)]
    adapter = FallbackSTT(
        entries,
        vad=detector or ScriptedVAD(min_silence=DETECTED),
        **{"latency_threshold_ms": 500, "probe": "live", **options},
    )
    census.watch(*providers)
    async with calling(adapter) as caller:
        yield Call(adapter, caller, EventRecorder(adapter, ALL_EVENTS))


@pytest.mark.parametrize("seconds", [0.3, 0.4, 0.7])
async def test_words_after_the_detector_is_sure(seconds: float, census: Census):
    """The latency is counted from the end of speech, not from when it was detected."""
    async with call(census, utterances(1, Wait(seconds), Final("a"))) as it:
        await it.say()

        assert it.p50 == pytest.approx(seconds, abs=0.03)
        assert it.slow == (seconds > 0.5)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.15])
async def test_words_before_the_detector_is_sure(seconds: float, census: Census):
    """A recogniser that is quicker than the detector is timed all the same."""
    async with call(census, utterances(1, Wait(seconds + FRAME), Final("a"))) as it:
        await it.say()

        assert it.p50 == pytest.approx(seconds, abs=0.03)


async def test_a_preflight_is_what_an_answer_begins_with(census: Census):
    """The session goes on with it, so the final after it comes too late for nobody."""
    steps = [Wait(0.3), Preflight("a"), Wait(0.5), Final("a")]
    async with call(census, utterances(2, *steps)) as it:
        await it.say(2)

        assert it.p50 == pytest.approx(0.3, abs=0.03)
        assert it.slow == 0


async def test_interim_words_settle_nothing(census: Census):
    """They may still change; and words that are open when speech ends are waited for."""
    script = [AfterFrames(5), Interim("a"), AfterFrames(SPEECH), Wait(0.05), Interim("a b"),
              Wait(0.6), Final("a b")]  # fmt: skip
    async with call(census, script) as it:
        await it.say()

        assert it.p50 == pytest.approx(0.65, abs=0.03)


async def test_a_final_in_the_middle_of_speech_is_not_its_end(census: Census):
    """Long utterances are settled piece by piece: the last piece is timed."""
    script = [AfterFrames(5), Final("a "), AfterFrames(SPEECH), Wait(0.4), Final("b")]
    async with call(census, script) as it:
        await it.say()

        assert it.p50 == pytest.approx(0.4, abs=0.03)


async def test_no_words_are_no_latency(census: Census):
    """Noise that the detector takes for speech is followed by nothing, and rightly so."""
    async with call(census, [AfterFrames(5 * TURN + SPEECH), Wait(0.3), Final("a")]) as it:
        await it.say(5)
        assert it.p50 is None
        await it.say()

        assert it.p50 == pytest.approx(0.3, abs=0.03)
        assert it.slow == 0


async def test_a_caller_who_goes_on_has_only_paused(census: Census):
    """A recogniser that waits for the end of the turn owes nothing between two breaths."""
    both = 2 * SPEECH + 20
    async with call(census, [AfterFrames(both), Wait(0.3), Final("a b")]) as it:
        await it.say(pause=20)
        await it.say()

        assert it.p50 == pytest.approx(0.3, abs=0.03)
        assert it.slow == 0


async def test_words_of_the_first_breath_during_the_second_say_nothing(census: Census):
    """It cannot be told how late they are."""
    script = [AfterFrames(SPEECH + 25), Final("a"), AfterFrames(2 * SPEECH + 15), Wait(0.4),
              Final("b")]  # fmt: skip
    async with call(census, script) as it:
        await it.say(pause=15)
        await it.say()

        health = it.adapter.get_service_health("a")
        assert [health.latency_p50, health.latency_p99] == pytest.approx([0.4, 0.4], abs=0.03)


async def test_words_that_are_open_when_the_detector_is_sure_are_waited_for(census: Census):
    """A final before that settles only what was said up to it: the rest follows."""
    script = [AfterFrames(SPEECH), Wait(0.05), Final("a "), Wait(0.05), Interim("b"), Wait(0.5),
              Final("b")]  # fmt: skip
    async with call(census, script) as it:
        await it.say()

        assert it.p50 == pytest.approx(0.6, abs=0.03)


async def test_a_change_of_recogniser_is_a_new_debt(census: Census):
    """What the one that failed owed is not held against the next."""
    a = [AfterFrames(SPEECH), Wait(0.4), Fail(gone)]
    async with call(census, a, [Wait(0.5), Final("b")]) as it:
        await it.say()

        assert it.heard == "b"
        assert it.p50 is None
        assert it.adapter.get_service_health("b").latency_p50 is None


class BrokenVAD(ScriptedVAD):
    """Fails in its third update, in being opened, or takes no frames."""

    def __init__(self, how: str) -> None:
        super().__init__(min_silence=DETECTED)
        self.how = how

    def stream(self) -> ScriptedVADStream:
        if self.how == "opening":
            raise RuntimeError("no model")
        stream = super().stream()
        if self.how == "hearing":
            stream._take = _explode  # type: ignore[method-assign, assignment]
        elif self.how == "pushing":
            stream.push_frame = _explode  # type: ignore[method-assign, assignment]
        elif self.how == "ended":
            stream.end_input()
        return stream


def _explode(_: object) -> None:
    raise RuntimeError("no model")


@pytest.mark.parametrize("how", ["opening", "hearing", "pushing", "ended"])
async def test_a_detector_that_fails_does_not_end_the_call(how: str, census: Census):
    """Nothing is timed any more, and every word is heard."""
    script = utterances(3, Wait(0.7), Final("a"))
    async with call(census, script, detector=BrokenVAD(how)) as it:
        await it.say(3)

        assert it.heard == "aaa"
        assert it.p50 is None
        assert it.events.of("failover") == it.events.of("error") == []


@pytest.mark.parametrize("marked", [False, True], ids=["bare", "marked"])
async def test_a_slow_recogniser_is_left_between_two_utterances(marked: bool, census: Census):
    """After the third slow word; and no audio is lost or heard twice."""
    words: list[Step] = [Wait(0.7), Final("a")]
    if marked:
        words = [SpeechStart(), *words, SpeechEnd()]
    a = ScriptedSTT(utterances(5, *words))
    b = ScriptedSTT([AfterFrames(SPEECH), Final("b"), AfterFrames(TURN + SPEECH), Final("b")])
    async with call(census, a, b) as it:
        await it.say(5)

        assert it.heard == "aaabb"
        (failover,) = it.events.of("failover")
        assert (failover.reason, failover.to_provider) == ("latency", "b")
        assert failover.elapsed == pytest.approx(0.7, abs=0.03)
        assert it.slow == 3
        heard = [number_of(f) for p in (a, b) for f in p.calls[0].frames if max(f.data) > 500]
        assert heard == list(range(5 * SPEECH))


async def test_it_is_not_left_in_the_middle_of_an_utterance(census: Census):
    """The slow word was a piece of one: the rest is heard by the same recogniser."""
    late = [SpeechStart(), Wait(0.7), Final("a "), AfterFrames(TURN + SPEECH), Wait(0.1),
            Final("b "), SpeechEnd()]  # fmt: skip
    a = ScriptedSTT([AfterFrames(SPEECH), *late])
    b = ScriptedSTT([AfterFrames(SPEECH), Final("c")])
    async with call(census, a, b, consecutive_latency_hits=1) as it:
        await it.say(3)

        assert it.heard == "a b c"
        assert it.adapter.get_service_health("a").state == "cooling_down"


async def test_a_slow_word_in_the_test_sends_it_back(census: Census):
    """`probe="live"`: the next utterance after its rest is the test, and has to be quick too."""
    a = ScriptedSTT(utterances(9, Wait(0.7), Final("a")))
    b = ScriptedSTT([s for n in range(9) for s in (AfterFrames(n * TURN + SPEECH), Final("b"))])
    async with call(census, a, b, consecutive_latency_hits=1, temporary_disable_sec=2.0) as it:
        await it.say(8)

        # each return is heard by the tested one, late, and then by the other for longer
        assert it.heard == "abbbabbbba"
        rests = [e.rest for e in it.events.of("health_changed") if e.after == "cooling_down"]
        assert rests[:2] == [2.0, 4.0]


async def test_calls_at_once_leave_together(census: Census):
    """What one call has found out holds for all, each at the end of its own utterance."""
    slow = ScriptedSTT(utterances(3, Wait(0.7), Final("a")))
    quick = ScriptedSTT([AfterFrames(SPEECH), Final("b")])
    hits: dict[str, Any] = {"consecutive_latency_hits": 1}
    async with call(census, slow, quick, **hits) as it, calling(it.adapter) as second:
        second.stream.push_frame(numbered(0))
        await it.say()

        assert len(quick.calls) == 2
        assert slow.open_calls == []
        assert second.error is None


@pytest.mark.parametrize("end", ["input", "close"])
async def test_the_detector_is_closed_with_the_call(end: str, census: Census):
    """Neither its stream nor its task outlives the stream of the caller."""
    detector = ScriptedVAD(min_silence=DETECTED)
    async with call(census, utterances(1, Final("a")), detector=detector) as it:
        await it.say()
        if end == "input":
            it.caller.stream.end_input()
            await it.caller.listening
        else:
            await it.caller.stream.aclose()
        await turns(10)

        assert detector.open_calls == []

    assert len(detector.streams) == 1


async def test_the_detector_is_closed_though_the_call_is_closed_twice(census: Census):
    """At the end of the audio, and by the session in the same moment."""
    detector = ScriptedVAD(min_silence=DETECTED)
    async with call(census, utterances(1, Final("a")), detector=detector) as it:
        await it.say()
        it.caller.stream.end_input()
        await it.caller.listening

    await turns(10)
    assert detector.open_calls == []


async def test_nobody_listens_where_nothing_is_judged(census: Census):
    """Without a threshold or a budget no detector costs any time."""
    detector = ScriptedVAD()
    async with call(
        census,
        utterances(1, Final("a")),
        detector=detector,
        latency_threshold_ms=None,
        silence_timeout=None,
    ) as it:
        await it.say()

    assert detector.streams == []
