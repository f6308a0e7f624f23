# SPDX-License-Identifier: Apache-2.0
"""Where the caller is in an utterance, as told by several recognisers one after the other."""

from __future__ import annotations

from enum import Enum

# Whoever hears the rest of an utterance says something about it sooner.
_ABANDONED_SEC = 10.0


class Mark(Enum):
    """What a recogniser's event means for the utterance."""

    START = "start"
    INTERIM = "interim"
    FINAL = "final"
    END = "end"


class Utterance:
    """Keep START and END balanced over a change of provider, and find the place to change back.

    Session code that takes turns from the recogniser waits for the END of every START. The
    provider that opened an utterance may die before closing it, and the next one may open it a
    second time, or may not send START and END at all.
    """

    def __init__(self) -> None:
        self._open = False
        self._inherited = False  # the open START came from a provider that has since failed
        self._unheard_since: float | None = None  # something was begun that no final has settled
        self._shown = False  # and there are words in it
        self._known_at = 0.0  # when anything was last heard of it, or another provider came

    @property
    def is_open(self) -> bool:
        """Whether a START was passed on whose END was not."""
        return self._open

    @property
    def at_rest(self) -> bool:
        """Whether no word is under way: the only moment to move to another provider unforced."""
        return not self._open and self._unheard_since is None

    @property
    def unheard_since(self) -> float | None:
        """Where what no final has settled was begun; ``None``: no words are known to be open."""
        return self._unheard_since if self._open or self._shown else None

    def provider_changed(self, at: float = 0.0) -> bool:
        """Say that the following events come from another provider.

        Args:
            at: Seconds of audio so far.

        Returns:
            Whether an END has to be sent: all words of the utterance are settled, so the next
            provider will hear only silence and has nothing to end.
        """
        if self._open and self._unheard_since is None:
            return self.close()
        self._inherited, self._known_at = self._open, at
        return False

    def is_abandoned(self, at: float) -> bool:
        """Whether nobody has made anything of an utterance that was begun by another provider."""
        return self._inherited and at - self._known_at > _ABANDONED_SEC

    def accept(self, mark: Mark, at: float = 0.0, *, has_words: bool = True) -> tuple[bool, bool]:
        """Take one event into account.

        Args:
            mark: What it means.
            at: Seconds of audio so far.
            has_words: Whether there is any text in it.

        Returns:
            ``(forward, close)``: whether to pass the event on, and whether an END must be
            added after it because nobody else will send it.
        """
        if has_words:
            self._known_at = at
        if mark is Mark.START:
            return self._start(at), False
        if mark is Mark.END:
            return self._end(), False
        if self._inherited and not has_words:
            return True, False  # what was begun is still to be heard
        if mark is Mark.INTERIM:
            self._begin(at)
            self._shown = True
        else:
            self._settle()
        if mark is Mark.FINAL and self._inherited:
            self._open = self._inherited = False
            return True, True
        return True, False

    def close(self) -> bool:
        """End the utterance from outside; return whether an END has to be sent for it."""
        was_open = self._open
        self._open = self._inherited = False
        self._settle()
        return was_open

    def _settle(self) -> None:
        self._unheard_since, self._shown = None, False

    def _begin(self, at: float) -> None:
        if self._unheard_since is None:
            self._unheard_since = at

    def _start(self, at: float) -> bool:
        opened_twice, self._open = self._open, True
        self._inherited = False  # this provider sends marks of its own, so it will send END too
        if not opened_twice and not self._shown:
            self._unheard_since = None  # what was begun before was a cough
        self._begin(at)
        return not opened_twice

    def _end(self) -> bool:
        was_open, self._open = self._open, False
        self._inherited = False
        return was_open
