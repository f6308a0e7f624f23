# SPDX-License-Identifier: Apache-2.0
"""A recogniser that takes a caller's speech and says nothing is left, and nobody else is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import vad

from livekit_fallback import FallbackSTT, Provider
from tests.support.audio import frames, numbered
from tests.support.caller import FRAME, Caller, calling
from tests.support.errors import gone
from tests.support.fake_vad import ScriptedVADStream
from tests.support.fakes import (
    AfterAudio,
    AudioUsage,
    Fail,
    Final,
    Hang,
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
from tests.support.virtual_time import block, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit import rtc

    from tests.support.census import Census

PATIENCE = 1.0
DETECTED = 0.2

# For speech of 0.8 to 1.4 s
HEARS: list[Step] = [AfterAudio(0.6), Interim("hello"), AfterAudio(1.5), Final("hello")]
DEAF: list[Step] = []


class Call:
    """A caller, the recognisers that are to hear them, and what happened."""

    def __init__(
        self, adapter: FallbackSTT, recognisers: list[ScriptedSTT], caller: Caller
    ) -> None:
        self.adapter = adapter
        self.recognisers = recognisers
        self.caller = caller
        self._names = [r.name for r in recognisers]
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
    def reasons(self) -> list[str]:
        """Why the adapter moved on."""
        return [event.reason for event in self.events.of("failover")]

    @property
    def finals(self) -> list[str]:
        """What was understood."""
        return finals_of(self.caller.events)

    @property
    def streams(self) -> str:
        """Who was asked, in order."""
        calls = [(c.opened_at, r.name) for r in self.recognisers for c in r.calls]
        return "".join(name for _, name in sorted(calls, key=lambda call: call[0]))

    @property
    def blamed(self) -> list[str]:
        """Who is not healthy."""
        return [n for n in self._names if self.adapter.get_service_health(n).state != "healthy"]

    def assert_balanced(self) -> None:
        """Every START has its END."""
        marks = [t for t in self.caller.types if t in ("start_of_speech", "end_of_speech")]
        assert marks == ["start_of_speech", "end_of_speech"] * (len(marks) // 2)


def _entry(given: Any, name: str) -> Provider[ScriptedSTT]:
    if isinstance(given, Provider):
        given.name = given.instance.name = name
        return given
    recogniser = given if isinstance(given, ScriptedSTT) else ScriptedSTT(given)
    recogniser.name = name
    return Provider(recogniser, name=name)


@asynccontextmanager
async def call(
    census: Census, *given: Any, detector: vad.VAD | None = None, **options: Any
) -> AsyncIterator[Call]:
    """A call to recognisers a, b ... with these scripts."""
    entries = [_entry(g, name) for g, name in zip(given, "abc", strict=False)]
    recognisers = [entry.instance for entry in entries]
    adapter = FallbackSTT(
        entries,
        vad=detector or ScriptedVAD(min_silence=DETECTED),
        **{"silence_timeout": PATIENCE, "probe": None, "total_timeout": None, **options},
    )
    census.watch(*recognisers)
    async with calling(adapter) as caller:
        yield Call(adapter, recognisers, caller)


# --- found out ---------------------------------------------------------------------------------


async def test_deaf_from_the_beginning(census: Census):
    """The next one is asked while the caller speaks, and hears all of it."""
    async with call(census, DEAF, HEARS) as it:
        await it.speak(1.4)
        await it.be_silent(0.5)

        assert it.finals == ["hello"]
        assert it.reasons == ["silent"]
        assert it.blamed == ["a"]
        assert len(it.recognisers[1].calls[0].frames) == 95


async def test_deaf_in_the_middle_of_speech(census: Census):
    """Words came, and then none: what was shown is not final, and is heard again."""
    loses = [AfterAudio(0.4), SpeechStart(), Interim("hel"), Hang()]
    async with call(census, lambda n: DEAF if n else loses, HEARS) as it:
        await it.speak(1.4)
        await it.be_silent(0.5)

        assert it.finals == ["hello"]
        assert it.reasons == ["silent"]
        it.assert_balanced()


async def test_deaf_after_the_end_of_speech(census: Census):
    """The final transcript is owed, however much was shown before."""
    loses = [AfterAudio(0.4), SpeechStart(), Interim("hello")]
    async with call(census, lambda n: DEAF if n else loses, HEARS) as it:
        await it.speak(0.8)
        await it.be_silent(2.0)

        assert it.finals == ["hello"]
        assert it.reasons == ["silent"]
        it.assert_balanced()


async def test_deaf_once_it_was_idle(census: Census):
    """A connection that is dead without saying so shows only when somebody speaks."""
    async with call(census, DEAF, [AfterAudio(21.0), Final("hello")]) as it:
        await it.be_silent(20.0)
        assert it.reasons == []

        await it.speak(0.8)
        await it.be_silent(1.5)

        assert it.finals == ["hello"]
        assert it.reasons == ["silent"]


async def test_usage_is_no_sign_of_life(census: Census):
    """Plugins count it by themselves, whether anybody is there or not."""
    counts = [Repeat([Wait(0.3), AudioUsage(0.3)])]
    async with call(census, counts, HEARS) as it:
        await it.speak(1.4)
        await it.be_silent(0.5)

        assert it.reasons == ["silent"]
        assert it.finals == ["hello"]


async def test_patience_begins_with_speech(census: Census):
    """As the option says, on the caller's clock."""
    async with call(census, DEAF, HEARS) as it:
        await it.be_silent(3.0)
        await it.speak(PATIENCE - 0.06)
        assert it.streams == "a"

        await it.speak(0.2)
        assert it.streams == "ab"


async def test_short_bits_with_pauses_count_from_the_first(census: Census):
    """A caller who asks "hello?" again and again is heard by somebody else in time."""
    hears = [AfterAudio(0.6), Interim("hello"), AfterAudio(1.9), Final("hello")]
    async with call(census, DEAF, hears) as it:
        for _ in range(3):
            await it.speak(0.3)
            await it.be_silent(0.4)

        assert it.streams == "ab"
        assert it.finals == ["hello"]


async def test_a_single_recogniser_is_connected_anew(census: Census):
    """There is nobody else, and its connection may be what is dead."""
    recogniser = ScriptedSTT(lambda number: DEAF if number == 0 else HEARS)
    async with call(census, recogniser) as it:
        await it.speak(1.0)
        await it.be_silent(9.0)

        assert it.finals == ["hello"]
        assert it.streams == "aa"


async def test_two_that_are_deaf(census: Census):
    """The third is asked, and both are blamed."""
    async with call(census, DEAF, DEAF, HEARS) as it:
        await it.speak(1.0)
        await it.be_silent(3.0)

        assert it.finals == ["hello"]
        assert it.blamed == ["a", "b"]
        assert it.reasons == ["silent", "silent"]


# --- not blamed --------------------------------------------------------------------------------


async def test_noise_that_nobody_recognises(census: Census):
    """Everybody is asked once, nobody is blamed, and there is an end of it."""
    begins = [AfterAudio(0.2), SpeechStart()]
    async with call(census, DEAF, begins, DEAF) as it:
        await it.speak(1.0)
        await it.be_silent(20.0)

        assert it.streams == "abca"  # the first one stands best again
        assert it.blamed == []
        assert it.adapter.get_service_health("a").consecutive_failures == 0
        it.assert_balanced()


async def test_endless_noise_does_not_switch_endlessly(census: Census):
    """What a detector takes for speech for minutes, such as music on hold, is asked about once."""
    async with call(census, DEAF, DEAF) as it:
        await it.speak(20.0)

        assert it.streams == "aba"
        assert it.blamed == []


async def test_noise_again_and_again_is_asked_about_ever_less(census: Census):
    """A song on hold, whose voice comes and goes: connections are not opened for each line."""
    async with call(census, DEAF, DEAF) as it:
        for _ in range(20):
            await it.speak(1.5)
            await it.be_silent(1.5)

        assert len(it.streams) <= 10
        assert it.blamed == []


async def test_speech_after_noise_is_watched_again(census: Census):
    """That nobody made anything of the noise excuses nobody from the next words."""
    hears = [AfterAudio(0.5), Final("hello")]
    async with call(census, DEAF, lambda n: DEAF if n == 0 else hears) as it:
        await it.speak(0.5)
        await it.be_silent(8.0)
        asked = it.streams
        await it.speak(0.8)
        await it.be_silent(5.0)

        assert asked == "aba"
        assert it.streams == "abab"
        assert it.finals == ["hello"]
        assert it.blamed == ["a"]


@pytest.mark.parametrize("others", [[DEAF], [[Fail(gone)], DEAF]], ids=["deaf", "down"])
async def test_a_caller_who_hangs_up_before_anybody_heard_words(
    others: list[list[Step]], census: Census
):
    """It may have been noise: that somebody else cannot be reached says nothing about it."""
    async with call(census, DEAF, *others) as it:
        await it.speak(1.3)
        assert it.streams[:2] == "ab"
        await it.caller.stream.aclose()

        assert "a" not in it.blamed


async def test_words_long_after_a_noise_are_no_proof_against_who_did_not_hear_it(census: Census):
    """The next one took note of the noise, and made no words of it."""
    notes = [SpeechStart(), AfterAudio(2.0), SpeechEnd(), AfterAudio(40.0), Final("hello")]
    async with call(census, DEAF, notes) as it:
        await it.speak(1.2)
        await it.be_silent(38.0)
        assert it.reasons == ["silent"]
        await it.speak(0.9)
        await it.be_silent(0.5)

        assert it.finals == ["hello"]
        assert it.blamed == []


async def test_words_that_begin_anew_are_no_proof_against_who_did_not_hear_a_noise(census: Census):
    """Whoever was asked next did not hear any in the noise either."""
    hears = [AfterAudio(3.4), Interim("hello"), AfterAudio(4.0), Final("hello")]
    async with call(census, lambda n: [] if n else DEAF, hears, silence_timeout=2.0) as it:
        await it.speak(2.2)
        await it.be_silent(0.5)
        assert it.streams == "ab"
        await it.speak(1.2)
        await it.be_silent(0.5)

        assert it.finals == ["hello"]
        assert it.blamed == []


SHOWS: list[Step] = [AfterAudio(0.4), SpeechStart(), Interim("I would like")]


async def test_words_of_another_one_are_proof(census: Census):
    """Though the one that was left had shown some, it settled none."""
    ends = [AfterAudio(0.6), Interim("I would like to"), AfterAudio(1.0), UntimedFinal("I'd like")]
    async with call(census, lambda n: [] if n else SHOWS, ends) as it:
        await it.speak(0.9)
        await it.be_silent(2.0)

        assert it.blamed == ["a"]


async def test_the_third_one_is_asked_if_two_show_words_and_settle_none(census: Census):
    """Each of the first two gives a sign of life, and no more than that."""
    async with call(census, SHOWS, SHOWS, HEARS) as it:
        await it.speak(0.9)
        await it.be_silent(4.0)

        assert it.streams == "abc"
        assert it.finals == ["hello"]
        assert it.blamed == ["a", "b"]


async def test_one_that_shows_words_and_settles_none_is_asked_once(census: Census):
    """It is left as one that failed, so the next utterance costs no wait."""
    ends = [AfterAudio(0.6), UntimedFinal("I would like"), AfterAudio(4.6), UntimedFinal("two")]
    async with call(census, SHOWS, ends, temporary_disable_sec=60.0) as it:
        await it.speak(0.9)
        await it.be_silent(3.0)
        await it.speak(0.9)
        await it.be_silent(0.5)

        assert it.finals == ["I would like", "two"]
        assert (it.streams, it.blamed) == ("ab", ["a"])


async def test_a_silent_caller(census: Census):
    """Nobody owes anything for silence."""
    async with call(census, DEAF, HEARS) as it:
        await it.be_silent(20.0)

        assert it.streams == "a"


async def test_a_muted_caller(census: Census):
    """No audio comes at all, not even silence, in the middle of a word."""
    async with call(census, DEAF, HEARS) as it:
        await it.speak(0.5)
        await asyncio.sleep(300.0)

        assert it.streams == "a"


async def test_an_agent_that_speaks_over_the_end_of_speech(census: Census):
    """The session may keep the audio back; the recogniser cannot know that speech has ended."""
    hears = [AfterAudio(0.4), Interim("hello"), AfterAudio(1.5), Final("hello")]
    async with call(census, hears, HEARS) as it:
        await it.speak(0.9)
        await it.be_silent(0.3)
        await asyncio.sleep(30.0)
        await it.be_silent(1.0)

        assert it.streams == "a"
        assert it.finals == ["hello"]


async def test_long_speech_and_a_recogniser_that_waits_for_its_end(census: Census):
    """By its own account it gives no words before."""
    patient = ScriptedSTT([AfterAudio(20.3), Wait(0.5), Final("hello")], interim_results=False)
    async with call(census, patient, HEARS) as it:
        await it.speak(20.0)
        await it.be_silent(2.0)

        assert it.streams == "a"
        assert it.finals == ["hello"]


async def test_words_just_in_time(census: Census):
    """Whoever answers within its patience stays."""
    slow = [AfterAudio(0.8), Wait(PATIENCE - 0.1), Final("hello")]
    slow_ears = ScriptedSTT(slow, interim_results=False)
    async with call(census, slow_ears, HEARS) as it:
        await it.speak(0.8)
        await it.be_silent(3.0)

        assert it.streams == "a"
        assert it.finals == ["hello"]


async def test_a_click_is_no_word(census: Census):
    """Recognisers make nothing of it."""
    async with call(census, DEAF, HEARS) as it:
        for _ in range(5):
            await it.speak(0.1)
            await it.be_silent(2.0)

        assert it.streams == "a"


async def test_a_burst_of_audio(census: Census):
    """The event loop was blocked for long: nobody can have heard yet what comes all at once."""
    async with call(census, HEARS, HEARS) as it:
        await it.be_silent(0.1)
        block(5.0)
        for number in range(250):
            it.caller.stream.push_frame(numbered(number))
        await asyncio.sleep(0.2)
        await it.be_silent(0.5)

        assert it.streams == "a"
        assert it.finals == ["hello"]


async def test_batch_recognisers_have_deadlines_of_their_own(census: Census):
    """They are asked at the end of speech, whatever the detector says meanwhile."""
    batch = ScriptedSTT([Wait(2.0), Final("hello")], streaming=False)
    async with call(census, batch, HEARS) as it:
        await it.speak(1.0)
        await it.be_silent(3.0)

        assert it.finals == ["hello"]
        assert it.reasons == []


# --- how it is switched ------------------------------------------------------------------------


async def test_switched_off(census: Census):
    """No detector runs then, and silence is nobody's failure."""
    detector = ScriptedVAD(min_silence=DETECTED)
    async with call(census, DEAF, HEARS, silence_timeout=None, detector=detector) as it:
        await it.speak(1.0)
        await it.be_silent(30.0)

        assert it.streams == "a"
        assert detector.streams == []


async def test_switched_off_an_utterance_that_nobody_hears_is_closed_all_the_same(census: Census):
    """One took a cough for the beginning of speech, and was lost; the next one rightly did not."""
    begins = [AfterAudio(0.3), SpeechStart(), AfterAudio(0.8), Fail(gone)]
    async with call(census, begins, DEAF, silence_timeout=None) as it:
        await it.speak(0.3)
        await it.be_silent(12.0)

        assert it.caller.types == ["start_of_speech", "end_of_speech"]


@pytest.mark.parametrize("patience", [0.5, 3.0])
async def test_the_patience_is_an_option(patience: float, census: Census):
    """It is counted from the end of speech for who waits for that."""
    deaf = ScriptedSTT(DEAF, interim_results=False)
    async with call(census, deaf, HEARS, silence_timeout=patience) as it:
        await it.speak(1.0)
        await it.be_silent(patience - 0.1)
        assert it.streams == "a"

        await it.be_silent(0.2)
        assert it.streams == "ab"


@pytest.mark.parametrize("own", [2.5, None])
async def test_one_recogniser_may_have_a_patience_of_its_own(own: float | None, census: Census):
    """One that waits for the end of the turn needs more than the others."""
    async with call(census, Provider(ScriptedSTT(DEAF), silence_timeout=own), DEAF) as it:
        await it.speak(2.4)
        assert it.streams == "a"
        await it.speak(1.0)
        assert it.streams == ("ab" if own else "a")
        await it.speak(0.3)

        assert it.streams == ("aba" if own else "a")


async def test_one_recogniser_may_be_watched_where_the_others_are_not(census: Census):
    """The watch runs for that one."""
    watched = Provider(ScriptedSTT(DEAF), silence_timeout=PATIENCE)
    async with call(census, watched, DEAF, silence_timeout=None) as it:
        await it.speak(10.0)

        assert it.streams == "ab"


async def test_latency_is_measured_beside_it(census: Census):
    """One detector serves both."""
    detector = ScriptedVAD(min_silence=DETECTED)
    late = [AfterAudio(0.8), Wait(0.4), Final("hello")]
    options = {"latency_threshold_ms": 300, "probe": "live"}
    async with call(census, late, HEARS, detector=detector, **options) as it:
        await it.speak(0.8)
        await it.be_silent(1.0)

        assert it.adapter.get_service_health("a").latency_p50 == pytest.approx(0.4, abs=0.03)
        assert it.adapter.get_service_health("a").slow == 1
        assert len(detector.streams) == 1


async def test_the_call_ends_while_an_answer_is_owed(census: Census):
    """Nothing is left behind."""
    detector = ScriptedVAD(min_silence=DETECTED)
    async with call(census, DEAF, HEARS, detector=detector) as it:
        await it.speak(0.5)
    await turns(20)

    assert detector.open_calls == []


# --- promoted finals ---------------------------------------------------------------------------


async def test_a_final_that_a_broken_connection_brings_is_not_believed(census: Census):
    """Cartesia's plugin gives its last partial transcript as final, and fails only then."""
    dies = [AfterAudio(0.5), Interim("hel"), AfterAudio(0.7), UntimedFinal("hel"), SpeechEnd()]
    async with call(census, [*dies, Fail(gone)], HEARS) as it:
        await it.speak(1.3)
        await it.be_silent(0.5)

        assert it.finals == ["hello"]
        it.assert_balanced()


@pytest.mark.parametrize("retry_interval", [1.0, 5.0])
async def test_it_is_not_believed_either_while_nobody_can_be_asked(
    retry_interval: float, census: Census
):
    """A single recogniser is asked again after a while only, longer than a final is held back."""
    dies = [AfterAudio(0.5), Interim("hel"), AfterAudio(0.7), UntimedFinal("hel"), Fail(gone)]
    recogniser = ScriptedSTT(lambda n: dies if n == 0 else HEARS)
    async with call(census, recogniser, retry_interval=retry_interval) as it:
        await it.speak(1.3)
        await it.be_silent(9.0)

        assert it.finals == ["hello"]


async def test_a_final_that_is_not_believed_settles_no_debt(census: Census):
    """What it took back is owed by the next one, who is deaf, and found out in turn."""
    dies = [AfterAudio(0.5), Interim("hel"), AfterAudio(0.7), UntimedFinal("hel")]
    async with call(census, [*dies, Fail(gone)], DEAF, HEARS) as it:
        await it.speak(0.72)
        await it.be_silent(3.0)

        assert it.finals == ["hello"]
        assert it.streams == "abc"


async def test_one_that_lives_on_has_meant_it(census: Census):
    """It is held back for a moment only."""
    hears = [AfterAudio(0.5), Interim("hel"), AfterAudio(0.7), UntimedFinal("hel")]
    async with call(census, hears, HEARS) as it:
        await it.speak(0.8)
        assert it.finals == []
        await it.speak(0.3)
        assert it.finals == ["hel"]


async def test_after_a_pause_a_final_is_held_back_for_a_moment_only(census: Census):
    """Whoever ends an utterance where the caller does, likely means it."""
    hears = [AfterAudio(0.5), Interim("hello"), AfterAudio(1.1), UntimedFinal("hello")]
    async with call(census, hears, HEARS) as it:
        await it.speak(0.8)
        await it.be_silent(0.38)

        assert it.finals == ["hello"]


async def test_what_comes_behind_a_held_final_keeps_its_place(census: Census):
    """An END that came with it, and words that come after it."""
    hears = [
        AfterAudio(0.3), SpeechStart(), Interim("one"), AfterAudio(0.5), UntimedFinal("one"),
        SpeechEnd(), AfterAudio(0.6), SpeechStart(), Interim("two"),
        AfterAudio(1.2), UntimedFinal("two"), SpeechEnd(),
    ]  # fmt: skip
    async with call(census, hears, HEARS) as it:
        await it.speak(0.9)
        await it.be_silent(1.0)

        assert it.finals == ["one", "two"]
        it.assert_balanced()


async def test_a_call_that_ends_with_a_final_held_back(census: Census):
    """The recogniser ended cleanly, as it should: it is what was understood."""
    hears = [AfterAudio(0.3), Interim("one"), AfterAudio(0.5), UntimedFinal("one")]
    async with call(census, [*hears, AfterAudio(100)], HEARS) as it:
        await it.speak(0.55)
        it.caller.stream.end_input()
        await asyncio.wait_for(it.caller.listening, 5)

        assert it.finals == ["one"]


# --- the end of the input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "settles",
    [
        [AfterAudio(0.62), Final("hello")],
        [AfterAudio(0.82), UntimedFinal("hello")],
        [AfterAudio(0.62), Interim("hello"), AfterAudio(0.9), UntimedFinal("hello")],
        [AfterAudio(100), UntimedFinal("hello")],
    ],
    ids=["timed", "untimed", "held-back", "late"],
)
async def test_a_recogniser_that_never_ends(settles: list[Step], census: Census):
    """OpenAI's realtime streams wait for ever: with everything settled, that is an end."""
    hears = [*settles, Hang()]
    async with call(census, hears, HEARS, attempt_timeout=1.0) as it:
        await it.speak(0.6)
        await it.be_silent(0.5)
        it.caller.stream.end_input()
        await asyncio.wait_for(it.caller.listening, 3)

        assert it.caller.error is None
        assert it.finals == ["hello"]
        assert it.streams == "a"


async def test_a_recogniser_that_never_ends_with_words_open(census: Census):
    """What was not settled is heard by the next one."""
    hangs = [AfterAudio(0.5), Interim("hel"), Hang()]
    async with call(census, hangs, HEARS, attempt_timeout=1.0) as it:
        await it.speak(0.9)
        it.caller.stream.end_input()
        await asyncio.wait_for(it.caller.listening, 5)

        assert it.finals == ["hello"]
        assert it.reasons == ["silent"]


async def test_a_final_that_stands_for_a_part_only(census: Census):
    """There was a pause, and words behind it: they are heard by the next one."""
    hangs = [AfterAudio(100), UntimedFinal("one"), Hang()]
    rest = [AfterAudio(0.1), UntimedFinal("two")]
    async with call(census, hangs, rest, attempt_timeout=1.0, silence_timeout=None) as it:
        await it.speak(0.5)
        await it.be_silent(1.0)
        await it.speak(0.5)
        it.caller.stream.end_input()
        await asyncio.wait_for(it.caller.listening, 8)

        assert it.finals == ["one", "two"]


# --- the detector ------------------------------------------------------------------------------


class _Crash(ScriptedVADStream):
    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            raise ValueError("no model")


class _Ends(ScriptedVADStream):
    async def _main_task(self) -> None:
        return


class _Refuses(ScriptedVADStream):
    def push_frame(self, frame: rtc.AudioFrame) -> None:
        raise ValueError("not this rate")


class _Failing(ScriptedVAD):
    """A detector whose streams fail; without a kind, none is opened."""

    def __init__(self, kind: type[ScriptedVADStream] | None) -> None:
        super().__init__(min_silence=DETECTED)
        self._kind = kind

    def stream(self) -> ScriptedVADStream:
        if self._kind is None:
            raise ValueError("no threads left")
        self.streams.append(self._kind(self))
        return self.streams[-1]


def _syllables(seconds: float) -> list[rtc.AudioFrame]:
    """Sound that comes and goes as syllables do; an even tone is no speech by its loudness."""
    syllable = [*frames(0.16), *frames(0.06, pitch=0)]
    return (syllable * round(seconds / 0.2))[: round(seconds / FRAME)]


@pytest.mark.parametrize("kind", [_Crash, _Ends, _Refuses, None])
@pytest.mark.parametrize("script", [HEARS, DEAF], ids=["hears", "deaf"])
async def test_a_detector_that_fails(
    kind: type[ScriptedVADStream] | None,
    script: list[Step],
    census: Census,
    caplog: pytest.LogCaptureFixture,
):
    """Loudness tells who speaks from then on: it finds out who is deaf, and blames nobody else."""
    detector = _Failing(kind)
    async with call(census, script, HEARS, detector=detector) as it:
        await it.be_silent(0.1)
        for frame in _syllables(1.2):
            it.caller.stream.push_frame(frame)
            await asyncio.sleep(FRAME)
        await it.be_silent(2.0)

        assert it.finals == ["hello"]
        assert it.streams == ("a" if script is HEARS else "ab")
        assert detector.open_calls == []
    assert caplog.text.count("detector failed") == 1
