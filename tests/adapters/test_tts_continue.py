# SPDX-License-Identifier: Apache-2.0
"""A voice that dies in mid-reply is continued by the next: every word once, in order."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIConnectionError

from livekit_fallback import AllProvidersFailedError
from tests.support.chains import voices as scripted
from tests.support.errors import gone
from tests.support.fakes import (
    Audio,
    AwaitText,
    Fail,
    Hang,
    ScriptedTTS,
    Sentence,
    Silence,
    Wait,
    Words,
    say,
    seconds_of,
)
from tests.support.recorder import EventRecorder
from tests.support.replies import HOWS, TEXT, WORDS, How, Reply, adapter_of, speak, voices
from tests.support.virtual_time import turns
from tests.support.word_voice import (
    Kill,
    Way,
    WordVoice,
    start_of,
    transcript_of,
)

if TYPE_CHECKING:
    from tests.support.census import Census

SECOND = TEXT.index("Tonight")
WAYS: list[Way] = ["error", "end", "stall", "silence"]


def assert_rest(spoken: list[str], asked: str, text: str = TEXT) -> None:
    """The next voice was asked for the end of the text, from the first word not spoken on."""
    rest = text.split(" ", len(spoken))[-1] if spoken else text
    assert " ".join(asked.split()) == " ".join(rest.split())


# --- every way to be lost ----------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [0.1, 2.0, 2.55, 5.0, 10.9])
async def test_with_timings_not_one_word_is_lost_or_repeated(
    how: How, way: Way, after: float, census: Census
):
    """However the voice is lost, the next begins with the first word that was not heard whole."""
    reply = await speak(voices(Kill(after, way), None), how=how)

    assert reply.heard == WORDS
    assert reply.told == WORDS
    by_b = reply.voices[1].asked[0]
    assert_rest(WORDS[: len(WORDS) - len(by_b.split())], by_b)


@pytest.mark.parametrize("spoken", [1, 2, 3])
async def test_sentence_that_a_slow_wrapped_voice_never_began_is_spoken(
    spoken: int, census: Census
):
    """Its request for the next sentence fails: the time since the last one began says nothing."""
    line = voices(None, None, timed=False, streaming=False, letters_per_sec=9.0)
    line[0].kills = [*[None] * spoken, *[Kill(0.0, "error")] * 9]

    reply = await speak(line)

    assert [word for word in WORDS if word not in reply.heard] == []


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", ["error", "stall"])
@pytest.mark.parametrize("after", [1.0, 4.0, 7.0, 9.0])
async def test_without_timings_whole_sentences_are_kept_apart(
    how: How, way: Way, after: float, census: Census
):
    """The cut sentence is found by its pause, and the word in it by the pace: one may be wrong."""
    reply = await speak(voices(Kill(after, way), None, timed=False), how=how)

    wrong = [w for w in WORDS if reply.heard.count(w) != 1]
    assert len(wrong) <= 1
    assert [w for w in reply.heard if w in WORDS] == sorted(reply.heard, key=WORDS.index)


@pytest.mark.parametrize("after", [1.0, 4.0, 7.0, 9.0])
@pytest.mark.parametrize("way", ["error", "stall"])
async def test_voice_that_cannot_stream_is_continued_too(way: Way, after: float, census: Census):
    """LiveKit's wrapper has it speak sentence by sentence, and tells when each begins."""
    line = voices([Kill(after, way)] * 4, None, timed=False, streaming=False)
    reply = await speak(line)

    wrong = [w for w in WORDS if reply.heard.count(w) != 1]
    assert len(wrong) <= 2


async def test_lost_in_the_third_sentence_of_a_wrapped_voice(census: Census):
    """All sentences before it are complete, and are not asked for again."""
    dies_third = voices(None, None, timed=False, streaming=False)
    dies_third[0].kills = [None, None, Kill(0.9, "error"), *[Kill(0.0, "error")] * 5]
    reply = await speak(dies_third)

    asked = " ".join(dies_third[1].asked)
    assert "Norway" not in asked
    assert "instead" in asked
    assert [w for w in WORDS if reply.heard.count(w) == 0] == []


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("timed", [True, False])
async def test_next_voice_may_be_slower_and_pause_longer(how: How, timed: bool, census: Census):
    """Each has a pace of its own."""
    line = voices(Kill(4.0, "error"), None, timed=timed)
    line[1].letters_per_sec, line[1].pause = 8.0, 0.8
    reply = await speak(line, how=how)

    assert len([w for w in WORDS if reply.heard.count(w) != 1]) <= (0 if timed else 1)


# --- more than one loss ------------------------------------------------------------------------


async def test_third_voice_continues_the_second(census: Census):
    """The rest of the rest is found in the same way."""
    reply = await speak(voices(Kill(3.0, "error"), Kill(2.0, "stall"), None))

    assert reply.heard == WORDS
    assert reply.told == WORDS
    assert all(len(voice.asked) == 1 for voice in reply.voices)


async def test_only_voice_is_asked_again_for_the_rest(census: Census):
    """Where there is nobody else, the same one goes on."""
    reply = await speak(voices(Kill(3.0, "error")))

    assert reply.heard == WORDS
    first, second = reply.voices[0].asked
    assert first.strip() == TEXT
    assert TEXT.endswith(second.strip())


async def test_voice_that_is_lost_is_asked_again_after_the_others(census: Census):
    """The list is gone through again, for what is left."""
    reply = await speak(voices(Kill(3.0, "error"), Kill(2.0, "error")))

    assert reply.heard == WORDS
    assert sum(len(voice.asked) for voice in reply.voices) == 3


async def test_nobody_is_left_in_mid_reply(census: Census):
    """The error says who failed, and the event how much was spoken: by all of them."""
    gone = [Kill(0.0, "error")] * 60
    reply = await speak(voices([Kill(3.0, "error"), *gone], [Kill(2.0, "error"), *gone]))

    assert isinstance(reply.error, AllProvidersFailedError)
    (lost,) = reply.events.of("output_lost")
    assert lost.delivered == pytest.approx(reply.seconds, abs=0.01)
    assert reply.heard == WORDS[: len(reply.heard)]
    assert len(reply.events.of("exhausted")) == 1


# --- what the user may have instead ------------------------------------------------------------


async def test_sentence_is_begun_anew(census: Census):
    """With `restart_sentence`, no sentence is spoken by two voices."""
    reply = await speak(voices(Kill(4.5, "error"), None), on_partial="restart_sentence")

    assert reply.voices[1].asked[0].strip() == TEXT[SECOND:]
    assert reply.heard[-14:] == WORDS[-14:]
    assert reply.told == WORDS  # the transcript has no word twice


async def test_nothing_is_begun_anew_between_two_sentences(census: Census):
    """A voice that is lost in the pause has spoken the sentence."""
    first = len("".join(WORDS[:7])) / 13
    reply = await speak(voices(Kill(first + 0.15, "error"), None), on_partial="restart_sentence")

    assert reply.heard == WORDS


async def test_reply_ends_with_its_voice(census: Census):
    """With `stop`, another voice in mid-reply is worse than none."""
    reply = await speak(voices(Kill(4.5, "error"), None), on_partial="stop")

    assert str(reply.error) == "gone"
    assert reply.voices[1].asked == []
    (lost,) = reply.events.of("output_lost")
    assert lost.delivered == pytest.approx(reply.seconds, abs=0.01)
    assert lost.lost > 0


# --- text that is not ready, or not plain ------------------------------------------------------


async def test_text_that_is_still_written_goes_to_the_next_voice(census: Census):
    """What the language model writes after the loss is added to the rest."""
    line = voices(Kill(1.0, "error"), None)
    adapter = adapter_of(line)
    async with adapter.stream() as stream:

        async def write() -> None:
            for word in TEXT.split(" "):
                stream.push_text(f"{word} ")
                await asyncio.sleep(0.2)
            stream.end_input()

        writer = asyncio.create_task(write())
        items = [item async for item in stream]
        await writer
    await adapter.aclose()
    await turns(20)

    reply = Reply(items, line, EventRecorder(adapter))
    reply.events.close()
    assert reply.heard == WORDS


@pytest.mark.parametrize("timed", [True, False])
async def test_word_of_which_only_a_part_is_written_is_left_whole(timed: bool, census: Census):
    """The next voice begins with the word, and is told of it whole."""
    first, part, rest = "Good evening and welcome. ", "Ton", "ight we have salmon."
    told = [Words(f"{first}{part}", each=0.5)] if timed else []
    slow = [AwaitText(5), *told, Audio(2.5), Wait(0.2), Fail(gone())]
    chain = scripted(
        census,
        ScriptedTTS(slow, aligned_transcript=timed),
        ScriptedTTS([AwaitText(99), Audio(1.5)]),
        on_partial="continue",
    )
    async with chain.adapter.stream() as stream:

        async def write() -> None:
            stream.push_text(first)
            stream.push_text(part)
            await asyncio.sleep(5.0)
            stream.push_text(rest)
            stream.end_input()

        writer = asyncio.create_task(write())
        async for _ in stream:
            pass
        await writer

    assert chain.call("b").text == part + rest


async def test_flushed_text_goes_to_the_next_voice(census: Census):
    """A flush ends the only segment that LiveKit's streams have; the rest of it is flushed too."""
    line = voices(Kill(3.0, "error"), None)
    adapter = adapter_of(line)
    async with adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.flush()
        stream.end_input()
        items = [item async for item in stream]
    await adapter.aclose()
    await turns(20)

    reply = Reply(items, line, EventRecorder(adapter))
    reply.events.close()
    assert reply.heard == WORDS


async def test_markup_is_no_word_and_is_kept(census: Census):
    """The tags of what is spoken are gone; those of the rest stay where they are."""
    text = (
        f'<emotion value="happy"/> {TEXT[:SECOND]} <break time="1s"/>'
        f'{TEXT[SECOND:]} <break time="2s"/>'
    )

    class Deaf(WordVoice):
        async def speak(self, text: str, emitter: Any) -> None:
            plain = " ".join(p.split("/>")[-1] for p in text.split("<"))
            self.plain = text
            await super().speak(plain, emitter)

    line: list[WordVoice] = [
        Deaf(WORDS, kills=[Kill(1.7, "error")], name="a"),
        Deaf(WORDS, name="b", number=1),
    ]
    reply = await speak(line, text)

    assert reply.heard == WORDS
    rest: str = line[1].plain  # type: ignore[attr-defined]
    assert "emotion" not in rest
    assert rest.count("<break") == 2


@pytest.mark.parametrize("after", [0.5, 1.1, 2.0, 2.6, 4.0, 5.5])
async def test_numbers_may_be_spelled_out_by_the_voice(after: float, census: Census):
    """A voice that tells of "twenty three" has spoken the 23."""
    text = "It is 23 degrees outside now. Dr. Miller wants 7 coats, please bring them upstairs."
    said = text.replace("23", "twenty three").replace("Dr.", "Doctor").replace("7", "seven")
    words = [w.strip(".,").lower() for w in said.split()]

    class Normalising(WordVoice):
        async def speak(self, text: str, emitter: Any) -> None:
            text = text.replace("23", "twenty three").replace("Dr.", "Doctor").replace("7", "seven")
            await super().speak(text, emitter)

    line: list[WordVoice] = [
        Normalising(words, kills=[Kill(after, "error")], name="a"),
        Normalising(words, name="b", number=1),
    ]
    reply = await speak(line, text)

    assert [w for w in words if w not in reply.heard] == []
    again = [w for w in words if reply.heard.count(w) > 1]
    assert again in ([], ["twenty"])  # a number that was cut is spoken whole
    assert [w for w in words if w not in [told.lower() for told in reply.told]] == []


@pytest.mark.parametrize("after", [0.5, 1.5, 2.5])
async def test_text_without_spaces_is_continued_at_a_letter(after: float, census: Census):
    """Chinese is compared letter by letter."""
    text = "今天气很好。我们去公园吃饭。"
    line = voices(
        Kill(after, "error"), None, words=list(text.replace("。", "")), letters_per_sec=5.0
    )
    reply = await speak(line, text)

    assert "".join(reply.heard) == text.replace("。", "")


async def test_long_number_at_the_end_is_not_cut_short(census: Census):
    """A voice that tells of each digit has told of more words than the text has."""
    text = "You can call us at any time of the day, just dial 555 1234"
    digits = "five five five one two three four"
    said = text.replace("555 1234", digits)
    words = said.replace(",", "").lower().split()

    class Normalising(WordVoice):
        async def speak(self, text: str, emitter: Any) -> None:
            await super().speak(text.replace("555 1234", digits), emitter)

    line: list[WordVoice] = [Normalising(words, name="a"), Normalising(words, name="b", number=1)]
    reply = await speak(line, text)

    assert reply.events.of("failover") == []
    assert line[1].asked == []


@pytest.mark.parametrize("after", [1.5, 2.4, 3.6, 4.2])
async def test_text_without_spaces_is_continued_without_timings(after: float, census: Census):
    """A voice that has spoken for long enough for English has not for Chinese."""
    text = "今天气很好。我们去公园吃饭。请带上雨伞和水杯。"
    letters = list(text.replace("。", ""))
    line = voices(Kill(after, "error"), None, words=letters, letters_per_sec=5.0, timed=False)
    reply = await speak(line, text)

    wrong = [w for w in letters if reply.heard.count(w) != 1]
    assert len(wrong) <= 2
    assert reply.heard[-1] == letters[-1]


# --- what the session is told ------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.3, 2.0, 5.0, 8.0])
async def test_words_are_told_when_they_are_heard(after: float, census: Census):
    """The times of the next voice are those of the whole reply."""
    reply = await speak(voices(Kill(after, "error"), None))

    starts = reply.starts()
    told = {str(t).strip(): start_of(t) for t in transcript_of(reply.frames)}
    cut = {word for word, _ in reply.fragments}
    assert all(abs(told[w] - starts[w]) < 0.06 for w in WORDS if w not in cut)


async def test_only_the_last_audio_is_marked_as_the_end(census: Census):
    """A voice whose clean end is too early has marked its own last audio."""
    reply = await speak(voices(Kill(3.0, "end"), None))

    assert [item.is_final for item in reply.items] == [False] * (len(reply.items) - 1) + [True]
    assert len({item.segment_id for item in reply.items}) == 1


async def test_continued_reply_has_lost_nothing(census: Census):
    """One failover, an error that the session recovers from, and no output lost."""
    reply = await speak(voices(Kill(3.0, "end"), None))

    (move,) = reply.events.of("failover")
    assert (move.from_provider, move.to_provider, move.reason) == ("a", "b", "cut_short")
    assert reply.events.of("output_lost") == []
    assert [event.recoverable for event in reply.events.of("error")] == [True]


@pytest.mark.parametrize(
    ("way", "reason"), [("error", "connection"), ("end", "cut_short"), ("stall", "stall")]
)
async def test_reason_of_the_move_is_told(way: Way, reason: str, census: Census):
    """Each kind of loss has its own name."""
    reply = await speak(voices(Kill(3.0, way), None))
    assert [event.reason for event in reply.events.of("failover")] == [reason]


async def test_nothing_but_silence_has_its_own_reason(census: Census):
    """Zeros for a text with words in it."""
    reply = await speak(voices(Kill(0.0, "silence"), None))

    assert [event.reason for event in reply.events.of("failover")] == ["digital_silence"]
    assert reply.heard == WORDS


async def test_lost_voice_is_blamed_and_the_next_is_not(census: Census):
    """Half a reply is no success."""
    line = voices(Kill(3.0, "error"), None)
    adapter = adapter_of(line)
    async with adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        _ = [item async for item in stream]

    assert adapter.get_service_health("a").consecutive_failures == 1
    assert adapter.get_service_health("b").consecutive_failures == 0
    await adapter.aclose()
    await turns(20)


@pytest.mark.parametrize("timed", [True, False])
async def test_error_after_the_last_word_is_no_failure(timed: bool, census: Census):
    """Everything was spoken: nobody is asked for nothing."""
    length = len("".join(WORDS)) / 13 + 0.3 * 3
    reply = await speak(voices(Kill(length - 0.02, "error"), None, timed=timed))

    assert reply.voices[1].asked == []
    assert reply.heard == WORDS
    assert reply.events.of("failover") == []


async def test_word_is_told_once_by_three_voices(census: Census):
    """The second tells nothing: what the first told and did not speak is still known."""
    line = voices(Kill(0.1, "error"), Kill(0.1, "error"), None)
    line[1].timed = False
    reply = await speak(line)

    assert reply.heard == WORDS
    assert reply.told == WORDS


# --- timings that come when they want ----------------------------------------------------------


class Late(WordVoice):
    """Tells of its words when their audio is gone already."""

    lag = 3

    async def speak(self, text: str, emitter: Any) -> None:
        waiting: list[Any] = []
        tell = emitter.push_timed_transcript

        def later(timing: Any) -> None:
            waiting.append(timing)
            if len(waiting) > self.lag:
                tell(waiting.pop(0))

        emitter.push_timed_transcript = later
        await super().speak(text, emitter)
        for timing in waiting[: self.left_over]:
            tell(timing)

    left_over = 99


class Forgetful(Late):
    """Tells nothing about its last words."""

    left_over = 0


@pytest.mark.parametrize("kind", [Late, Forgetful])
async def test_late_or_missing_timings_are_no_fault(kind: type[WordVoice], census: Census):
    """A voice that speaks all of its text has done so, whatever it tells."""
    reply = await speak([kind(WORDS, name="a"), kind(WORDS, name="b", number=1)])

    assert reply.heard == WORDS
    assert reply.voices[1].asked == []


async def test_word_without_a_time_is_spoken_rather_twice_than_never(census: Census):
    """What a lost voice did not tell of may be repeated; no word is missing."""
    line: list[WordVoice] = [
        Late(WORDS, kills=[Kill(4.0, "error")], name="a"),
        WordVoice(WORDS, name="b", number=1),
    ]
    reply = await speak(line)

    assert [w for w in WORDS if w not in reply.heard] == []
    assert len([w for w in WORDS if reply.heard.count(w) > 1]) <= Late.lag + 1


async def test_nothing_is_played_behind_the_timing_that_shows_a_loss(census: Census):
    """It came with silence that waited for its sound: the sound is of another sentence."""
    first: list[Any] = [Sentence("One little sentence here. "), Audio(0.5), Wait(0.6)]
    behind = [Sentence("The next one. ", 0.5), Silence(0.2), Audio(0.6)]
    chain = scripted(census, [*first, *behind], [Audio(2.0)], on_partial="continue")

    heard = await say(chain.adapter, "One little sentence here. The next one.")

    assert chain.reasons == ["cut_short"]
    assert seconds_of(heard) == pytest.approx(0.5 + 2.0, abs=0.02)


async def test_word_without_a_time_does_not_wait_for_more_text(census: Census):
    """A voice tells nothing of its last words, and the language model takes its time."""
    first = [AwaitText(7), Words("Good evening, and", each=0.4), Audio(2.6), AwaitText(99)]
    chain = scripted(census, ScriptedTTS([*first, Audio(2.0)]))
    heard: list[float] = []

    async with chain.adapter.stream() as stream:
        stream.push_text("Good evening, and welcome to the house. Please ")
        reader = asyncio.create_task(_listen(stream, heard))
        await asyncio.sleep(2.5)
        in_time = sum(heard)
        stream.push_text("wait a moment.")
        stream.end_input()
        await reader

    assert in_time == pytest.approx(2.6)
    assert sum(heard) == pytest.approx(4.6)


async def _listen(stream: Any, heard: list[float]) -> None:
    async for item in stream:
        heard += [item.frame.duration]


@pytest.mark.parametrize("taken", [1, 3, 8])
async def test_audio_that_waits_is_dropped_with_its_reply(taken: int, census: Census):
    """A caller who interrupts hears nothing of it, and no timer is left."""
    script = [Words("Good evening, and", each=0.4), Audio(2.6), Hang()]
    chain = scripted(census, ScriptedTTS(script))
    stream = chain.adapter.stream()
    stream.push_text("Good evening, and welcome to the house.")
    stream.end_input()
    for _ in range(taken):
        await anext(stream)
    await stream.aclose()
    await asyncio.sleep(5.0)

    assert sum([item.frame.duration async for item in stream]) < 2.6
    assert chain.unavailable == []


# --- cancellation ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("taken", [0, 1, 5, 9, 12, 20, 30])
async def test_reply_that_is_cut_off_leaves_nothing_and_blames_nobody(
    how: How, taken: int, census: Census
):
    """A caller who interrupts: before, in, and after the change of voices."""
    line = voices(Kill(2.0, "stall"), None)
    adapter = adapter_of(line)
    stream = adapter.stream() if how == "stream" else adapter.synthesize(TEXT)
    if how == "stream":
        stream.push_text(TEXT)  # type: ignore[union-attr]
        stream.end_input()  # type: ignore[union-attr]
    else:
        await turns(1)
    for _ in range(taken):
        await anext(stream)
    failures = adapter.get_service_health("b").consecutive_failures
    await stream.aclose()
    await turns(20)

    assert failures == adapter.get_service_health("b").consecutive_failures == 0
    await adapter.aclose()
    await turns(20)


async def test_adapter_closed_in_the_change_of_voices(census: Census):
    """Nothing hangs and nothing leaks."""
    line = voices(Kill(2.0, "stall"), Kill(0.0, "stall"))
    adapter = adapter_of(line)
    async with adapter.stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        reader = asyncio.ensure_future(_read(stream))
        await asyncio.sleep(6.0)
        await adapter.aclose()
        with pytest.raises(APIConnectionError):
            await asyncio.wait_for(reader, 5)
    await turns(20)


async def _read(stream: Any) -> list[Any]:
    return [item async for item in stream]


# --- other audio -------------------------------------------------------------------------------


@pytest.mark.parametrize("timed", [True, False])
async def test_resampled_reply_is_as_long_as_the_text(timed: bool, census: Census):
    """Times are those of the audio that the session hears."""
    plain = await speak(voices(Kill(4.0, "error"), None, timed=timed))
    reply = await speak(voices(Kill(4.0, "error"), None, timed=timed), sample_rate=16_000)

    assert {frame.sample_rate for frame in reply.frames} == {16_000}
    assert reply.seconds == pytest.approx(plain.seconds, abs=0.3)
    assert reply.told == plain.told
    starts = [start_of(t) for t in transcript_of(reply.frames)]
    assert all(a <= b for a, b in pairwise(starts))
    assert all(start <= reply.seconds for start in starts)
