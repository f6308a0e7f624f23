# SPDX-License-Identifier: Apache-2.0
"""Real plugins whose vendor is slow: left after the third slow turn, or never waited for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import inference

from examples.local_providers.dialogue import LINES
from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS, Provider
from tests.integration.llm_client import ANSWER, ask
from tests.integration.speech import FRAME_SEC, Caller, calling, line
from tests.integration.support import failovers, served, until
from tests.integration.voice import assert_whole, heard, said
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

SLOW = 1.5  # seconds that a slow vendor takes longer than usual
FAST = 1.0  # a turn that waits for it for a part of that only, on a busy machine
HEDGED_AFTER = 0.3

LIMIT: dict[str, Any] = {"latency_threshold_ms": 800}
HEDGED: dict[str, Any] = {**LIMIT, "hedge_after_ms": 1000 * HEDGED_AFTER}


async def _seconds(turn: Awaitable[object]) -> float:
    """How long a turn takes until its first output or, where outputs come at once, its end."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await turn
    return loop.time() - began


def _llm(plugins: Plugins, **options: Any) -> contextlib.aclosing[FallbackLLM]:
    openai, cerebras = plugins.openai_llm(), plugins.cerebras_llm()
    llms = [Provider(openai, name="openai"), Provider(cerebras, name="cerebras")]
    return contextlib.aclosing(FallbackLLM(llms, **options))


def _tts(plugins: Plugins, **options: Any) -> contextlib.aclosing[FallbackTTS]:
    cartesia, openai = plugins.cartesia_tts(), plugins.openai_tts()
    voices = [Provider(cartesia, name="cartesia"), Provider(openai, name="openai")]
    return contextlib.aclosing(FallbackTTS(voices, **options))


def _is_slow(seconds: float) -> bool:
    assert seconds < FAST or seconds >= SLOW, f"{seconds} s is neither fast nor slow"
    return seconds >= SLOW


async def test_a_slow_language_model_is_left_after_its_third_slow_turn(
    providers: LocalProviders, plugins: Plugins
):
    """No turn was lost to it, and the fourth is as fast as the backup."""
    async with _llm(plugins, **LIMIT) as llm:
        events = EventRecorder(llm)
        providers.set_fault("slow", vendor="openai", service="llm", delay=SLOW)
        turns = [await _seconds(_answered(llm)) for _ in range(4)]

        assert [*map(_is_slow, turns)] == [True, True, True, False]
        assert failovers(events) == [("openai", "cerebras", "latency")]
        health = llm.get_service_health("openai")
        assert (health.reason, health.slow) == ("latency", 3)
        assert health.latency_p50 == pytest.approx(SLOW, abs=0.4)


async def test_no_turn_waits_for_a_slow_language_model_that_is_hedged(
    providers: LocalProviders, plugins: Plugins
):
    """The backup answers while the primary is still silent, until that one is left altogether."""
    async with _llm(plugins, **HEDGED) as llm:
        hedges = EventRecorder(llm, ("hedged", "failover"))
        providers.set_fault("slow", vendor="openai", service="llm", delay=SLOW)
        turns = [await _seconds(_answered(llm)) for _ in range(4)]

        assert max(turns) < FAST
        assert [event.winner for event in hedges.of("hedged")] == ["cerebras"] * 3
        assert failovers(hedges) == [("openai", "cerebras", "latency")]
        assert "openai" not in served(providers, "llm")


async def _answered(llm: FallbackLLM) -> None:
    answer = await ask(llm)
    assert (answer.text, answer.error) == (ANSWER, None)


async def test_a_slow_voice_is_left_after_its_third_slow_turn(
    providers: LocalProviders, plugins: Plugins
):
    """Each reply is spoken whole in one voice, and the fourth begins at once."""
    async with _tts(plugins, **LIMIT) as tts:
        events = EventRecorder(tts)
        providers.set_fault("slow", vendor="cartesia", service="tts", delay=SLOW)
        turns = [await _seconds(_spoken(tts, vendor)) for vendor in (*["cartesia"] * 3, "openai")]

        assert [*map(_is_slow, turns)] == [True, True, True, False]
        assert failovers(events) == [("cartesia", "openai", "latency")]


@pytest.mark.parametrize("how", ["stream", "synthesize"])
async def test_no_turn_waits_for_a_slow_voice_that_is_hedged(
    providers: LocalProviders, plugins: Plugins, how: str
):
    """The backup speaks the whole reply, and of the primary nothing is heard."""
    async with _tts(plugins, **HEDGED) as tts:
        hedges = EventRecorder(tts, ("hedged",))
        providers.set_fault("slow", vendor="cartesia", service="tts", delay=SLOW)
        turns = [await _seconds(_spoken(tts, "openai", how)) for _ in range(4)]

        assert max(turns) < FAST
        assert [event.winner for event in hedges.of("hedged")] == ["openai"] * 3


async def _spoken(tts: FallbackTTS, vendor: str, how: str = "stream") -> None:
    assert_whole(await heard(said(tts, how)), vendor)


async def test_a_slow_recogniser_of_recordings_is_hedged(
    providers: LocalProviders, plugins: Plugins
):
    """The second recogniser is asked for the same recording, and its text is the only one."""
    stts = [
        Provider(plugins.openai_stt(), name="openai"),
        Provider(plugins.deepgram_stt(), name="deepgram"),
    ]
    stt = FallbackSTT(stts, vad=inference.VAD(), **HEDGED)
    async with contextlib.aclosing(stt):
        hedges = EventRecorder(stt, ("hedged",))
        providers.set_fault("slow", vendor="openai", service="stt", delay=SLOW)
        turns = [await _seconds(stt.recognize(list(line(1)))) for _ in range(4)]

        assert max(turns) < FAST
        assert [event.winner for event in hedges.of("hedged")] == ["deepgram"] * 3


async def test_a_slow_streaming_recogniser_is_left_after_its_third_slow_utterance(
    providers: LocalProviders, plugins: Plugins
):
    """The detector that LiveKit bundles times it, in real time; no word is lost on the way."""
    stts = [
        Provider(plugins.deepgram_stt(), name="deepgram"),
        Provider(plugins.cartesia_stt(), name="cartesia"),
    ]
    async with contextlib.aclosing(FallbackSTT(stts, **LIMIT)) as stt, calling(stt) as caller:
        events = EventRecorder(stt)
        providers.set_fault("slow", vendor="deepgram", service="stt", delay=SLOW)
        for number in (4, 6, 9, 5):  # the short ones; the ears know the script, not the words
            await _says_and_waits(caller, number)

        assert tuple(caller.finals) == LINES[:4]
        assert failovers(events) == [("deepgram", "cartesia", "latency")]
        assert caller.is_balanced
        health = stt.get_service_health("deepgram")
        assert (health.reason, health.slow) == ("latency", 3)
        assert health.latency_p50 == pytest.approx(SLOW, abs=0.5)
        assert stt.get_service_health("cartesia").slow == 0


async def _says_and_waits(caller: Caller, number: int) -> None:
    """Say a line as fast as people do, and be silent until it was understood."""
    understood = len(caller.finals)
    speech = iter(line(number))
    silence = line(number)[-1]  # recordings end in a pause

    async def talk() -> None:
        while True:
            caller.stream.push_frame(next(speech, silence))
            await asyncio.sleep(FRAME_SEC)

    talking = asyncio.create_task(talk(), name="caller talks")
    try:
        await until(lambda: len(caller.finals) > understood, within=10.0)
    finally:
        talking.cancel()
        await asyncio.wait({talking})
