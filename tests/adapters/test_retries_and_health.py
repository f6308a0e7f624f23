# SPDX-License-Identifier: Apache-2.0
"""A provider that is asked again before any other is judged by its last try, not by each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents.llm import ChatContext

from tests.support.outage import DOWN, LLM, TTS, Kind, line

if TYPE_CHECKING:
    from tests.support.census import Census


def retries(kind: Kind, count: int) -> dict[str, Any]:
    """The option by which each provider of this kind is asked so often again."""
    return {f"max_retry_per_{kind.name}": count}


@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_a_retry_that_serves_leaves_health_alone(kind: Kind, census: Census):
    """The caller got an answer from the primary: there was no outage, and nobody is told of one."""
    chain = line(
        census, kind, kind.make(DOWN, kind.answer("a")), kind.answer("b"), **retries(kind, 1)
    )

    assert await chain.use() == "a"

    assert chain.moves() == []
    health = chain.adapter.get_service_health("a")
    assert (health.requests, health.successes) == (2, 1)
    assert dict(health.failures) == {"transient": 1}


async def test_a_retry_that_serves_proves_no_more_than_a_request(census: Census):
    """On probation it is one good request of those that are needed, and not the end of it."""
    chain = line(
        census, LLM, LLM.make(DOWN, LLM.answer("a")), LLM.answer("b"),
        probation_successes=2, **retries(LLM, 1),
    )  # fmt: skip
    chain.adapter.disable("a")
    chain.adapter.enable("a")

    await chain.use()

    assert chain.state() == "probation"


async def test_tries_that_all_fail_are_one_outage(census: Census):
    """Three tries in a row are one failure in a row: the first rest is the first."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), temporary_disable_sec=5.0, **retries(LLM, 2))

    assert await chain.use() == "b"

    assert chain.asked == "aaab"
    assert chain.rests() == [5.0]
    assert chain.moves() == ["cooling_down"]


async def test_a_retry_that_never_comes_counts_what_went_before(
    census: Census, monkeypatch: pytest.MonkeyPatch
):
    """A caller who hangs up during the pause has still met a provider that failed."""
    monkeypatch.setattr("livekit_fallback.adapters._clock.jitter", lambda: 0.9)
    chain = line(census, LLM, DOWN, LLM.answer("b"), retry_interval=5.0, **retries(LLM, 1))
    stream = chain.adapter.chat(chat_ctx=ChatContext.empty())
    await asyncio.sleep(0.1)
    assert chain.moves() == []

    await stream.aclose()

    assert chain.moves() == ["cooling_down"]
