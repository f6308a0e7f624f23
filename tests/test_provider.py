# SPDX-License-Identifier: Apache-2.0
"""The list of providers: what may be in it, and what each is called."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from livekit.agents import llm as lk_llm

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS, Provider
from livekit_fallback.core.hedging import HedgeDelay
from livekit_fallback.core.latency import LatencyPolicy
from livekit_fallback.core.walk import Limits
from livekit_fallback.options import LLM_DEFAULTS
from livekit_fallback.provider import Member, member_of, named_providers
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS


def plugin_llm(vendor: str) -> ScriptedLLM:
    """A language model whose class lives where the vendor's LiveKit plugin would."""
    module = f"livekit.plugins.{vendor}.llm"
    kind: type[ScriptedLLM] = type("LLM", (ScriptedLLM,), {"__module__": module})
    return kind()


def names(*providers: Any) -> list[str]:
    return list(named_providers(list(providers), lk_llm.LLM, "llm"))


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [FallbackLLM, FallbackSTT, FallbackTTS])
def test_empty_list_is_refused(adapter):
    """An adapter without providers could only fail."""
    with pytest.raises(ValueError, match=r"=\[\]: must hold at least one provider"):
        adapter([])


@pytest.mark.parametrize("given", [None, "openai", 5, {"a": 1}, iter([])])
def test_anything_but_a_list_is_refused(given):
    """A lone name or an exhausted generator is a mistake, and is said to be one."""
    with pytest.raises(ValueError, match=r"llm=.*: must be a list of providers, best first"):
        FallbackLLM(given)


def test_lone_provider_instead_of_a_list_is_refused():
    """Forgetting the brackets is the commonest of these mistakes."""
    with pytest.raises(ValueError, match="must be a list of providers"):
        FallbackLLM(ScriptedLLM())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("adapter", "wrong", "expected"),
    [
        (FallbackLLM, ScriptedTTS(name="voice"), r"LLM$"),
        (FallbackSTT, ScriptedLLM(name="voice"), r"STT$"),
        (FallbackTTS, ScriptedSTT(name="voice"), r"TTS$"),
        (FallbackLLM, Provider(ScriptedTTS(name="voice")), r"LLM$"),
        (FallbackLLM, Provider(Provider(ScriptedLLM(name="voice"))), r"LLM$"),
        (FallbackLLM, ScriptedLLM, r"LLM$"),
        (FallbackLLM, "openai/gpt-4.1", r"LLM$"),
        (FallbackLLM, None, r"LLM$"),
    ],
)
def test_provider_of_the_wrong_kind_is_refused(adapter, wrong, expected):
    """The error names what was given and the LiveKit class that is expected."""
    kind = {FallbackLLM: ScriptedLLM, FallbackSTT: ScriptedSTT, FallbackTTS: ScriptedTTS}[adapter]

    with pytest.raises(ValueError, match=rf"must be a livekit\.agents\..*{expected}"):
        adapter([kind(), wrong])


def test_instance_twice_is_refused():
    """A backup that is the primary again protects nobody."""
    model = ScriptedLLM()

    for again in (model, Provider(model, name="other")):
        with pytest.raises(ValueError, match="must not be in the list twice"):
            FallbackLLM([model, again])


def test_name_twice_is_refused():
    """Events and metrics tell providers apart by name."""
    with pytest.raises(ValueError, match=r"name='x': must belong to one provider of llm"):
        FallbackLLM([Provider(ScriptedLLM(), name="x"), Provider(ScriptedLLM(), name="x")])


@pytest.mark.parametrize("name", ["", " ", "\n\t", 5, b"openai", ["a"]])
def test_name_that_is_no_readable_text_is_refused(name):
    """A name appears in events, logs and metrics, so it has to be one."""
    with pytest.raises(ValueError, match=r"^name=.*must be a text that is not blank, or None"):
        Provider(ScriptedLLM(), name=name)


def test_voices_with_different_channel_counts_are_refused():
    """Mono and stereo cannot take turns within one reply."""
    with pytest.raises(ValueError, match="channel"):
        FallbackTTS([ScriptedTTS(), ScriptedTTS(num_channels=2)])


def test_batch_recogniser_without_vad_is_refused():
    """A recogniser that cannot stream needs a detector that cuts the audio into utterances."""
    with pytest.raises(ValueError, match="vad"):
        FallbackSTT([ScriptedSTT(), ScriptedSTT(streaming=False)])


# --- names -------------------------------------------------------------------------------------


def test_plugins_are_called_by_their_vendor():
    """`livekit.plugins.openai.llm.LLM` is "openai" in every event."""
    assert names(plugin_llm("openai"), plugin_llm("groq")) == ["openai", "groq"]


def test_other_classes_are_called_by_their_class():
    """A class of the user's own needs no name to be recognised."""
    assert names(ScriptedLLM()) == ["scriptedllm"]


def test_second_of_the_same_name_is_numbered():
    """Two models of one vendor keep their order in their names."""
    models = [plugin_llm("openai") for _ in range(3)]

    assert names(*models) == ["openai", "openai-2", "openai-3"]


def test_given_names_are_kept_and_never_taken_by_a_default():
    """A name that a user gave is theirs, wherever in the list it stands."""
    providers = [
        plugin_llm("openai"),
        Provider(plugin_llm("openai"), name="openai-2"),
        Provider(plugin_llm("groq"), name="openai"),
        plugin_llm("openai"),
    ]

    assert names(*providers) == ["openai-3", "openai-2", "openai", "openai-4"]


def test_order_of_the_list_is_kept():
    """The first is the primary, named or not, in a list or a tuple."""
    a, b = ScriptedLLM(), ScriptedLLM()
    providers = named_providers((Provider(a, name="z"), b), lk_llm.LLM, "llm")

    assert [p.instance for p in providers.values()] == [a, b]


def test_one_entry_may_serve_two_adapters():
    """A list can be shared between sessions; an adapter keeps nothing in it."""
    entry = Provider(ScriptedLLM(), name="shared", attempt_timeout=1.0)

    FallbackLLM([entry])
    FallbackLLM([entry])

    assert entry.overrides == {"attempt_timeout": 1.0}
    assert entry.name == "shared"


def test_entry_shows_what_it_holds():
    """Errors and logs quote entries, so they can be read."""
    model = ScriptedLLM(name="m")

    assert repr(Provider(model, name="x")) == f"Provider({model!r}, name='x')"


def test_member_knows_whether_the_adapter_made_its_instance():
    """Only wrappers are closed with the adapter; what the user passed in is not."""
    mine, wrapper = object(), object()
    member = Member(0, "a", mine, mine, Limits(None, None), "replay", LatencyPolicy(), None, False)

    assert not member.is_wrapped
    assert dataclasses.replace(member, instance=wrapper).is_wrapped


# --- what is special about one -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, "replay"),
        ({"probe": "ping"}, "ping"),
        ({"probe": None}, None),
        ({"probe": callable}, callable),
        ({"stateful": False}, "replay"),
        ({"stateful": True}, "live"),
        ({"stateful": True, "probe": "ping"}, "live"),
        ({"stateful": True, "probe": "replay"}, "live"),
        ({"stateful": True, "probe": callable}, callable),
        ({"stateful": True, "probe": None}, None),
    ],
)
def test_probe_of_one_provider(overrides, expected):
    """Its own before the adapter's; to what keeps a conversation only its user may send more."""
    entry = Provider(ScriptedLLM(), **overrides)

    assert member_of(0, "a", entry, LLM_DEFAULTS, "llm").probe == expected


@pytest.mark.parametrize("is_stateful", [False, True])
def test_what_keeps_a_conversation_is_not_hedged(is_stateful):
    """Nothing is asked of it that nobody has said, not even in a race."""
    entry = Provider(ScriptedLLM(), stateful=is_stateful, hedge_after_ms=500)

    member = member_of(0, "a", entry, LLM_DEFAULTS, "llm")

    assert member.is_stateful is is_stateful
    assert member.hedge_delay == (None if is_stateful else HedgeDelay(seconds=0.5))


def test_nobody_keeps_a_conversation_unless_it_is_said():
    """Most providers are given the whole conversation each time."""
    assert not member_of(0, "a", Provider(ScriptedLLM()), LLM_DEFAULTS, "llm").is_stateful


@pytest.mark.parametrize(
    ("adapter", "fake", "component"),
    [(FallbackLLM, ScriptedLLM, "llm"), (FallbackTTS, ScriptedTTS, "tts")],
)
def test_what_would_do_nothing_for_a_provider_is_refused(adapter, fake, component):
    """Only recognisers are watched for silence."""
    message = f"silence_timeout=7.0: must not be given for a provider of {component}"
    with pytest.raises(ValueError, match=message):
        adapter([Provider(fake(), silence_timeout=7.0)])


def test_deadline_and_latency_of_one_provider():
    """Everything that vendors differ in can be said for one of them."""
    entry = Provider(
        ScriptedLLM(), attempt_timeout="auto", latency_threshold_ms=500, hedge_after_ms="p90"
    )

    member = member_of(3, "groq", entry, LLM_DEFAULTS, "llm")

    assert (member.index, member.name) == (3, "groq")
    assert member.limits == Limits(2.5, 4.0, 0, adaptive_from=0.8)
    assert member.latency == LatencyPolicy(0.5)
    assert member.hedge_delay == HedgeDelay(percentile=90.0)
