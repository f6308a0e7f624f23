# SPDX-License-Identifier: Apache-2.0
"""What the session reads from a model, and tells it, reaches the providers through the adapter."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import NOT_GIVEN, APIConnectOptions, llm, stt, tts
from pydantic import BaseModel

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS
from tests.support.audio import frames
from tests.support.caller import calling
from tests.support.chains import listeners
from tests.support.errors import gone
from tests.support.fakes import (
    AfterAudio,
    AfterFrames,
    AudioUsage,
    Fail,
    Final,
    Hang,
    Say,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    ask,
    hear,
    say,
)
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census

TEXT = "Good evening, and welcome to the house."


def _pair(kind: type[Any], first: Any = (), second: Any = ()) -> list[Any]:
    return [kind(*first, name="a"), kind(*second, name="b")]


ADAPTERS = [
    pytest.param(FallbackLLM, ScriptedLLM, id="llm"),
    pytest.param(FallbackSTT, ScriptedSTT, id="stt"),
    pytest.param(FallbackTTS, ScriptedTTS, id="tts"),
]


async def _use(adapter: Any) -> None:
    match adapter:
        case FallbackLLM():
            await ask(adapter)
        case FallbackSTT():
            await hear(adapter, frames(0.4))
        case FallbackTTS():
            await say(adapter, TEXT)


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
def test_an_adapter_is_what_the_session_takes(adapter: type[Any], fake: type[Any]):
    """It passes for a LiveKit model of its kind and names itself, before any loop runs."""
    made: Any = adapter(_pair(fake))

    assert isinstance(made, {"llm": llm.LLM, "stt": stt.STT, "tts": tts.TTS}[made.component])
    assert made.label == f"livekit_fallback.adapters.{made.component}.{adapter.__name__}"


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
def test_before_the_first_request_it_answers_for_the_primary(adapter: type[Any], fake: type[Any]):
    """Model and vendor are never unknown."""
    made = adapter(_pair(fake))

    assert (made.model, made.provider) == ("a-model", "a")
    assert made.metrics_metadata == {"model_name": "a-model", "model_provider": "a"}


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_after_a_failover_it_answers_for_the_provider_that_served(
    adapter: type[Any], fake: type[Any], census: Census
):
    """Turn metrics name the provider that really served."""
    providers = _pair(fake, [[Fail(gone())]])
    made = adapter(providers, probe="live")
    census.watch(*providers)

    await _use(made)

    assert made.metrics_metadata == {"model_name": "b-model", "model_provider": "b"}
    assert (made.model, made.provider) == ("b-model", "b")


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_prewarm_reaches_the_primary(adapter: type[Any], fake: type[Any]):
    """Warming up is done where the first request will go."""
    providers = _pair(fake)

    adapter(providers).prewarm()

    assert providers[0].prewarmed == 1


async def test_prewarm_reaches_wrapped_primaries():
    """A wrapper that the adapter made does not swallow it."""
    ear, voice = ScriptedSTT(streaming=False), ScriptedTTS(streaming=False)

    FallbackSTT([ear], vad=ScriptedVAD()).prewarm()
    FallbackTTS([voice]).prewarm()

    assert (ear.prewarmed, voice.prewarmed) == (1, 1)


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_metrics_of_the_provider_that_served_come_once(
    adapter: type[Any], fake: type[Any], census: Census
):
    """Usage is neither lost nor counted twice, and carries the names of who served."""
    good: Any = [AfterAudio(0.4), AudioUsage(0.4), Final("heard")]
    scripts: Any = ([good],) if fake is ScriptedSTT else ()
    providers = _pair(fake, [[Fail(gone())]], *scripts)
    made = adapter(providers, probe="live")
    census.watch(*providers)
    recorder = EventRecorder(made)

    await _use(made)
    await turns(20)

    (metrics,) = recorder.of("metrics_collected")
    assert metrics.label == "b"
    assert metrics.metadata.model_name == "b-model"


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_listeners_are_gone_after_closing(adapter: type[Any], fake: type[Any]):
    """The adapter subscribes to its providers once, and leaves them as they were, and open."""
    providers = _pair(fake)
    made = adapter(providers)

    await _use(made)
    await made.aclose()
    await made.aclose()

    assert [p.listeners for p in providers] == [0, 0]
    assert [p.closed for p in providers] == [False, False]


async def test_wrappers_are_closed_with_the_adapter():
    """What the adapter wrapped around a provider leaves no listener on it."""
    ear, voice = ScriptedSTT(streaming=False), ScriptedTTS(streaming=False)

    await FallbackSTT([ear], vad=ScriptedVAD()).aclose()
    await FallbackTTS([voice]).aclose()

    assert (ear.listeners, voice.listeners) == (0, 0)


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_providers_are_driven_without_retries_of_their_own(
    adapter: type[Any], fake: type[Any], census: Census
):
    """The session's `conn_options` never multiply the adapter's own walk."""
    providers = _pair(fake, [[Fail(gone())]])
    made = adapter(providers, probe="live")
    census.watch(*providers)

    await _use(made)

    given: list[APIConnectOptions] = [p.calls[0].kwargs["conn_options"] for p in providers]
    assert [options.max_retry for options in given] == [0, 0]
    assert [p.calls[0].runs for p in providers] == [1, 1]


def test_keyterms_go_to_all_listeners_that_take_them():
    """Backups too, so that they know the names when their turn comes; the others are spared."""
    able = ScriptedSTT(name="a", keyterms=True)
    batch = ScriptedSTT(name="b", keyterms=True, streaming=False)
    unable = ScriptedSTT(name="c")
    adapter = FallbackSTT([able, batch, unable], vad=ScriptedVAD())

    adapter._update_session_keyterms(["Hendrickson"])

    assert [ear.keyterms for ear in (able, batch, unable)] == [["Hendrickson"]] * 2 + [[]]
    assert adapter.capabilities.keyterms


def test_the_conversation_goes_to_all_listeners_that_take_it():
    """Context carry-over survives a change of listener."""
    able = ScriptedSTT(name="a", chat_context=True)
    batch = ScriptedSTT(name="b", chat_context=True, streaming=False)
    unable = ScriptedSTT(name="c")
    adapter = FallbackSTT([able, batch, unable], vad=ScriptedVAD())
    item: Any = object()

    adapter._push_conversation_item(item)

    assert [ear.conversation for ear in (able, batch, unable)] == [[item], [item], []]
    assert adapter.capabilities.chat_context


async def test_the_language_reaches_every_listener(census: Census):
    """A backup listens in the caller's language; without one, none is made up."""

    chain = listeners(census, [Fail(gone())], [])

    await hear(chain.adapter, frames(0.2), language="de")
    await hear(chain.adapter, frames(0.2))

    given = [call.kwargs["language"] for ear in chain.providers.values() for call in ear.calls]
    assert given.count("de") == 2
    assert all(language in ("de", NOT_GIVEN) for language in given)
    assert None not in given


async def test_the_context_is_that_of_the_listener_at_work(census: Census):
    """What is known about the speaker is asked of the listener that knows it."""

    class Voiceprint(BaseModel):
        name: str

    class Knowing(ScriptedSTT):
        def stream(self, **options: Any) -> Any:
            stream = super().stream(**options)
            stream.context = Voiceprint(name=self.name)
            return stream

    first = Knowing([AfterFrames(5), Fail(gone())])
    chain = listeners(census, first, Knowing([Hang()]))

    async with calling(chain.adapter) as caller:
        assert caller.stream.context is None
        await caller.speak(4)
        assert caller.stream.context == Voiceprint(name="a")
        await caller.speak(4)
        assert caller.stream.context == Voiceprint(name="b")


STT_ALL = ("interim_results", "diarization", "manual_flush")
STT_ANY = ("offline_recognize", "keyterms", "chat_context")


@pytest.mark.parametrize("field", STT_ALL + STT_ANY)
@pytest.mark.parametrize("values", [(True, True), (True, False), (False, True), (False, False)])
def test_what_listeners_can_do_is_combined(field: str, values: tuple[bool, bool]):
    """Promised is what all can do, or what any can where one that can is enough."""
    if field not in {f.name for f in dataclasses.fields(stt.STTCapabilities)}:
        pytest.skip("newer than this LiveKit")
    given: list[dict[str, Any]] = [{field: value} for value in values]
    adapter = FallbackSTT([ScriptedSTT(**capability) for capability in given])

    combine = all if field in STT_ALL else any
    assert getattr(adapter.capabilities, field) is combine(values)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (("word", "word"), "word"),
        (("word", False), False),
        (("chunk", "chunk"), "chunk"),
        (("word", "chunk"), "chunk"),
        (("chunk", "word"), "chunk"),
    ],
)
def test_transcripts_are_as_aligned_as_the_least_aligned(each: Any, expected: Any):
    """Nothing finer is promised than every listener keeps."""
    adapter = FallbackSTT(
        [ScriptedSTT(name=str(i), aligned_transcript=a) for i, a in enumerate(each)]
    )

    assert adapter.capabilities.aligned_transcript == expected


def test_capabilities_follow_a_listener_that_changes():
    """What a provider turns on or off later is seen at the next look."""
    ear = ScriptedSTT(keyterms=False)
    adapter = FallbackSTT([ear])

    ear._capabilities.keyterms = True

    assert adapter.capabilities.keyterms


class Tagged(ScriptedTTS):
    """Speaks a markup dialect of its own name."""

    dialect = "inworld"

    class Markup(tts.TTS.Markup):
        def _provider_key(self) -> str:
            return str(self._tts.dialect)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("dialects", "expected"),
    [(("inworld", "inworld"), "inworld"), (("inworld", "cartesia"), ""), (("inworld", ""), "")],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_markup_is_that_which_all_voices_speak(dialects: Any, expected: str, streaming: bool):
    """A dialect is taught to the language model only if no voice would read it aloud."""
    tagged = [Tagged(name=str(i), streaming=streaming) for i, _ in enumerate(dialects)]
    for voice, dialect in zip(tagged, dialects, strict=True):
        voice.dialect = dialect

    assert FallbackTTS(tagged).markup._provider_key() == expected


@pytest.mark.parametrize("streaming", [True, False])
def test_expressive_mode_reaches_every_voice(streaming: bool):
    """Whoever comes to speak knows how the turn is to be spoken."""
    pair = [ScriptedTTS(name=name, streaming=streaming) for name in "ab"]
    adapter = FallbackTTS(pair)

    for enabled in (True, False):
        adapter._set_expressive(enabled)
        assert [voice._expressive for voice in (adapter, *pair)] == [enabled] * 3


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
async def test_errors_of_providers_are_not_the_sessions(
    adapter: type[Any], fake: type[Any], census: Census
):
    """A provider's own error event closes sessions, so only the adapter's are heard."""

    providers = _pair(fake, [[Fail(gone())]], [[Say("x")]] if fake is ScriptedLLM else ())
    made = adapter(providers, probe="live")
    census.watch(*providers)
    recorder = EventRecorder(made)

    await _use(made)

    (error,) = recorder.of("error")
    assert error.label == made.label
    assert error.recoverable
