# SPDX-License-Identifier: Apache-2.0
"""One recogniser hearing a caller, or recognising a recording: the attempts of the STT adapter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from livekit import rtc
from livekit.agents import NOT_GIVEN, NotGivenOr
from livekit.agents.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, StreamAdapter
from livekit.agents.utils import AudioBuffer

from ..core.speech import Mark
from ..errors import EndedEarlyError, NotListeningError, NotSupportedError, SilentError
from ._assignment import Assignment
from ._attempt import Attempt
from ._base import connect_options
from ._lasting import LastingAttempt
from ._livekit import oldest_untaken
from ._oneshot import OneShot
from ._replay import ReplayBuffer
from ._transcript import untimed

# A recogniser that failed later than this many times its deadline to connect had connected.
_CONNECTED_AFTER = 2.0
_CONNECTED_AFTER_SEC = 10.0  # for those without a deadline

# Nothing was heard of it for so long: it was idle. Servers recycle connections after minutes.
_IDLE_SEC = 30.0

_PING_RATE = 16_000

MARKS: Mapping[SpeechEventType, Mark] = {
    SpeechEventType.START_OF_SPEECH: Mark.START,
    SpeechEventType.INTERIM_TRANSCRIPT: Mark.INTERIM,
    SpeechEventType.PREFLIGHT_TRANSCRIPT: Mark.INTERIM,
    SpeechEventType.FINAL_TRANSCRIPT: Mark.FINAL,
    SpeechEventType.END_OF_SPEECH: Mark.END,
}
"""What a recogniser's events mean for the utterance. Usage means nothing."""


class Listener(Protocol):
    """Who an attempt hears for: the session's stream."""

    @property
    def input_ended(self) -> bool:
        """Whether the session has said that no more audio comes."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said since the last words that were settled."""

    def hear(self, attempt: ListenAttempt, event: SpeechEvent) -> None:
        """Take an event of the recogniser."""

    def stood_the_test(self, attempt: ListenAttempt) -> None:
        """Take note that a recogniser whose return this attempt tests has stood for long."""


class ListenAttempt(LastingAttempt[SpeechEvent]):
    """One recogniser hearing one caller, until it fails, is no longer needed, or audio ends.

    Useful is an event with text in it. A recogniser owes no text while the caller says nothing,
    but it has to take the audio, silence too: one that leaves it lying is not connected.

    Args:
        given: What to work with.
        open_stream: Opens the recogniser's stream.
        listener: Who to hear for; ``None`` for a probe.
        prime: Hands the opened stream the audio so far.
    """

    ears: RecognizeStream | None = None  # open, and given the audio so far

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], RecognizeStream],
        listener: Listener | None,
        prime: Callable[[RecognizeStream], None],
    ) -> None:
        super().__init__(given, open_stream, self._begin)
        self._listener = listener
        self._give_audio_so_far = prime
        self._untaken: object | None = None  # the oldest input lying there at the last look
        self._untaken_since = 0.0
        self._ending_since: float | None = None  # no more audio comes
        self._test_ends: asyncio.TimerHandle | None = None
        self.sample_sec: float | None = None  # of a probe: the length of what it is to hear
        self.is_settled = False  # every word it gave was counted as a request served

    @property
    def latency(self) -> float | None:
        """Of a probe, how much longer than the sample it took to hear it; else ``None``.

        How long after a word its text may come is not for a stream to say. And a recogniser has
        to hear as fast as people speak, not faster, so a sample may take its own length.
        """
        if self.sample_sec is None or self._latency is None:
            return None
        return max(0.0, self._latency - self.sample_sec)

    @property
    def nothing_to_count(self) -> bool:
        """Whether no words came since the last that were counted: each utterance is a request."""
        return self.is_settled

    def feed(self, give: Callable[[Any], None], what: Any) -> bool:
        """Hand input to the recogniser; return whether its stream accepted it."""
        accepted = super().feed(give, what)
        if self._untaken is None:
            self._look_at_input()
        return accepted

    @property
    def has_served(self) -> bool:
        """Whether it gave text, or was connected for so long that silence was the caller's."""
        return self.committed or self.duration > self._connected_after

    @property
    def _connected_after(self) -> float:
        timeout = self.member.limits.attempt_timeout
        return _CONNECTED_AFTER_SEC if timeout is None else timeout * _CONNECTED_AFTER

    @property
    def ended_in_silence(self) -> bool:
        """Whether it ended while the caller was silent: servers recycle connections."""
        quiet_since = max(self.started_at, self._last_output)
        is_long = self._loop.time() - quiet_since > _IDLE_SEC
        return is_long and self._listener is not None and self._listener.is_silent

    def end_input_soon(self, ears: RecognizeStream) -> None:
        """Say that no more audio comes, once the stream has begun to run.

        Cartesia's streams end at once, without a word and without an error, if they find that
        said already.
        """
        self._loop.call_soon(self.end_input, ears)

    def end_input(self, ears: RecognizeStream) -> None:
        """Say that no more audio comes: what the recogniser still owes, it owes from now on."""
        self.feed(_end_input, ears)
        if self._listener is not None:
            self._ending_since = self._loop.time()
            self._watch.look()

    def went_silent(self, seconds: float) -> None:
        """Fail: it was given speech, and has given nothing back for so long."""
        self._fail(SilentError(seconds))

    def _begin(self, ears: RecognizeStream) -> None:
        self._give_audio_so_far(ears)
        self.ears = ears
        self._look_at_input()

    def let_go(self) -> None:
        super().let_go()
        if self._test_ends is not None:
            self._test_ends.cancel()

    def _look_at_input(self) -> None:
        if self._listener is None or self.ears is None:
            return
        self._untaken = oldest_untaken(self.ears)
        if self._untaken is not None:
            self._untaken_since = self._loop.time()
            self._watch.look()
            self._limit_test(self._listener)

    def _limit_test(self, listener: Listener) -> None:
        if self.permit.is_probe and self._test_ends is None:
            # a caller may say nothing for minutes, and no other could test it meanwhile
            self._test_ends = self._loop.call_later(self._connected_after, self._stand, listener)

    def _stand(self, listener: Listener) -> None:
        self._test_ends = None  # should it not be over yet, it begins anew with the next audio
        listener.stood_the_test(self)

    def _due(self) -> float | None:
        due = super()._due()
        patience = self.member.limits.attempt_timeout
        if self._ending_since is not None and due is None:
            patience = _CONNECTED_AFTER_SEC if patience is None else patience
            return max(self._ending_since, self._last_output) + patience
        if due is not None or self._untaken is None or patience is None:
            return due
        if self._untaken_since + patience <= self._loop.time():
            self._note_progress()
        return None if self._untaken is None else self._untaken_since + patience

    def _note_progress(self) -> None:
        untaken = oldest_untaken(self.ears)
        if untaken is not self._untaken:
            self._untaken, self._untaken_since = untaken, self._loop.time()
            self._watch.renew_grace()

    def _expire(self) -> None:
        # some streams wait for ever once their input has ended (OpenAI's realtime one does)
        listener = self._listener
        if self._ending_since is None or self._closing_due is not None or listener is None:
            super()._expire()
        elif listener.is_silent:
            self._succeed()
        else:
            self._fail(SilentError(self._loop.time() - self._ending_since))

    def _overdue(self) -> Exception:
        if self._untaken is None:
            return super()._overdue()
        return NotListeningError(self._loop.time() - self._untaken_since)

    def _receive(self, event: SpeechEvent) -> None:
        if isinstance(self.member.instance, StreamAdapter):
            event = untimed(event)  # it counts from the beginning of each utterance
        if text_of(event):
            self.is_settled = False
            self._output()
        if self._listener is not None:
            self._listener.hear(self, event)

    def _owes_more(self) -> bool:
        return False

    def _judge_end(self) -> BaseException | None:
        if self._listener is None:
            return EndedEarlyError("no transcript of the sample")
        return None if self._listener.input_ended else EndedEarlyError("audio was still coming")


class PingAttempt(ListenAttempt):
    """A probe that hears silence. Any event will do, and so will a clean end."""

    def _receive(self, event: SpeechEvent) -> None:
        # plugins count usage by themselves, whether anybody is there or not
        if event.type is not SpeechEventType.RECOGNITION_USAGE:
            self._output()

    def _judge_end(self) -> BaseException | None:
        return None


class RecognizeAttempt(Attempt[SpeechEvent]):
    """One batch recognition. Any answer is useful: a recording may hold no words."""

    result: SpeechEvent | None = None

    def _receive(self, event: SpeechEvent) -> None:
        self.result = event
        self._output()


def recognize_with(
    buffer: AudioBuffer, language: NotGivenOr[str], given: Assignment
) -> RecognizeAttempt:
    """Return an attempt to have a recording recognised."""

    def open_stream() -> OneShot[SpeechEvent]:
        attempt.owe()
        stt: STT = given.member.original
        if not stt.capabilities.offline_recognize:
            raise NotSupportedError("recognising a recording")
        return OneShot(
            stt.recognize(buffer, language=language, conn_options=connect_options(given))
        )

    attempt = RecognizeAttempt(given, open_stream)
    return attempt


def probe_with(
    sample: Sequence[rtc.AudioFrame], language: NotGivenOr[str], given: Assignment
) -> Attempt[SpeechEvent] | None:
    """Return a probe that hears a sample of speech; ``None`` if there is none."""
    if not sample:
        return None
    if given.member.is_wrapped:
        # behind its wrapper, a detector would have to find the end of the utterance again
        return recognize_with(list(sample), language, given)
    return _hear_sample(ListenAttempt, sample, language, given)


def ping_with(given: Assignment, *, is_batch: bool) -> Attempt[SpeechEvent]:
    """Return a probe that hears a second of silence: it only shows whether one is let in.

    Args:
        given: What to work with.
        is_batch: Whether the recogniser is used for recordings, and so is to be timed by one.
    """
    silence = [rtc.AudioFrame(bytes(2 * _PING_RATE), _PING_RATE, 1, _PING_RATE)]
    if is_batch or given.member.is_wrapped:
        return recognize_with(silence, NOT_GIVEN, given)
    return _hear_sample(PingAttempt, silence, NOT_GIVEN, given)


def _hear_sample(
    kind: type[ListenAttempt],
    sample: Sequence[rtc.AudioFrame],
    language: NotGivenOr[str],
    given: Assignment,
) -> ListenAttempt:
    def open_stream() -> RecognizeStream:
        attempt.owe()
        return open_ears(language, given)

    def prime(ears: RecognizeStream) -> None:
        for frame in sample:
            ears.push_frame(frame)
        attempt.end_input_soon(ears)

    attempt = kind(given, open_stream, None, prime)
    if kind is ListenAttempt:
        attempt.sample_sec = sum(frame.duration for frame in sample)
    return attempt


def _end_input(ears: RecognizeStream) -> None:
    with contextlib.suppress(RuntimeError):  # the session may have said so in between
        ears.end_input()


def open_ears(language: NotGivenOr[str], given: Assignment) -> RecognizeStream:
    """Open a recogniser's stream."""
    stt: STT = given.member.instance
    return stt.stream(language=language, conn_options=connect_options(given))


def replay(kept: ReplayBuffer, ears: RecognizeStream) -> None:
    """Give a recogniser the audio that is kept, as fast as it takes it."""
    for frame in kept.content:
        if frame is None:
            ears.flush()
        else:
            ears.push_frame(frame)


def text_of(event: SpeechEvent) -> str:
    """Return the transcript in an event, if any."""
    return event.alternatives[0].text.strip() if event.alternatives else ""
