# SPDX-License-Identifier: Apache-2.0
"""Voice activity detectors that hear a tone as speech, until they fail as they were told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import utils, vad

from tests.support.audio import is_loud

if TYPE_CHECKING:
    from collections.abc import Callable

START, DONE, END = (
    vad.VADEventType.START_OF_SPEECH,
    vad.VADEventType.INFERENCE_DONE,
    vad.VADEventType.END_OF_SPEECH,
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one stream, after so many seconds of its audio."""

    after: float = 0.0


class Crash(Fault):
    """The stream raises."""


class Refuse(Fault):
    """`push_frame` raises, and the stream stands still."""


class Quit(Fault):
    """The stream ends cleanly."""


class Freeze(Fault):
    """The stream stands still."""


class NoStream(Fault):
    """`stream()` raises."""


@dataclass(frozen=True)
class Crawl(Fault):
    """The stream takes so many seconds for each second of audio from then on."""

    pace: float = 1.5


class FaultyVAD(vad.VAD):
    """See `ScriptedVAD`, with windows of any length.

    Args:
        faults: one per stream, in the order they are opened; ``None`` is a good one. Streams
            beyond the list are good.
        window: seconds of audio per INFERENCE_DONE.
        rate: what `samples_index` counts in.
        min_silence: of quiet until speech has ended.
        pace: seconds that each second of audio takes to judge.
    """

    def __init__(
        self,
        *faults: Fault | None,
        window: float = 0.02,
        rate: int = 16_000,
        min_silence: float = 0.2,
        pace: float = 0.0,
        label: str = "faulty",
    ) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=window))
        self.faults = list(faults)
        self.window = window
        self.rate = rate
        self.min_silence = min_silence
        self.pace = pace
        self.label = label
        self.streams: list[FaultyVADStream] = []

    @property
    def model(self) -> str:
        return self.label

    @property
    def provider(self) -> str:
        return "tests"

    def stream(self) -> FaultyVADStream:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, NoStream):
            raise RuntimeError("no stream")
        self.streams.append(FaultyVADStream(self, fault))
        return self.streams[-1]

    @property
    def listeners(self) -> int:
        return sum(len(callbacks) for callbacks in self._events.values())

    @property
    def open_calls(self) -> list[FaultyVADStream]:
        return [stream for stream in self.streams if not stream.closed]


class FaultyVADStream(vad.VADStream):
    """Judges one stream of audio, window by window."""

    def __init__(self, detector: FaultyVAD, fault: Fault | None) -> None:
        self.detector = detector
        self.closed = False
        self.is_deaf = False
        self.given: list[rtc.AudioFrame] = []
        self._fault = fault
        self._pushed = 0.0
        self._forget()
        super().__init__(detector)

    @property
    def seconds(self) -> float:
        """Of audio it was given."""
        return sum(frame.duration for frame in self.given)

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        self._pushed += frame.duration
        if isinstance(self._fault, Refuse) and self._pushed > self._fault.after:
            raise RuntimeError("no more frames")
        self.given.append(frame)
        super().push_frame(frame)

    def _forget(self) -> None:
        self._heard = self._silence = self._loud = 0.0
        self._speaking = False
        self._speech: list[rtc.AudioFrame] = []
        self._window: list[rtc.AudioFrame] = []

    async def _main_task(self) -> None:
        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                self._forget()
                continue
            self._window.append(item)
            seconds = sum(frame.duration for frame in self._window)
            if seconds < self.detector.window - 1e-9:
                continue
            if await self._fails(seconds):
                return
            window, self._window = utils.merge_frames(self._window), []
            self._take(window)

    async def _fails(self, seconds: float) -> bool:
        pace = self.detector.pace
        match self._fault:
            case Crash(after) if self._heard + seconds > after:
                raise RuntimeError("crashed")
            case Quit(after) if self._heard + seconds > after:
                return True
            case Freeze(after) | Refuse(after) if self._heard + seconds > after:
                await asyncio.Event().wait()
            case Crawl(after, slow) if self._heard + seconds > after:
                pace = slow
            case _:
                pass
        if pace:
            await asyncio.sleep(pace * seconds)
        return False

    def _take(self, window: rtc.AudioFrame) -> None:
        self._heard += window.duration
        loud = is_loud(window) and not self.is_deaf
        self._silence = 0.0 if loud else self._silence + window.duration
        self._loud = self._loud + window.duration if loud else 0.0
        starts = loud and not self._speaking
        if self._speaking or starts:
            self._speech.append(window)
        self._emit(DONE, [window])
        if starts:
            self._speaking = True
            self._emit(START, [window])
        if self._speaking and self._silence >= self.detector.min_silence - 1e-9:
            self._speaking = False
            self._emit(END, self._speech)
            self._speech = []

    def _emit(self, kind: vad.VADEventType, frames: list[rtc.AudioFrame]) -> None:
        spoken = sum(frame.duration for frame in self._speech)
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=round(self._heard * self.detector.rate),
                timestamp=self._heard,
                speech_duration=spoken - self._silence if kind is END else spoken,
                silence_duration=self._silence,
                frames=[utils.merge_frames(list(frames))],
                probability=float(self._loud > 0.0),
                speaking=self._speaking,
                raw_accumulated_speech=self._loud,
                raw_accumulated_silence=self._silence,
            )
        )

    async def aclose(self) -> None:
        await super().aclose()
        self.closed = True


async def speak(
    stream: vad.VADStream,
    audio: list[rtc.AudioFrame],
    *,
    then: Callable[[], None] | None = None,
) -> None:
    """Push frames as a microphone does, each when its last sample has been spoken."""
    for frame in audio:
        await asyncio.sleep(frame.duration)
        stream.push_frame(frame)
    if then is not None:
        then()
