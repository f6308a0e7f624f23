# SPDX-License-Identifier: Apache-2.0
"""The wire of Deepgram: listen (websocket and upload) and speak (websocket and request)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from . import audio
from .ears import Heard, Listener
from .exchange import Exchange, Phrases, to_json
from .speaking import Monologue, spoken
from .wire import HttpWire, SocketWire, command, json_object

if TYPE_CHECKING:
    from .desk import Desk

CONFIDENCE = 0.98
SENTENCE_END = (".", "!", "?")


def routes(desk: Desk) -> list[web.RouteDef]:
    """Return the endpoints of ``desk``'s vendor."""
    vendor = Deepgram(desk)
    return [
        web.get("/v1/listen", vendor.listen),
        web.post("/v1/listen", vendor.transcribe),
        web.get("/v1/speak", vendor.converse),
        web.post("/v1/speak", vendor.speak),
    ]


def _refusal(status: int) -> dict[str, Any]:
    return {"err_code": status, "err_msg": "scripted fault", "request_id": str(uuid.uuid4())}


def _listen_error(status: int) -> str:
    return to_json(type="Error", description="scripted fault", message=str(status), variant="")


def _speak_error(status: int) -> str:
    return to_json(type="Error", description="scripted fault", code=str(status))


EMPTY_UPLOAD = to_json(
    metadata={"request_id": ""},
    results={"channels": [{"alternatives": [{"transcript": "", "confidence": 0, "words": []}]}]},
)
LISTEN_PHRASES = Phrases(error=_listen_error, refusal=_refusal)
UPLOAD_PHRASES = Phrases(
    error=lambda status: to_json(**_refusal(status)), refusal=_refusal, empty=EMPTY_UPLOAD
)
SPEAK_PHRASES = Phrases(error=_speak_error, refusal=_refusal, ends_on_error=False)
METADATA_BEAT = to_json(type="Metadata", request_id="")


class Deepgram:
    """The two services of Deepgram."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._staff = desk.staff

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Transcribe a stream of audio while it comes in."""
        wire = SocketWire(request, listens=True, beat=METADATA_BEAT)

        async def answer(exchange: Exchange) -> None:
            listener = Listener(self._staff.ears.decoder(), _rate(request, 16_000), staff.threads)
            await _Transcription(exchange, listener).run()

        staff = self._staff
        return await self._desk.attend(wire, "stt", LISTEN_PHRASES, answer)

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Transcribe an uploaded WAV file."""
        try:
            pcm, rate = audio.read_wav(await request.read())
        except ValueError as error:
            return web.json_response({"err_msg": str(error)}, status=400)

        async def answer(exchange: Exchange) -> None:
            listener = Listener(self._staff.ears.decoder(), rate, self._staff.threads)
            heard = await listener.hear(pcm) + await listener.finish()
            finals = [part for part in heard if part.final is not None]
            text = " ".join(part.text for part in finals)
            words = [word for part in finals for word in _words(part)]
            await exchange.output(_upload_result(text, words), final=text)

        wire = HttpWire(request, "application/json")
        return await self._desk.attend(wire, "stt", UPLOAD_PHRASES, answer)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Speak a text as raw samples."""
        text = str((await json_object(request)).get("text") or "")

        async def answer(exchange: Exchange) -> None:
            exchange.remember(text)
            await self._say(exchange, text, _rate(request, 24_000))

        wire = HttpWire(request, "audio/l16")
        phrases = Phrases(refusal=_refusal)
        return await self._desk.attend(wire, "tts", phrases, answer, text=text)

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """Speak texts as they come in; every flush ends a request."""
        wire = SocketWire(request, listens=False)
        conversation = _Conversation(self, wire, _rate(request, 24_000))
        return await self._desk.host(wire, "tts", SPEAK_PHRASES, conversation.run)

    async def _say(self, exchange: Exchange, text: str, rate: int) -> None:
        speech = await self._staff.voice.say(text, exchange.vendor)
        async for piece in spoken(exchange, self._staff, speech, rate):
            await exchange.output(piece)


class _Transcription:
    """One listening websocket."""

    def __init__(self, exchange: Exchange, listener: Listener) -> None:
        self._exchange = exchange
        self._listener = listener
        self._id = str(uuid.uuid4())

    async def run(self) -> None:
        async for message in self._exchange.messages():
            if message.type is WSMsgType.BINARY:
                await self._report(await self._listener.hear(message.data))
            elif (kind := command(message).get("type")) == "Finalize":
                await self._report(await self._listener.finish(), from_finalize=True)
            elif kind == "CloseStream":
                await self._close()
                return

    async def _close(self) -> None:
        await self._report(await self._listener.finish())
        duration = self._listener.position
        await self._exchange.extra(
            to_json(type="Metadata", request_id=self._id, duration=duration, channels=1)
        )

    async def _report(self, heard: list[Heard], *, from_finalize: bool = False) -> None:
        for part in heard:
            await self._exchange.output(self._message(part, from_finalize), final=part.final)

    def _message(self, part: Heard, from_finalize: bool) -> str:
        if part.kind == "start":
            return to_json(type="SpeechStarted", channel=[0], timestamp=round(part.start, 3))
        final = part.kind == "final"
        alternative = {
            "transcript": part.text,
            "confidence": CONFIDENCE if part.words else 0.0,
            "words": _words(part),
        }
        return to_json(
            type="Results",
            channel_index=[0, 1],
            start=round(part.start, 3),
            duration=round(part.end - part.start, 3),
            is_final=final,
            speech_final=final,
            from_finalize=from_finalize,
            channel={"alternatives": [alternative]},
            metadata={"request_id": self._id},
        )


class _Conversation:
    """One speaking websocket."""

    def __init__(self, vendor: Deepgram, wire: SocketWire, rate: int) -> None:
        self._vendor = vendor
        self._wire = wire
        self._rate = rate
        self._current: Monologue | None = None
        self._started: list[Monologue] = []
        self._text = ""
        self._flushes = 0

    async def run(self) -> None:
        try:
            async for message in self._wire.messages():
                if not await self._obey(command(message)):
                    return
        finally:
            await self._clear()

    async def _obey(self, order: dict[str, Any]) -> bool:
        """Carry out one message of the client; return whether the talk goes on."""
        kind = order.get("type")
        if kind == "Speak":
            self._speak(str(order.get("text") or ""))
        elif kind == "Flush":
            await self._flush()
        elif kind == "Clear":
            await self._clear()
            await self._wire.send(to_json(type="Cleared", sequence_id=self._flushes))
        return kind != "Close"

    def _speak(self, text: str) -> None:
        """Collect ``text`` and hand it on by the sentence."""
        self._text += text
        if self._text.rstrip().endswith(SENTENCE_END):
            self._pass_on()

    def _pass_on(self) -> None:
        if self._current is None:
            exchange = self._vendor._desk.exchange_on(self._wire, "tts", SPEAK_PHRASES, self._text)
            self._current = Monologue(exchange, self._say, self._done)
            self._started = [*(m for m in self._started if not m.finished), self._current]
        self._current.add(self._text)
        self._text = ""

    async def _flush(self) -> None:
        if self._text:
            self._pass_on()
        if self._current is None:
            await self._wire.send(self._flushed())
            return
        self._current.end()
        self._current = None

    def _flushed(self) -> str:
        self._flushes += 1
        return to_json(type="Flushed", sequence_id=self._flushes)

    async def _clear(self) -> None:
        started, self._started, self._current, self._text = self._started, [], None, ""
        for monologue in started:
            await monologue.cancel()

    async def _say(self, exchange: Exchange, text: str) -> None:
        await self._vendor._say(exchange, text, self._rate)

    async def _done(self, exchange: Exchange) -> None:
        await exchange.extra(self._flushed())


def _rate(request: web.Request, default: int) -> int:
    try:
        return int(request.query.get("sample_rate", default))
    except ValueError:
        raise web.HTTPBadRequest(text="sample_rate must be a number") from None


def _words(part: Heard) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text.strip(",.?!").lower(),
            "punctuated_word": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": CONFIDENCE,
        }
        for word in part.words
    ]


def _upload_result(text: str, words: list[dict[str, Any]]) -> str:
    alternative = {"transcript": text, "confidence": CONFIDENCE, "words": words}
    return to_json(
        metadata={"request_id": str(uuid.uuid4()), "channels": 1},
        results={"channels": [{"alternatives": [alternative]}]},
    )
