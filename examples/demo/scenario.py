# SPDX-License-Identifier: Apache-2.0
"""What goes wrong during the call: one table, read from top to bottom.

Faults of a turn are switched on at `at` seconds after the caller began that turn's line and last
until the turn is over, so neither a retry nor a preemptive request can use a fault up. Those of
`ALL_CALL_LONG` are on before the greeting and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANSWER_WITHIN = 7.0
"""Seconds after which a silent agent has not answered. Callers ask "hello?" after three or four
and hang up soon after; LiveKit's default time-outs start at five and ten seconds."""

ANSWER_LASTS = 14.0
"""Seconds an answer may take from its first sound. The longest scripted one takes about six."""

PAUSE = 0.4
"""Seconds between the end of an answer and the caller's next line."""

REJECTED = 401
"""HTTP status of a key that is not, or no longer, accepted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One provider misbehaving in one way.

    Attributes:
        mode: a mode of the local providers, or "cut": open connections drop, once.
        status: HTTP status for mode "status".
        delay: seconds for mode "slow".
        after: useful outputs that still come through, for modes that break answers off.
        at: seconds after the caller began to speak; 0 is just before.
    """

    vendor: str
    service: str
    mode: str
    status: int | None = None
    delay: float | None = None
    after: int | None = None
    at: float = 0.0

    def wire(self) -> dict[str, Any]:
        """The fault as the control port wants it."""
        fault = {"vendor": self.vendor, "service": self.service, "mode": self.mode}
        numbers = {"status": self.status, "delay": self.delay, "after": self.after}
        return {**fault, **{name: value for name, value in numbers.items() if value is not None}}

    @property
    def label(self) -> str:
        """The fault in one or two words, for pictures and tables."""
        if self.status is not None:
            return str(self.status)
        if self.delay is not None:
            return f"{self.delay} s late"
        return _LABELS.get(self.mode, self.mode)


_LABELS = {"hang": "silent", "cut": "dropped", "drop": "broken off", "refuse": "refused"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of the caller and what fails meanwhile."""

    title: str
    faults: tuple[Fault, ...] = ()


SCENARIO = (
    Turn("all healthy"),
    Turn("LLM answers 503", (Fault("openai", "llm", "status", 503),)),
    # The audio is made ten times faster than it plays: ten pieces are the first second of it.
    Turn("Cartesia killed in mid-reply", (Fault("cartesia", "tts", "drop", after=10),)),
    Turn("Deepgram killed in mid-sentence", (Fault("deepgram", "stt", "cut", at=1.8),)),
    Turn("LLM accepts, then silence", (Fault("openai", "llm", "hang"),)),
    Turn(
        "TTS answers 500",
        # An open websocket would not see a status, so it is cut first.
        (Fault("cartesia", "tts", "cut"), Fault("cartesia", "tts", "status", 500)),
    ),
    Turn(
        "STT refuses connections",
        (Fault("deepgram", "stt", "refuse"), Fault("deepgram", "stt", "cut")),
    ),
    Turn("TTS gives no audio", (Fault("cartesia", "tts", "hang"),)),
    Turn("LLM is slow", (Fault("openai", "llm", "slow", delay=1.5),)),
    Turn("all healthy again"),
)
"""Turn n plays line n of the recorded caller."""

ALL_CALL_LONG = (Fault("together", "llm", "status", REJECTED),)
"""A backup whose key has expired: found out when it is needed for the first time."""

CHAINS = {
    "stt": ("deepgram", "openai"),
    "llm": ("openai", "together", "cerebras"),
    "tts": ("cartesia", "openai"),
}
"""Whom the agent asks, in this order."""

PRIMARIES = {component: chain[0] for component, chain in CHAINS.items()}
