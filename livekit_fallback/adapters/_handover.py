# SPDX-License-Identifier: Apache-2.0
"""From one voice to the session: audio, whole words where the voice says when they end."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from livekit import rtc
from livekit.agents.tts import SynthesizedAudio
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from livekit.agents.utils import is_given

from ..core.alignment import last_common, needs_space, tokens_of
from ..core.delivery import Delivery, TimedText
from ..core.script import Script, without_markup
from . import _clock

# So much audio has to be ahead of what is heard before any of it may wait for the end of its word.
_LEAD_SEC = 0.3

_SLACK_SEC = 0.02  # nobody hears a fragment of this length


class Playout:
    """What the session has of one reply, whoever spoke it.

    Only the last audio of a reply is marked as its end: what looks like the end to one voice may
    be the middle of the reply. So that audio waits until it is known to be the last, or not.

    Args:
        deliver: Hands audio to the session.
    """

    def __init__(self, deliver: Callable[[SynthesizedAudio], None]) -> None:
        self._deliver = deliver
        self._began_at = 0.0
        self._last: SynthesizedAudio | None = None  # if it is
        self.seconds = 0.0  # of audio
        self.last_told = ""  # of the transcript

    def deliver(self, audio: SynthesizedAudio) -> None:
        """Hand audio to the session."""
        if not self.seconds:
            self._began_at = _clock.now()
        self.seconds += audio.frame.duration
        if self._last is not None:
            self.go_on()
        if audio.is_final:
            self._last = audio
        else:
            self._deliver(audio)

    def go_on(self) -> None:
        """Hand over what is kept: it was not the last. Idempotent."""
        if self._last is not None:
            self._last.is_final = False
            self.finish()

    def finish(self, untold: Sequence[TimedString] = ()) -> None:
        """Hand over what is kept: nothing more is spoken. Idempotent.

        Args:
            untold: Words whose time is not before the end of the audio.
        """
        last, self._last = self._last, None
        if last is not None:
            if untold:
                told = last.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
                last.frame.userdata[USERDATA_TIMED_TRANSCRIPT] = [*told, *untold]
            self._deliver(last)

    @property
    def lead(self) -> float:
        """How many seconds of audio, at least, the session has not played yet."""
        return self.seconds - (_clock.now() - self._began_at) if self.seconds else 0.0

    @property
    def has_lead(self) -> bool:
        """Whether audio may be kept back for a moment without a gap in what is heard."""
        return self.lead > _LEAD_SEC


class Handover:
    """Hands a voice's audio to the session, and its timings as those of the whole reply.

    A voice that dies leaves half a word behind, which the next one would have to repeat. Where a
    voice says when its words end, the audio of a word waits until it is complete, as long as the
    session has enough audio in hand: nobody hears any difference.

    Args:
        playout: Where the audio goes.
        told: Words the session was told of already, although they were not spoken whole.
        is_due: Whether the voice still has text to speak.
    """

    def __init__(self, playout: Playout, told: int, is_due: Callable[[], bool]) -> None:
        self._playout = playout
        self._is_due = is_due
        self._shift: float | None = None  # of this voice's times, from its first audio on
        self._told = told
        self._goes_on = False  # it has told something: how it separates words is its own affair
        self._timings: deque[TimedString] = deque()  # that the session was not told of yet
        self._held: deque[SynthesizedAudio] = deque()
        self._patience: asyncio.TimerHandle | None = None  # until what is held is needed
        self.delivery = Delivery()
        self.pushed = 0.0  # seconds of audio that came
        self.delivered = 0.0  # seconds of it that the session has
        self._words_told: list[str] = []  # as the voice spells them

    def time(self, timings: list[TimedString]) -> None:
        """Take note of when words are spoken, in the audio that follows or came before."""
        for timing in timings:
            start = timing.start_time if is_given(timing.start_time) else self.delivered
            end = timing.end_time if is_given(timing.end_time) else None
            self.delivery.add(TimedText(str(timing), start, end))
            self._timings.append(timing)

    def push(self, audio: SynthesizedAudio) -> None:
        """Hand over the next audio, or keep it until its last word is complete."""
        if not self.delivery.is_timed:
            self.pushed += audio.frame.duration
            self._send(audio)
            return
        self._held.append(audio)
        self.pushed += audio.frame.duration
        self._release(self.delivery.last_end_by(self.pushed) if self._may_wait() else inf)
        if self._held and self._patience is None:
            # the voice may be waiting for more text, and never have told when this word ends
            wait = max(0.0, self._playout.lead - _LEAD_SEC)
            self._patience = asyncio.get_running_loop().call_later(wait, self._relent)

    def finish(self) -> None:
        """Hand over everything: the voice has finished. Idempotent."""
        self.drop_patience()
        self._release(inf)
        self._playout.finish(self._due(inf))

    def cut(self) -> None:
        """Hand over what is left of whole words, and drop the rest: the voice is gone."""
        self.drop_patience()
        self._release(self.delivery.last_end_by(self.pushed))
        self._held.clear()
        self._playout.go_on()

    def drop_patience(self) -> None:
        """Hand over nothing any more by itself. Idempotent."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _relent(self) -> None:
        self._patience = None
        if not self._is_due():  # else it goes on, or is lost
            self._release(inf)

    def told_of(self, script: Script) -> int:
        """Return how many words of a text the session was told of, however they are spelled."""
        return last_common(self._words_told, [token.word for token in script.tokens])[1]

    def _may_wait(self) -> bool:
        return self.delivery.ends_words and self._playout.has_lead

    def _release(self, until: float) -> None:
        while self._held:
            audio = self._held.popleft()
            over = self.delivered + audio.frame.duration - until
            if over <= _SLACK_SEC:
                self._send(audio)
                continue
            head, tail = _split(audio.frame, until - self.delivered)
            if head is not None:
                self._send(SynthesizedAudio(head, audio.request_id))
            self._held.appendleft(SynthesizedAudio(tail, audio.request_id, audio.is_final))
            return

    def _send(self, audio: SynthesizedAudio) -> None:
        if self._shift is None:
            self._shift = self._playout.seconds
        self.delivered += audio.frame.duration
        if self._timings:
            told = self._due(self.delivered)
            if told:
                audio.frame.userdata[USERDATA_TIMED_TRANSCRIPT] = told
        self._playout.deliver(audio)

    def _due(self, until: float) -> list[TimedString]:
        due: list[TimedString] = []
        while self._timings:
            start = self._timings[0].start_time
            if is_given(start) and start >= max(until, _SLACK_SEC):
                break
            new = self._new(self._timings.popleft())
            if new is not None:
                due.append(new)
        return due

    def _new(self, timing: TimedString) -> TimedString | None:
        """Return the part of a timing that the session was not told of by a voice before."""
        tokens = tokens_of(without_markup(timing))
        self._words_told += [token.word for token in tokens]
        text = str(timing)
        if self._told:
            known = min(self._told, len(tokens))
            self._told -= known
            if known == len(tokens):
                return None
            text = text[tokens[known - 1].end :].lstrip(" ,.;:!?")
        return self._shifted(timing, self._after_told(text))

    def _after_told(self, text: str) -> str:
        """Return a piece of the transcript so that it does not run into another voice's."""
        last, self._playout.last_told = self._playout.last_told, text
        begins, self._goes_on = not self._goes_on, True
        return f" {text}" if begins and needs_space(last, text) else text

    def _shifted(self, timing: TimedString, text: str) -> TimedString:
        shift = self._shift or 0.0
        if shift == 0.0 and text == timing:
            return timing
        moved: Any = copy.copy(timing) if text == timing else _with_text(timing, text)
        if is_given(timing.start_time):
            moved.start_time = timing.start_time + shift
        if is_given(timing.end_time):
            moved.end_time = timing.end_time + shift
        return moved  # type: ignore[no-any-return]


def _with_text(timing: TimedString, text: str) -> TimedString:
    return TimedString(
        text,
        start_time=timing.start_time,
        end_time=timing.end_time,
        confidence=timing.confidence,
        start_time_offset=timing.start_time_offset,
    )


def _split(frame: rtc.AudioFrame, seconds: float) -> tuple[rtc.AudioFrame | None, rtc.AudioFrame]:
    """Cut a frame after so many seconds; there is no first part if that would be very short."""
    if seconds < _SLACK_SEC:
        return None, frame
    at = int(seconds * frame.sample_rate)
    channels = frame.num_channels
    samples = frame.data
    head = rtc.AudioFrame(samples[: at * channels], frame.sample_rate, channels, at)
    left = frame.samples_per_channel - at
    return head, rtc.AudioFrame(samples[at * channels :], frame.sample_rate, channels, left)
