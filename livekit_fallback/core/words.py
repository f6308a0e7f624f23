# SPDX-License-Identifier: Apache-2.0
"""Where words end, in any script: text that is cut off must not be cut inside a word."""

from __future__ import annotations

import re

# Scripts that put no spaces between words. Chinese and Japanese can be cut after any character;
# Thai, Lao, Burmese and Khmer before any that is no mark of the one before.
IDEOGRAPHS = (
    "\u3001-\u303f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff01-\uff60\U00020000-\U0003ffff"
)
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = (
    "\u0e30-\u0e3a\u0e45\u0e47-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059"
    "\u17b4-\u17d3"
)

_TO_LAST_BOUNDARY = re.compile(
    rf"(?s:.*)(?:(?<=\S)(?=\s)|(?<=[{IDEOGRAPHS}])|(?<=\S)(?=(?![{_MARKS}])[{UNSPACED}]))"
)
_OPEN_TAG = re.compile(r"\s*<[/a-zA-Z][^<>]*\Z")

# Longer than words are: what is longer (an address of the web, a table's rule) is let go in parts.
_MAX_WORD = 30
_MAX_TAG = 120


class WholeWords:
    """Lets text through up to the end of its last whole word; the rest is held until that ends.

    White space is held with the word that follows it. A tag of markup is a word.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_split = False  # a word that is too long to be held was let go in part

    @property
    def is_inside_word(self) -> bool:
        """Whether what was let through ends, as far as is known, inside a word."""
        return self._is_split and not self._held[:1].isspace()

    def push(self, text: str) -> str:
        """Take the next piece; return what can be handed over, which may be nothing."""
        held = self._held + text
        match = _TO_LAST_BOUNDARY.match(held)
        end, longest = (match.end() if match else 0), _MAX_WORD
        if "<" in held and (tag := _OPEN_TAG.search(held)):
            end, longest = min(end, tag.start()), _MAX_TAG
        if len(held) - end > longest:
            self._held, self._is_split = "", True
            return held
        if end:
            self._is_split = False
        self._held = held[end:]
        return held[:end]

    def rest(self) -> str:
        """Return what is held, now that the text has ended."""
        rest, self._held = self._held, ""
        return rest
