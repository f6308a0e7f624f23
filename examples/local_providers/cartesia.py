# SPDX-License-Identifier: Apache-2.0
"""The wire of Cartesia: speech by websocket and request, and its two kinds of transcription."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from .ears import Heard, Listener
from .exchange import Exchange, Phrases, to_json
from .speaking import Monologue, spoken
from .wire import HttpWire, SocketWire, command, json_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .desk import Desk
    from .voice import Speech

DEFAULT_RATE = 24_000


def routes(desk: Desk) -> list[web.RouteDef]:
    """Return the endpoints of ``desk``'s vendor."""
    vendor = Cartesia(desk)
    return [
        web.get("/tts/websocket", vendor.converse),
        web.post("/tts/bytes", vendor.speak),
        web.get("/stt/websocket", vendor.transcribe),
        web.get("/stt/turns/websocket", vendor.take_turns),
    ]


def _refusal(status: int) -> dict[str, Any]:
    return {"error_code": "scripted_fault", "title": "scripted fault", "status_code": status}


def _error(status: int, **more: object) -> str:
    return to_json(type="error", message="scripted fault", code=status, **_refusal(status), **more)


LISTEN_PHRASES = Phrases(error=_error, refusal=_refusal)
BYTES_PHRASES = Phrases(refusal=_refusal)


def _context_phrases(context: str) -> Phrases:
    return Phrases(
        # ``done`` stays false: a client that looks at it first would take the error for an end.
        error=lambda status: _error(status, context_id=context, done=False),
        refusal=_refusal,
        ends_on_error=False,
    )


class Cartesia:
    """The two services of Cartesia."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._staff = desk.staff

    async def take_turns(self, request: web.Request) -> web.StreamResponse:
        """Transcribe a stream and find the turns in it (model ink-2)."""
        return await self._listen(request, _Turns)

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Transcribe a stream with word timings (model ink-whisper)."""
        return await self._listen(request, _Whisper)

    async def _listen(
        self, request: web.Request, kind: type[_Turns] | type[_Whisper]
    ) -> web.StreamResponse:
        wire = SocketWire(request, listens=True)

        async def answer(exchange: Exchange) -> None:
            rate = int(request.query.get("sample_rate", 16_000))
            listener = Listener(self._staff.ears.decoder(), rate, self._staff.threads)
            await kind(exchange, listener).run()

        return await self._desk.attend(wire, "stt", LISTEN_PHRASES, answer)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Speak a text as raw samples."""
        body = await json_object(request)
        text, rate = str(body.get("transcript") or ""), _rate(body)

        async def answer(exchange: Exchange) -> None:
            exchange.remember(text)
            speech = await self._staff.voice.say(text, exchange.vendor)
            async for piece in spoken(exchange, self._staff, speech, rate):
                await exchange.output(piece)

        wire = HttpWire(request, "audio/pcm")
        return await self._desk.attend(wire, "tts", BYTES_PHRASES, answer, text=text)

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """Speak texts as they come in; every context is a request."""
        wire = SocketWire(request, listens=False)
        contexts = _Contexts(self._desk, wire)
        return await self._desk.host(wire, "tts", _context_phrases(""), contexts.run)


class _Contexts:
    """One speaking websocket and the contexts that are open on it."""

    def __init__(self, desk: Desk, wire: SocketWire) -> None:
        self._desk = desk
        self._wire = wire
        self._monologues: dict[str, Monologue] = {}

    async def run(self) -> None:
        try:
            async for message in self._wire.messages():
                await self._obey(command(message))
        finally:
            for context in list(self._monologues):
                await self._cancel(context)

    async def _obey(self, order: dict[str, Any]) -> None:
        if not order:
            return
        context = str(order.get("context_id") or uuid.uuid4())
        if order.get("cancel"):
            await self._cancel(context)
            return
        monologue = self._monologues.get(context)
        if monologue is None or monologue.finished:
            monologue = self._begin(context, order)
        monologue.add(str(order.get("transcript") or ""))
        if not order.get("continue"):
            monologue.end()

    def _begin(self, context: str, order: dict[str, Any]) -> Monologue:
        exchange = self._desk.exchange_on(
            self._wire,
            "tts",
            _context_phrases(context),
            str(order.get("transcript") or ""),
        )
        speaker = _Context(self._desk, context, _rate(order), bool(order.get("add_timestamps")))
        monologue = Monologue(exchange, speaker.say, speaker.done)
        going_on = {name: m for name, m in self._monologues.items() if not m.finished}
        self._monologues = {**going_on, context: monologue}
        return monologue

    async def _cancel(self, context: str) -> None:
        if monologue := self._monologues.pop(context, None):
            await monologue.cancel()


class _Context:
    """What one context says; its timings run on from text to text."""

    def __init__(self, desk: Desk, context: str, rate: int, timestamps: bool) -> None:
        self._desk = desk
        self._context = context
        self._rate = rate
        self._timestamps = timestamps
        self._elapsed = 0.0

    async def say(self, exchange: Exchange, text: str) -> None:
        speech = await self._desk.staff.voice.say(text, exchange.vendor)
        timed = not self._timestamps
        async for piece in spoken(exchange, self._desk.staff, speech, self._rate):
            if not timed:
                await exchange.extra(self._words(speech))
                timed = True
            data = base64.b64encode(piece).decode()
            await exchange.output(self._message("chunk", data=data, step_time=1.0))
        self._elapsed += speech.duration

    async def done(self, exchange: Exchange) -> None:
        await exchange.extra(self._message("done", done=True))

    def _words(self, speech: Speech) -> str:
        times = {
            "words": [word.text for word in speech.words],
            "start": [round(self._elapsed + word.start, 3) for word in speech.words],
            "end": [round(self._elapsed + word.end, 3) for word in speech.words],
        }
        return self._message("timestamps", word_timestamps=times)

    def _message(self, kind: str, *, done: bool = False, **fields: object) -> str:
        return to_json(type=kind, done=done, status_code=200, context_id=self._context, **fields)


class _Turns:
    """One websocket of ink-2, which says when a turn starts and ends."""

    def __init__(self, exchange: Exchange, listener: Listener) -> None:
        self._exchange = exchange
        self._listener = listener
        self._id = str(uuid.uuid4())

    async def run(self) -> None:
        await self._exchange.extra(to_json(type="connected", request_id=self._id))
        async for message in self._exchange.messages():
            if message.type is WSMsgType.BINARY:
                await self._report(await self._listener.hear(message.data))
            elif command(message).get("type") == "close":
                await self._report(await self._listener.finish())
                return

    async def _report(self, heard: list[Heard]) -> None:
        for part in heard:
            for fields in TURN_MESSAGES[part.kind](part.text):
                final = part.final if fields["type"] == "turn.end" else None
                await self._exchange.output(to_json(request_id=self._id, **fields), final=final)


TURN_MESSAGES: dict[str, Callable[[str], list[dict[str, str]]]] = {
    "start": lambda text: [{"type": "turn.start"}],
    "interim": lambda text: [{"type": "turn.update", "transcript": text}],
    "final": lambda text: [
        {"type": "turn.eager_end", "transcript": text},
        {"type": "turn.end", "transcript": text},
    ],
}


class _Whisper:
    """One websocket of ink-whisper, whose commands are bare words."""

    def __init__(self, exchange: Exchange, listener: Listener) -> None:
        self._exchange = exchange
        self._listener = listener
        self._id = str(uuid.uuid4())
        self._reported = 0.0  # end of the last transcript, where the next one's duration begins

    async def run(self) -> None:
        async for message in self._exchange.messages():
            if message.type is WSMsgType.BINARY:
                await self._report(await self._listener.hear(message.data))
            elif obey := COMMANDS.get(message.data):
                await self._report(await self._listener.finish())
                await obey(self)
                if message.data in GOODBYES:
                    return

    async def _flushed(self) -> None:
        await self._exchange.extra(to_json(type="flush_done", request_id=self._id))

    async def _closed(self) -> None:
        await self._exchange.extra(to_json(type="done", request_id=self._id))

    async def _report(self, heard: list[Heard]) -> None:
        for part in heard:
            if part.kind == "final":
                await self._exchange.output(self._transcript(part), final=part.final)

    def _transcript(self, part: Heard) -> str:
        duration, self._reported = part.end - self._reported, part.end
        words = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for word in part.words
        ]
        return to_json(
            type="transcript",
            request_id=self._id,
            is_final=True,
            text=part.text,
            duration=round(duration, 3),
            language="en",
            words=words,
        )


COMMANDS: dict[str, Callable[[_Whisper], Awaitable[None]]] = {
    "finalize": _Whisper._flushed,
    "close": _Whisper._closed,
    "done": _Whisper._closed,
}
GOODBYES = frozenset({"close", "done"})


def _rate(body: dict[str, Any]) -> int:
    return int((body.get("output_format") or {}).get("sample_rate") or DEFAULT_RATE)
