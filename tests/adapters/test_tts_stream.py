# SPDX-License-Identifier: Apache-2.0
"""Text that comes bit by bit: the clock waits for it, the next voice gets all of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIError

from livekit_fallback import AllProvidersFailedError, FallbackTTS
from tests.support.chains import Chain, voices
from tests.support.errors import gone, status
from tests.support.fakes import (
    Audio,
    AwaitText,
    BeforeText,
    End,
    Fail,
    FailInCall,
    Hang,
    ScriptedTTS,
    Silence,
    Wait,
    seconds_of,
)
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.tts import SynthesizeStream

    from tests.support.census import Census

VoiceChain = Chain[FallbackTTS, ScriptedTTS]
FIRST = "Good evening, and welcome to the house. "
SECOND = "We have a table by the window for you tonight."
ALL = FIRST + SECOND
THINKING = 10.0  # seconds, longer than any deadline of a voice
GOOD = [AwaitText(10_000), Audio(4.0)]  # speaks when the text has ended, as long as ALL takes
EAGER = [AwaitText(9), Audio(2.5), AwaitText(10_000), Audio(2.5)]


class Pause(float):
    """Seconds for which the language model thinks."""


async def _dictate(chain: VoiceChain, *pieces: str | Pause) -> list[rtc.AudioFrame]:
    async with chain.adapter.stream() as stream:
        writer = asyncio.create_task(_write(stream, pieces))
        try:
            return [audio.frame async for audio in stream]
        finally:
            writer.cancel()


async def _write(stream: SynthesizeStream, pieces: tuple[str | Pause, ...]) -> None:
    for piece in pieces:
        if isinstance(piece, Pause):
            await asyncio.sleep(piece)
        else:
            stream.push_text(piece)
    stream.end_input()


def _assert_untroubled(chain: VoiceChain) -> None:
    assert chain.asked == "a"
    assert chain.unavailable == []
    assert chain.events.of("error") == []


WAITS: dict[str, tuple[str | Pause, ...]] = {
    "before-the-text": (Pause(THINKING), ALL),
    "after-half-a-word": ("Goo", Pause(THINKING), ALL[3:]),
    "after-half-a-sentence": (FIRST[:30], Pause(THINKING), ALL[30:]),
    "after-white-space": (" \n", Pause(THINKING), ALL),
    "after-an-abbreviation": (
        "Your table was booked by Dr. ", "Hendrickson, and it ", Pause(THINKING), "is ready.",
    ),
    "after-initials": ("It was written by J. R. R. Tolkien and it", Pause(THINKING), " is long."),
    "after-a-number": ("We are in house no. 5 of the quiet street", Pause(THINKING), " up there."),
    "after-a-price": ("The price of the menu is 12.50 euros a head", Pause(THINKING), " or so."),
    "after-a-latin-word": ("You can have fish, e.g. salmon or a trout", Pause(THINKING), " today."),
    "trickling": tuple(x for word in ALL.split() for x in (f"{word} ", Pause(1.9))),
}  # fmt: skip


@pytest.mark.parametrize("pieces", WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_voice_that_waits_for_text_is_not_late(
    pieces: tuple[str | Pause, ...], streaming: bool, census: Census
):
    """However long the language model thinks, a voice with nothing to speak owes nothing."""
    script = EAGER if streaming else [Audio(4.0)]
    chain = voices(census, ScriptedTTS(script, streaming=streaming), GOOD)

    heard = await _dictate(chain, *pieces)

    assert seconds_of(heard) >= 4.0
    assert set(chain.asked) == {"a"}
    assert chain.events.of("error") == []


@pytest.mark.parametrize(
    "pieces",
    [
        (FIRST, SECOND[:20], Pause(THINKING), SECOND[20:]),
        (*FIRST.split(" ")[:3], Pause(0.5), ALL[18:], Pause(THINKING), "Welcome again to us."),
    ],
    ids=["between-sentences", "after-everything-so-far"],
)
async def test_a_voice_that_has_spoken_all_it_got_does_not_stall(pieces, census: Census):
    """Half-way through a reply, silence is the language model's as long as no text is owed."""
    script = [AwaitText(3), Audio(6.0), AwaitText(10_000), Audio(2.0)]
    chain = voices(census, script, GOOD)

    heard = await _dictate(chain, *pieces)

    assert seconds_of(heard) == pytest.approx(8.0)
    _assert_untroubled(chain)


async def test_a_voice_that_spoke_early_is_not_timed_afterwards(census: Census):
    """Sound that came before it was owed is sound: no first-output deadline starts later."""
    chain = voices(census, [AwaitText(2), Audio(3.0), AwaitText(10_000), Audio(1.0)], GOOD)

    heard = await _dictate(
        chain, "Certainly, sir, of course. ", Pause(0.5), "I will look it up", Pause(THINKING),
        " for you at once.",
    )  # fmt: skip

    assert seconds_of(heard) == pytest.approx(4.0)
    _assert_untroubled(chain)


@pytest.mark.parametrize(
    "text",
    [
        '<emotion value="calm and very friendly indeed, and warm"/> One moment please. ',
        "One moment please." + " " * 80,
        "One moment please.\n\n\n\n" + '<break time="1s"/> ' * 4,
    ],
    ids=["emotion", "blanks", "breaks"],
)
async def test_what_is_never_spoken_is_not_owed(text: str, census: Census):
    """Markup and white space take a voice no time, so it does not owe audio for them."""
    chain = voices(census, [AwaitText(3), Audio(1.2), AwaitText(10_000), Audio(2.0)], GOOD)

    heard = await _dictate(chain, text, "And then after that, ", Pause(THINKING), "here it is.")

    assert seconds_of(heard) == pytest.approx(3.2)
    _assert_untroubled(chain)


async def test_the_clock_starts_with_the_first_sentence(census: Census):
    """The deadline is counted from the text that could be spoken, not from the stream's start."""
    chain = voices(census, [Hang()], GOOD, attempt_timeout=1.0)

    with Stopwatch() as watch:
        await _dictate(chain, Pause(3.0), FIRST[:10], Pause(2.0), ALL[10:])

    assert watch.elapsed == pytest.approx(6.0, abs=0.05)
    assert chain.events.of("failover")[0].reason == "first_output_timeout"


async def test_a_stall_in_mid_reply_is_noticed_before_the_text_has_ended(census: Census):
    """A voice that owes more than it has spoken is timed even while text is still coming."""
    chain = voices(census, [AwaitText(5), Audio(0.4), Hang()], GOOD, stall_timeout=1.0)

    with Stopwatch() as watch, pytest.raises(APIError):
        await _dictate(chain, ALL, " ", SECOND, Pause(THINKING), "More.")

    assert watch.elapsed == pytest.approx(1.0, abs=0.05)
    assert chain.events.of("output_lost")[0].reason == "stall"


@pytest.mark.parametrize("early", [[FailInCall(gone())], [BeforeText(), Fail(gone())]])
async def test_a_failure_before_any_text_does_not_use_up_the_budget(early, census: Census):
    """The budget runs while speech is owed: the time the language model takes is not spent."""
    chain = voices(census, early, GOOD, attempt_timeout=2.0, total_timeout=8.0)

    heard = await _dictate(chain, Pause(THINKING), ALL)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.unavailable == ["a"]


async def test_the_next_voice_gets_the_whole_text_once(census: Census):
    """Text handed over before and after the switch reaches the next voice in order, once."""
    chain = voices(census, [AwaitText(3), Fail(gone())], GOOD)
    words = [f"{word} " for word in ALL.split()]

    pieces = [x for word in words for x in (word, Pause(0.1))]
    heard = await _dictate(chain, *pieces)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.call("b").tokens == words
    assert chain.call("b").input_ended


async def test_a_clean_end_while_text_is_coming_is_a_failure(census: Census):
    """A voice that ends before its text has ended did not do its work."""
    chain = voices(census, [BeforeText(), End()], GOOD)

    heard = await _dictate(chain, Pause(0.5), ALL)

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.unavailable == ["a"]


async def test_a_clean_end_in_mid_reply_is_a_loss(census: Census):
    """Ending after some sound, with text to come, raises, reports, and repeats nothing."""
    chain = voices(census, [AwaitText(5), Audio(1.0), End()], GOOD)

    with pytest.raises(APIError):
        await _dictate(chain, FIRST, Pause(1.0), SECOND)

    assert chain.asked == "a"
    assert chain.events.of("output_lost")[0].delivered == pytest.approx(1.0, abs=0.011)


async def test_a_flush_is_forwarded_and_makes_text_speakable(census: Census):
    """After a flush half a sentence is owed, by this voice and by the next."""
    good = [AwaitText(1), Audio(2.0), AwaitText(10_000)]
    chain = voices(census, [Hang()], good, attempt_timeout=1.0)

    async with chain.adapter.stream() as stream:
        stream.push_text("Good eve")
        await turns(5)
        stream.flush()
        await asyncio.sleep(1.5)
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(2.0, abs=0.02)
    assert [chain.call(name).flushes for name in "ab"] == [1, 2]  # the end of input is one more
    assert chain.call("b").opened_at - chain.call("a").opened_at == pytest.approx(1.0, abs=0.05)


class TouchyVoice(ScriptedTTS):
    """Raises when one of its streams' input methods is called, from the time it is annoyed."""

    touchy = "push_text"
    annoyed = True

    def stream(self, **options: Any) -> Any:
        stream = super().stream(**options)
        accept = getattr(stream, self.touchy)

        def refuse(*given: Any) -> None:
            if self.annoyed:
                raise ValueError("not now")
            accept(*given)

        setattr(stream, self.touchy, refuse)
        return stream


@pytest.mark.parametrize("live", [True, False], ids=["live", "replayed"])
@pytest.mark.parametrize("method", ["push_text", "flush", "end_input"])
async def test_what_a_voices_input_raises_is_its_failure(method: str, live: bool, census: Census):
    """An exception from any input method moves on, closes the stream, and spares the caller."""
    voice = TouchyVoice([Hang()])
    voice.touchy, voice.annoyed = method, not live
    chain = voices(census, voice, GOOD)

    async with chain.adapter.stream() as stream:
        stream.push_text(FIRST)
        await turns(20 if live else 0)
        assert len(voice.calls) == int(live)
        voice.annoyed = True
        stream.push_text(SECOND)
        if method == "flush":
            stream.flush()
        stream.end_input()
        heard = [audio.frame async for audio in stream]

    assert seconds_of(heard) == pytest.approx(4.0)
    assert chain.call("b").text == ALL
    assert chain.unavailable == ["a"]
    assert chain.reasons == ["exception"]


async def test_text_after_the_end_is_ignored(census: Census):
    """As in LiveKit's base class, input after `end_input()` changes nothing and raises nothing."""
    chain = voices(census, GOOD)

    async with chain.adapter.stream() as stream:
        stream.push_text(ALL)
        stream.end_input()
        stream.push_text("never said")
        stream.flush()
        stream.end_input()
        await turns(10)

        assert chain.call("a").text == ALL
        assert [audio async for audio in stream]


async def test_exhaustion_while_text_is_coming_raises_at_once(census: Census):
    """When no voice will come back the reply ends, though its text has not."""
    chain = voices(census, [BeforeText(), Fail(status(401))])

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError):
        await _dictate(chain, "Good", Pause(THINKING))

    assert watch.elapsed < 0.1


async def test_a_stream_closed_before_any_text_leaves_nothing(census: Census):
    """A reply that is never written is nobody's failure."""
    chain = voices(census, GOOD)

    async with chain.adapter.stream():
        await asyncio.sleep(1.0)

    assert chain.events.names == []


async def test_leading_silence_does_not_stop_the_clock(census: Census):
    """Digital silence is not yet speech: the deadline for the first sound goes on running."""
    chain = voices(census, [Silence(0.5), Wait(1.5), Silence(0.5), Hang()], GOOD)

    with Stopwatch() as watch:
        heard = await _dictate(chain, ALL)

    assert watch.elapsed == pytest.approx(2.0, abs=0.05)
    assert seconds_of(heard) == pytest.approx(4.0)
