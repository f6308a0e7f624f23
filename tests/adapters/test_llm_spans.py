# SPDX-License-Identifier: Apache-2.0
"""Traces: one span per request of the adapter, the provider's own below it, all of them ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import llm
from livekit.agents.telemetry import set_tracer_provider, tracer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.fakes import Fail, Hang, Say, UsageOnly
from tests.support.llm_chain import Model, chain_of, unauthorized, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.census import Census

GOOD = [Say("b"), UsageOnly()]


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What LiveKit's tracer has finished."""
    before = tracer._tracer_provider
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_tracer_provider(provider)
    yield exporter
    tracer.set_provider(before)
    provider.shutdown()


def _named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


async def test_a_request_is_one_span_with_the_providers_below(
    census: Census, spans: InMemorySpanExporter
):
    """Each attempt's own span hangs under the adapter's, which names who served."""
    chain = chain_of(census, [Fail(unavailable)], GOOD)

    await chain.answer()

    (request,) = _named(spans, "llm_fallback_adapter")
    attempts = _named(spans, "llm_request")
    assert [span.parent.span_id for span in attempts if span.parent] == [
        request.context.span_id
    ] * 2
    assert request.attributes is not None
    assert request.attributes["lk.fallback.label"] == "b"
    assert request.attributes["lk.fallback.index"] == 1
    assert request.attributes["gen_ai.response.model"] == "b-model"


async def test_only_the_providers_spans_are_inference(census: Census, spans: InMemorySpanExporter):
    """The adapter's span is no inference of its own: usage would be counted twice."""
    chain = chain_of(census, GOOD)

    await chain.answer()

    (request,) = _named(spans, "llm_fallback_adapter")
    (attempt,) = _named(spans, "llm_request")
    assert "gen_ai.usage.input_tokens" in (attempt.attributes or {})
    assert "gen_ai.usage.input_tokens" not in (request.attributes or {})
    assert "gen_ai.operation.name" not in (request.attributes or {})


@pytest.mark.parametrize("script", [GOOD, [Fail(unauthorized)], [Hang()], [Say("a"), Hang()]])
async def test_every_span_is_ended(script: list[Fail], census: Census, spans: InMemorySpanExporter):
    """Success, failure and interruption all end what they began."""
    chain = chain_of(census, script, stall_timeout=None, total_timeout=None, attempt_timeout=None)

    async with chain.adapter.chat(chat_ctx=llm.ChatContext.empty()):
        await asyncio.sleep(1)

    assert len(_named(spans, "llm_fallback_adapter")) == 1
    assert len(_named(spans, "llm_request")) == 1


async def test_a_probe_can_be_told_from_a_request(census: Census, spans: InMemorySpanExporter):
    """Its usage was nobody's answer: it carries the mark that LiveKit's own probes carry."""
    chain = chain_of(
        census, Model([Fail(unavailable)], GOOD), GOOD, probe="replay", temporary_disable_sec=5
    )

    await chain.answer()
    await asyncio.sleep(6)

    marks = [
        (span.attributes or {}).get("lk.fallback.recovery") for span in _named(spans, "llm_request")
    ]
    assert chain.asked == "aba"
    assert marks == [None, None, True]
