# SPDX-License-Identifier: Apache-2.0
"""What docs/latency.md says in code and in figures of ours is what the package does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from livekit_fallback import TurnBudget
from livekit_fallback.adapters import _stalls, _watch
from livekit_fallback.core import hedging, latency, percentiles
from livekit_fallback.options import LLM_DEFAULTS
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS

PAGE = (Path(__file__).parents[1] / "docs" / "latency.md").read_text(encoding="utf-8")


async def test_the_example_runs_and_its_adapters_share_the_turn():
    """Every option is spelled as the adapters take it."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {
        "gpt": ScriptedLLM(name="gpt"),
        "llama": ScriptedLLM(name="llama"),
        "nova": ScriptedSTT(name="nova"),
        "ink": ScriptedSTT(name="ink"),
        "sonic": ScriptedTTS(name="sonic"),
        "aura": ScriptedTTS(name="aura"),
    }

    exec(compile(block, "docs/latency.md", "exec"), names)

    adapters = [names[name] for name in ("stt", "llm", "tts")]
    assert isinstance(names["turn"], TurnBudget)
    assert {adapter._chain.timing.turn for adapter in adapters} == {names["turn"].clock}
    for adapter in adapters:
        await adapter.aclose()


def test_the_figures_of_ours_are_those_of_the_code():
    """Numbers in the text are looked up here, so that they cannot grow old unnoticed."""
    assert LLM_DEFAULTS["consecutive_latency_hits"] == 3
    assert "After `consecutive_latency_hits` (3)" in PAGE
    assert LLM_DEFAULTS["hedge_budget"] == 0.1
    assert "`hedge_budget=0.1`" in PAGE
    assert hedging._BURST == 3.0
    assert "and for three at once" in PAGE
    assert latency.WARM_AFTER == 20
    assert "from its twentieth output on" in PAGE
    assert latency._COMPARABLE_AFTER == 3
    assert "known from its third output or probe on" in PAGE
    assert (latency._DEADLINE_FACTOR, latency._DEADLINE_PERCENTILE) == (2.0, 95)
    assert "is twice the provider's live 95th percentile" in PAGE
    assert percentiles._KEPT == 1024
    assert "of the newest 1024 outputs" in PAGE
    assert _stalls.STALL_SEC == 0.1
    assert "was blocked for 0.1 s or more" in PAGE
    assert _watch._MAX_GRACE_SEC == 1.0
    assert "(0.03 to 1 s)" in PAGE
    assert latency._FRESH_SEC == 30.0
    assert "heard of in the last 30 s" in PAGE
