# SPDX-License-Identifier: Apache-2.0
"""Evidence of slowness: LiveKit's metrics for what nobody here timed, and the adapter's clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.metrics import LLMMetrics, STTMetrics, TTSMetrics

from livekit_fallback import FallbackLLM, Provider
from tests.support.audio import frames
from tests.support.errors import gone
from tests.support.fakes import (
    Audio,
    AwaitText,
    Fail,
    Metadata,
    RoleOnly,
    Say,
    ToolCall,
    UsageOnly,
    Wait,
    ask,
    say,
)
from tests.support.llm_chain import listen
from tests.support.outage import LLM, SILENT, SYNTHESIZED, TTS, WORD, Kind, line
from tests.support.paces import (
    FAST,
    LIMITED,
    RECOGNIZED,
    SLOW,
    Paced,
    counts,
    four_kinds,
    hedged_line,
    paced,
    slow_ones,
    use,
)

if TYPE_CHECKING:
    from tests.support.census import Census


async def _elsewhere(kind: Kind, provider: Any) -> None:
    """Use a provider without the adapter, as another part of the program may."""
    if kind is LLM:
        await ask(provider)
    elif kind is TTS:
        await say(provider, WORD)
    elif kind is RECOGNIZED:
        await provider.recognize(frames(0.5))
    else:
        async with provider.synthesize(WORD) as stream:
            async for _ in stream:
                pass


@pytest.mark.parametrize("kind", [LLM, SYNTHESIZED, RECOGNIZED], ids=repr)
async def test_what_others_have_waited_for_counts(kind: Kind, census: Census):
    """A provider that is slow elsewhere is known to be slow before the first request here."""
    chain = paced(census, kind, SLOW)

    for _ in range(3):
        await _elsewhere(kind, chain.providers["a"])
    await asyncio.sleep(0.5)

    assert slow_ones(chain) == 3
    assert await chain.use() == "b"
    (change,) = chain.events.of("health_changed")
    assert change.latency == pytest.approx(SLOW)
    (failover,) = chain.events.of("failover")
    assert (failover.reason, failover.request_id) == ("latency", "")


@pytest.mark.parametrize("kind", [LLM, SYNTHESIZED, RECOGNIZED], ids=repr)
async def test_what_was_fast_elsewhere_begins_the_count_anew(kind: Kind, census: Census):
    """Evidence is evidence, wherever it comes from."""
    a = Paced(kind, "a", SLOW)
    chain = paced(census, kind, a)
    await use(chain, 2)
    a.seconds = FAST
    await _elsewhere(kind, chain.providers["a"])
    a.seconds = SLOW

    assert await use(chain, 3) == "aaa"


async def test_a_stream_s_metrics_hold_nothing_against_a_voice(census: Census):
    """LiveKit times a stream from its first word on, and the rest of the text may be late."""
    chain = paced(census, TTS, SLOW)

    for _ in range(5):
        await _elsewhere(TTS, chain.providers["a"])

    assert slow_ones(chain) == 0
    assert chain.moves() == []


def _llm(ttft: float) -> LLMMetrics:
    return LLMMetrics(
        label="x", request_id="x", timestamp=0.0, duration=9.0, ttft=ttft, cancelled=False,
        completion_tokens=1, prompt_tokens=1, prompt_cached_tokens=0, total_tokens=2,
        tokens_per_second=1.0,
    )  # fmt: skip


def _tts(ttfb: float, *, streamed: bool) -> TTSMetrics:
    return TTSMetrics(
        label="x", request_id="x", timestamp=0.0, duration=9.0, ttfb=ttfb, cancelled=False,
        audio_duration=1.0, characters_count=9, streamed=streamed,
    )  # fmt: skip


def _stt(duration: float, *, streamed: bool) -> STTMetrics:
    return STTMetrics(label="x", request_id="x", timestamp=0.0, duration=duration,
                      audio_duration=9.0, streamed=streamed)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "metrics", "slow"),
    [
        (LLM, _llm(0.8), 3),
        (LLM, _llm(0.4), 0),
        (LLM, _llm(-1.0), 0),
        (TTS, _tts(0.8, streamed=False), 3),
        (TTS, _tts(0.8, streamed=True), 0),
        (TTS, _tts(-1.0, streamed=False), 0),
        (RECOGNIZED, _stt(0.8, streamed=False), 3),
        (RECOGNIZED, _stt(0.8, streamed=True), 0),
        (RECOGNIZED, _stt(0.0, streamed=True), 0),
    ],
    ids=["llm", "llm-fast", "llm-none", "tts", "tts-stream", "tts-none", "stt", "stt-stream", "0"],
)
async def test_each_metric_says_what_it_can(kind: Kind, metrics: Any, slow: int, census: Census):
    """Of the metrics that hold a latency only those that are a provider's own are believed."""
    chain = paced(census, kind, FAST)

    for _ in range(3):
        chain.providers["a"].emit("metrics_collected", metrics)
    await asyncio.sleep(0.5)

    assert slow_ones(chain) == slow
    assert (chain.state() == "cooling_down") == (slow == 3)


async def test_a_fast_stream_s_metrics_are_believed(census: Census):
    """It took at most so long, so it begins the count anew."""
    chain = paced(census, TTS, SLOW)
    await use(chain, 2)

    chain.providers["a"].emit("metrics_collected", _tts(0.2, streamed=True))

    assert await use(chain, 3) == "aaa"


@pytest.mark.parametrize(("kind", "nothing"), [(LLM, -1.0), (SYNTHESIZED, -1.0), (RECOGNIZED, 0.0)])
async def test_a_metric_without_a_latency_excuses_nothing(
    kind: Kind, nothing: float, census: Census
):
    """An answer that had no output was not a fast one."""
    chain = paced(census, kind, SLOW)
    await use(chain, 2)
    metrics = {LLM: _llm(nothing), RECOGNIZED: _stt(nothing, streamed=False)}

    chain.providers["a"].emit("metrics_collected", metrics.get(kind, _tts(nothing, streamed=False)))

    assert await use(chain, 2) == "ab"


@four_kinds
async def test_no_output_is_counted_twice(kind: Kind, census: Census):
    """The clock has timed it already when the metrics of the same request come."""
    chain = paced(census, kind, SLOW, consecutive_latency_hits=5)

    assert await use(chain, 5) == "a" * 5
    assert slow_ones(chain) == 5


@four_kinds
async def test_metrics_of_probes_are_not_counted_either(kind: Kind, census: Census):
    """A slow probe is one slow output, whatever the provider reports of it."""
    chain = paced(census, kind, SLOW)
    await use(chain, 3)

    await asyncio.sleep(8.0)

    assert slow_ones(chain) == 4


async def test_what_another_adapter_used_counts_here(census: Census):
    """Two sessions that share a provider share what is known of it, and each counts once."""
    chain = paced(census, LLM, SLOW)
    other = FallbackLLM([Provider(chain.providers["a"], name="a")], **LIMITED)

    for _ in range(3):
        await ask(other)
    await asyncio.sleep(0.5)

    assert slow_ones(chain) == 3
    assert other.get_service_health("a").slow == 3
    assert chain.events.of("metrics_collected") == []
    await other.aclose()


@pytest.mark.parametrize(("seconds", "winner"), [(0.35, "a"), (1.5, "b")])
@four_kinds
async def test_the_winner_s_metrics_are_passed_on(
    kind: Kind, seconds: float, winner: str, census: Census
):
    """Once; and those of the loser never, whenever they come."""
    chain = hedged_line(census, kind, Paced(kind, "a", seconds), Paced(kind, "b", FAST))

    assert await chain.use() == winner
    await asyncio.sleep(5.0)

    used = [m.metadata.model_name for m in chain.events.of("metrics_collected")]
    assert used == [f"{winner}-model"]


async def test_a_loser_that_reports_early_is_withheld(census: Census):
    """Metrics that a provider sends before it is known who wins wait for that."""
    chain = hedged_line(census, LLM, [Wait(1.5), *LLM.answer("a")], [Wait(0.5), *LLM.answer("b")])
    model = chain.providers["a"]
    opened = model.chat

    def chat(**request: Any) -> Any:
        asyncio.get_running_loop().call_later(0.6, model.emit, "metrics_collected", _llm(0.1))
        return opened(**request)

    model.chat = chat

    assert await chain.use() == "b"

    used = [m.label for m in chain.events.of("metrics_collected")]
    assert "x" not in used
    assert len(used) == 1


async def test_the_metrics_of_a_first_that_failed_are_withheld(census: Census):
    """The hedge carried on and served: what the session used is the hedge's."""
    chain = hedged_line(census, LLM, [RoleOnly(), Wait(0.5), Fail(gone)], Paced(LLM, "b", 0.6))

    assert await chain.use() == "b"

    used = [m.metadata.model_name for m in chain.events.of("metrics_collected")]
    assert used == ["b-model"]


async def test_a_tool_call_is_not_held_against_a_model(census: Census):
    """It is handed over when it is complete, which says nothing of the first token."""
    script = [Wait(SLOW), ToolCall("look"), UsageOnly()]
    chain = line(census, LLM, script, LLM.answer("b"), **LIMITED)

    for _ in range(5):
        await listen(chain.adapter)

    assert slow_ones(chain) == 0
    assert chain.moves() == []
    assert chain.adapter.get_service_health("a").latency_p50 is None


async def test_a_fast_tool_call_is_fast(census: Census):
    """It took at most so long, so it begins the count anew."""
    slow, tool = Paced(LLM, "a", SLOW)(0), [Wait(FAST), ToolCall("look"), UsageOnly()]
    chain = line(census, LLM, LLM.make(slow, slow, tool, slow), LLM.answer("b"), **LIMITED)
    await use(chain, 2)
    await listen(chain.adapter)

    assert await use(chain, 4) == "aaab"


async def test_words_before_a_tool_call_are_timed(census: Census):
    """A model that says something first is judged by that."""
    script = [Wait(SLOW), Say("a"), ToolCall("look"), UsageOnly()]
    chain = line(census, LLM, script, LLM.answer("b"), **LIMITED)

    assert await use(chain, 4) == "aaab"


async def test_role_and_metadata_are_not_the_first_output(census: Census):
    """Latency ends with what a caller can notice."""
    script = [RoleOnly(), Metadata(), Wait(SLOW), Say("a"), UsageOnly()]
    chain = line(census, LLM, script, LLM.answer("b"), **LIMITED)

    assert await use(chain, 4) == "aaab"


async def test_waiting_for_text_is_not_a_voice_s_latency(census: Census):
    """A language model that thinks for long makes no voice look slow."""
    chain = line(census, TTS, [AwaitText(10_000), Audio(0.2)], TTS.answer("b"), **LIMITED)

    for _ in range(5):
        async with chain.adapter.stream() as stream:
            stream.push_text("Good ")
            await asyncio.sleep(3.0)
            stream.push_text("evening.")
            stream.end_input()
            assert [audio async for audio in stream]

    assert slow_ones(chain) == 0
    assert chain.adapter.get_service_health("a").latency_p50 == pytest.approx(0.0, abs=0.01)


@four_kinds
async def test_timeouts_are_no_latencies_but_longer_ones(kind: Kind, census: Census):
    """Two of three that timed out do not make the third's latency the median."""
    chain = line(census, kind, kind.make(Paced(kind, "a", 0.2)(0), SILENT), kind.answer("b"),
                 attempt_timeout=0.5, temporary_disable_sec=0, probe="live")  # fmt: skip
    await use(chain, 4)

    health = chain.adapter.get_service_health("a")

    assert counts(chain, "a")[:2] == (1, 2)
    assert health.latency_p50 is None
    assert health.latency_p95 is None
