# SPDX-License-Identifier: Apache-2.0
"""OpenAI's Responses API on loopback, over websocket and as events, as far as its plugin asks.

The local providers speak chat completions; this is the other wire that the same plugin package
has, and small enough to misbehave by a list of what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from examples.local_providers.port import runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Step = str | dict[str, Any] | Literal[401]
"""``"hang"``, ``"drop"``, ``"close"``, an event to send, or a status before anything is sent."""


def response(kind: str, **more: Any) -> dict[str, Any]:
    """An event about the whole response."""
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4.1",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }
    return {"type": f"response.{kind}", "sequence_number": 0, "response": body}


def text(delta: str) -> dict[str, Any]:
    """An event with some text of the answer."""
    return {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": delta,
        "logprobs": [],
    }


def call(name: str, arguments: str) -> dict[str, Any]:
    """An event with a whole tool call."""
    item = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }
    kind = "response.output_item.done"
    return {"type": kind, "sequence_number": 2, "output_index": 0, "item": item}


CREATED = response("created", status="in_progress")
COMPLETED = response(
    "completed",
    status="completed",
    usage={
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    },
)
# Also a validation error on a websocket arrives like this.
ERROR = {"type": "error", "error": {"code": "500", "message": "scripted fault", "param": None}}


class ResponsesServer:
    """Answers every request with the same steps."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.url = ""

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Answer the requests of one websocket."""
        if 401 in self.steps:
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        async for _ in socket:
            await self._answer(request, socket.send_json)
            if "close" in self.steps:
                await socket.close()
        return socket

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as a stream of events."""
        if 401 in self.steps:
            raise web.HTTPUnauthorized
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)

        async def send(event: dict[str, Any]) -> None:
            await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

        await self._answer(request, send)
        return answer

    async def _answer(
        self, request: web.Request, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        for step in self.steps:
            if isinstance(step, dict):
                await send(step)
            elif step == "hang":
                await asyncio.Event().wait()
            elif step == "drop" and request.transport is not None:
                request.transport.abort()


@contextlib.asynccontextmanager
async def responses_server(*steps: Step) -> AsyncIterator[ResponsesServer]:
    """A server on a port of its own that answers with these steps."""
    server = ResponsesServer(list(steps))
    app = web.Application()
    app.add_routes(
        [web.get("/v1/responses", server.socket), web.post("/v1/responses", server.events)]
    )
    running = runner(app)
    await running.setup()
    try:
        await web.TCPSite(running, "127.0.0.1", 0).start()
        server.url = "http://{}:{}/v1".format(*running.addresses[0][:2])
        yield server
    finally:
        await running.cleanup()
