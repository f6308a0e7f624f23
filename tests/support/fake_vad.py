# SPDX-License-Identifier: Apache-2.0
"""A voice activity detector whose script is the audio itself: a tone is speech."""

from __future__ import annotations

from livekit import rtc
from livekit.agents import vad

from tests.support.audio import is_loud


class ScriptedVAD(vad.VAD):
    """Speech starts with the first loud frame and ends after `min_silence` seconds of quiet."""

    def __init__(self, *, min_silence: float = 0.2) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.02))
        self.min_silence = min_silence
        self.streams: list[ScriptedVADStream] = []

    def stream(self) -> ScriptedVADStream:
        self.streams.append(ScriptedVADStream(self))
        return self.streams[-1]

    @property
    def listeners(self) -> int:
        return sum(len(callbacks) for callbacks in self._events.values())

    @property
    def open_calls(self) -> list[ScriptedVADStream]:
        return [stream for stream in self.streams if not stream.closed]


class ScriptedVADStream(vad.VADStream):
    """Follows the loudness of one stream of audio."""

    def __init__(self, detector: ScriptedVAD) -> None:
        self.closed = False
        self._min_silence = detector.min_silence
        self._speaking = False
        self._silence = 0.0
        self._speech: list[rtc.AudioFrame] = []
        self._heard = 0.0
        self._samples = 0
        super().__init__(detector)

    async def _main_task(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._take(item)
            else:
                self._forget()

    def _take(self, frame: rtc.AudioFrame) -> None:
        self._heard += frame.duration
        self._samples += frame.samples_per_channel
        self._silence = 0.0 if is_loud(frame) else self._silence + frame.duration
        if not self._speaking and is_loud(frame):
            self._speaking = True
            self._emit(vad.VADEventType.START_OF_SPEECH, [frame])
        if self._speaking:
            self._speech.append(frame)
        self._emit(vad.VADEventType.INFERENCE_DONE, [frame])
        if self._speaking and self._silence >= self._min_silence:
            self._speaking = False
            self._emit(vad.VADEventType.END_OF_SPEECH, self._speech)
            self._speech = []

    def _forget(self) -> None:
        self._speaking = False
        self._silence = 0.0
        self._speech = []

    def _emit(self, event_type: vad.VADEventType, frames: list[rtc.AudioFrame]) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=event_type,
                samples_index=self._samples,
                timestamp=self._heard,
                speech_duration=sum(frame.duration for frame in self._speech),
                silence_duration=self._silence,
                frames=frames,
                probability=float(self._speaking),
                speaking=self._speaking,
            )
        )

    async def aclose(self) -> None:
        await super().aclose()
        self.closed = True
