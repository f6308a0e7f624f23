# SPDX-License-Identifier: Apache-2.0
"""Two accounts of the same speech, word by word: how far one has come in the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import NamedTuple

# Scripts without spaces are compared letter by letter; the signs above a letter belong to it.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}](?:(?!\w)[{_UNSPACED}])*|[^\s{_UNSPACED}]+")
# A letter of these is a syllable, and takes as long to speak as two or three others; and so does a
# digit, whether it is spoken by itself or as part of a number.
_TWO_LETTERS = re.compile("[\u3040-\u30ff]")
_DIGIT = re.compile(r"\d")
_THREE_LETTERS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]")

_NO_SPACE = re.compile(rf"[{_UNSPACED}\u3000-\u303f\uff00-\uffef]")  # nor do their marks
_SILENT = re.compile(r"[\W_]+")

# A word in another's place: likely the same one misheard if they begin alike, else hardly.
_MISHEARD = 0.6
_ANOTHER = 1.2
_ALIKE = 3  # letters that a word begins with, where another word is never taken for it

# What it costs that a voice has told nothing of a word.
_DEAR = 2.0
_CHEAP = 1.0


class Token(NamedTuple):
    """A word (or letter) of a text, fit for comparison, and where it stands in the text."""

    word: str
    start: int
    end: int


def tokens_of(text: str) -> list[Token]:
    """Return the words of a text without case and punctuation."""
    found = ((_SILENT.sub("", m.group().casefold()), *m.span()) for m in _TOKEN.finditer(text))
    return [Token(*token) for token in found if token[0]]


def letters_in(words: str) -> int:
    """Return how many letters take as long to speak as these, which hold no blanks or marks."""
    letters = len(words) + 2 * len(_DIGIT.findall(words))
    if words.isascii():
        return letters
    return letters + len(_TWO_LETTERS.findall(words)) + 2 * len(_THREE_LETTERS.findall(words))


def has_digits(word: str) -> bool:
    """Return whether it is a number, or has one in it, which may be spoken as many words."""
    return _DIGIT.search(word) is not None


def needs_space(before: str, after: str) -> bool:
    """Return whether two pieces of a text would run together if nothing stood between them."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return False
    return not _NO_SPACE.match(before[-1]) and not _NO_SPACE.match(after[0])


class _Cut(NamedTuple):
    """How far two lists are taken for the same speech, and how many changes that takes."""

    cost: float
    first: int
    second: int


def align(first: Sequence[str], second: Sequence[str]) -> tuple[int, int]:
    """Align the beginnings of two lists of words, with as few changes as possible.

    Returns:
        How many words of each are the same speech; of one of them it is all.
    """
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter, shorter
    best = _Cut(inf, 0, 0)
    costs: list[float] = []
    for i, costs in enumerate(_costs(first, second, [1.0] * len(second), _unlike)):
        # all of the second is the beginning of the first
        best = min(best, _Cut(costs[-1], i, len(second)), key=_worth)
    for j, cost in enumerate(costs):  # all of the first is the beginning of the second
        best = min(best, _Cut(cost, len(first), j), key=_worth)
    return best.first, best.second


def last_common(told: Sequence[str], text: Sequence[str]) -> tuple[int, int]:
    """Find the last word that a voice tells as the text has it, however it spells those before.

    Args:
        told: The words that the voice has told.
        text: The words of the text. To leave one out is dear, unless it has digits: those are
            told as any number of words.

    Returns:
        How many words of each there are up to that word; none if there is no such word.
    """
    if text[: len(told)] == told:
        return len(told), len(told)
    places: dict[str, list[int]] = {}
    for j, word in enumerate(text, start=1):
        places.setdefault(word, []).append(j)
    best = _Cut(float(len(told)), 0, 0)
    dear = [_CHEAP if has_digits(word) else _DEAR for word in text]
    for i, costs in enumerate(_costs(told, text, dear, _misspelled)):
        for j in places.get(told[i - 1], ()) if i else ():
            best = min(best, _Cut(costs[j] + len(told) - i, i, j), key=_worth)
    return best.first, best.second


def _costs(
    first: Sequence[str],
    second: Sequence[str],
    left_out: Sequence[float],
    unlike: Callable[[str, str], float],
) -> Iterator[list[float]]:
    """Yield, for each beginning of the first list, what it costs to make it one of the second.

    Args:
        first: Each of its words costs 1 to leave out.
        second: The other list.
        left_out: What each of its words costs to leave out.
        unlike: What it costs to take a word of the first for one of the second.
    """
    costs = [0.0, *accumulate(left_out)]
    yield costs
    for i, word in enumerate(first, start=1):
        before, costs[0] = costs[0], float(i)
        for j, other in enumerate(second, start=1):
            change = before + unlike(word, other)
            before = costs[j]
            costs[j] = min(change, before + 1, costs[j - 1] + left_out[j - 1])
        yield costs


def _worth(cut: _Cut) -> tuple[float, int, int]:
    # as many words explained as the cost allows; in doubt a word is rather heard twice than lost
    return cut.cost, -cut.first - cut.second, cut.second


def _unlike(word: str, other: str) -> float:
    if word == other:
        return 0.0
    return _MISHEARD if word[0] == other[0] else _ANOTHER


def _misspelled(word: str, other: str) -> float:
    if word == other:
        return 0.0
    if has_digits(other):
        return _CHEAP
    return _MISHEARD if word[:_ALIKE] == other[:_ALIKE] else _DEAR
