# SPDX-License-Identifier: Apache-2.0
"""The words that were settled already, told from those that are heard for the first time."""

from __future__ import annotations

import re
from typing import NamedTuple

# Scripts without spaces are compared letter by letter; the signs above a letter belong to it.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}](?:(?!\w)[{_UNSPACED}])*|[^\s{_UNSPACED}]+")
_SILENT = re.compile(r"[\W_]+")

# A word in another's place: likely the same one misheard if they begin alike, else hardly.
_MISHEARD = 0.6
_ANOTHER = 1.2

# Of a longer history nothing is heard again: no replay is that long.
_MAX_WORDS = 400


class Token(NamedTuple):
    """A word (or letter) of a text, fit for comparison, and where it ends in the text."""

    word: str
    end: int


def tokens_of(text: str) -> list[Token]:
    """Return the words of a text without case and punctuation."""
    found = ((_SILENT.sub("", m.group().casefold()), m.end()) for m in _TOKEN.finditer(text))
    return [Token(word, end) for word, end in found if word]


class Said:
    """Words that were settled, and whose audio is nevertheless given to another recogniser.

    Some recognisers do not say which audio a transcript covers. When one of those fails, the
    next one hears again what is settled already, and may spell it differently. As the audio is
    the same, the beginning of what it hears *is* what was said, whatever it is taken for: the
    two are aligned with as few changes as possible.

    Args:
        words: As :func:`tokens_of` has them.
        in_part: The audio may begin later than the words: only what is the very same counts.
    """

    def __init__(self, words: tuple[str, ...] = (), *, in_part: bool = False) -> None:
        self._known = list(words)
        self._texts: list[str] = []  # likewise, not looked at yet: most are never asked about
        self._in_part = in_part

    def __bool__(self) -> bool:
        return bool(self._known or self._texts)

    def __len__(self) -> int:
        return len(self._words)

    @property
    def _words(self) -> list[str]:
        if self._texts:
            self._known += [token.word for text in self._texts for token in tokens_of(text)]
            self._texts.clear()
            del self._known[:-_MAX_WORDS]
        return self._known

    def copy(self) -> Said:
        """Return the same words, to be used up by another recogniser."""
        return Said(tuple(self._words), in_part=self._in_part)

    def keep_last(self, count: int) -> None:
        """Of their audio only the end is kept, with no more than so many words in it."""
        del self._words[:-count]
        self._in_part = True

    def add(self, text: str) -> None:
        """Take note of words that are settled now."""
        self._texts.append(text)
        if len(self._texts) > _MAX_WORDS:
            del self._texts[:-_MAX_WORDS]

    def clear(self) -> None:
        """Forget everything: its audio is not given to anybody any more."""
        self._known.clear()
        self._texts.clear()
        self._in_part = False

    def trim(self, text: str) -> str:
        """Return the part of a text that was not said before."""
        return self._split(text)[0] if self._words else text

    def use_up(self, text: str) -> str:
        """As :meth:`trim`, and the words found in it are not expected again."""
        if not self._words:
            return text
        rest, used = self._split(text)
        del self._words[:used]
        return rest

    def _split(self, text: str) -> tuple[str, int]:
        heard = tokens_of(text)
        align = _overlap if self._in_part else _align
        used_said, used_heard = align(self._words, [token.word for token in heard])
        if used_heard == 0:
            return text, used_said
        return text[heard[used_heard - 1].end :].lstrip(), used_said


class _Cut(NamedTuple):
    """How far two lists are taken for the same speech, and how many changes that takes."""

    cost: float
    said: int
    heard: int


def _align(said: list[str], heard: list[str]) -> tuple[int, int]:
    """Align the beginnings of two lists until one of them ends.

    Returns:
        How many words of each are the same speech.
    """
    costs = [float(j) for j in range(len(heard) + 1)]  # of changing said[:i] into heard[:j]
    best = _Cut(costs[-1], 0, len(heard))
    for i, word in enumerate(said, start=1):
        before, costs[0] = costs[0], float(i)
        for j, other in enumerate(heard, start=1):
            change = before + _unlike(word, other)
            before = costs[j]
            costs[j] = min(change, before + 1, costs[j - 1] + 1)
        # everything heard is the beginning of what was said
        best = min(best, _Cut(costs[-1], i, len(heard)), key=_worth)
    for j, cost in enumerate(costs):  # everything said is the beginning of what is heard
        best = min(best, _Cut(cost, len(said), j), key=_worth)
    return best.said, best.heard


def _worth(cut: _Cut) -> tuple[float, int, int]:
    # as many words explained as the cost allows; in doubt a word is rather heard twice than lost
    return cut.cost, -cut.said - cut.heard, cut.heard


def _overlap(said: list[str], heard: list[str]) -> tuple[int, int]:
    """Find the longest end of one list that the other begins with; as :func:`_align`."""
    lengths = range(min(len(said), len(heard)), 0, -1)
    found = next((k for k in lengths if said[-k:] == heard[:k]), 0)
    return (len(said) if heard else 0), found


def _unlike(word: str, other: str) -> float:
    if word == other:
        return 0.0
    return _MISHEARD if word[0] == other[0] else _ANOTHER
