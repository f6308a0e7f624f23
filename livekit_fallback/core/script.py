# SPDX-License-Identifier: Apache-2.0
"""The text of one spoken reply, and how much of it a voice can be expected to have spoken."""

from __future__ import annotations

import re

from .alignment import Token, letters_in, needs_space, tokens_of

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
# A tag that is still being written; what only looks like one ("I <3 you", "a < b") ends soon.
_OPEN_MARKUP = re.compile(r"(?:<(?:[/a-zA-Z][^<>]{0,80})?|\[[^\]]{0,30})\Z")
# A model that pauses here has finished a sentence; that it goes on as "evening.com" is far rarer.
_FINISHED = re.compile(r"[^\W\d_]{2}[.!?\u2026]+[\"'\u201d\u2019)\]]*\Z")
_SILENT = re.compile(r"[\W_]+")

# Where a sentence ends in a text that is complete. An abbreviation is taken for an end as well.
_ANY_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+|\n+")

# What the rest of a text does not begin with: marks that belong to the word before.
_BEFORE_REST = re.compile(r"[\s.,;:!?\u2026)\]\u201d\u2019\u3001\u3002\uff0c\uff01\uff1f]*")

# No voice speaks faster, even at double speed (ordinary speech: 10-14 letters a second), so audio
# shorter than this cannot hold the text.
_MAX_LETTERS_PER_SEC = 40.0
_MAX_HASTE = 2.0
_USUAL_LETTERS_PER_SEC = 13.0
_MIN_LETTERS_PER_SEC = 8.0

# Single words are spoken at any speed.
MIN_JUDGED = 20


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
    def tokens(self) -> list[Token]:
        """The words in what was handed over so far. Markup is none."""
        return tokens_of(without_markup(self.text))

    @property
    def whole_words(self) -> int:
        """How many words were handed over whole: the text may end in the middle of one."""
        tokens, text = self.tokens, self.text
        if self.ended or self.pieces[-1:] == [None] or _FINISHED.search(text):
            return len(tokens)
        tag = _OPEN_MARKUP.search(text)
        sure = tag.start() if tag else len(text) - needs_space(text, "x")
        return sum(token.end <= sure for token in tokens)

    @property
    def letters(self) -> int:
        """How many letters are in what was handed over so far; a digit counts as several."""
        return self._letters + _count(self._tail)

    def sentence_lengths(self) -> list[int]:
        """Return how many words each sentence has, of what was handed over so far."""
        ends = [match.end() for match in _ANY_SENTENCE_END.finditer(self.text)]
        lengths: list[int] = []
        tokens = self.tokens
        done = 0
        for end in [*ends, len(self.text)]:
            count = sum(token.end <= end for token in tokens[done:])
            if count:
                lengths.append(count)
                done += count
        return lengths

    def after(self, words: int) -> Script:
        """Return the text without its first words; where it was flushed, it still is."""
        skip = self._place_after(words)
        rest = Script()
        for piece in self.pieces:
            if piece is None:
                if not rest.is_blank:
                    rest.flush()
            elif skip < len(piece):
                rest.push(piece[skip:])
                skip = 0
            else:
                skip -= len(piece)
        if self.ended:
            rest.end()
        return rest

    def sentence_of(self, word: int) -> int:
        """Return the first word of the sentence in which a word stands."""
        first = 0
        for length in self.sentence_lengths():
            if word < first + length:
                return first
            first += length
        return first

    def _place_after(self, words: int) -> int:
        if words == 0:
            return 0
        text, tokens = self.text, self.tokens
        match = _BEFORE_REST.match(text, tokens[words - 1].end)
        return match.end() if match else len(text)

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

    def is_cut_short(self, audio_sec: float, usual: float | None = None) -> bool:
        """Whether ``audio_sec`` of audio cannot possibly hold the whole text.

        Args:
            audio_sec: Seconds of audio with sound in it.
            usual: How many letters a second the voice usually speaks, if that is known: nobody
                suddenly speaks more than twice as fast.
        """
        # a round number has few words: "eight billion" is much shorter than its digits one by one
        letters = self.letters - 2 * sum(map(str.isdigit, without_markup(self.text)))
        return letters >= MIN_JUDGED and audio_sec * fastest(usual) < letters

    def is_surely_spoken(self, audio_sec: float) -> bool:
        """Whether even a slow voice has spoken the whole text in ``audio_sec``."""
        return self.ended and audio_sec * _MIN_LETTERS_PER_SEC >= self._letters

    def unspoken(self, audio_sec: float) -> float:
        """Estimate how many letters ``audio_sec`` of audio leave unspoken."""
        return max(0.0, self.letters - audio_sec * _USUAL_LETTERS_PER_SEC)

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


def without_markup(text: str) -> str:
    """Return a text with blanks in place of its markup, so that everything else stays in place."""
    return _MARKUP.sub(lambda tag: " " * len(tag.group()), text)


def fastest(usual: float | None) -> float:
    """Return how many letters a second a voice may speak at most, by its usual pace if known."""
    if usual is None:
        return _MAX_LETTERS_PER_SEC
    return min(_MAX_LETTERS_PER_SEC, usual * _MAX_HASTE)


def _count(text: str) -> int:
    return letters_in(_SILENT.sub("", _MARKUP.sub("", text)))
