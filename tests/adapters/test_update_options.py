# SPDX-License-Identifier: Apache-2.0
"""Settings changed in a running call reach every provider that has them, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import NOT_GIVEN, inference

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS, Provider
from tests.support.errors import gone
from tests.support.fakes import (
    Fail,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    Speak,
    say,
    seconds_of,
)

if TYPE_CHECKING:
    from tests.support.census import Census

TEXT = "Good evening, and welcome to the house."


class _Tunable:
    """Notes what it is told."""

    error: Exception | None = None

    def __init__(self, *scripts: Any, **about: Any) -> None:
        super().__init__(*scripts, **about)
        self.told: list[dict[str, Any]] = []

    def update_options(
        self, *, speed: Any = NOT_GIVEN, voice: Any = NOT_GIVEN, language: Any = NOT_GIVEN
    ) -> None:
        values = {"speed": speed, "voice": voice, "language": language}
        self.told.append({k: v for k, v in values.items() if v is not NOT_GIVEN})
        if self.error is not None:
            raise self.error


class LLM(_Tunable, ScriptedLLM):
    pass


class STT(_Tunable, ScriptedSTT):
    pass


class TTS(_Tunable, ScriptedTTS):
    pass


class Mute(ScriptedTTS):
    """Has one option of its own."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.told: list[float] = []

    def update_options(self, *, volume: float) -> None:
        self.told.append(volume)


def _named(providers: list[Any]) -> list[Any]:
    return [Provider(one, name=one.name) for one in providers]


ADAPTERS: list[Any] = [
    pytest.param(FallbackLLM, LLM, id="llm"),
    pytest.param(FallbackSTT, STT, id="stt"),
    pytest.param(FallbackTTS, TTS, id="tts"),
]


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
def test_an_option_reaches_everybody_who_takes_it(adapter: Any, fake: Any):
    """Backups too: they are to serve as the primary would."""
    pair = [fake(name="a"), fake(name="b")]

    adapter(pair).update_options(speed=1.1, voice=NOT_GIVEN)

    assert [one.told for one in pair] == [[{"speed": 1.1}]] * 2


def test_who_does_not_take_it_is_spared():
    """Each is told what its own method takes, and who has nothing to be told is not called."""
    plain, mute, tunable = ScriptedTTS(name="plain"), Mute(name="mute"), TTS(name="tunable")
    adapter = FallbackTTS([plain, mute, tunable])

    adapter.update_options(speed=1.1, volume=0.5)
    adapter.update_options(speed=0.9)
    adapter.update_options()

    assert mute.told == [0.5]
    assert tunable.told == [{"speed": 1.1}, {"speed": 0.9}]


@pytest.mark.parametrize(("adapter", "fake"), ADAPTERS)
def test_an_option_that_nobody_takes_is_named(adapter: Any, fake: Any):
    """With what each would take; nobody has been told the others then."""
    pair = [fake(name="a"), fake(name="b")]

    with pytest.raises(ValueError, match=r"pitch=3: must .*'a' takes language, speed, voice; 'b'"):
        adapter(_named(pair)).update_options(speed=1.1, pitch=3)

    assert [one.told for one in pair] == [[], []]


def test_a_voice_does_not_cross_vendors():
    """A voice id means nothing to another vendor, or worse, something else."""
    pair = [TTS(name="a"), TTS(name="b")]

    with pytest.raises(ValueError, match=r"voice='x': must be given for one provider .*'a', 'b'"):
        FallbackTTS(_named(pair)).update_options(voice="x", speed=1.1)

    assert [one.told for one in pair] == [[], []]


def test_a_voice_reaches_all_accounts_of_one_vendor():
    """Two keys, or two regions, of one vendor speak with the same voices."""

    class Same(TTS):
        provider = "same"

    pair = [Same(name="a"), Same(name="b")]

    FallbackTTS(pair).update_options(voice="x")

    assert [one.told for one in pair] == [[{"voice": "x"}]] * 2


def _gateway(*models: str) -> list[Any]:
    return [inference.TTS(model, api_key="key", api_secret="secret") for model in models]


@pytest.mark.parametrize("option", ["voice", "model"])
def test_the_gateway_speaks_for_many_vendors(option: str):
    """All its classes have the same `provider`; whose the voice is stands in the model's name."""
    pair = _gateway("cartesia/sonic-3", "elevenlabs/eleven_flash_v2_5")

    with pytest.raises(ValueError, match=f"{option}='cartesia/x': must be given for one provider"):
        FallbackTTS(pair).update_options(**{option: "cartesia/x"})

    assert [one.model for one in pair] == ["cartesia/sonic-3", "elevenlabs/eleven_flash_v2_5"]


def test_two_models_of_one_vendor_behind_the_gateway_share_its_voices():
    """As two accounts of a vendor do."""
    pair = _gateway("cartesia/sonic-3", "cartesia/sonic-2")

    FallbackTTS(pair).update_options(voice="x")

    assert [one._opts.voice for one in pair] == ["x", "x"]


def test_one_provider_is_told_by_name_or_instance():
    """What the others are to have is left as it was."""
    first, second = TTS(name="a"), TTS(name="b")
    adapter = FallbackTTS([Provider(first, name="best"), Provider(second, name="spare")])

    adapter.update_options("best", voice="x")
    adapter.update_options(second, voice="y")

    assert (first.told, second.told) == ([{"voice": "x"}], [{"voice": "y"}])


def test_several_providers_are_told_their_own():
    """One call changes the voice of the whole chain."""
    first, second = TTS(name="a"), TTS(name="b")
    adapter = FallbackTTS([Provider(first, name="best"), Provider(second, name="spare")])

    adapter.update_options({"best": {"voice": "x", "speed": NOT_GIVEN}, second: {"voice": "y"}})

    assert (first.told, second.told) == ([{"voice": "x"}], [{"voice": "y"}])


@pytest.mark.parametrize(
    ("service", "options", "message"),
    [
        ("c", {"speed": 1}, "service='c': must be a provider of this adapter: 'a', 'b'"),
        ({"a": {"speed": 1}, "c": {}}, {}, "service='c': must be a provider"),
        ({"a": {"speed": 1}, "b": {"pitch": 1}}, {}, "pitch=1: must .*'b' takes"),
        ({"a": {"speed": 1}}, {"voice": "x"}, "voice: must be inside the mapping"),
        ({"a": {"speed": 1}, "b": 3}, {}, "'b': 3: must be a mapping"),
        ("a", {"pitch": 1}, "pitch=1: must .*'a' takes language, speed, voice$"),
    ],
)
def test_nobody_is_told_when_anything_is_wrong(service: Any, options: Any, message: str):
    """A typing error must not leave half a chain changed."""
    pair = [TTS(name="a"), TTS(name="b")]
    adapter = FallbackTTS(_named(pair))

    with pytest.raises(ValueError, match=message):
        adapter.update_options(service, **options)

    assert [one.told for one in pair] == [[], []]


def test_one_that_refuses_does_not_keep_the_others_from_being_told():
    """Its exception comes after that, and says whose it is."""
    trio = [TTS(name=name) for name in "abc"]
    trio[0].error = RuntimeError("no such speed")

    with pytest.raises(RuntimeError, match="no such speed") as caught:
        FallbackTTS(_named(trio)).update_options(speed=9)

    assert [one.told for one in trio] == [[{"speed": 9}]] * 3
    assert caught.value.__notes__ == ["raised by update_options of the provider 'a'"]


def test_all_exceptions_of_several_are_told():
    """None hides another."""
    pair = [TTS(name="a"), TTS(name="b")]
    pair[0].error, pair[1].error = RuntimeError("a"), LookupError("b")

    with pytest.raises(ExceptionGroup) as caught:
        FallbackTTS(pair).update_options(speed=9)

    assert caught.value.exceptions == (pair[0].error, pair[1].error)


def test_providers_that_the_adapter_wrapped_are_told_themselves():
    """The wrapper in between has no options."""
    ear, voice = STT(name="a", streaming=False), TTS(name="b", streaming=False)

    FallbackSTT([ear], vad=ScriptedVAD()).update_options(language="de")
    FallbackTTS([voice]).update_options(speed=1.1)

    assert (ear.told, voice.told) == ([{"language": "de"}], [{"speed": 1.1}])


async def test_a_rate_that_changes_is_not_heard(census: Census):
    """The session was promised one rate, and gets it, whatever a voice makes from now on."""

    class Rated(ScriptedTTS):
        def update_options(self, *, sample_rate: int) -> None:
            self.frame_rate = sample_rate

    voice = Rated([Speak()], sample_rate=24_000)
    adapter = FallbackTTS([voice])
    census.watch(voice)
    before = await say(adapter, TEXT)

    adapter.update_options(sample_rate=16_000)
    after = await say(adapter, TEXT)

    for audio in (before, after):
        assert {frame.sample_rate for frame in audio} == {24_000}
    assert seconds_of(after) == pytest.approx(seconds_of(before), abs=0.05)


async def test_whoever_comes_next_has_the_new_settings(census: Census):
    """Settings live in the provider, so a backup that was never asked before has them."""
    heard: list[Any] = []

    class Recalling(TTS):
        def stream(self, **options: Any) -> Any:
            heard.append((self.name, self.told[-1]["speed"]))
            return super().stream(**options)

    pair = [Recalling([Fail(gone())], name="a"), Recalling(name="b")]
    adapter = FallbackTTS(pair, probe="live")
    census.watch(*pair)

    adapter.update_options(speed=1.1)
    await say(adapter, TEXT)

    assert heard == [("a", 1.1), ("b", 1.1)]
