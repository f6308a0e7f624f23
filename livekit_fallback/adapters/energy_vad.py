# SPDX-License-Identifier: Apache-2.0
"""A voice activity detector by loudness: no model, no threads, nothing that could fail."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from livekit import rtc
from livekit.agents.vad import VAD, VADCapabilities, VADEvent, VADEventType, VADStream

from ..core.loudness import SILENT_DB, Heard, Patience, SpeechGate
from . import _clock

Samples = npt.NDArray[np.int16]

_UPDATE_INTERVAL = 0.032  # that of the detector which livekit-agents bundles

_FULL_SCALE = 32_768.0


@dataclass(frozen=True)
class _Settings:
    patience: Patience
    prefix_padding: float
    max_buffered_speech: float


class EnergyVAD(VAD):
    """Hears speech by its loudness above the noise of the line.

    Made to be the last of a list: ``FallbackVAD([inference.VAD(), EnergyVAD()])``. It uses no
    model, no thread and no memory to speak of, follows the noise of the line, and takes a steady
    hum, fan or tone for noise after 0.6 s. What it cannot do is tell speech from other sounds
    that come and go: music, a barking dog, somebody else in the room.

    Args:
        min_speech_duration: Seconds of sound until speech has begun. 0.064, as much as the
            detector that livekit-agents bundles waits for: two windows.
        min_silence_duration: Seconds of quiet until speech has ended. 0.25, likewise.
        prefix_padding_duration: Seconds of audio before speech that its frames begin with. 0.5,
            likewise.
        max_buffered_speech: Seconds of speech that are kept for ``END_OF_SPEECH``; what follows is
            left out. 60, likewise.

    Raises:
        ValueError: An option is negative, or ``max_buffered_speech`` is not above 0.

    Frames: 16 bit PCM, any rate and length, any number of channels (their mean is judged, and the
    events' frames are mono). Any number of streams may run concurrently.
    """

    def __init__(
        self,
        *,
        min_speech_duration: float = 0.064,
        min_silence_duration: float = 0.25,
        prefix_padding_duration: float = 0.5,
        max_buffered_speech: float = 60.0,
    ) -> None:
        super().__init__(capabilities=VADCapabilities(update_interval=_UPDATE_INTERVAL))
        _check("min_speech_duration", min_speech_duration)
        _check("min_silence_duration", min_silence_duration)
        _check("prefix_padding_duration", prefix_padding_duration)
        _check("max_buffered_speech", max_buffered_speech, above_zero=True)
        self._settings = _Settings(
            Patience(min_speech_duration, min_silence_duration),
            prefix_padding_duration,
            max_buffered_speech,
        )

    @property
    def model(self) -> str:
        """Always ``"energy"``."""
        return "energy"

    @property
    def provider(self) -> str:
        """Always ``"livekit_fallback"``."""
        return "livekit_fallback"

    @property
    def min_silence_duration(self) -> float:
        """Seconds of quiet until speech has ended."""
        return self._settings.patience.min_silence

    def stream(self) -> VADStream:
        """Hear one caller; see :meth:`livekit.agents.vad.VAD.stream`."""
        return _EnergyStream(self, self._settings)


class _EnergyStream(VADStream):
    """One caller, heard window by window. ``samples_index`` counts samples of the input."""

    def __init__(self, vad: EnergyVAD, settings: _Settings) -> None:
        self._settings = settings
        self._line: _Line | None = None
        self._samples = 0
        self._seconds = 0.0
        super().__init__(vad)

    async def _main_task(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._take(item)
            elif self._line is not None:
                self._skip(self._line.reset(), self._line.rate)

    def _take(self, frame: rtc.AudioFrame) -> None:
        if self._line is None or self._line.rate != frame.sample_rate:
            if self._line is not None:
                self._skip(self._line.reset(), self._line.rate)
            self._line = _Line(frame.sample_rate, self._settings)
        began = _clock.now()
        for window in self._line.windows(_mono(frame)):
            heard = self._line.hear(window)
            self._skip(len(window), frame.sample_rate)
            now = _clock.now()
            self._tell(heard, window, self._line, now - began)
            began = now

    def _skip(self, samples: int, rate: int) -> None:
        self._samples += samples
        self._seconds += samples / rate

    def _tell(self, heard: Heard, window: Samples, line: _Line, duration: float) -> None:
        self._emit(
            VADEventType.INFERENCE_DONE,
            heard,
            [line.frame_of([window])],
            inference_duration=duration,
        )
        if heard.started:
            self._emit(VADEventType.START_OF_SPEECH, heard, [line.speech()])
        if heard.ended:
            self._emit(VADEventType.END_OF_SPEECH, heard, [line.speech()])
            line.segment_ended()

    def _emit(
        self,
        kind: VADEventType,
        heard: Heard,
        frames: list[rtc.AudioFrame],
        *,
        inference_duration: float = 0.0,
    ) -> None:
        self._event_ch.send_nowait(
            VADEvent(
                type=kind,
                samples_index=self._samples,
                timestamp=self._seconds,
                speech_duration=heard.speech,
                silence_duration=heard.silence,
                frames=frames,
                probability=heard.probability,
                inference_duration=inference_duration,
                speaking=heard.is_speaking,
                raw_accumulated_silence=heard.quiet,
                raw_accumulated_speech=heard.loud,
            )
        )


class _Line:
    """The audio of one sample rate: cut into windows, judged, and kept while it may be speech."""

    def __init__(self, rate: int, settings: _Settings) -> None:
        self.rate = rate
        self._size = max(1, round(_UPDATE_INTERVAL * rate))
        window_sec = self._size / rate
        self._gate = SpeechGate(window_sec, settings.patience)
        self._rest: Samples = np.empty(0, np.int16)
        self._prefix = round(settings.prefix_padding / window_sec)
        before = self._prefix + math.ceil(settings.patience.min_speech / window_sec)
        self._before: deque[Samples] = deque(maxlen=before)  # speech may turn out to begin here
        self._most = before + math.ceil(settings.max_buffered_speech / window_sec)
        self._segment: list[Samples] | None = None  # while somebody speaks

    def windows(self, samples: Samples) -> list[Samples]:
        """Return the windows that are complete with these samples."""
        pending = np.concatenate((self._rest, samples)) if self._rest.size else samples
        whole = len(pending) - len(pending) % self._size
        self._rest = pending[whole:]
        return [pending[i : i + self._size] for i in range(0, whole, self._size)]

    def hear(self, window: Samples) -> Heard:
        """Judge the next window, and keep it."""
        heard = self._gate.hear(_level(window))
        if self._segment is None:
            self._before.append(window)
            if heard.started:
                self._segment = list(self._before)
        elif len(self._segment) < self._most:
            self._segment.append(window)
        return heard

    def speech(self) -> rtc.AudioFrame:
        """Return the segment so far, with the padding before it."""
        return self.frame_of(self._segment or [])

    def segment_ended(self) -> None:
        """Keep of the segment only what may be the padding of the next."""
        segment, self._segment = self._segment or [], None
        self._before.clear()
        self._before.extend(segment[len(segment) - self._prefix :] if self._prefix else [])

    def reset(self) -> int:
        """Begin a new segment with the next sample; return how many were not judged before it."""
        dropped = len(self._rest)
        self._gate.reset()
        self._rest = self._rest[:0]
        self._before.clear()
        self._segment = None
        return dropped

    def frame_of(self, windows: list[Samples]) -> rtc.AudioFrame:
        """Return windows as one frame."""
        data = b"".join(window.tobytes() for window in windows)
        return rtc.AudioFrame(data, self.rate, 1, len(data) // 2)


def _mono(frame: rtc.AudioFrame) -> Samples:
    samples = np.frombuffer(frame.data, np.int16)
    if frame.num_channels == 1:
        return samples
    mixed: Samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
    return mixed


def _level(window: Samples) -> float:
    """Return the level in dBFS, without the constant offset that cheap sound cards add."""
    power = float(np.var(window, dtype=np.float32)) / _FULL_SCALE**2
    return max(SILENT_DB, 10.0 * math.log10(power)) if power > 0.0 else SILENT_DB


def _check(name: str, value: float, *, above_zero: bool = False) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        least = "greater than 0" if above_zero else "0 or more"
        raise ValueError(f"{name}={value!r}: must be a number of seconds, {least}")
