# SPDX-License-Identifier: Apache-2.0
"""The words that were settled already, told from those that are heard for the first time."""

from __future__ import annotations

from .alignment import Token, align, tokens_of

# Of a longer history nothing is heard again: no replay is that long.
_MAX_WORDS = 400


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
        self.begin_anywhere()

    def begin_anywhere(self) -> None:
        """Of their audio only the end is kept, and nobody knows from which word on."""
        self._in_part = True

    def drop_first(self, count: int) -> None:
        """Do not expect so many words of the beginning any more."""
        del self._words[:count]

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
        self._in_part &= rest == text
        return rest

    def _split(self, text: str) -> tuple[str, int]:
        heard = tokens_of(text)
        method = _find if self._in_part else align
        used_said, used_heard = method(self._words, [token.word for token in heard])
        if used_heard == 0:
            return text, used_said
        if not _alike(self._words[:used_said], heard[:used_heard]):
            return text, 0  # fewer words than are expected, and none of them
        # marks that end what was said are no part of the rest
        rest = text[heard[used_heard].start :] if used_heard < len(heard) else ""
        return rest, used_said


def _alike(said: list[str], heard: list[Token]) -> bool:
    """Whether any word here may be one there, misheard at most."""
    return not {word[0] for word in said}.isdisjoint(token.word[0] for token in heard)


def _find(said: list[str], heard: list[str]) -> tuple[int, int]:
    """Find where one list goes on as the other does, up to the end of either; as :func:`align`."""
    for begin in range(len(said)):
        part = said[begin : begin + len(heard)]
        if part == heard[: len(part)]:
            return begin + len(part), len(part)
    return len(said), 0
