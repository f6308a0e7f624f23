# SPDX-License-Identifier: Apache-2.0
"""Words that one of two recognisers has given, and the other has not yet."""

from __future__ import annotations

from collections import deque

from .alignment import tokens_of
from .said import Said

# Recognisers that wait for the end of a turn come so much later than those that do not.
_LATEST_SEC = 5.0


class Arrears:
    """Words that are expected of a recogniser which hears the same caller as another.

    The two may spell the same words so differently that they are never found. So what was given
    long before the other one gave something else is not expected any more: it would be taken
    for what is said now.

    Args:
        said: The words so far.
        at: When they were given, in seconds.
    """

    def __init__(self, said: Said | None = None, at: float = 0.0) -> None:
        self.said = Said() if said is None else said
        self._given = deque([(at, len(self.said))])  # when, and how many words; oldest first

    def __len__(self) -> int:
        return len(self.said)

    def add(self, text: str, at: float) -> None:
        """One of them gives words."""
        self.said.add(text)
        self._given.append((at, len(tokens_of(text))))

    def use_up(self, text: str, at: float) -> str:
        """The other one gives words; return those that were not expected."""
        rest = self._use_up(text)
        if rest == text and self._forget_before(at - _LATEST_SEC):
            rest = self._use_up(text)
        return rest

    def _use_up(self, text: str) -> str:
        rest = self.said.use_up(text)
        self._count_off(sum(count for _, count in self._given) - len(self.said))
        return rest

    def _count_off(self, count: int) -> None:
        while count > 0:
            at, words = self._given.popleft()
            if words > count:
                self._given.appendleft((at, words - count))
            count -= words

    def _forget_before(self, at: float) -> int:
        old = 0
        while self._given and self._given[0][0] < at:
            old += self._given.popleft()[1]
        self.said.drop_first(old)
        return old
