# SPDX-License-Identifier: Apache-2.0
"""The text of one spoken reply, and how much of it a voice can be expected to have spoken."""

from __future__ import annotations

import re

# Voices speak sentence by sentence, and their tokenizers want to see the beginning of the next
# sentence before they believe in the end of this one. The figures are those of LiveKit's own
# sentence tokenizers, rounded up: a voice that starts earlier is only given more time.
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)\]]*\s+")
_MIN_SPEAKABLE = 20
_LOOK_AHEAD = 12

# No voice speaks faster (ordinary speech: 12-17 characters a second), so audio shorter than this
# cannot hold the text.
_MAX_CHARS_PER_SEC = 25.0
_USUAL_CHARS_PER_SEC = 15.0


class Script:
    """Text handed over piece by piece while a language model is still writing it.

    A voice owes nothing for half a sentence: it has to see how the sentence ends. What it can
    be expected to speak is the *speakable* part: whole sentences, or everything once the text
    has ended.
    """

    def __init__(self) -> None:
        self.pieces: list[str | None] = []  # as handed over; None marks a flush
        self.ended = False
        self._length = 0
        self._speakable = 0
        self._tail = ""  # the text after the last sentence that is certainly complete
        self._blank = True

    @property
    def text(self) -> str:
        """Everything handed over so far."""
        return "".join(piece for piece in self.pieces if piece)

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to speak in what was handed over so far."""
        return self._blank

    @property
    def is_speakable(self) -> bool:
        """Whether a voice has been handed something that it can begin to speak."""
        return self._speakable > 0

    def push(self, piece: str) -> None:
        """Hand over the next piece."""
        self.pieces.append(piece)
        self._length += len(piece)
        if self._blank:
            self._blank = not piece.strip()
        self._tail += piece
        self._find_sentences()

    def _find_sentences(self) -> None:
        ends = [m.end() for m in _SENTENCE_END.finditer(self._tail)]
        complete = [end for end in ends if len(self._tail) - end >= _LOOK_AHEAD]
        if not complete:
            return
        speakable = self._length - len(self._tail) + complete[-1]
        if speakable >= _MIN_SPEAKABLE:
            self._speakable = speakable
            self._tail = self._tail[complete[-1] :]

    def flush(self) -> None:
        """Say that what was handed over so far is to be spoken without waiting for more."""
        self.pieces.append(None)
        self._make_all_speakable()

    def end(self) -> None:
        """Say that no more text comes: all of it can be spoken now. Idempotent."""
        self.ended = True
        self._make_all_speakable()

    def _make_all_speakable(self) -> None:
        if not self._blank:
            self._speakable = self._length
            self._tail = ""

    def is_owed(self, audio_sec: float) -> bool:
        """Whether a voice that has spoken for ``audio_sec`` certainly owes more."""
        return self.ended or audio_sec * _MAX_CHARS_PER_SEC < self._speakable

    def unspoken(self, audio_sec: float) -> float:
        """Estimate how many characters ``audio_sec`` of audio leave unspoken."""
        return max(0.0, self._length - audio_sec * _USUAL_CHARS_PER_SEC)
