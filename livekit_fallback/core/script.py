# SPDX-License-Identifier: Apache-2.0
"""The text of one spoken reply, and how much of it a voice can be expected to have spoken."""

from __future__ import annotations

import re

# Voices speak sentence by sentence, and their tokenizers want to see the beginning of the next
# sentence before they believe in the end of this one. An abbreviation ("Dr. Who") is no end. So
# this looks for less than they do: being late only gives a voice more time.
_SENTENCE_END = re.compile(
    r"(?:(?<=\w{5})[.!?\u2026]+[\"'\u201d\u2019)\]]*\s+|[\u3002\uff01\uff1f]+\s*)"
)
_MIN_SPEAKABLE = 20
_LOOK_AHEAD = 12
_LONGEST_END = 20  # a word's last letters, full stops, quotation marks and white space

# Markup is not spoken, and neither is what is no letter or digit.
_MARKUP = re.compile(r"<[^>]*>|\[[^\]]*\]")
_SILENT = re.compile(r"[\W_]+")

# No voice speaks faster, even at double speed (ordinary speech: 10-14 letters a second), so audio
# shorter than this cannot hold the text.
_MAX_LETTERS_PER_SEC = 40.0
_USUAL_LETTERS_PER_SEC = 13.0
_MIN_LETTERS_PER_SEC = 8.0

# Single words are spoken at any speed.
_MIN_JUDGED = 20


class Script:
    """Text handed over piece by piece while a language model is still writing it.

    A voice owes nothing for half a sentence: it has to see how the sentence ends. What it can
    be expected to speak is the *speakable* part: whole sentences, or everything once the text
    has ended.
    """

    def __init__(self) -> None:
        self.pieces: list[str | None] = []  # as handed over; None marks a flush
        self.ended = False
        self._letters = 0  # of the sentences that are certainly complete
        self._tail = ""  # the text after them
        self._scanned = 0  # of the tail, for sentence ends
        self._blank = True

    @classmethod
    def of(cls, text: str) -> Script:
        """Return a text that is complete."""
        script = cls()
        script.push(text)
        script.end()
        return script

    @property
    def text(self) -> str:
        """Everything handed over so far."""
        return "".join(piece for piece in self.pieces if piece)

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to speak in what was handed over so far."""
        return self._blank

    @property
    def has_words(self) -> bool:
        """Whether there is anything in the text that a voice pronounces: a letter or a digit."""
        return self._letters > 0 or _count(self._tail) > 0

    @property
    def is_speakable(self) -> bool:
        """Whether a voice has been handed something that it can begin to speak."""
        return self._letters > 0 or (self.ended and not self._blank)

    def beginning(self, length: int) -> Script | None:
        """Return a short text that begins as this one; ``None`` if nothing in it is spoken."""
        words = _MARKUP.sub(" ", self.text).split()
        text = " ".join(words)[:length]
        if not _count(text):
            return None
        return Script.of(text)

    def push(self, piece: str) -> None:
        """Hand over the next piece."""
        self.pieces.append(piece)
        if self._blank:
            self._blank = not piece.strip()
        self._tail += piece
        self._find_sentences()

    def flush(self) -> None:
        """Say that what was handed over so far is to be spoken without waiting for more."""
        self.pieces.append(None)
        self._complete(len(self._tail))

    def end(self) -> None:
        """Say that no more text comes: all of it can be spoken now. Idempotent."""
        self.ended = True
        self._complete(len(self._tail))

    def is_owed(self, audio_sec: float) -> bool:
        """Whether a voice that has spoken for ``audio_sec`` certainly owes more."""
        return self.ended or audio_sec * _MAX_LETTERS_PER_SEC < self._letters

    def is_cut_short(self, audio_sec: float) -> bool:
        """Whether ``audio_sec`` of audio cannot possibly hold the whole text."""
        letters = self._letters + _count(self._tail)
        return letters >= _MIN_JUDGED and audio_sec * _MAX_LETTERS_PER_SEC < letters

    def is_surely_spoken(self, audio_sec: float) -> bool:
        """Whether even a slow voice has spoken the whole text in ``audio_sec``."""
        return self.ended and audio_sec * _MIN_LETTERS_PER_SEC >= self._letters

    def unspoken(self, audio_sec: float) -> float:
        """Estimate how many letters ``audio_sec`` of audio leave unspoken."""
        letters = self._letters + _count(self._tail)
        return max(0.0, letters - audio_sec * _USUAL_LETTERS_PER_SEC)

    def _find_sentences(self) -> None:
        known = len(self._tail) - _LOOK_AHEAD  # further on, nothing can be said yet
        complete = 0
        for match in _SENTENCE_END.finditer(self._tail, self._scanned):
            end = match.end()
            if end > known:
                break
            following = self._tail[end]
            if following.isalpha() and not following.islower():
                complete = end
        # an end that is found here later begins in what is not yet scanned
        self._scanned = max(0, known - _LONGEST_END)
        if complete and self._letters + _count(self._tail[:complete]) >= _MIN_SPEAKABLE:
            self._complete(complete)

    def _complete(self, length: int) -> None:
        self._letters += _count(self._tail[:length])
        self._tail = self._tail[length:]
        self._scanned = 0


def _count(text: str) -> int:
    return len(_SILENT.sub("", _MARKUP.sub("", text)))
