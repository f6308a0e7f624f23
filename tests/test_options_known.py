# SPDX-License-Identifier: Apache-2.0
"""The names that users bring along, from LiveKit's own adapters and from VideoSDK's agents."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import llm as lk_llm, stt as lk_stt, tts as lk_tts

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTERS: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "llm": (FallbackLLM, ScriptedLLM),
    "stt": (FallbackSTT, ScriptedSTT),
    "tts": (FallbackTTS, ScriptedTTS),
}
each_adapter = pytest.mark.parametrize("component", ADAPTERS)


def new_adapter(component: str, **keywords: Any) -> Any:
    """An adapter over two fakes."""
    adapter, fake = ADAPTERS[component]
    return adapter([fake(), fake()], **keywords)


LIVEKITS: dict[str, type[Any]] = {
    "llm": lk_llm.FallbackAdapter,
    "stt": lk_stt.FallbackAdapter,
    "tts": lk_tts.FallbackAdapter,
}


def livekit_arguments(component: str) -> dict[str, Any]:
    """LiveKit's own parameters, with LiveKit's own defaults as far as there are any."""
    parameters = inspect.signature(LIVEKITS[component]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@each_adapter
def test_livekits_parameters_keep_working(component):
    """Changing the import is the whole migration: each name of LiveKit's adapter is taken."""
    arguments = livekit_arguments(component)
    assert arguments

    for name, value in arguments.items():
        assert new_adapter(component, **{name: value}) is not None
    assert new_adapter(component, **arguments) is not None


@each_adapter
def test_list_may_be_given_by_livekits_name(component):
    """`FallbackAdapter(llm=[...])` migrates like `FallbackAdapter([...])`."""
    adapter, fake = ADAPTERS[component]

    assert isinstance(adapter(**{component: [fake()]}), adapter)  # type: ignore[arg-type]


def test_livekits_vad_and_sample_rate_are_taken():
    """The two parameters that are more than numbers are taken with real values."""
    recogniser = FallbackSTT([ScriptedSTT(streaming=False)], vad=ScriptedVAD())
    voice = FallbackTTS([ScriptedTTS()], sample_rate=16_000)

    assert recogniser.capabilities.streaming
    assert voice.sample_rate == 16_000


@each_adapter
def test_videosdks_names_are_taken(component):
    """All four of them, with whole numbers, as VideoSDK's own examples give them."""
    arguments = {
        "temporary_disable_sec": 30,
        "permanent_disable_after_attempts": 3,
        "latency_threshold_ms": 800,
        "consecutive_latency_hits": 3,
    }

    for name, value in arguments.items():
        assert new_adapter(component, **{name: value}) is not None
    assert new_adapter(component, **arguments) is not None
