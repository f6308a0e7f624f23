# SPDX-License-Identifier: Apache-2.0
"""A restaurant's phone agent that keeps talking while its providers fail.

    export LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=...
    export OPENAI_API_KEY=... TOGETHER_API_KEY=... CEREBRAS_API_KEY=...
    export DEEPGRAM_API_KEY=... CARTESIA_API_KEY=...
    python voice_agent.py dev

`LOCAL_PROVIDERS=http://127.0.0.1:8700` sends the same plugins to the local providers instead, and
`FALLBACK_EVENT_LOG=events.jsonl` writes one line for each failover, recovery and change of health.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from typing import Any

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    cli,
    function_tool,
    inference,
    llm,
    stt,
    tts,
)
from livekit.plugins import cartesia, deepgram, openai

from livekit_fallback import (
    ExhaustedEvent,
    FailoverEvent,
    FallbackLLM,
    FallbackSTT,
    FallbackTTS,
    Provider,
    RecoveryEvent,
)
from livekit_fallback.observability import EventLog

logger = logging.getLogger("voice-agent")
server = AgentServer()

# Shorter than the default, so that a provider that is back serves again within the demo's minute.
COOL_DOWN = 3.0

# Callers notice a second of silence. After most of it the next model is asked as well, for a tenth
# of the requests at most.
HEDGE_AFTER_MS = 700

SORRY = "I am sorry, I have trouble with my line. Could you call again in a few minutes?"


class HarborKitchen(Agent):
    """Takes table reservations."""

    def __init__(self) -> None:
        super().__init__(
            instructions="You answer the phone of the restaurant Harbor Kitchen. Help the caller "
            "to reserve a table. Ask for day, time and number of people, then look for a table. "
            "Answer in one or two short sentences."
        )

    async def on_enter(self) -> None:
        self.session.say("Harbor Kitchen, good evening. How can I help you?")

    @function_tool
    async def find_table(self, day: str, time: str, people: int) -> str:
        """Look for a free table.

        Args:
            day: Day, such as "tomorrow" or "next Friday".
            time: Time of day, such as "19:00".
            people: How many people will come.
        """
        return f"We have a table for {people} {day} at {time}."


def endpoints() -> dict[str, dict[str, Any]]:
    """Extra plugin keywords per vendor: none, unless the local providers are to be used."""
    control = os.environ.get("LOCAL_PROVIDERS")
    if not control:
        return {"openai": {}, "together": {}, "cerebras": {}, "deepgram": {}, "cartesia": {}}
    with urllib.request.urlopen(control, timeout=5) as answer:
        url = json.load(answer)["vendors"]
    return {
        "openai": {"base_url": url["openai"] + "/v1", "api_key": "local"},
        "together": {"base_url": url["together"] + "/v1", "api_key": "local"},
        "cerebras": {"base_url": url["cerebras"] + "/v1", "api_key": "local"},
        "deepgram": {"base_url": url["deepgram"] + "/v1/listen", "api_key": "local"},
        "cartesia": {"base_url": url["cartesia"], "api_key": "local"},
    }


def ears(at: dict[str, dict[str, Any]]) -> dict[str, stt.STT]:
    return {"deepgram": deepgram.STT(**at["deepgram"]), "openai": openai.STT(**at["openai"])}


def brains(at: dict[str, dict[str, Any]]) -> dict[str, llm.LLM]:
    return {
        "openai": openai.LLM(model="gpt-4.1-mini", **at["openai"]),
        "together": openai.LLM.with_together(**at["together"]),
        "cerebras": openai.LLM.with_cerebras(**at["cerebras"]),
    }


def voices(at: dict[str, dict[str, Any]]) -> dict[str, tts.TTS]:
    return {"cartesia": cartesia.TTS(**at["cartesia"]), "openai": openai.TTS(**at["openai"])}


async def start_call(ctx: JobContext, stt: stt.STT, llm: llm.LLM, tts: tts.TTS) -> None:
    """Hold one call with these models."""
    session: AgentSession[None] = AgentSession(
        stt=stt,
        llm=llm,
        tts=tts,
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad"},
    )
    await session.start(HarborKitchen(), room=ctx.room)


def on_failover(event: FailoverEvent) -> None:
    # The error itself stays out of the log: its text may quote the caller.
    logger.warning(
        "%s: %s failed after %.1f s (%s), asking %s",
        event.component,
        event.from_provider,
        event.elapsed,
        event.reason,
        event.to_provider,
    )


def on_recovery(event: RecoveryEvent) -> None:
    logger.info("%s: back on %s after %.0f s", event.component, event.provider, event.down_for)


def on_exhausted(event: ExhaustedEvent) -> None:
    logger.error("%s: nobody left to ask after %.1f s", event.component, event.elapsed)


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    at = endpoints()
    adapters = (
        FallbackSTT(
            [Provider(model, name=name) for name, model in ears(at).items()],
            vad=inference.VAD(),
            temporary_disable_sec=COOL_DOWN,
        ),
        FallbackLLM(
            [Provider(model, name=name) for name, model in brains(at).items()],
            temporary_disable_sec=COOL_DOWN,
            hedge_after_ms=HEDGE_AFTER_MS,
            retry_on_chunk_sent="continue",
            last_resort=SORRY,
        ),
        FallbackTTS(
            [Provider(model, name=name) for name, model in voices(at).items()],
            temporary_disable_sec=COOL_DOWN,
        ),
    )
    for adapter in adapters:
        adapter.on("failover", on_failover)
        adapter.on("recovery", on_recovery)
        adapter.on("exhausted", on_exhausted)
        ctx.add_shutdown_callback(adapter.aclose)
    if path := os.environ.get("FALLBACK_EVENT_LOG"):
        EventLog(path).attach(*adapters)
    await start_call(ctx, *adapters)


if __name__ == "__main__":
    cli.run_app(server)
