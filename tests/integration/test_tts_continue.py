# SPDX-License-Identifier: Apache-2.0
"""The vendors' real voices, lost at several points of a reply: the next one goes on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackTTS, Provider
from tests.integration.support import DEADLINES, Cases, Fault, each, failovers, recoverable
from tests.integration.voice import TEXT, WORD_SEC, WORDS, Heard, heard, said
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.tts import TTS

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

# In tenths of a second of audio: in the first sentence, in the second, near the end.
POINTS = (4, 9, 17, 26, 33, 41)

LOSSES: Cases = {
    "drop": ({"mode": "drop"}, ""),
    "stall": ({"mode": "stall"}, ""),
    "clean end": ({"mode": "truncate"}, ""),
    "error frame": ({"mode": "error_frame"}, ""),
}


def chain(plugins: Plugins, vendors: str, **options: Any) -> contextlib.aclosing[FallbackTTS]:
    """Voices of these vendors, in this order."""
    make: dict[str, Callable[[], TTS]] = {
        "cartesia": plugins.cartesia_tts,
        "openai": plugins.openai_tts,
        "deepgram": plugins.deepgram_tts,
    }
    voices = [Provider(make[name](), name=name) for name in vendors.split()]
    return contextlib.aclosing(FallbackTTS(voices, **{**DEADLINES, **options}))


async def continued(
    providers: LocalProviders, plugins: Plugins, vendors: str, fault: Fault, how: str
) -> Heard:
    """The reply as it was heard; one voice was lost in it, and nobody was alarmed."""
    first, second = vendors.split()
    providers.set_fault(vendor=first, service="tts", **fault)
    async with chain(plugins, vendors) as tts:
        events = EventRecorder(tts)
        reply = await heard(said(tts, how))

    assert reply.error is None
    assert [(a, b) for a, b, _ in failovers(events)] == [(first, second)]
    assert reply.voices == [first, second]
    assert events.of("output_lost") == []
    assert recoverable(events) == [True]
    return reply


@pytest.mark.parametrize("after", POINTS)
@pytest.mark.parametrize("backup", ["openai", "deepgram"])
@each(LOSSES)
async def test_a_voice_with_word_timings_is_continued_at_the_very_word(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str, backup: str, after: int
):
    """Every word is heard once; of one that was cut a fragment may be heard before it."""
    fault = {**fault, "after": after}

    reply = await continued(providers, plugins, f"cartesia {backup}", fault, "stream")

    assert reply.whole_words == WORDS, reason
    assert WORDS * WORD_SEC - 0.3 <= reply.seconds <= WORDS * WORD_SEC + 0.6


@pytest.mark.parametrize("after", [8, 11, 13])  # each sentence is a request of its own to some
@pytest.mark.parametrize(
    ("vendors", "how"),
    [
        ("deepgram cartesia", "stream"),
        ("openai cartesia", "stream"),
        ("openai deepgram", "synthesize"),
        ("cartesia openai", "synthesize"),
    ],
)
async def test_a_voice_without_is_continued_near_it(
    providers: LocalProviders, plugins: Plugins, vendors: str, how: str, after: int
):
    """The words of the cut sentence are estimated, all others are heard once."""
    fault = {"mode": "drop", "after": after}

    reply = await continued(providers, plugins, vendors, fault, how)

    # the tones of these voices are as long for a short word as for a long one
    assert abs(reply.whole_words - WORDS) <= 3


@each({name: LOSSES[name] for name in ("clean end", "error frame")})
async def test_a_sentence_that_ends_too_early_is_noticed_before_the_next(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """OpenAI's plugin takes a broken stream for the end, and its wrapper goes on with the next."""
    fault = {**fault, "after": 3, "times": 1}

    reply = await continued(providers, plugins, "openai cartesia", fault, "stream")

    assert abs(reply.whole_words - WORDS) <= 3, reason


async def test_what_was_spoken_completely_is_not_said_again(
    providers: LocalProviders, plugins: Plugins
):
    """A connection that breaks behind the last word has harmed nobody."""
    async with chain(plugins, "cartesia openai") as tts:
        events = EventRecorder(tts)
        providers.set_fault("drop", vendor="cartesia", service="tts", after=WORDS * 4)
        reply = await heard(said(tts))

    assert (reply.error, reply.whole_words) == (None, WORDS)
    assert reply.voices == ["cartesia"]
    assert events.of("failover") == []


async def test_a_cut_sentence_is_begun_again_on_request(
    providers: LocalProviders, plugins: Plugins
):
    """With `restart_sentence` its first words are heard twice, and no others."""
    providers.set_fault("drop", vendor="cartesia", service="tts", after=17)
    async with chain(plugins, "cartesia openai", on_partial="restart_sentence") as tts:
        reply = await heard(said(tts))

    first = len(TEXT.split(". ")[0].split())
    assert WORDS < reply.whole_words <= WORDS + first + 8
    asked = [
        e["text"] for e in providers.log if (e["vendor"], e["event"]) == ("openai", "finished")
    ]
    assert all(text[:1].isupper() for text in asked)
