# SPDX-License-Identifier: Apache-2.0
"""One reply by voices that are lost in it: what the session got, and what a listener heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from livekit.agents import APIConnectionError

from livekit_fallback import FallbackTTS, Provider
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import turns
from tests.support.word_voice import (
    AMPLITUDE,
    RATE,
    TONE,
    Kill,
    WordVoice,
    heard_in,
    transcript_of,
)

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.tts import SynthesizedAudio

TEXT = (
    "Good evening and welcome to our restaurant. Tonight we have fresh salmon from Norway. "
    "Would anybody prefer something vegetarian instead? Please tell me whenever you decide."
)
WORDS = [word.strip(".?").lower() for word in TEXT.split()]

How = Literal["stream", "synthesize"]
HOWS: list[How] = ["stream", "synthesize"]


@dataclass
class Reply:
    """What the session got for one text."""

    items: list[SynthesizedAudio]
    voices: list[WordVoice]
    events: EventRecorder
    error: BaseException | None = None

    @property
    def frames(self) -> list[rtc.AudioFrame]:
        return [item.frame for item in self.items]

    @property
    def heard(self) -> list[str]:
        return heard_in(self.frames, self.voices).words

    @property
    def fragments(self) -> list[tuple[str, float]]:
        return heard_in(self.frames, self.voices).fragments

    @property
    def told(self) -> list[str]:
        return [str(timing).strip() for timing in transcript_of(self.frames)]

    @property
    def seconds(self) -> float:
        return sum(frame.duration for frame in self.frames)

    def starts(self) -> dict[str, float]:
        """When each word begins in the audio that the session got."""
        samples = np.concatenate([np.frombuffer(f.data, dtype=np.int16) for f in self.frames])
        edges = [0, *(np.flatnonzero(np.diff(samples)) + 1)]
        found: dict[str, float] = {}
        for edge in edges:
            number = (int(samples[edge]) - AMPLITUDE) % TONE
            if samples[edge] > AMPLITUDE and number:
                found.setdefault(self.voices[0].words[number - 1], edge / RATE)
        return found


def voices(*kills: Kill | list[Kill] | None, **traits: Any) -> list[WordVoice]:
    """Voices a, b, c ..., each of which is lost as it says."""
    words = traits.pop("words", WORDS)
    return [
        WordVoice(
            words,
            kills=[*kill] if isinstance(kill, list) else [kill],
            name="abc"[i],
            number=i,
            **traits,
        )
        for i, kill in enumerate(kills)
    ]


def adapter_of(line: list[WordVoice], **options: Any) -> FallbackTTS:
    entries = [Provider(voice, name=voice.name) for voice in line]
    return FallbackTTS(entries, **{"probe": None, **options})


async def speak(
    line: list[WordVoice], text: str = TEXT, how: How = "stream", **options: Any
) -> Reply:
    """Have a text spoken by these voices."""
    adapter = adapter_of(line, **options)
    reply = Reply([], line, EventRecorder(adapter))
    stream = adapter.stream() if how == "stream" else adapter.synthesize(text)
    try:
        async with stream:
            if how == "stream":
                for word in text.split(" "):
                    stream.push_text(f"{word} ")  # type: ignore[union-attr]
                stream.end_input()  # type: ignore[union-attr]
            async for item in stream:
                reply.items.append(item)
    except APIConnectionError as error:
        reply.error = error
    reply.events.close()
    await adapter.aclose()
    await turns(20)
    return reply
