# SPDX-License-Identifier: Apache-2.0
"""One caller's speech, heard by one recogniser after the other: the stream of the STT adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from livekit import rtc
from livekit.agents import APIConnectOptions, NotGivenOr
from livekit.agents.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType
from pydantic import BaseModel

from ..core.speech import Mark, Utterance
from . import _clock
from ._assignment import Assignment
from ._chain import Chain
from ._endpoint import Endpointing
from ._listen import ListenAttempt, open_ears, probe_with, text_of
from ._outbox import OutboxStream
from ._probe import MakeProbe
from ._replay import ReplayBuffer
from ._request import Request

# A probe repeats the end of the last utterance: enough words to be sure of a transcript.
_PROBE_SEC = 6.0

# Long utterances are settled piece by piece, and the audio of a short piece may hold no word.
_SHORTEST_PROBE_SEC = 1.0

_MARK: Mapping[SpeechEventType, Mark] = {
    SpeechEventType.START_OF_SPEECH: Mark.START,
    SpeechEventType.INTERIM_TRANSCRIPT: Mark.INTERIM,
    SpeechEventType.PREFLIGHT_TRANSCRIPT: Mark.INTERIM,
    SpeechEventType.FINAL_TRANSCRIPT: Mark.FINAL,
    SpeechEventType.END_OF_SPEECH: Mark.END,
}


class FallbackRecognizeStream(OutboxStream[SpeechEvent], RecognizeStream):
    """One caller's speech: audio goes straight to the recogniser at work, and is kept.

    Audio since the last final transcript is given to the next provider when one fails. While no
    provider can be reached it is kept for the one that will be.
    """

    def __init__(
        self,
        stt: STT,
        conn_options: APIConnectOptions,
        chain: Chain[STT],
        language: NotGivenOr[str],
        *,
        replay_buffer_sec: float,
        endpointing: Endpointing | None,
    ) -> None:
        super().__init__(stt=stt, conn_options=conn_options)
        self._chain = chain
        self._language = language
        self._kept = ReplayBuffer(replay_buffer_sec)
        self._endpointing = endpointing
        self._utterance = Utterance()
        self._attempt: ListenAttempt | None = None
        self._request: Request | None = None
        self._read_from_outbox(self._task)

    @property
    def context(self) -> BaseModel | None:
        """What the recogniser at work knows about the speaker."""
        ears = self._ears
        return self._context if ears is None else ears.context

    @context.setter
    def context(self, value: BaseModel | None) -> None:
        self._context = value

    @property
    def _ears(self) -> RecognizeStream | None:
        return None if self._attempt is None else self._attempt.ears

    @property
    def input_ended(self) -> bool:
        """Whether the session has said that no more audio comes."""
        return self._input_ch.closed

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said since the last words that were settled."""
        return not self._utterance.is_open and self._kept.is_silent

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand over the next frame; see :meth:`livekit.agents.stt.RecognizeStream.push_frame`."""
        self._check_input_not_ended()
        self._check_not_closed()
        if self._pushed_sr != frame.sample_rate:
            if self._pushed_sr:
                raise ValueError("the sample rate of the input frames must be consistent")
            self._pushed_sr = frame.sample_rate
        self._kept.push(frame)
        if self._endpointing is not None:
            self._endpointing.push_frame(frame)
        attempt = self._attempt
        if attempt is None or attempt.ears is None:
            return
        if attempt.feed(attempt.ears.push_frame, frame):
            self._kept.trim()

    def flush(self) -> None:
        """Mark the end of a segment."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._kept.mark_flush()
        self._pass_on(lambda ears: ears.flush())

    def end_input(self) -> None:
        """Say that no more audio comes."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        self._pass_on(lambda ears: ears.end_input())

    def _pass_on(self, give: Callable[[RecognizeStream], None]) -> None:
        if self._ears is not None and self._attempt is not None:
            self._attempt.feed(give, self._ears)

    async def _main_task(self) -> None:
        self._request = request = Request(self._chain, self._make_attempt, may_hedge=False)
        self._chain.when_reordered.add(self._leave_if_at_rest)
        try:
            await request.run()
        except Exception:
            report = request.last_report
            if report is not None and self._kept.seconds:
                self._chain.events.output_lost(
                    request.id, report, delivered=0.0, lost=self._kept.seconds
                )
            raise
        finally:
            self._chain.when_reordered.discard(self._leave_if_at_rest)
            self._attempt = None
            self._close_utterance()
            if self._endpointing is not None:
                self._endpointing.close()

    def _make_attempt(self, given: Assignment) -> ListenAttempt:
        self._attempt = None
        if self._utterance.provider_changed():
            self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))
        open_stream = partial(open_ears, self._language, given)
        self._attempt = ListenAttempt(given, open_stream, self, prime=self._begin)
        if self._endpointing is not None:
            self._endpointing.recogniser_changed(self._attempt)
        return self._attempt

    def _begin(self, ears: RecognizeStream) -> None:
        """Give a recogniser the audio that no final transcript has settled."""
        # its first sample is the oldest one kept
        heard_since = _clock.wall() - self.start_time - self._kept.seconds
        ears.start_time_offset = self.start_time_offset + max(0.0, heard_since)
        for frame in self._kept.content:
            if frame is None:
                ears.flush()
            else:
                ears.push_frame(frame)
        if self.input_ended and self._attempt is not None:
            self._attempt.end_input_soon(ears)
        self._kept.trim()

    def hear(self, attempt: ListenAttempt, event: SpeechEvent) -> None:
        """Take an event of the recogniser at work, and hand it to the session."""
        mark = _MARK.get(event.type)
        if mark is None:
            self._outbox.put(event)
            return
        forward, close = self._utterance.accept(mark)
        if forward:
            self._outbox.put(event)
        if close:
            self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))
        if text_of(event):
            self._time(event)
            if mark is Mark.FINAL:
                self._settle_words(attempt)
        self._leave_if_at_rest()

    def _time(self, event: SpeechEvent) -> None:
        if self._endpointing is None:
            return
        if event.type is SpeechEventType.INTERIM_TRANSCRIPT:
            self._endpointing.words_came()
        else:
            self._endpointing.words_settled()

    def stood_the_test(self, attempt: ListenAttempt) -> None:
        """End the test of a recogniser that has stood for long, though the caller said nothing."""
        request = self._request if attempt is self._attempt else None
        if request is None or not attempt.permit.is_probe:
            return
        if attempt.member.is_wrapped:
            request.give_back(attempt)  # behind its wrapper it was asked nothing yet
        elif self.is_silent:
            request.renew(attempt)
        else:
            return  # somebody speaks, and nothing has come of it
        attempt.is_settled = True

    def _leave_if_at_rest(self) -> None:
        """Go to a provider that is better by now, if no word is under way."""
        attempt, request = self._attempt, self._request
        if attempt is None or request is None or self.input_ended or not self._utterance.at_rest:
            return
        if request.would_leave(attempt):
            attempt.hand_over()

    def _settle_words(self, attempt: ListenAttempt) -> None:
        sample: MakeProbe | None = None
        if self._kept.seconds >= _SHORTEST_PROBE_SEC:
            sample = partial(probe_with, self._kept.tail(_PROBE_SEC), self._language)
        self._kept.clear()
        self._chain.remember(sample)
        if self._request is not None:
            self._request.renew(attempt)
            attempt.is_settled = True

    def _close_utterance(self) -> None:
        if self._utterance.close():
            self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))

    def _end_input(self) -> None:
        self._input_ch.close()
        if self._endpointing is not None:
            self._endpointing.close()
