# SPDX-License-Identifier: Apache-2.0
"""One voice speaking one text: the attempt of the adapter for voices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from livekit import rtc
from livekit.agents.tts import TTS, SynthesizedAudio, SynthesizeStream
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from ..core.endmark import EndMark
from ..core.script import Script
from ..errors import EndedEarlyError, NoOutputError
from ._assignment import Assignment
from ._attempt import Attempt

Deliver = Callable[[SynthesizedAudio], None]


class Format:
    """The audio an adapter has promised to its session, and how to keep that promise.

    Args:
        sample_rate: In Hz.
        num_channels: 1 for mono.
    """

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        self.sample_rate = sample_rate
        self.num_channels = num_channels

    def check(self, frame: rtc.AudioFrame) -> None:
        """Refuse audio that cannot be converted.

        Raises:
            ValueError: The frame has another number of channels.
        """
        if frame.num_channels != self.num_channels:
            raise ValueError(
                f"{frame.num_channels} channels of audio where {self.num_channels} were declared"
            )


def check_audio(voices: Sequence[TTS], sample_rate: int | None) -> None:
    """Refuse voices that cannot be made to sound as one.

    Raises:
        ValueError: They differ in channels, or the sample rate is none.
    """
    channels = sorted({voice.num_channels for voice in voices})
    if len(channels) > 1:
        raise ValueError(f"tts: num_channels={channels}: must be the same for all providers")
    if sample_rate is not None and (isinstance(sample_rate, bool) or sample_rate <= 0):
        raise ValueError(f"sample_rate={sample_rate!r}: must be a number of Hz greater than 0")


class Resampling:
    """Converts one voice's audio, by the rate of its frames: what it declares may be outdated.

    Args:
        target: What to convert to.
    """

    def __init__(self, target: Format) -> None:
        self._target = target
        self._resampler: rtc.AudioResampler | None = None
        self._rate = 0  # that the resampler converts from
        self._transcripts: list[Any] = []  # of audio that the resampler has not given back yet

    def convert(self, audio: SynthesizedAudio) -> list[SynthesizedAudio]:
        """Return the audio at the target's rate; timed transcripts and the final mark stay."""
        frame = audio.frame
        if frame.sample_rate == self._target.sample_rate:
            return [*self._wrap(self._flush(), audio, is_final=False), audio]
        self._transcripts += frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        return self._wrap(self._resample(audio), audio, is_final=audio.is_final)

    def _wrap(
        self, frames: list[rtc.AudioFrame], audio: SynthesizedAudio, *, is_final: bool
    ) -> list[SynthesizedAudio]:
        if frames:
            frames[0].userdata[USERDATA_TIMED_TRANSCRIPT] = self._transcripts
            self._transcripts = []
        last = len(frames) - 1
        return [
            SynthesizedAudio(resampled, audio.request_id, is_final and i == last)
            for i, resampled in enumerate(frames)
        ]

    def _flush(self) -> list[rtc.AudioFrame]:
        resampler, self._resampler = self._resampler, None
        return [] if resampler is None else resampler.flush()

    def _resample(self, audio: SynthesizedAudio) -> list[rtc.AudioFrame]:
        rest: list[rtc.AudioFrame] = []
        if self._resampler is None or self._rate != audio.frame.sample_rate:
            rest = self._flush()
            self._rate = audio.frame.sample_rate
            self._resampler = rtc.AudioResampler(
                self._rate, self._target.sample_rate, num_channels=self._target.num_channels
            )
        frames = rest + self._resampler.push(audio.frame)
        return frames + self._resampler.flush() if audio.is_final else frames


class VoiceAttempt(Attempt[SynthesizedAudio]):
    """One voice speaking one text.

    Useful is audio with sound in it. Digital silence before the first sound is held back, so
    that a voice which sends nothing else has sent nothing.

    Args:
        given: What to work with.
        open_stream: Opens the voice's stream.
        script: The text, which may still be growing.
        audio_format: What the session was promised.
        end_mark: Whether this voice marks its last frame.
        deliver: Hands audio to the session.
        prime: Hands the opened stream the text so far.
    """

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], Any],
        script: Script,
        audio_format: Format,
        end_mark: EndMark,
        deliver: Deliver,
        prime: Callable[[SynthesizeStream], None] | None = None,
    ) -> None:
        super().__init__(given, open_stream, prime)
        self._script = script
        self._format = audio_format
        self._end_mark = end_mark
        self._deliver = deliver
        self._resampling = Resampling(audio_format)
        self._held: list[SynthesizedAudio] = []
        self._final_seen = False
        self._owed_more = True  # text was left to speak at the last look

    @property
    def lost(self) -> float | None:
        """Letters of the text that the delivered audio leaves unspoken, estimated."""
        return self._script.unspoken(self.delivered)

    def owe_speakable(self) -> None:
        """Start the clock if the voice was handed text that it can speak; or go on with it."""
        if not self._script.is_speakable:
            return
        self.owe()
        if self.committed and not self._owed_more and self._owes_more():
            # it had spoken all it was given: the silence until now was not its own
            self._owed_more = True
            self._last_output = self._loop.time()
            self._watch.look()

    def _receive(self, audio: SynthesizedAudio) -> None:
        self._format.check(audio.frame)
        self._final_seen = audio.is_final
        self._held.append(audio)
        if not self.committed and self._is_silence(audio.frame):
            return
        self._output()
        held, self._held = self._held, []
        for item in held:
            self.delivered += item.frame.duration
            for converted in self._resampling.convert(item):
                self._deliver(converted)
        self._owed_more = self._owes_more()

    def _is_silence(self, frame: rtc.AudioFrame) -> bool:
        # silence is the right way to speak a text without words, such as "..." or a break
        return self._script.has_words and not bytes(frame.data).strip(b"\0")

    def _owes_more(self) -> bool:
        return self._script.is_owed(self.delivered)

    def _judge_end(self) -> BaseException | None:
        if not self._script.has_words:
            return None
        if not self.committed:
            return NoOutputError("sound" if self._held else "audio")
        if not self._script.ended:
            return EndedEarlyError("text was still coming")
        if self._script.is_cut_short(self.delivered):
            return EndedEarlyError("the audio is too short for its text")
        if self._final_seen:
            self._end_mark.seen_at_end()
            return None
        was_expected = self._end_mark.is_expected
        self._end_mark.missed_at_end()
        return EndedEarlyError("the audio came without its final frame") if was_expected else None

    def _is_complete(self) -> bool:
        script = self._script
        if not script.ended or not script.has_words:
            return script.ended
        if not self.committed or script.is_cut_short(self.delivered):
            return False
        # an error after the last frame, or after all that was to be said, is no failure
        return self._final_seen or script.is_surely_spoken(self.delivered)
