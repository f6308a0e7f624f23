# SPDX-License-Identifier: Apache-2.0
"""How much of its text a voice has spoken, by its word timings, its pauses, or its usual pace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from math import inf
from typing import NamedTuple

from .alignment import align, has_digits, last_common, letters_in, tokens_of
from .script import MIN_JUDGED, Script, without_markup

# Times of words and lengths of frames are rounded by different people.
_SLACK_SEC = 0.02

# Of a word's end nobody misses so much: seconds, and part of it.
_CLIPPED_SEC = 0.05
_CLIPPED = 0.1

# A pause stands where a sentence is expected to end, give or take this part of its length.
_EARLIEST = 0.6
_LATEST = 1.6

# What is told in another spelling than the text has, at most: letters for each digit, as in a sum
# of money, and letters of the text for each of those told.
_TOLD_FOR_DIGIT = 9
_OF_TEXT = 2

# After so many words without one of the text, and without a number, none is to be expected.
_STRANGE = 5


class TimedText(NamedTuple):
    """A word, or a sentence, and when it is spoken, in seconds of the voice's audio.

    Args:
        text: The word or sentence.
        start: When it begins.
        end: When it ends; ``None``: not before the next one begins.
    """

    text: str
    start: float
    end: float | None


class Pause(NamedTuple):
    """A stretch of audio in which nothing is heard, in seconds of the voice's audio."""

    start: float
    end: float


class Delivery:
    """What one voice says about when it speaks which part of its text."""

    def __init__(self) -> None:
        self._timed: list[TimedText] = []
        self._ends_known = False
        self.last_end = 0.0  # of a word, as far as the voice has told

    @property
    def is_timed(self) -> bool:
        """Whether the voice says anything about it."""
        return bool(self._timed)

    @property
    def ends_words(self) -> bool:
        """Whether it says when each word ends."""
        return self._ends_known

    def add(self, timed: TimedText) -> None:
        """Take note of the next word or sentence. Markup in it is not spoken."""
        self._timed.append(timed._replace(text=without_markup(timed.text)))
        self._ends_known = timed.end is not None
        self.last_end = max(self.last_end, timed.end or 0.0)

    def take_back_hurried(self, fastest: float) -> bool:
        """Forget the newest sentence if the one before it cannot have been spoken.

        A wrapped voice goes on with the next sentence when one of them has ended too early.

        Args:
            fastest: Letters a second that nobody exceeds.

        Returns:
            Whether it was.
        """
        if self._ends_known or len(self._timed) < 2:
            return False
        before, newest = self._timed[-2:]
        letters = sum(letters_in(token.word) for token in tokens_of(before.text))
        if letters < MIN_JUDGED or letters <= (newest.start - before.start) * fastest:
            return False
        self._timed.pop()
        return True

    def last_end_by(self, seconds: float) -> float:
        """Return until when the words last that were spoken in so many seconds of audio.

        The pause after a word is part of it, as far as it is known where the next one begins.
        """
        following = 0.0
        for timed in reversed(self._timed):
            if timed.end is not None and timed.end <= seconds + _SLACK_SEC:
                return max(timed.end, following)
            following = timed.start
        return 0.0

    def untimed_letters(self, script: Script) -> int | None:
        """Return the letters of a text that a voice told nothing about.

        ``None``: it does not tell when its words end, or has told the last words of the text in
        its own way, as far as can be said.
        """
        if not self._ends_known:
            return None
        words = [token.word for token in script.tokens]
        told = self._told_by(inf)
        known, spoken = last_common(told, words)
        left = words[spoken:]
        if known == len(told):
            return sum(map(letters_in, left))
        return _unexplained(told[known:], left)

    def spoken(
        self, script: Script, seconds: float, pauses: Sequence[Pause], letters_per_sec: float
    ) -> int:
        """Return how many words of a text were spoken in so many seconds of audio.

        Args:
            script: The text.
            seconds: How much of the audio was delivered.
            pauses: In that audio; not needed where there are timings.
            letters_per_sec: The usual pace of the voice, pauses included.
        """
        words = [token.word for token in script.tokens]
        if self._ends_known:
            return self._spoken_words(words, seconds, letters_per_sec)
        if self._timed:
            return self._spoken_sentences(words, seconds, letters_per_sec)
        return _by_pauses(script, seconds, pauses, letters_per_sec)

    def _spoken_words(self, words: list[str], seconds: float, letters_per_sec: float) -> int:
        told = self._told_by(seconds)
        count = last_common(told, words)[1]
        if count or len(told) < _STRANGE or not words or has_digits(words[0]):
            return count
        return _by_pace(words, seconds * letters_per_sec)  # it tells them in other letters

    def _told_by(self, seconds: float) -> list[str]:
        ended = [t.text for t in self._timed if _is_heard(t, seconds)]
        return [token.word for text in ended for token in tokens_of(text)]

    def _spoken_sentences(self, words: list[str], seconds: float, letters_per_sec: float) -> int:
        begun = [t for t in self._timed if t.start <= seconds + _SLACK_SEC]
        complete = [token.word for t in begun[:-1] for token in tokens_of(t.text)]
        count = align(complete, words)[1] if complete else 0
        if not begun:
            return _by_pace(words, seconds * letters_per_sec)
        # it was slow, or lost on the way to the next one, of which nothing was heard
        sentence = words[count : count + len(tokens_of(begun[-1].text))]
        return count + _by_pace(sentence, (seconds - begun[-1].start) * letters_per_sec)


def _unexplained(told: Sequence[str], left: Sequence[str]) -> int | None:
    """Return how many letters of a text cannot be what was told in another spelling, if many."""
    digits = sum(map(str.isdigit, "".join(takewhile(has_digits, left))))
    other = max(0, sum(map(letters_in, told)) - _TOLD_FOR_DIGIT * digits)
    letters = sum(letters_in(word) for word in left if not has_digits(word))
    letters -= _OF_TEXT * other
    return letters if letters >= MIN_JUDGED else None


def _is_heard(timed: TimedText, seconds: float) -> bool:
    end = inf if timed.end is None else timed.end
    return end - max(_CLIPPED_SEC, _CLIPPED * (end - timed.start)) <= seconds


def _by_pauses(
    script: Script, seconds: float, pauses: Sequence[Pause], letters_per_sec: float
) -> int:
    """Find the ends of sentences among the pauses; in the last sentence, go by the pace so far."""
    words = [token.word for token in script.tokens]
    count, at, pace = 0, 0.0, letters_per_sec
    for sentence in script.sentence_lengths():
        letters = sum(map(letters_in, words[count : count + sentence]))
        expected = letters / pace
        pause = _nearest(pauses, at, expected)
        if pause is None and at + expected * _LATEST > seconds:
            break
        begun, at = at, at + expected if pause is None else pause.end
        if pause is not None and pause.start > begun:
            pace = letters / (pause.start - begun)  # without the pause, as what follows is
        count += sentence
    return count + _by_pace(words[count:], max(0.0, seconds - at) * pace)


def _nearest(pauses: Sequence[Pause], since: float, expected: float) -> Pause | None:
    """Return the pause that ends a sentence of about this length: the longest, the nearest."""
    near = [p for p in pauses if _EARLIEST <= (p.start - since) / expected <= _LATEST]
    return max(
        near,
        key=lambda p: (p.end - p.start) - 0.1 * abs(p.start - since - expected),
        default=None,
    )


def _by_pace(words: Sequence[str], letters: float) -> int:
    """Return how many words so many letters make up.

    A word counts from its middle on, but a number when it is whole: half of it is of no use.
    """
    count = 0
    for word in words:
        length = letters_in(word)
        letters -= length
        if letters < (0 if has_digits(word) else -length / 2):
            break
        count += 1
    return count


class SpeakingRate:
    """How fast one voice speaks, pauses included. Learnt from its complete texts."""

    _USUAL = 13.0  # letters a second: ordinary speech is at 10 to 14
    _SLOWEST, _FASTEST = 5.0, 40.0
    _MEMORY_SEC = 60.0  # of audio: about ten replies
    _PRIOR_SEC = 2.0

    def __init__(self) -> None:
        self._letters = self._USUAL * self._PRIOR_SEC
        self._seconds = self._PRIOR_SEC

    @property
    def letters_per_sec(self) -> float:
        """The pace as far as is known."""
        return self._letters / self._seconds

    @property
    def is_known(self) -> bool:
        """Whether enough was heard of the voice to tell its usual pace."""
        return self._seconds > 5 * self._PRIOR_SEC

    def learn(self, letters: int, seconds: float) -> None:
        """Take note of a text that was spoken completely."""
        if seconds <= 0.0 or not self._SLOWEST <= letters / seconds <= self._FASTEST:
            return
        self._letters += letters
        self._seconds += seconds
        if self._seconds > self._MEMORY_SEC:
            shrink = self._MEMORY_SEC / self._seconds
            self._letters, self._seconds = self._letters * shrink, self._MEMORY_SEC
