# SPDX-License-Identifier: Apache-2.0
"""The caller's side of a recognition: recorded lines go in, what was understood comes out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import APIError
from livekit.agents.stt import SpeechEventType

import examples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from livekit.agents.stt import STT, RecognizeStream

FRAME_SEC = 0.02
SPEED = 8  # times faster than people talk, which no recogniser here minds
PAUSE_SEC = 0.8  # of the caller's time, after which every recogniser is sure that a line has ended

_RECORDINGS = Path(examples.__path__[0]) / "speech"


@functools.cache
def line(number: int) -> tuple[rtc.AudioFrame, ...]:
    """The recording of a line of the dialogue, from 1, and a pause behind it."""
    with wave.open(str(_RECORDINGS / f"{number:02}.wav")) as recording:
        rate = recording.getframerate()
        samples = recording.readframes(recording.getnframes())
    samples += bytes(2 * int(PAUSE_SEC * rate))
    count = int(FRAME_SEC * rate)
    starts = range(0, len(samples) - 2 * count + 1, 2 * count)
    return tuple(rtc.AudioFrame(samples[i : i + 2 * count], rate, 1, count) for i in starts)


@dataclass
class Caller:
    """Somebody who talks to a recogniser.

    Args:
        stream: Where the speech goes.
        finals: What was understood, one text for each final transcript.
        marks: Starts (+1) and ends (-1) of speech, in order.
        error: What ended the stream, if it did not end by itself.
    """

    stream: RecognizeStream
    finals: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether starts and ends of speech alternate, and none is open."""
        return self.marks == [+1, -1] * (len(self.marks) // 2)

    async def says(self, frames: Sequence[rtc.AudioFrame]) -> None:
        """Talk, faster than people do."""
        for frame in frames:
            self.stream.push_frame(frame)
            await asyncio.sleep(FRAME_SEC / SPEED)

    async def listen(self) -> None:
        """Note what was understood until the stream ends."""
        try:
            async for event in self.stream:
                if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                    self.finals.append(event.alternatives[0].text)
                elif event.type is SpeechEventType.START_OF_SPEECH:
                    self.marks.append(+1)
                elif event.type is SpeechEventType.END_OF_SPEECH:
                    self.marks.append(-1)
        except APIError as error:
            self.error = error


@contextlib.asynccontextmanager
async def calling(stt: STT) -> AsyncIterator[Caller]:
    """A call on a stream of its own; hangs up in the end."""
    caller = Caller(stt.stream())
    listening = asyncio.create_task(caller.listen(), name="caller")
    try:
        yield caller
    finally:
        await caller.stream.aclose()
        await listening
