# SPDX-License-Identifier: Apache-2.0
"""Whom to leave for being slow, and whose speed has to be known first.

When everybody is slow there is nobody better to go to. So nobody is left unless somebody who
could stand in is known to be faster, as of now.
"""

from __future__ import annotations

from math import inf

from .circuit import State
from .health import HealthBook


class Demotion:
    """Judges the providers of one chain by their pace.

    Args:
        book: Their health, their pace, and the order in which they are asked.
    """

    def __init__(self, book: HealthBook) -> None:
        self._book = book

    def to_leave(self, now: float) -> int | None:
        """Return the first in the order if it is too slow, and somebody faster can stand in."""
        first, *others = self._book.order(now)
        if self._evidence_missing(first, now) > 0:
            return None
        return first if any(self._could_stand_in(i, now) for i in others) else None

    def to_scout(self, now: float) -> int | None:
        """Return whose speed has to be known before the first in the order is left for its own.

        Returns:
            The next one that can be probed and of whom nothing is known lately; ``None`` if the
            first is in no danger of being left, or somebody is known to be faster.
        """
        first, *others = self._book.order(now)
        if not self._has_been_slow(first) or self._evidence_missing(first, now) > 1:
            return None
        for provider in others:
            if self._could_stand_in(provider, now):
                return None
            if self._is_unknown(provider, now):
                return provider
        return None

    def to_look_at_again(self, now: float) -> int | None:
        """Return who has a higher priority, and only waits because it was slow a while ago."""
        book = self._book
        if not book.has_thresholds:
            return None
        waiting = (i for i in range(book.first(now)) if book.waits(i, now))
        return next((i for i in waiting if not book.pace(i).is_known_slow(now)), None)

    def _has_been_slow(self, provider: int) -> bool:
        generation = self._book.circuit(provider).generation
        return self._book.pace(provider).hits(generation) > 0

    def _evidence_missing(self, provider: int, now: float) -> float:
        """Return how many more slow outputs are too many: 0 or less if there were enough."""
        circuit, pace = self._book.circuit(provider), self._book.pace(provider)
        if pace.limit == inf or not circuit.state.is_usable or not pace.is_known(now):
            return inf
        # a provider that has yet to prove itself is given no second chance
        limit = pace.limit if circuit.state is State.HEALTHY else 1
        return limit - pace.hits(circuit.generation)

    def _could_stand_in(self, provider: int, now: float) -> bool:
        pace = self._book.pace(provider)
        if not self._book.circuit(provider).state.is_usable or pace.is_known_slow(now):
            return False
        return provider not in self._book.probed or pace.is_fresh(now)

    def _is_unknown(self, provider: int, now: float) -> bool:
        is_usable = self._book.circuit(provider).state.is_usable
        can_be_known = is_usable and provider in self._book.probed
        return can_be_known and not self._book.pace(provider).is_fresh(now)
