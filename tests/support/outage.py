# SPDX-License-Identifier: Apache-2.0
"""Providers of every kind that go down and come back, in chains a, b, c ... that look alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS, Provider
from tests.support.audio import frames
from tests.support.chains import Chain
from tests.support.errors import gone
from tests.support.fakes import (
    AfterFrames,
    Audio,
    Fail,
    Final,
    Hang,
    Say,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    UsageOnly,
    ask,
    finals_of,
    hear,
    say,
    seconds_of,
    text_of,
)
from tests.support.provider import Scripted
from tests.support.recorder import EVENTS, EventRecorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit import rtc

    from tests.support.census import Census
    from tests.support.script import Script, Step

ALL_EVENTS = (*EVENTS, "health_changed", "probed", "flapping")

DOWN: Script = [Fail(gone)]
SILENT: Script = [Hang()]

# An utterance, and enough silence after it for a VAD to see its end.
UTTERANCE = [*frames(0.3), *frames(0.3, pitch=0)]
WORD = "Good evening."
# Voices are told apart by how long they speak, which costs less than a look at the pitch.
SPEAKS = {"a": 0.2, "b": 0.3, "c": 0.4}
RATE = 8_000


@dataclass(frozen=True)
class Kind:
    """One kind of provider, and how its adapter is used.

    Args:
        name: for the ids of tests.
        make: a scripted provider of the given scripts.
        adapt: an adapter over a list of entries.
        answer: steps by which a provider of the given name answers.
        use: one ordinary request, read to its end; the name of who answered.
        useful: one useful output.
    """

    name: str
    make: Callable[..., Any]
    adapt: Callable[..., Any]
    answer: Callable[[str], Script]
    use: Callable[[Any], Awaitable[str]]
    useful: Step

    def __repr__(self) -> str:
        return self.name


async def _ask(adapter: FallbackLLM) -> str:
    return text_of(await ask(adapter))


async def _hear(adapter: FallbackSTT) -> str:
    return finals_of(await hear(adapter, UTTERANCE))[0]


def speaker_of(heard: list[rtc.AudioFrame]) -> str:
    """Who spoke this audio, if it was one voice and all of it."""
    seconds = round(seconds_of(heard), 1)  # LiveKit's wrapper adds 10 ms
    return next((name for name, length in SPEAKS.items() if length == seconds), f"{seconds} s?")


async def _say(adapter: FallbackTTS) -> str:
    return speaker_of(await say(adapter, WORD))


async def _synthesize(adapter: FallbackTTS) -> str:
    async with adapter.synthesize(WORD) as stream:
        return speaker_of([audio.frame async for audio in stream])


def _speech(name: str) -> Script:
    return [Audio(SPEAKS[name])]


def _adapt_voices(entries: list[Provider[ScriptedTTS]], **options: Any) -> FallbackTTS:
    # an outage in mid-reply is a broken reply here, as in the other kinds
    return FallbackTTS(entries, **{"on_partial": "stop", **options})


LLM = Kind(
    "llm", ScriptedLLM, FallbackLLM, lambda name: [Say(name), UsageOnly()], _ask, Say("useful")
)
STT = Kind(
    "stt",
    ScriptedSTT,
    FallbackSTT,
    lambda name: [AfterFrames(5), Final(name)],
    _hear,
    Final("useful"),
)
BATCH_STT = Kind(
    "batch-stt",
    partial(ScriptedSTT, streaming=False),
    lambda entries, **options: FallbackSTT(entries, vad=ScriptedVAD(), **options),
    STT.answer,
    _hear,
    Final("useful"),
)
TTS = Kind("tts", partial(ScriptedTTS, sample_rate=RATE), _adapt_voices, _speech, _say, Audio(0.2))
BATCH_TTS = Kind(
    "batch-tts",
    partial(ScriptedTTS, sample_rate=RATE, streaming=False),
    _adapt_voices,
    _speech,
    _say,
    Audio(0.2),
)
SYNTHESIZED = Kind("synthesize", TTS.make, _adapt_voices, _speech, _synthesize, Audio(0.2))

KINDS = [LLM, STT, BATCH_STT, TTS, BATCH_TTS]


class Line(Chain[Any, Any]):
    """An adapter over providers a, b, c ..., how to use it, and what it emitted so far."""

    kind: Kind

    async def use(self) -> str:
        """One ordinary request; the name of the provider that answered."""
        return await self.kind.use(self.adapter)

    def state(self, name: str = "a") -> str:
        """A provider's health."""
        state: str = self.adapter.get_service_health(name).state
        return state

    def moves(self, name: str = "a") -> list[str]:
        """The states that a provider came into, in order."""
        changes = self.events.of("health_changed")
        return [event.after for event in changes if event.provider == name]

    def rests(self, name: str = "a") -> list[float]:
        """How long a provider was sent to rest, each time."""
        changes = self.events.of("health_changed")
        rests = [e.rest for e in changes if e.provider == name and e.after == "cooling_down"]
        return [round(rest, 6) for rest in rests]

    def probes(self, name: str = "a") -> list[bool]:
        """How a provider's probes beside the traffic went, in order."""
        return [event.good for event in self.events.of("probed") if event.provider == name]


def line(census: Census | None, kind: Kind, *given: Any, **options: Any) -> Line:
    """A chain of one kind.

    Args:
        census: finds what is left open; the adapter's listeners are expected to stay. `None`
            where the test closes the adapter, and takes a census of its own.
        kind: of all its providers.
        given: for each a scripted provider, an entry, or the script of all its requests.
        options: of the adapter.
    """
    entries = [_entry(kind, g, name) for g, name in zip(given, "abc", strict=False)]
    providers = {str(entry.name): entry.instance for entry in entries}
    adapter = kind.adapt(entries, **options)
    if census is not None:
        census.watch(*providers.values())
    made = Line(adapter, providers, EventRecorder(adapter, ALL_EVENTS))
    made.kind = kind
    return made


def _entry(kind: Kind, given: Any, name: str) -> Provider[Any]:
    overrides: Any = given.overrides if isinstance(given, Provider) else {}
    provider = given.instance if isinstance(given, Provider) else given
    if not isinstance(provider, Scripted):
        provider = kind.make(provider)
    provider.name = provider._label = name
    return Provider(provider, name=name, **overrides)


def breaks(kind: Kind, *, then: Script | None = None) -> Any:
    """A provider that fails its first request, and is well from then on, or plays `then`."""
    return kind.make(DOWN, kind.answer("a") if then is None else then)
