# SPDX-License-Identifier: Apache-2.0
"""The wire of OpenAI: chat completions, transcriptions and speech.

Any vendor that speaks the same wire (Cerebras and Together do) is served by the same code.
"""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import BodyPartReader, web

from . import audio, brain
from .brain import Reply
from .ears import Listener
from .exchange import Exchange, Phrases, to_json
from .speaking import spoken
from .wire import HttpWire, json_object

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .desk import Desk

SPEECH_RATE = 24_000  # fixed by the service
DONE = "data: [DONE]\n\n"


def routes(desk: Desk) -> list[web.RouteDef]:
    """Return the endpoints of ``desk``'s vendor."""
    vendor = OpenAI(desk)
    return [
        web.get("/v1/models", vendor.models),
        web.post("/v1/chat/completions", vendor.chat),
        web.post("/v1/audio/transcriptions", vendor.transcribe),
        web.post("/v1/audio/speech", vendor.speak),
    ]


class OpenAI:
    """The three services of one OpenAI-compatible vendor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._staff = desk.staff

    async def models(self, request: web.Request) -> web.Response:
        """Answer the request that clients warm their connection with; no fault is spent on it."""
        return web.json_response({"object": "list", "data": []})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a chat completion, as a stream or in one piece."""
        body = await json_object(request)
        chat = _Chat(body)
        stream = bool(body.get("stream"))
        wire = HttpWire(request, "text/event-stream" if stream else "application/json")

        async def answer(exchange: Exchange) -> None:
            await (self._stream if stream else self._whole)(exchange, chat)

        return await self._desk.attend(
            wire, "llm", chat.phrases, answer, text=brain.last_said(chat.messages)
        )

    async def _stream(self, exchange: Exchange, chat: _Chat) -> None:
        await asyncio.sleep(self._staff.pace.first_token)
        await exchange.extra(chat.role())
        for delta, text in chat.deltas():
            await exchange.output(chat.chunk(delta))
            exchange.remember(text)
            await asyncio.sleep(self._staff.pace.token_gap)
        await exchange.extra(chat.chunk({}, finish=chat.finish))
        if chat.wants_usage:
            await exchange.extra(chat.usage_chunk())
        await exchange.extra(DONE)

    async def _whole(self, exchange: Exchange, chat: _Chat) -> None:
        await asyncio.sleep(self._staff.pace.first_token)
        exchange.remember("".join(text for _, text in chat.deltas()))
        await exchange.output(chat.whole())

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Transcribe an uploaded WAV file."""
        upload = await _upload(request)
        wire = HttpWire(request, "application/json")

        async def answer(exchange: Exchange) -> None:
            pcm, rate = upload
            listener = Listener(self._staff.ears.decoder(), rate, self._staff.threads)
            heard = await listener.hear(pcm) + await listener.finish()
            text = " ".join(part.text for part in heard if part.final is not None)
            usage = {"type": "duration", "seconds": round(audio.seconds(pcm, rate))}
            await exchange.output(to_json(text=text, usage=usage), final=text)

        return await self._desk.attend(wire, "stt", UPLOAD_PHRASES, answer)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Speak a text, as events or as the bytes of an audio file."""
        body = await json_object(request)
        name = str(body.get("response_format") or "mp3")
        if name not in audio.Encoder.CONTENT_TYPES:
            return _bad(f"response_format must be one of {', '.join(audio.Encoder.CONTENT_TYPES)}")
        events = body.get("stream_format") == "sse"
        kind = "text/event-stream" if events else audio.Encoder.CONTENT_TYPES[name]
        wire, text = HttpWire(request, kind), str(body.get("input") or "")

        async def answer(exchange: Exchange) -> None:
            exchange.remember(text)
            async for data in self._encoded(exchange, text, audio.Encoder(name, SPEECH_RATE)):
                await exchange.output(_audio_event(data) if events else data)
            if events:
                await exchange.extra(_audio_done(text))

        phrases = EVENT_PHRASES if events else FILE_PHRASES
        return await self._desk.attend(wire, "tts", phrases, answer, text=text)

    async def _encoded(
        self, exchange: Exchange, text: str, encoder: audio.Encoder
    ) -> AsyncIterator[bytes]:
        speech = await self._staff.voice.say(text, exchange.vendor)
        async for piece in spoken(exchange, self._staff, speech, SPEECH_RATE):
            if data := encoder.encode(piece):
                yield data
        if data := encoder.flush():
            yield data


class _Chat:
    """One chat completion: the request, the reply to it, and both on the wire."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.messages: list[brain.Message] = list(body.get("messages") or [])
        self.wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": str(body.get("model") or "scripted"),
        }
        tools = {tool.get("function", {}).get("name", "") for tool in body.get("tools") or []}
        self.reply = brain.think(
            self.messages, set() if body.get("tool_choice") == "none" else tools
        )
        self._call_id = f"call_{uuid.uuid4().hex[:24]}"
        pieces = self.reply.pieces
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(pieces)
        self._pieces = pieces[: int(limit)]
        self.finish = "tool_calls" if self.reply.tool else _finish(pieces, self._pieces)

    @property
    def phrases(self) -> Phrases:
        """What a fault may say in this answer."""
        return Phrases(
            error=lambda status: _event(**_error(status)),
            refusal=_error,
            empty=DONE,
            role=self.role(),
            usage=self.usage_chunk() + DONE,
            garbage='data: {"choices": [{\'\n\n',
        )

    def deltas(self) -> list[tuple[dict[str, Any], str]]:
        """Return the useful deltas of the reply, each with the text it adds."""
        if self.reply.tool:
            return _call_deltas(self.reply, self._call_id)
        return [({"content": piece}, piece) for piece in self._pieces]

    def role(self) -> str:
        """Return the chunk that opens every answer."""
        return self.chunk({"role": "assistant", "content": ""})

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        """Return one event of the stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event(**self._head, object="chat.completion.chunk", choices=[choice])

    def usage_chunk(self) -> str:
        """Return the event that closes a stream with ``include_usage``."""
        return _event(**self._head, object="chat.completion.chunk", choices=[], usage=self._usage())

    def whole(self) -> str:
        """Return the answer in one piece."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._pieces) or None}
        if self.reply.tool:
            message["tool_calls"] = [_call(self.reply, self._call_id)]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return to_json(
            **self._head, object="chat.completion", choices=[choice], usage=self._usage()
        )

    def _usage(self) -> dict[str, int]:
        asked = sum(len(str(message.get("content") or "").split()) for message in self.messages)
        said = len(self._pieces) or 1
        return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _finish(pieces: list[str], sent: list[str]) -> Literal["stop", "length"]:
    return "stop" if len(sent) == len(pieces) else "length"


def _call(reply: Reply, call_id: str) -> dict[str, Any]:
    function = {"name": reply.tool, "arguments": reply.arguments}
    return {"id": call_id, "type": "function", "function": function}


def _call_deltas(reply: Reply, call_id: str) -> list[tuple[dict[str, Any], str]]:
    """Return the tool call as it is streamed: the name first, the arguments in pieces."""
    half = len(reply.arguments) // 2
    pieces = (reply.arguments[:half], reply.arguments[half:])
    calls = [(_call(Reply(tool=reply.tool), call_id), reply.tool)]
    calls += [({"function": {"arguments": piece}}, piece) for piece in pieces]
    return [({"tool_calls": [{"index": 0, **call}]}, text) for call, text in calls]


def _event(**fields: object) -> str:
    return f"data: {to_json(**fields)}\n\n"


def _error(status: int) -> dict[str, Any]:
    return {"error": {"message": "scripted fault", "type": "server_error", "code": status}}


def _audio_event(data: bytes) -> str:
    return _event(type="speech.audio.delta", audio=base64.b64encode(data).decode())


def _audio_done(text: str) -> str:
    words = len(text.split())
    usage = {"input_tokens": words, "output_tokens": words * 10, "total_tokens": words * 11}
    return _event(type="speech.audio.done", usage=usage)


UPLOAD_PHRASES = Phrases(
    refusal=_error, empty=to_json(text=""), error=lambda s: to_json(**_error(s))
)
EVENT_PHRASES = Phrases(
    refusal=_error,
    error=lambda status: _event(type="error", **_error(status)),
    garbage='data: {"type": "speech.au\n\n',
)
FILE_PHRASES = Phrases(refusal=_error)


async def _upload(request: web.Request) -> tuple[bytes, int]:
    """Return the samples and the rate of the uploaded file."""
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.name == "file":
            try:
                return audio.read_wav(bytes(await part.read()))
            except ValueError as error:
                raise web.HTTPBadRequest(text=str(error)) from error
    raise web.HTTPBadRequest(text="the form has no field named file")


def _bad(message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "code": 400}
    return web.json_response({"error": error}, status=400)
