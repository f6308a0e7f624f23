# SPDX-License-Identifier: Apache-2.0
"""The same agent for comparison: LiveKit's own adapters, or no adapter (`DEMO_ADAPTER`).

Everything but the adapters comes from `voice_agent.py`; all adapters keep their defaults.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from livekit.agents import AgentServer, JobContext, inference, llm, stt, tts

from examples.voice_agent import brains, ears, endpoints, start_call, voices

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", stt.STT, llm.LLM, tts.TTS)

server = AgentServer()


def log_availability(
    adapter: stt.STT | llm.LLM | tts.TTS, component: str, names: Mapping[int, str]
) -> None:
    """Write the adapter's availability events to `FALLBACK_EVENT_LOG`, one JSON line each."""
    path = os.environ.get("FALLBACK_EVENT_LOG")
    kind = f"{component}_availability_changed"

    def write(event: Any) -> None:
        model = getattr(event, component)
        # The adapter wraps a speech-to-text model that cannot stream.
        name = names.get(id(model)) or names.get(id(getattr(model, "wrapped_stt", None)))
        line = {"event": kind, "component": component, "timestamp": time.time()}
        with open(str(path), "a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "provider": name, "available": event.available}) + "\n")

    if path:
        adapter.on(kind, write)


def names_of(models: Mapping[str, Model]) -> dict[int, str]:
    return {id(model): name for name, model in models.items()}


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    at = endpoints()
    hear, think, speak = ears(at), brains(at), voices(at)
    if os.environ.get("DEMO_ADAPTER") == "none":
        await start_call(ctx, hear["deepgram"], think["openai"], speak["cartesia"])
        return
    ear = stt.FallbackAdapter(list(hear.values()), vad=inference.VAD())
    brain = llm.FallbackAdapter(list(think.values()))
    voice = tts.FallbackAdapter(list(speak.values()))
    log_availability(ear, "stt", names_of(hear))
    log_availability(brain, "llm", names_of(think))
    log_availability(voice, "tts", names_of(speak))
    await start_call(ctx, ear, brain, voice)
