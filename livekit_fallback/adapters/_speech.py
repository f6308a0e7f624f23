# SPDX-License-Identifier: Apache-2.0
"""One caller's speech, heard by one recogniser after the other: the stream of the STT adapter."""

from __future__ import annotations

from collections.abc import Callable
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
from ._held import HeldBack
from ._lasting import flush
from ._ledger import Ledger
from ._listen import MARKS, ListenAttempt, open_ears, probe_with, replay, text_of
from ._outbox import OutboxStream
from ._probe import MakeProbe
from ._replay import PAUSE_SEC, ReplayBuffer
from ._request import Request
from ._standby import Standby, Standbys

# A probe repeats the end of the last utterance: enough words to be sure of a transcript.
_PROBE_SEC = 6.0

# From a broken connection to the plugin's saying so takes a few turns of the event loop.
_HOLD_SEC = 0.25
_HOLD_IN_PAUSE_SEC = 0.05  # when it is likely meant, and an answer waits for it

# Long utterances are settled piece by piece, and the audio of a short piece may hold no word.
_SHORTEST_PROBE_SEC = 1.0


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
        standby: int,
        endpointing: Callable[[Callable[[float], None]], Endpointing | None],
    ) -> None:
        super().__init__(stt=stt, conn_options=conn_options)
        self._chain = chain
        self._language = language
        self._kept = ReplayBuffer(replay_buffer_sec)
        self._ledger = Ledger(self._kept)
        self._standbys = Standbys(chain, language, self._kept, self._ledger) if standby else None
        self._settled_at = 0.0  # how much audio there was when the last words were
        self._endpointing = endpointing(self._went_silent)
        self._silent: list[int] = []  # who gave nothing for the speech that is not settled
        self._partial = ""  # the last text that may still change
        self._held = HeldBack()
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
        return not self._utterance.is_open and self._ledger.is_silent

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand over the next frame; see :meth:`livekit.agents.stt.RecognizeStream.push_frame`."""
        self._check_input_not_ended()
        self._check_not_closed()
        if self._pushed_sr != frame.sample_rate:
            if self._pushed_sr:
                raise ValueError("the sample rate of the input frames must be consistent")
            self._pushed_sr = frame.sample_rate
        self._kept.push(frame)
        if self._ledger.unconfirmed_at is not None:
            self._confirm()
        if self._endpointing is not None:
            self._endpointing.push_frame(frame)
        if self._utterance.is_abandoned(self._kept.end):
            self._close_utterance()
            self._leave_if_at_rest()
        attempt = self._attempt
        if self._standbys is not None:
            self._stand_by(frame)
        if attempt is None or attempt.ears is None:
            return
        if attempt.feed(attempt.ears.push_frame, frame):
            self._kept.trim()

    def _stand_by(self, frame: rtc.AudioFrame | None) -> None:
        assert self._standbys is not None
        attempt = self._attempt
        is_at_work = attempt is not None and attempt.ears is not None
        working = attempt.member.index if attempt is not None and is_at_work else None
        self._standbys.push(frame, working, self._elapsed)

    @property
    def _elapsed(self) -> float:
        return _clock.wall() - self.start_time

    def _confirm(self) -> None:
        if self._ledger.confirm_by(self._kept.end):
            self._leave_if_at_rest()

    def flush(self) -> None:
        """Mark the end of a segment."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._kept.mark_flush()
        if self._standbys is not None:
            self._stand_by(None)
        if self._attempt is not None and self._attempt.ears is not None:
            self._attempt.feed(flush, self._attempt.ears)

    def end_input(self) -> None:
        """Say that no more audio comes."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        if self._attempt is not None and self._attempt.ears is not None:
            self._attempt.end_input(self._attempt.ears)

    async def _main_task(self) -> None:
        self._request = Request(self._chain, self._make_attempt, may_hedge=False)
        self._chain.when_reordered.add(self._leave_if_at_rest)
        try:
            attempt = await self._request.run()
            assert isinstance(attempt, ListenAttempt)
            self._take_held(attempt)
        except Exception:
            self._lose(self._kept.seconds)
            raise
        finally:
            self._chain.when_reordered.discard(self._leave_if_at_rest)
            self._attempt = None
            self._held.release()
            self._close_utterance()
            if self._endpointing is not None:
                self._endpointing.close()
            if self._standbys is not None:
                self._standbys.close()

    def _make_attempt(self, given: Assignment) -> ListenAttempt:
        self._attempt = None
        self._held.release()
        self._partial = ""
        if self._utterance.provider_changed(self._kept.end):
            self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))
        standby = None if self._standbys is None else self._standbys.take(given.member.index)
        if standby is None:
            open_stream = partial(open_ears, self._language, given)
            self._attempt = ListenAttempt(given, open_stream, self, prime=self._begin)
        else:
            self._attempt = ListenAttempt(
                given, standby.adopt, self, prime=partial(self._take_over, standby)
            )
        if self._endpointing is not None:
            self._endpointing.recogniser_changed(self._attempt)
        return self._attempt

    def _begin(self, ears: RecognizeStream) -> None:
        """Give a recogniser the audio that no final transcript has settled."""
        self._lose(self._ledger.lost_since(self._utterance.unheard_since))
        self._ledger.zero = self.start_time_offset
        ears.start_time_offset = self._ledger.begin(self._elapsed)
        replay(self._kept, ears)
        self._go_on(ears)

    def _go_on(self, ears: RecognizeStream) -> None:
        if self.input_ended and self._attempt is not None:
            self._attempt.end_input_soon(ears)
        self._kept.trim()

    def _lose(self, seconds: float) -> None:
        """Tell that nobody will hear so much of the caller's audio."""
        request = self._request
        if seconds and request is not None and (report := request.last_report) is not None:
            self._chain.events.output_lost(request.id, report, delivered=0.0, lost=seconds)

    def _take_over(self, standby: Standby, ears: RecognizeStream) -> None:
        """Go on with a recogniser that has heard everything already."""
        self._ledger.take_over(standby.begun_at, standby.began_with, standby.expected.said)
        self._go_on(ears)

    def hear(self, attempt: ListenAttempt, event: SpeechEvent) -> None:
        """Take an event of the recogniser at work, and hand it to the session."""
        mark = MARKS.get(event.type)
        if mark is None:
            self._outbox.put(event)
            return
        has_text = bool(text_of(event))
        if self._held and mark is Mark.END:
            self._held.add(event)
            return
        self._take_held(attempt)
        hold = self._doubt_about(event) if mark is Mark.FINAL and has_text else 0.0
        if hold:
            self._held.begin(event, hold, partial(self._take_held, attempt))
            return
        self._take(attempt, event, mark, has_text=has_text)

    def _doubt_about(self, event: SpeechEvent) -> float:
        """Return for how many seconds a final may turn out to be a partial one; 0.0: it is meant.

        Cartesia's plugin gives its last partial transcript as final when its connection breaks,
        and says only then that it did.
        """
        if event.alternatives[0].text != self._partial or self._ledger.is_timed(event):
            return 0.0
        pause = self._kept.pause_before(self._kept.end) or 0.0
        goes_on = pause < self._kept.end - PAUSE_SEC / 2
        return _HOLD_SEC if goes_on else _HOLD_IN_PAUSE_SEC

    def _take_held(self, attempt: ListenAttempt) -> None:
        """Take what was held back for what it claims to be, if its recogniser lives on."""
        if attempt.error is not None:
            return  # it failed, and nobody has been asked since
        for event in self._held.release():
            self._take(attempt, event, MARKS[event.type], has_text=bool(text_of(event)))

    def _take(
        self, attempt: ListenAttempt, event: SpeechEvent, mark: Mark, *, has_text: bool
    ) -> None:
        new: SpeechEvent | None = event
        if self._endpointing is not None:
            self._endpointing.recognised(event.type, has_text=has_text)
        if has_text:
            self._silent.clear()
            text, shown = event.alternatives[0].text, self._partial
            self._partial = text if mark is Mark.INTERIM else ""
            self._ledger.confirm()
            new = self._ledger.new_in(event, is_final=mark is Mark.FINAL)
            self._judge_silent_ones(attempt, mark)
            if mark is Mark.FINAL:
                self._settle_words(attempt, new, is_meant=text != shown)
        if new is not None or mark is Mark.FINAL:
            forward, close = self._utterance.accept(mark, self._kept.end, has_words=has_text)
            if forward and new is not None:
                self._outbox.put(new)
            if close:
                self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))
        self._leave_if_at_rest()

    def _went_silent(self, seconds: float) -> None:
        """The recogniser has given nothing for speech: ask another, as long as there is one."""
        attempt, request = self._attempt, self._request
        if attempt is None or request is None or attempt.is_decided:
            return
        if attempt.ears is None or attempt.member.is_wrapped:
            return  # it is not connected yet, or has a deadline for each utterance
        self._silent.append(attempt.member.index)
        if not self._chain.has_exhausted(self._silent):
            attempt.went_silent(seconds)
            return
        # nobody makes anything of it, so it was no speech
        self._silent.clear()
        request.verdicts.forgive_silence()
        if self._endpointing is not None:
            self._endpointing.forgive()
        self._close_utterance()
        self._leave_if_at_rest()

    def _judge_silent_ones(self, attempt: ListenAttempt, mark: Mark) -> None:
        if self._request is not None:
            began = None if self._endpointing is None else self._endpointing.new_speech_at
            self._request.verdicts.words_came(
                attempt.member.index, is_final=mark is Mark.FINAL, new_speech_at=began
            )

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
        # another recogniser would hear again what this one may have meant as final
        if self._ledger.unconfirmed_at is None and request.would_leave(attempt):
            attempt.hand_over()

    def _settle_words(
        self, attempt: ListenAttempt, new: SpeechEvent | None, *, is_meant: bool
    ) -> None:
        sample: MakeProbe | None = None
        length = self._kept.end - self._settled_at
        if length >= _SHORTEST_PROBE_SEC:
            tail = self._kept.tail(min(length, _PROBE_SEC))
            sample = partial(probe_with, tail, self._language)
        self._settled_at = self._kept.end
        self._ledger.settle(new, is_meant=is_meant, is_last=self.input_ended)
        if self._standbys is not None and new is not None:
            self._standbys.settled(new.alternatives[0].text)
        self._chain.remember(sample)
        if self._request is not None:
            self._request.renew(attempt)
            self._request.verdicts.served_well(attempt.member.index)
            attempt.is_settled = True

    def _close_utterance(self) -> None:
        if self._utterance.close():
            self._outbox.put(SpeechEvent(SpeechEventType.END_OF_SPEECH))

    def _end_input(self) -> None:
        self._input_ch.close()
        if self._endpointing is not None:
            self._endpointing.close()
