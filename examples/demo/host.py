# SPDX-License-Identifier: Apache-2.0
"""The far end of LiveKit's console protocol: a worker dials in, and a call is held over TCP.

Messages are protobuf `AgentSessionMessage`s behind a 4-byte big-endian length.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from livekit.protocol.agent_pb import agent_session as wire

from .audio import RATE
from .line import TICK_SAMPLES, Line

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = struct.Struct(">I")
_FRAME = wire.AgentSessionMessage.ConsoleIO.AudioFrame
_FINISHED = wire.AgentSessionMessage.ConsoleIO.AudioPlaybackFinished


class ConsoleHost:
    """Accepts one worker, carries the sound of `line`, and reports what the session says.

    Args:
        on_event: gets each event of the agent's session as
            `{"time": unix seconds, "event": name, ...fields}`, but for the running token counts.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self.line = Line(self._send_caller, self._send_finished)
        self.connected = asyncio.Event()
        self.hung_up = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> int:
        """Listen on a free loopback port and return it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and drop the worker's connection."""
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None:
            writer.close()
            return
        self._writer = writer
        self.connected.set()
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await self._receive(reader)
        self.hung_up.set()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        while True:
            (length,) = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            message = wire.AgentSessionMessage()
            message.ParseFromString(await reader.readexactly(length))
            self._dispatch(message)

    def _dispatch(self, message: wire.AgentSessionMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "audio_output":
            self.line.hear(message.audio_output.data)
        elif kind == "audio_playback_flush":
            self.line.flush()
        elif kind == "audio_playback_clear":
            self.line.clear()
        elif kind == "event" and not message.event.HasField("session_usage_updated"):
            self._on_event(_event(message.event))

    def _send_caller(self, samples: bytes) -> None:
        frame = _FRAME(
            data=samples, sample_rate=RATE, num_channels=1, samples_per_channel=TICK_SAMPLES
        )
        self._send(wire.AgentSessionMessage(audio_input=frame))

    def _send_finished(self) -> None:
        self._send(wire.AgentSessionMessage(audio_playback_finished=_FINISHED()))

    def _send(self, message: wire.AgentSessionMessage) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        body = message.SerializeToString()
        self._writer.write(_HEADER.pack(len(body)) + body)


def _event(event: wire.AgentSessionEvent) -> dict[str, Any]:
    name = event.WhichOneof("event") or "unknown"
    fields = MessageToDict(getattr(event, name), preserving_proto_field_name=True)
    return {"time": time.time(), "event": name, **fields}
