# SPDX-License-Identifier: Apache-2.0
"""How long the caller of one session has been waiting for the agent's voice."""

from __future__ import annotations

# A turn that was never answered, such as one that only ended the call, is over by then.
_TURN_LASTS_SEC = 30.0


class TurnClock:
    """The time from the end of the caller's speech to the first sound of the answer.

    Args:
        seconds: How much of it is the budget.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began: float | None = None  # when the caller fell silent; None while nobody waits

    def speech_began(self) -> None:
        """The caller speaks: nobody waits."""
        self._began = None

    def speech_ended(self, at: float) -> None:
        """The caller has been silent since then, and waits."""
        self._began = at

    def work_began(self, now: float) -> None:
        """An answer is being made; where nobody hears the caller stop, the wait begins here."""
        if self.elapsed(now) is None:
            self._began = now

    def answered(self) -> None:
        """The caller hears the answer."""
        self._began = None

    def elapsed(self, now: float) -> float | None:
        """Return for how long the caller has been waiting; ``None`` if nobody waits."""
        if self._began is None or now - self._began > _TURN_LASTS_SEC:
            return None
        return now - self._began

    def is_spent(self, now: float) -> bool:
        """Whether the wait has used up the budget."""
        elapsed = self.elapsed(now)
        return elapsed is not None and elapsed >= self.seconds
