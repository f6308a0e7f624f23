# SPDX-License-Identifier: Apache-2.0
"""A telephone in place of a room: a headless AgentSession with one caller on the line."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, inference
from livekit.agents.voice import io

from tests.integration.llm_client import find_table
from tests.integration.speech import FRAME_SEC, line
from tests.integration.support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RATE = 16_000
SILENCE = rtc.AudioFrame(bytes(2 * int(FRAME_SEC * RATE)), RATE, 1, int(FRAME_SEC * RATE))

# Replies are played faster than they were spoken: nobody listens, and tests need not wait.
PLAYBACK_SPEED = 10

# From the end of a line to the end of the reply, on a busy machine and with a failover or two.
REPLY_SEC = 10.0


class Microphone(io.AudioInput):
    """Gives what the caller says in real time, and silence in between."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._to_say: deque[rtc.AudioFrame] = deque()
        self._next_at: float | None = None

    def say(self, number: int) -> None:
        self._to_say.extend(line(number))

    @property
    def is_talking(self) -> bool:
        return bool(self._to_say)

    async def __anext__(self) -> rtc.AudioFrame:
        now = asyncio.get_running_loop().time()
        self._next_at = (now if self._next_at is None else self._next_at) + FRAME_SEC
        await asyncio.sleep(self._next_at - now)
        return self._to_say.popleft() if self._to_say else SILENCE


class Earpiece(io.AudioOutput):
    """Plays replies, fast, and says when they have been played."""

    def __init__(self) -> None:
        super().__init__(
            label="earpiece",
            capabilities=io.AudioOutputCapabilities(pause=False),
            sample_rate=24_000,
        )
        self.taken = 0.0  # seconds of audio, of all replies
        self._began_at = 0.0
        self._seconds = 0.0  # of the reply that is being played
        self._end: asyncio.TimerHandle | None = None
        self.played: list[float] = []  # seconds of each reply, to its end or its interruption

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self._began_at = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=self._began_at)
        self._seconds += frame.duration
        self.taken += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._seconds and self._end is None:
            loop = asyncio.get_running_loop()
            over_at = self._began_at + self._seconds / PLAYBACK_SPEED
            self._end = loop.call_at(max(over_at, loop.time()), self._finish, False)

    def clear_buffer(self) -> None:
        if self._seconds:
            self._finish(interrupted=True)

    def _finish(self, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
        played = (asyncio.get_running_loop().time() - self._began_at) * PLAYBACK_SPEED
        position, self._seconds, self._end = min(played, self._seconds), 0.0, None
        self.played.append(position)
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


def harbor_kitchen() -> Agent:
    """What the scripted brain expects to be: a restaurant's agent with one tool."""
    return Agent(instructions="You take reservations.", tools=[find_table])


class Call:
    """One call: the caller's telephone, and what the session told its listeners."""

    def __init__(self, session: AgentSession[None]) -> None:
        self.session = session
        self.microphone = Microphone()
        self.errors: list[Any] = []
        self.closed: list[Any] = []
        session.input.audio = self.microphone
        self.earpiece = session.output.audio = Earpiece()
        session.on("error", self.errors.append)
        session.on("close", self.closed.append)

    @property
    def played(self) -> list[float]:
        """How many seconds of each reply were played."""
        return self.earpiece.played

    @property
    def history(self) -> list[tuple[str, str]]:
        """Who said what so far."""
        messages = (item for item in self.session.history.items if item.type == "message")
        return [(message.role, message.text_content or "") for message in messages]

    @property
    def recoverable(self) -> list[bool]:
        """Whether the call could go on, for each error."""
        return [event.error.recoverable for event in self.errors]

    async def says(self, number: int) -> None:
        """Say a line of the dialogue, to its end."""
        self.microphone.say(number)
        await until(lambda: not self.microphone.is_talking, within=REPLY_SEC)

    async def is_answered(self) -> None:
        """Wait until the caller's last words were answered, and the answer was played."""
        await until(
            lambda: self.history[-1:] and self.history[-1][0] == "assistant", within=REPLY_SEC
        )
        await until(lambda: self.session.agent_state == "listening", within=REPLY_SEC)

    async def turn(self, number: int) -> None:
        """Say a line and wait for the answer."""
        heard = len(self.history)
        await self.says(number)
        await until(lambda: len(self.history) > heard, within=REPLY_SEC)
        await self.is_answered()


@contextlib.asynccontextmanager
async def calling_agent(stt: Any, llm: Any, tts: Any, *, vad: Any = None) -> AsyncIterator[Call]:
    """A call that is answered by an agent with these models; hangs up in the end."""
    session: AgentSession[None] = AgentSession(
        stt=stt,
        llm=llm,
        tts=tts,
        vad=inference.VAD() if vad is None else vad,
        turn_handling={"turn_detection": "vad"},
        session_close_transcript_timeout=0.1,
    )
    call = Call(session)
    await session.start(harbor_kitchen(), record=False)
    try:
        yield call
    finally:
        await session.aclose()
