# SPDX-License-Identifier: Apache-2.0
"""Whether a recogniser that is given speech gives nothing back."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

# The shortest word. What is shorter is a click or a cough, and recognisers make nothing of it.
_MIN_SPEECH_SEC = 0.2

# Noise that nobody recognises may go on for long, music on hold for minutes.
_MAX_PATIENCE_SEC = 60.0


class Moment(NamedTuple):
    """A time on both clocks that have to pass: people's, and that of the audio.

    Audio may come in a burst that nobody can have recognised yet, and it may stop coming, when
    nobody owes anything.

    Args:
        now: Monotonic seconds.
        audio: Seconds of audio given so far.
    """

    now: float
    audio: float

    def since(self, earlier: Moment) -> float:
        """Return how many seconds have passed on both clocks."""
        return min(self.now - earlier.now, self.audio - earlier.audio)


class SilenceWatch:
    """Joins what a voice activity detector hears with the signs of life of a recogniser.

    Any event of the recogniser is a sign of life, except those that its plugin makes by itself.
    While a caller speaks, the first sign is owed by recognisers that give words meanwhile by
    their own account, and the next by those that have been seen to do so. Once the caller is
    silent, each owes an end of what it began, and something for speech as long as a word.

    Patience with all of them doubles, up to a minute, each time that what was taken for speech
    holds no words, until words come.
    """

    def __init__(self) -> None:
        self._patience_for_words = inf
        self._stretch = 1
        self._gives_words_meanwhile = False  # by its own account
        self._was_seen_to = False
        self._speaking_since: Moment | None = None
        self._debt: Moment | None = None  # since when something is owed
        self._debt_is_old = False  # it is not for the speech that goes on
        self._is_open = False  # something was begun that is not settled yet
        self._unanswered = 0.0  # seconds of speech that nothing came after
        self._unsettled = 0.0  # likewise, or nothing but what may still change
        self._sign: Moment | None = None  # the last one since speech began

    @property
    def is_owed(self) -> bool:
        """Whether there is anything to wait for."""
        return self._debt is not None

    def recogniser_changed(
        self, at: Moment, *, patience: float | None, gives_words_meanwhile: bool
    ) -> None:
        """Another recogniser is given what was not settled, and owes it from now on.

        Args:
            at: Now.
            patience: Seconds for which a debt of it may stand; ``None``: for ever.
            gives_words_meanwhile: Whether it gives words while the caller still speaks.
        """
        self._patience_for_words = inf if patience is None else patience
        self._gives_words_meanwhile = gives_words_meanwhile
        self._was_seen_to = False
        self._is_open = False  # what another one began needs no end where there was no speech
        self._debt_is_old = False
        if self._speaking_since is not None:
            self._count_speech(at)
            self._speaking_since, self._sign = at, None
            self._debt = at if gives_words_meanwhile else None
        self._unanswered = self._unsettled
        if self._speaking_since is None:
            self._debt = at if self._owes_an_end else None

    def speech_began(self, at: Moment) -> None:
        """The caller speaks."""
        if self._speaking_since is not None:
            return
        self._speaking_since, self._sign = at, None
        self._debt_is_old = self._debt is not None
        if not self._debt_is_old:
            self._unanswered = self._unsettled = 0.0
            self._debt = at if self._gives_words_meanwhile else None

    def speech_ended(self, at: Moment) -> None:
        """The caller is silent since then."""
        if self._speaking_since is None:
            return
        self._count_speech(at)
        self._speaking_since = None
        if not self._debt_is_old:
            self._debt = at if self._owes_an_end else None

    def began(self, at: Moment) -> None:
        """The recogniser says that speech has begun."""
        self._is_open = True
        self._lives(at)

    def words_came(self, at: Moment) -> None:
        """The recogniser gave words that it may still change."""
        self._was_seen_to |= self._speaking_since is not None
        self._stretch = 1
        self.began(at)

    def settled(self, at: Moment, *, has_words: bool = True) -> None:
        """The recogniser gave words for good, or said that speech has ended."""
        self._is_open = False
        if has_words:
            self._stretch = 1
        self._lives(at)
        self._unsettled = 0.0

    def forgive(self) -> None:
        """Nobody makes anything of what was taken for speech: it holds no words."""
        self._debt = self._speaking_since = None
        self._unanswered = self._unsettled = 0.0
        self._is_open = False
        if self._patience < _MAX_PATIENCE_SEC:
            self._stretch *= 2

    def overdue(self, at: Moment) -> float | None:
        """Return for how long a debt has stood, if that is too long."""
        waited = 0.0 if self._debt is None else at.since(self._debt)
        return waited if waited >= self._patience else None

    @property
    def _patience(self) -> float:
        stretched = min(self._patience_for_words * self._stretch, _MAX_PATIENCE_SEC)
        return max(self._patience_for_words, stretched)

    @property
    def _owes_an_end(self) -> bool:
        return self._is_open or self._unanswered >= _MIN_SPEECH_SEC

    def _lives(self, at: Moment) -> None:
        if self._speaking_since is not None:
            self._count_speech(at)
        self._sign = at
        self._unanswered = 0.0
        self._debt_is_old = False
        if self._speaking_since is not None:
            self._debt = at if self._was_seen_to else None
        else:
            self._debt = at if self._is_open else None

    def _count_speech(self, at: Moment) -> None:
        since = self._sign or self._speaking_since
        assert since is not None
        seconds = max(0.0, at.audio - since.audio)
        self._unanswered += seconds
        self._unsettled += seconds
