# SPDX-License-Identifier: Apache-2.0
"""Turn-taking over a change of listener: balanced marks, orderly returns, times that go on."""

from __future__ import annotations

import asyncio
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.stt import SpeechEventType

from livekit_fallback import FallbackSTT
from tests.support.audio import frames
from tests.support.caller import FRAME, calling
from tests.support.chains import Chain, listeners
from tests.support.errors import gone
from tests.support.fakes import (
    AfterFrames,
    Fail,
    FailInCall,
    Final,
    Hang,
    Interim,
    ScriptedSTT,
    ScriptedVAD,
    SpeechEnd,
    SpeechStart,
    Step,
    Wait,
    finals_of,
)
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from livekit.agents.stt import SpeechEvent

    from livekit_fallback import FallbackSTT
    from tests.support.census import Census

START, END = "start_of_speech", "end_of_speech"
MARKED = [AfterFrames(5), SpeechStart(), Interim("one"), Final("one two"), SpeechEnd()]
END_FIRST = [AfterFrames(5), SpeechStart(), Interim("one"), SpeechEnd(), Final("one two")]
UNMARKED = [AfterFrames(5), Interim("one"), Final("one two")]
SILENT: list[Step] = []


def _assert_balanced(events: list[SpeechEvent]) -> None:
    open_now = 0
    for event in events:
        open_now += event.type is SpeechEventType.START_OF_SPEECH
        open_now -= event.type is SpeechEventType.END_OF_SPEECH
        assert open_now in (0, 1), [e.type.value for e in events]
    assert open_now == 0, [e.type.value for e in events]


FIRSTS = {"marked": MARKED, "end-first": END_FIRST, "unmarked": UNMARKED}
SECONDS = {**FIRSTS, "joined-late": [*UNMARKED, SpeechEnd()]}


@pytest.mark.parametrize("breaks_after", range(6))
@pytest.mark.parametrize(("first", "second"), list(product(FIRSTS, SECONDS)))
async def test_every_start_has_its_end_over_a_switch(
    first: str, second: str, breaks_after: int, census: Census
):
    """Whatever marks two listeners send, and wherever the first breaks off, marks balance."""
    chain = listeners(
        census, [*FIRSTS[first][:breaks_after], Fail(gone())], [*SECONDS[second], Hang()]
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(1.0)

        _assert_balanced(caller.events)
        assert finals_of(caller.events)[-1] == "one two"


async def test_an_utterance_is_closed_when_its_last_word_was_final(census: Census):
    """START, FINAL, and then the listener dies: the END comes though nobody speaks any more."""
    chain = listeners(census, [*MARKED[:4], Fail(gone())], SILENT)

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(1.0)

        assert caller.types == [START, "interim_transcript", "final_transcript", END]


async def test_an_utterance_goes_on_with_the_next_listener(census: Census):
    """In the middle of words there is no END: the next listener finishes what was begun."""
    chain = listeners(census, [*MARKED[:3], Fail(gone())], [AfterFrames(30), *MARKED[1:]])

    async with calling(chain.adapter) as caller:
        await caller.speak(20)
        assert caller.types == [START, "interim_transcript"]
        await caller.speak(20)

        assert caller.types[2:] == ["interim_transcript", "final_transcript", END]


async def test_an_empty_final_does_not_end_what_was_begun(census: Census):
    """Some listeners finalise silence, too; the words are still to come."""
    second = [AfterFrames(6), Final(""), AfterFrames(15), Final("one two"), Hang()]
    chain = listeners(census, [*MARKED[:3], Fail(gone())], second)

    async with calling(chain.adapter) as caller:
        await caller.speak(20)

        texts = [e.alternatives[0].text for e in caller.events if e.alternatives]
        assert caller.types[-1] == END
        assert caller.types.count(END) == 1
        assert texts[-1] == "one two"


UTTERANCES = [
    [*MARKED, AfterFrames(50), *MARKED[1:]],
    [*END_FIRST, AfterFrames(50), *END_FIRST[1:]],
    [*UNMARKED, AfterFrames(50), *UNMARKED[1:]],
]


@pytest.mark.parametrize("script", UTTERANCES, ids=["marked", "end-first", "unmarked"])
async def test_it_returns_to_the_better_listener_between_utterances(
    script: list[Step], census: Census
):
    """When the primary is back the caller is heard by it, after the utterance under way."""
    ear = ScriptedSTT([Fail(gone())], [AfterFrames(3), Final("back")])
    chain = listeners(census, ear, script, temporary_disable_sec=0.5)

    async with calling(chain.adapter) as caller:
        await caller.speak(3)
        await asyncio.sleep(1.0)
        await caller.speak(20)

        assert finals_of(caller.events) == ["one two", "back"]
        assert chain.asked == "aba"
        assert [e.provider for e in chain.events.of("recovery")] == ["a"]
        assert chain.providers["b"].open_calls == []


async def test_it_does_not_leave_in_the_middle_of_an_utterance(census: Census):
    """A better listener that is back waits until the words under way are final."""
    ear = ScriptedSTT([Fail(gone())], [])
    words = [AfterFrames(5), SpeechStart(), Interim("one"), AfterFrames(100), Final("one two")]
    chain = listeners(
        census, ear, [*words, AfterFrames(110), SpeechEnd()], temporary_disable_sec=0.5
    )

    async with calling(chain.adapter) as caller:
        await caller.speak(105)
        assert chain.asked == "ab"
        await caller.speak(10)

        assert chain.asked == "aba"


async def test_audio_after_the_last_final_goes_back_with_the_caller(census: Census):
    """What was said between the backup's last word and the return is heard by the primary."""
    ear = ScriptedSTT([Fail(gone())], [AfterFrames(3), Final("back")])
    words = [AfterFrames(5), SpeechStart(), Final("one"), AfterFrames(45), SpeechEnd()]
    chain = listeners(census, ear, words, temporary_disable_sec=0.5)

    async with calling(chain.adapter) as caller:
        await caller.speak(50)

    returned = [int(frame.data[0]) for frame in chain.call("a", 1).frames]
    assert returned == list(range(returned[0], 50))
    assert returned[0] <= 6


async def test_a_sticky_adapter_stays(census: Census):
    """With `sticky` the caller stays with the listener that serves."""
    ear = ScriptedSTT([Fail(gone())], [])
    chain = listeners(census, ear, UTTERANCES[0], temporary_disable_sec=0.5, sticky=True)

    async with calling(chain.adapter) as caller:
        await caller.speak(100)

    assert chain.asked == "ab"


async def test_a_return_that_fails_loses_nothing(census: Census):
    """A primary that dies again on return hands the same audio back."""
    ear = ScriptedSTT([Fail(gone())])
    back_up = ScriptedSTT([*MARKED, Hang()], [AfterFrames(20), Final("all of it")])
    chain = listeners(census, ear, back_up, temporary_disable_sec=0.1)

    async with calling(chain.adapter) as caller:
        await asyncio.sleep(1.0)
        await caller.speak(40)

        assert finals_of(caller.events) == ["one two", "all of it"]
    assert chain.asked[:4] == "abab"


PROBED: Any = {"temporary_disable_sec": 1.0, "probe": "replay"}


async def test_a_probe_repeats_the_last_utterance_beside_the_call(census: Census):
    """Whether a listener is back is tried with words that were just heard, unnoticed."""
    ear = ScriptedSTT([Fail(gone())], [Final("probe heard")], [AfterFrames(20), Final("back")])
    chain = listeners(census, ear, [AfterFrames(55), *MARKED[1:]], **PROBED)

    async with calling(chain.adapter) as caller:
        await caller.speak(60)
        await asyncio.sleep(3.0)
        assert [frame.data[0] for frame in chain.call("a", 1).frames] == list(range(55))
        assert chain.call("a", 1).input_ended
        assert finals_of(caller.events) == ["one two"]
        await caller.speak(50)

        assert finals_of(caller.events) == ["one two", "back"]
    assert chain.events.of("metrics_collected") == []


async def test_a_listener_that_is_back_hears_the_next_utterance(census: Census):
    """The return does not wait for the caller: between two utterances it is made at once."""
    ear = ScriptedSTT([Fail(gone())], [Final("probe heard")], [AfterFrames(20), Final("back")])
    chain = listeners(census, ear, UTTERANCES[0], **PROBED)

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(3.0)

        assert chain.asked == "abaa"
        assert chain.providers["b"].open_calls == []


async def test_a_word_that_is_under_way_keeps_its_listener(census: Census):
    """A primary that is back while the caller speaks waits for the end of the utterance."""
    words = [AfterFrames(5), Final("one two"), AfterFrames(8), Interim("three")]
    ear = ScriptedSTT([Fail(gone())], [Final("probe heard")], [Hang()])
    chain = listeners(census, ear, [*words, AfterFrames(40), Final("three four"), Hang()], **PROBED)

    async with calling(chain.adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(3.0)
        assert len(chain.providers["b"].open_calls) == 1
        await caller.speak(40)

        assert finals_of(caller.events) == ["one two", "three four"]
        assert chain.providers["b"].open_calls == []


async def test_a_probe_that_hears_nothing_in_the_words_proves_nothing(census: Census):
    """A listener that answers a probe with silence stays out, and is asked less and less."""
    ear = ScriptedSTT([Fail(gone())], [])
    chain = listeners(census, ear, lambda _: [*UTTERANCES[0]], **PROBED)

    async with calling(chain.adapter) as caller:
        for _ in range(20):
            await caller.speak(5)
            await asyncio.sleep(3.0)

    assert chain.events.of("recovery") == []
    assert 2 <= len(chain.providers["a"].calls) <= 7


async def test_a_hanging_probe_is_bounded_and_disturbs_nobody(census: Census):
    """A probe that gets no answer ends at the attempt's deadline; the caller is heard."""
    ear = ScriptedSTT([Fail(gone())], [Hang()])
    chain = listeners(census, ear, UTTERANCES[0], attempt_timeout=2.0, **PROBED)

    async with calling(chain.adapter) as caller:
        await caller.speak(60)
        await asyncio.sleep(5.0)

        assert finals_of(caller.events) == ["one two", "one two"]
        assert chain.providers["a"].open_calls == []
    lasted = chain.closed_at("a", 1) - chain.call("a", 1).opened_at
    assert lasted == pytest.approx(2.0, abs=0.05)


async def test_a_probe_outlives_the_call_but_not_the_adapter(census: Census):
    """Probes belong to the adapter: hanging up does not end them, closing the adapter does."""
    a, b = ScriptedSTT([Fail(gone())], [Hang()]), ScriptedSTT(UTTERANCES[0])
    census.watch(a, b)
    adapter = FallbackSTT([a, b], attempt_timeout=60.0, **PROBED)

    async with calling(adapter) as caller:
        await caller.speak(10)
        await asyncio.sleep(2.0)
    assert len(a.open_calls) == 1
    await adapter.aclose()
    await turns(10)

    assert a.open_calls == []


async def test_a_wrapped_listener_is_probed_so_that_it_can_prove_itself(census: Census):
    """A recogniser of recordings is back when it recognises, whatever the VAD makes of a sample."""
    batch = ScriptedSTT([Fail(gone())], [Final("heard")], streaming=False)
    live = ScriptedSTT([AfterFrames(20), Final("one"), AfterFrames(60), Final("two")])
    chain = listeners(census, batch, live, vad=ScriptedVAD(), **PROBED)

    async with chain.adapter.stream() as stream:
        # the second final comes before any silence that the VAD could take for an end
        for frame in [*frames(0.4), *frames(0.4, pitch=0), *frames(0.4)]:
            stream.push_frame(frame)
            await asyncio.sleep(FRAME)
        await asyncio.sleep(3.0)

    changes = chain.events.of("stt_availability_changed")
    assert [event.available for event in changes] == [False, True]


async def test_times_stay_on_the_callers_timeline(census: Census):
    """A word heard by the next listener has the time at which the caller said it."""
    word = Final("word", start=0.1, end=1.0)
    chain = listeners(
        census,
        [AfterFrames(50), word, AfterFrames(150), Fail(gone())],
        [AfterFrames(50), word],
    )

    async with calling(chain.adapter) as caller:
        caller.stream.start_time_offset = 100.0
        await caller.speak(200)

    first, second = (e.alternatives[0] for e in caller.events)
    assert first.start_time == pytest.approx(100.1, abs=FRAME)
    # the second listener's audio begins where the first one's final was, at one second
    assert second.start_time == pytest.approx(101.1, abs=2 * FRAME)
    assert second.words is not None
    assert second.words[0].start_time == pytest.approx(second.start_time)


async def test_times_never_run_backwards(census: Census):
    """Over many switches each final begins at or after the end of the one before."""
    dying = [AfterFrames(25), Final("word", start=0.0, end=0.4), Wait(0.1), Fail(gone())]
    chain: Chain[FallbackSTT, ScriptedSTT] = listeners(census, dying, dying)

    async with calling(chain.adapter) as caller:
        await caller.speak(500)

    times = [(e.alternatives[0].start_time, e.alternatives[0].end_time) for e in caller.events]
    assert len(times) > 5
    assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(times))


async def test_no_offset_runs_before_the_beginning(census: Census):
    """Audio pushed faster than real time does not put a listener before the call's start."""
    chain = listeners(census, [FailInCall(gone())], [AfterFrames(20), Final("w", 0.1, 0.2)])

    async with chain.adapter.stream() as stream:
        for frame in frames(4.0):
            stream.push_frame(frame)
        await turns(20)
        stream.end_input()
        events = [event async for event in stream]

    assert events[0].alternatives[0].start_time == pytest.approx(0.1)
