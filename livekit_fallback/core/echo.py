# SPDX-License-Identifier: Apache-2.0
"""One answer by two speakers: what the second repeats of the first is left out, once."""

from __future__ import annotations

import re

from .number_words import is_number
from .words import IDEOGRAPHS, UNSPACED

_PUNCTUATION = (
    "!-/:-@\\[-`{-~\u00a0-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u060c\u061b\u061f"
    "\u06d4\u0964\u0965\u2000-\u206f\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u30fb\uff01-\uff0f"
    "\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_WORD = re.compile(
    rf"<[/a-zA-Z][^<>]*>|([^\s{_PUNCTUATION}{IDEOGRAPHS}{UNSPACED}]+"
    rf"|(?![{_PUNCTUATION}])[{IDEOGRAPHS}{UNSPACED}])"
)

# What ends or divides sentences, and so belongs to the word before it.
_STOPS = (
    ",.;:!?\u2026\u2014\u2013\u060c\u061b\u061f\u06d4\u0964\u3001\u3002\uff0c\uff01\uff1f\uff1b"
    "\uff1a"
)
_LAST_STOPS = re.compile(rf"([{_STOPS}]*)[^\w{_STOPS}]*\Z")
_OPENING_MARKS = re.compile(r"[*_`\"'\u201c\u2018\u00ab]+\Z")
_CLOSING_MARKS = re.compile(rf"[*_`\"'\u201d\u2019\u00bb]+(?=[\s{_STOPS}]|\Z)")
_ELLIPSIS = re.compile(r"\s*(?:\.{2,}|\u2026)\s*")
_CLOSING = frozenset(_STOPS.replace("\u2014", "").replace("\u2013", "") + ")]}%\u00bb\u201d\u2019")
_OPENING = frozenset("([{\u00ab\u201c\u2018\u00bf\u00a1")
_FRACTION = re.compile(r"\.\d")
_IDEOGRAPH = re.compile(f"[{IDEOGRAPHS}]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_SPACELESS = re.compile(f"[{IDEOGRAPHS}{UNSPACED}]")

# What makes an echo certain: a word that is no number, two ideographs, five letters of a script
# without spaces (kana are letters). From three words on it is one even where its punctuation is
# another.
_SURE = 1.0
_SURER = 3.0


class Echo:
    """Trims a continuation to what is new, and joins it to what was said with a word boundary.

    A speaker who is asked to go on often repeats some of what was said: the last words, the
    sentence, or all from the beginning. Its words are compared (without case, punctuation and
    markup) with what was said from each of its words to its end. They are held while one of
    these can still come true, and let go at the first word that differs. The longest repetition
    that is complete is left out.

    Numbers and letters alone are never taken for a repetition, because a telephone number that
    lacks a digit is worse than one with a digit too many, which is heard to be wrong. Nor is a
    word after a comma or full stop that is repeated without it ("No," and "no problem").

    Args:
        said: What was said so far; not blank.
        is_inside_word: Whether that ends inside a word.
    """

    def __init__(self, said: str, *, is_inside_word: bool = False) -> None:
        self._said = said
        self._is_inside_word = is_inside_word
        self._words = [word for word, _, _ in _words(said)]
        self._last_stops = _stops_at_end(said)
        self._begin()

    def _begin(self) -> None:
        self._held = ""
        self._read = 0  # of what is held
        self._alive = list(range(len(self._words)))  # the words from which on it may repeat
        self._repeated = 0  # words
        self._marks = ""  # of quotation and emphasis, which stand before the first word
        self._open: int | None = None  # where a repetition ends that may be one: what follows?
        self._end: int | None = None  # where the longest ends that is certain
        self._is_joined = False  # something new was let go, and so is all that follows

    def push(self, text: str) -> str:
        """Take the next piece, of whole words; return what can be handed over of it."""
        if self._is_joined:
            return text
        self._held += text
        for word, start, end in _words(self._held, self._read):
            self._read = end
            self._compare(word, start, end)
            if not self._alive:
                return self._let_go()
        return ""

    def end(self) -> str:
        """Return what is left to be handed over, now that the continuation has ended or pauses.

        If it has brought nothing new, what it says after a pause (for a tool call) is compared and
        joined like a first word.
        """
        if self._is_joined:
            return ""
        self._judge()
        is_known = self._end is None and self._is_restatement()
        text = "" if is_known else self._let_go()
        if self._last_stops and not _words(text):
            text = ""  # no more than another full stop
        if not text:
            self._begin()
        return text

    def _compare(self, word: str, start: int, end: int) -> None:
        if not self._repeated and (marks := _OPENING_MARKS.search(self._held, 0, start)):
            self._marks = marks[0]
        self._judge()
        self._alive = [first for first in self._alive if self._is_at(first, word)]
        self._repeated += 1
        if len(self._words) - self._repeated in self._alive:
            self._open = end - self._surplus(word)

    def _is_at(self, first: int, word: str) -> bool:
        place, last = first + self._repeated, len(self._words) - 1
        if place > last:
            return False
        if place == last and self._is_inside_word:
            return word.startswith(self._words[last])
        return word == self._words[place]

    def _surplus(self, word: str) -> int:
        """Return how much of a word goes beyond the part of it that was said."""
        return len(word) - len(self._words[-1]) if self._is_inside_word else 0

    def _judge(self) -> None:
        """Decide about the repetition that is complete, now that it is known what follows it."""
        if self._open is None:
            return
        end, self._open = self._open, None
        evidence = sum(map(_evidence, self._words[-self._repeated :]))
        agrees = end == len(self._held) or self._held.startswith(self._last_stops[:1], end)
        if evidence >= _SURER or (evidence >= _SURE and agrees):
            self._end = end

    def _is_restatement(self) -> bool:
        """Whether all of it repeats what was said from its beginning on."""
        evidence = sum(map(_evidence, self._words[: self._repeated]))
        return 0 in self._alive and evidence >= _SURER

    def _let_go(self) -> str:
        text, self._held = self._held, ""
        if self._end is not None:
            text = self._without_marks(text[self._end :])
            text = self._without_marks(self._without_stops(text))
            self._end = None
            if _CLOSING_MARKS.match(text):  # of what was said
                self._is_joined = True
                return text
        elif not self._is_inside_word:
            text = self._without_stops(text[_length(_ELLIPSIS, text) :])
        return self._join(text)

    def _without_marks(self, text: str) -> str:
        """Leave out what closes a quotation or emphasis that only the repetition has opened."""
        if not self._marks or self._said.count(self._marks) % 2:
            return text
        return text[_length(_CLOSING_MARKS, text) :]

    def _without_stops(self, text: str) -> str:
        """Leave out the punctuation that stands behind the last word already."""
        if not self._last_stops:
            return text
        return text.removeprefix(self._last_stops).lstrip(_STOPS)

    def _join(self, text: str) -> str:
        bare = text.lstrip()
        if not bare:
            return ""
        self._is_joined = True
        if self._is_inside_word:
            return text
        return _space(self._said[-1], text[: len(text) - len(bare)], bare) + bare


def _words(text: str, start: int = 0) -> list[tuple[str, int, int]]:
    """Return the words of a text, made comparable, each with where it begins and ends."""
    found = _WORD.finditer(text, start)
    return [(m[1].casefold(), m.start(1), m.end(1)) for m in found if m[1] is not None]


def _stops_at_end(text: str) -> str:
    match = _LAST_STOPS.search(text)
    return match[1] if match else ""


def _length(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match else 0


def _evidence(word: str) -> float:
    """Return what the repetition of a word is worth as a sign that it is one."""
    if is_number(word):
        return 0.0
    if _SPACELESS.match(word):
        return 0.5 if _IDEOGRAPH.match(word) and not _KANA.match(word) else 0.2
    return 1.0 if len(word) > 1 or word in "ai" else 0.0


def _space(last: str, given: str, bare: str) -> str:
    """Return what belongs between two texts.

    Args:
        last: The last character of the first text.
        given: The white space that the second text brings along.
        bare: What follows that.
    """
    first = bare[0]
    if "\n" in given:
        return given
    if _FRACTION.match(bare) and not last.isdigit():
        return " "
    if last.isspace() or first in _CLOSING or last in _OPENING:
        return ""
    if _IDEOGRAPH.match(last) and _IDEOGRAPH.match(first):
        return ""
    if _SPACELESS.match(last) or _SPACELESS.match(first):
        return given[:1]
    return " "
