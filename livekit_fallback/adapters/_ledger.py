# SPDX-License-Identifier: Apache-2.0
"""Which words of a caller are settled, and which audio has to be kept for the others."""

from __future__ import annotations

from dataclasses import replace

from livekit.agents.stt import SpeechData, SpeechEvent

from ..core.said import Said
from ._replay import PAUSE_SEC, ReplayBuffer
from ._transcript import ending_with, not_before, shifted, without_beginning

# A plugin that loses its connection may give what it has as final, and only then say so. A
# recogniser that is still there after this much audio has meant it.
_CONFIRMED_SEC = 1.0

# While people speak on, a recogniser that is this late may have meant words before a pause in it.
_LATE_AFTER_PAUSE_SEC = 2.0

# Where they speak without a pause, it is given less.
_LATE_SEC = 1.0
_WORDS_PER_SEC = 8  # or letters, where those are compared

# Who has caught up gives no words that are so old; its times count from somewhere else.
_TOO_OLD_SEC = 8.0

# Recognisers and detectors of different makers agree no better on where a word ends.
_SLACK_SEC = 0.25


class Ledger:
    """Keeps the audio of what is not settled, and tells what is new in what is heard of it.

    Times of transcripts are seconds on the caller's timeline, whose zero is the session's, and
    which counts audio, as recognisers do; positions are seconds on that of the audio kept, which
    begins ``zero`` later (LiveKit's ``start_time_offset`` of the stream).

    A final transcript with times settles the audio up to its end, and nothing else. One without
    times settles, once it is confirmed, the audio up to the last pause before it came; until
    then its audio is kept, and its words are remembered, so that a next recogniser who hears
    them again is not believed to hear them for the first time.

    Args:
        kept: The audio.
    """

    def __init__(self, kept: ReplayBuffer) -> None:
        self._kept = kept
        self.zero = 0.0  # where the timeline's first sample lies
        self._said = Said()  # words whose audio is kept although they are settled
        self._said_from = 0.0  # where that audio begins
        self._settled_until = 0.0
        self._settled_to = 0.0  # likewise, as a position
        self._untimed_at: float | None = None  # where the last final came, if it has no times
        self._is_last = False  # and whether any audio came after it
        self._certain_in = _CONFIRMED_SEC  # seconds from then
        self.unconfirmed_at: float | None = None  # where the last final came, until it is certain
        self._expected = Said()  # what the recogniser at work will hear again
        self._begun_at = 0.0  # when its audio begins
        self._began_with = 0.0  # likewise, as a position
        self._caught_up_at = 0.0  # from here on it hears what is said, if it hears no slower
        self._new_from: float | None = None  # before this nothing is new to it; None: all is
        self._shift: float | None = None  # of its times; None: not known yet
        self._told_lost_until = 0.0  # position up to which it was said that speech is lost

    def begin(self, elapsed: float) -> float:
        """Another recogniser is about to be given what is kept.

        Args:
            elapsed: Seconds since the timeline's zero. More than there is audio, where audio
                stopped coming for a while.

        Returns:
            The time of its first sample.
        """
        if self._said and self._kept.lost_until > self._said_from + _SLACK_SEC:
            self._said.begin_anywhere()  # the audio of some was too old to be kept
        has_heard = self._settled_until > 0.0 or bool(self._said)
        self._new_from = self._settled_until if has_heard or self._begun_at else None
        self.unconfirmed_at = None
        self._expected = self._said.copy()
        self._began_with = self._kept.start
        self._caught_up_at = self._kept.end + self._seconds_to_hear
        self._begun_at = self.time_of_kept(elapsed)
        self._shift = None
        return self._begun_at

    @property
    def _seconds_to_hear(self) -> float:
        # silence takes none; a second is not worth looking for it
        if self._kept.seconds <= _CONFIRMED_SEC:
            return self._kept.seconds
        return self._kept.end - self._kept.speech_start

    def lost_since(self, position: float | None) -> float:
        """Return how much speech since a position was too old to be kept; each second once."""
        if position is None:
            return 0.0
        lost = self._kept.lost_until - max(position, self._told_lost_until)
        if lost > 0.0:
            self._told_lost_until = self._kept.lost_until
        return max(0.0, lost)

    def time_of_kept(self, elapsed: float) -> float:
        """Return the time of the oldest sample that is kept; see :meth:`begin`."""
        return self.zero + max(self._kept.start, elapsed - self._kept.seconds)

    def take_over(self, begun_at: float, began_with: float, expected: Said) -> None:
        """Another recogniser has listened along, and is the one at work from now on.

        Args:
            begun_at: The time of its first sample.
            began_with: The same as a position.
            expected: Words that are settled, and that it has not given yet.
        """
        self.unconfirmed_at = None
        self._new_from = self._begun_at = begun_at
        self._began_with = began_with
        self._expected = expected
        # what it has heard so far comes at once, whenever it was said
        self._caught_up_at = self._kept.end + _CONFIRMED_SEC
        self._shift = None

    @property
    def settled_and_kept(self) -> Said:
        """The words that are settled although their audio is kept."""
        return self._said.copy()

    @property
    def is_clean(self) -> bool:
        """Whether no word is settled whose audio is kept."""
        return not self._said and self.unconfirmed_at is None

    def confirm_by(self, now: float) -> bool:
        """Take a final for meant if its recogniser has lived on for long enough since."""
        at = self.unconfirmed_at
        if at is None or now - at < self._certain_in:
            return False
        self.confirm()
        return True

    def confirm(self) -> None:
        """Take the last final for meant, and let go of its audio."""
        at, self.unconfirmed_at = self.unconfirmed_at, None
        if at is None or at < self._caught_up_at:
            return  # while it catches up nobody knows which audio its words are from
        settled, has_words = self._settled_by(at)
        self._kept.drop_before(settled)
        if has_words:
            self._said.keep_last(round((at - settled) * _WORDS_PER_SEC))
        else:
            self._said.clear()
        self._said_from = self._kept.start

    def _settled_by(self, at: float) -> tuple[float, bool]:
        """Return what a final without times settles, and whether its words may lie after that."""
        pauses = list(self._kept.pauses_before(at))
        if not pauses:
            return at - _LATE_SEC, True
        if pauses[0] > at - PAUSE_SEC / 2:
            return pauses[0] - PAUSE_SEC / 2, False  # nobody speaks
        recent = [pause for pause in pauses if pause > at - _LATE_AFTER_PAUSE_SEC]
        oldest = recent[-1] if recent else pauses[0]
        return oldest - PAUSE_SEC / 2, len(recent) != 1

    def new_in(self, event: SpeechEvent, *, is_final: bool) -> SpeechEvent | None:
        """Return what is new in a transcript, its times on the timeline; ``None``: nothing."""
        data = event.alternatives[0]
        on_time = self._on_timeline(data)
        trim = self._expected.use_up if is_final else self._expected.trim
        rest = trim(on_time.text) if self._expected else on_time.text
        if is_final and self._kept.end > self._caught_up_at:
            self._expected.clear()  # what it did not give by now it has understood otherwise
        fresh = on_time if rest == on_time.text else ending_with(on_time, rest)
        if self._new_from is not None and fresh.end_time > 0.0:
            fresh = not_before(fresh, self._settled_until)
        if fresh is data:
            return event
        if not fresh.text.strip():
            return None
        return replace(event, alternatives=[fresh, *event.alternatives[1:]])

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said after what is settled, as far as is known."""
        at = self._untimed_at
        if at is None:
            return self._kept.is_silent_since(self._settled_to)
        stands_for_all = self._is_last and self._kept.pause_before(at) is None
        return self._kept.is_silent_since(at if stands_for_all else self._settled_by(at)[0])

    def settle(
        self, event: SpeechEvent | None, *, is_meant: bool = False, is_last: bool = False
    ) -> None:
        """Take the new words of a final transcript for settled.

        Args:
            event: What is new in it; ``None`` for nothing.
            is_meant: No plugin can have made it of a partial one.
            is_last: No more audio comes, so a final without times stands for all the speech
                before it, up to the last pause.
        """
        data = None if event is None else event.alternatives[0]
        end = self._end_of(data)
        if end is not None:
            self._settled_until = max(self._settled_until, end)
            self._settled_to = end - self._begun_at + self._began_with
            self._untimed_at = None
            self._kept.drop_before(self._settled_to)
            self._said.clear()
            self.unconfirmed_at = None
            return
        if data is not None:
            if not self._said:
                self._said_from = self._kept.start
            self._said.add(data.text)
        self.unconfirmed_at = self._kept.end
        if self._kept.end >= self._caught_up_at:
            self._untimed_at, self._is_last = self._kept.end, is_last
        self._certain_in = 0.0 if is_meant else _CONFIRMED_SEC

    def is_timed(self, event: SpeechEvent) -> bool:
        """Whether a transcript says, believably, where its audio ends."""
        return self._end_of(event.alternatives[0]) is not None

    def _end_of(self, data: SpeechData | None) -> float | None:
        if data is None or data.end_time <= 0.0:
            return None
        return data.end_time if self._begun_at < data.end_time <= self._latest else None

    @property
    def _latest(self) -> float:
        return self._begun_at + self._kept.end - self._began_with + _SLACK_SEC

    def _on_timeline(self, data: SpeechData) -> SpeechData:
        if self._new_from is None or data.end_time <= 0.0:
            return data
        if self._shift is None:
            self._shift = self._begun_at if self._ignores_offset(data) else 0.0
        if self._shift:
            data = shifted(data, self._shift)
        if data.start_time >= self._new_from:
            return data
        return without_beginning(data, self._new_from)

    def _ignores_offset(self, data: SpeechData) -> bool:
        # plugins that leave their offset aside count from their own first sample
        if data.start_time < self._begun_at - _SLACK_SEC:
            return True
        is_old = data.end_time < self._latest - _TOO_OLD_SEC
        has_caught_up = self._kept.end > self._caught_up_at
        return is_old and has_caught_up and data.end_time + self._begun_at <= self._latest
