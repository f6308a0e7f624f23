# SPDX-License-Identifier: Apache-2.0
"""The same hedging through the real adapter, its streams, tasks and timers, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, llm

from benchmarks.tail_cases import Policy
from benchmarks.tail_simulated import Run
from livekit_fallback import FallbackLLM
from tests.support.virtual_time import VirtualTimeLoop

# Longer than any draw, so that what cuts the tail is hedging and nothing else.
NEVER_SEC = 600.0

CHAT_CTX = llm.ChatContext.empty()
CHAT_CTX.add_message(role="user", content="word")


class ScriptedLLM(llm.LLM):
    """Is silent for `seconds`, then answers with a word and its usage. Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.calls = 0

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        self.calls += 1
        return _ScriptedStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class _ScriptedStream(llm.LLMStream):
    _llm: ScriptedLLM

    async def _run(self) -> None:
        await asyncio.sleep(self._llm.seconds)
        delta = llm.ChoiceDelta(role="assistant", content="word")
        self._event_ch.send_nowait(llm.ChatChunk(id="request", delta=delta))
        usage = llm.CompletionUsage(completion_tokens=1, prompt_tokens=1, total_tokens=2)
        self._event_ch.send_nowait(llm.ChatChunk(id="request", usage=usage))


def serve(policy: Policy, primary: Sequence[float], backup: Sequence[float]) -> Run:
    """Make one request after the other; see :func:`benchmarks.tail_simulated.simulate`."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_serve(policy, primary, backup))


async def _serve(policy: Policy, primary: Sequence[float], backup: Sequence[float]) -> Run:
    first, second = ScriptedLLM(), ScriptedLLM()
    adapter = FallbackLLM(
        [first, second],
        options=policy.options,
        attempt_timeout=NEVER_SEC,
        total_timeout=None,
        probe=None,
    )
    waits = []
    for first.seconds, second.seconds in zip(primary, backup, strict=True):
        waits.append(await _time_to_first_token(adapter))
    await adapter.aclose()
    return Run(waits, first.calls + second.calls - len(waits))


async def _time_to_first_token(model: llm.LLM) -> float:
    clock = asyncio.get_running_loop().time
    asked_at = clock()
    waited: float | None = None
    async with model.chat(chat_ctx=CHAT_CTX) as stream:
        async for _ in stream:
            if waited is None:
                waited = clock() - asked_at
    assert waited is not None
    return waited
