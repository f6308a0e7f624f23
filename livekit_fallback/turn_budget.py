# SPDX-License-Identifier: Apache-2.0
"""How long one session's caller may wait in silence: shared by the adapters of the session."""

from __future__ import annotations

from .core.turn import TurnClock


class TurnBudget:
    """The time between the end of the caller's speech and the first sound of the answer.

    Give the same object as ``turn_budget=`` to the ``FallbackSTT``, ``FallbackLLM`` and
    ``FallbackTTS`` of one session. When hearing and thinking have used it up, whoever is asked
    next asks its fastest usable provider first, instead of the first of its list. Who is the
    fastest is known by median latencies; a provider that served fewer than three times, probes
    by ``"replay"`` included, is not known to be fast.

    The wait begins when the recogniser's adapter hears the caller stop (with the voice activity
    detector given to it, or the one that livekit-agents bundles), and without one when the
    language model or the voice is asked. It ends with the first audio, or when the caller speaks
    again. One object must not be shared by several sessions. Not safe to use from several threads.

    Args:
        seconds: The budget. Callers notice silences from about a second on.

    Raises:
        ValueError: ``seconds`` is not a number greater than 0.
    """

    def __init__(self, seconds: float) -> None:
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not seconds > 0:
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds greater than 0")
        self.clock = TurnClock(float(seconds))

    def __repr__(self) -> str:
        return f"TurnBudget({self.clock.seconds})"
