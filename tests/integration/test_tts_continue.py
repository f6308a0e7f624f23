# SPDX-License-Identifier: Apache-2.0
"""Real voices that are lost in mid-reply, and the real voices that go on for them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import Agent, AgentSession

from livekit_fallback import FallbackTTS, Provider
from tests.integration.phone import Earpiece
from tests.integration.support import STALL, failovers, recoverable, until
from tests.integration.voice import WORD_SEC, heard
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.tts import TTS

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins
    from tests.integration.voice import Heard

# The local voice is as long over each word: a guess by letters is right where words are alike.
TEXT = (
    "Every guest knows about these seats. Lunch menus start around noon today. "
    "Fresh bread comes with olive paste. Please phone again before eight today."
)
WORDS = len(TEXT.split())
AFTER = [9, 14, 33, 44]  # chunks of a tenth of a second: in words 4, 6, 14 and 18
TIMED = ["drop", "stall", "truncate", "error_frame"]
UNTIMED = ["drop", "stall"]


def line(plugins: Plugins, *vendors: str, **options: Any) -> contextlib.aclosing[FallbackTTS]:
    make: dict[str, Callable[[], TTS]] = {
        "cartesia": plugins.cartesia_tts,
        "openai": plugins.openai_tts,
        "deepgram": plugins.deepgram_tts,
    }
    voices = [Provider(make[name](), name=name) for name in vendors]
    limits: dict[str, Any] = {"attempt_timeout": 1.0, "stall_timeout": STALL, "probe": None}
    return contextlib.aclosing(FallbackTTS(voices, **{**limits, **options}))


async def spoken(tts: FallbackTTS, how: str = "stream") -> Heard:
    """Have the text spoken, all at once or word by word."""
    if how == "synthesize":
        return await heard(tts.synthesize(TEXT))
    stream = tts.stream()
    for word in TEXT.split():
        stream.push_text(word + " ")
    stream.end_input()
    return await heard(stream)


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("mode", TIMED)
@pytest.mark.parametrize("backup", ["deepgram", "openai"])
async def test_next_voice_goes_on_where_cartesia_was_lost(
    providers: LocalProviders, plugins: Plugins, backup: str, mode: str, after: int
):
    """Cartesia tells when it speaks which word: all of them are heard once."""
    providers.set_fault(mode, vendor="cartesia", service="tts", after=after)

    async with line(plugins, "cartesia", backup) as tts:
        events = EventRecorder(tts)
        reply = await spoken(tts)

    assert reply.error is None
    assert (reply.voices, reply.words) == (["cartesia", backup], WORDS)
    assert reply.seconds == pytest.approx(WORDS * WORD_SEC, abs=0.35)
    assert [move[:2] for move in failovers(events)] == [("cartesia", backup)]
    assert recoverable(events) == [True]
    assert events.of("output_lost") == []


# OpenAI is asked for one sentence after the other where LiveKit's wrapper has it stream.
WAYS = [
    *(("deepgram", how, after) for how in ("stream", "synthesize") for after in AFTER),
    *(("openai", "stream", after) for after in (9, 12)),
    *(("openai", "synthesize", after) for after in AFTER),
]


@pytest.mark.parametrize(("vendor", "how", "after"), WAYS)
@pytest.mark.parametrize("mode", UNTIMED)
async def test_cartesia_goes_on_for_a_voice_that_tells_no_times(
    providers: LocalProviders, plugins: Plugins, vendor: str, mode: str, after: int, how: str
):
    """The place is found by the pace that the voice was heard to have in a reply before."""
    async with line(plugins, vendor, "cartesia") as tts:
        for _ in range(3):
            assert (await spoken(tts, how)).words == WORDS
        providers.set_fault(mode, vendor=vendor, service="tts", after=after)
        events = EventRecorder(tts)
        reply = await spoken(tts, how)

    assert reply.error is None
    assert reply.voices == [vendor, "cartesia"]
    assert abs(reply.words - WORDS) <= 2
    assert [move[:2] for move in failovers(events)] == [(vendor, "cartesia")]
    assert events.of("output_lost") == []


@pytest.mark.parametrize("vendor", ["deepgram", "openai"])
async def test_audio_that_ends_much_too_early_is_continued(
    providers: LocalProviders, plugins: Plugins, vendor: str
):
    """A clean end that hides a loss is noticed by the length of the audio."""
    providers.set_fault("truncate", vendor=vendor, service="tts", after=8)

    async with line(plugins, vendor, "cartesia") as tts:
        events = EventRecorder(tts)
        reply = await spoken(tts, "synthesize")

    assert reply.voices == [vendor, "cartesia"]
    assert abs(reply.words - WORDS) <= 2
    assert failovers(events) == [(vendor, "cartesia", "cut_short")]


@pytest.mark.parametrize("mode", ["truncate", "error_frame"])
async def test_a_sentence_that_ends_too_early_is_noticed_before_the_next(
    providers: LocalProviders, plugins: Plugins, mode: str
):
    """OpenAI's plugin takes a broken stream for the end, and its wrapper goes on with the next."""
    providers.set_fault(mode, vendor="openai", service="tts", after=3, times=1)

    async with line(plugins, "openai", "cartesia") as tts:
        events = EventRecorder(tts)
        reply = await spoken(tts)

    assert reply.error is None
    assert failovers(events) == [("openai", "cartesia", "cut_short")]
    assert abs(reply.words - WORDS) <= 2


async def test_what_was_spoken_completely_is_not_said_again(
    providers: LocalProviders, plugins: Plugins
):
    """A connection that breaks behind the last word has harmed nobody."""
    providers.set_fault("drop", vendor="cartesia", service="tts", after=WORDS * 4)

    async with line(plugins, "cartesia", "openai") as tts:
        events = EventRecorder(tts)
        reply = await spoken(tts)

    assert (reply.error, reply.words, reply.voices) == (None, WORDS, ["cartesia"])
    assert failovers(events) == []


async def test_a_cut_sentence_is_begun_again_on_request(
    providers: LocalProviders, plugins: Plugins
):
    """With `restart_sentence` its first words are heard twice, and no others."""
    providers.set_fault("drop", vendor="cartesia", service="tts", after=33)

    async with line(plugins, "cartesia", "openai", on_partial="restart_sentence") as tts:
        reply = await spoken(tts)

    assert WORDS < reply.words <= WORDS + 6
    asked = [
        e["text"] for e in providers.log if (e["vendor"], e["event"]) == ("openai", "finished")
    ]
    assert asked
    assert all(text[:1].isupper() for text in asked)


class Answer(Agent):
    """Says the text, whatever it is asked."""

    def __init__(self) -> None:
        super().__init__(instructions="")

    async def on_enter(self) -> None:
        self.session.say(TEXT)


@pytest.mark.parametrize("mode", TIMED)
@pytest.mark.parametrize("aligned", [True, False])
async def test_session_plays_all_and_remembers_all(
    providers: LocalProviders, plugins: Plugins, mode: str, aligned: bool
):
    """The history has the reply once, and the caller has heard all of it."""
    providers.set_fault(mode, vendor="cartesia", service="tts", after=33)
    earpiece = Earpiece()

    backups = ["deepgram"] if not aligned else []
    async with (
        line(plugins, "cartesia", *backups) as tts,
        AgentSession[None](tts=tts, vad=None, use_tts_aligned_transcript=aligned) as session,
    ):
        session.output.audio = earpiece
        await session.start(Answer(), record=False)
        await until(lambda: _replies(session), within=10.0)

    assert _replies(session) == [TEXT]
    assert earpiece.taken == pytest.approx(WORDS * WORD_SEC, abs=0.35)


def _replies(session: AgentSession[None]) -> list[str | None]:
    messages = session.history.messages()
    return [m.text_content for m in messages if m.role == "assistant"]
