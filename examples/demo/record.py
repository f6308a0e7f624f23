# SPDX-License-Identifier: Apache-2.0
"""What is kept of one call: raw facts on two clocks, the call's (seconds) and the wall's (unix)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .audio import RATE

if TYPE_CHECKING:
    from .audio import Samples
    from .spoken import Played

Entry = dict[str, Any]
"""Something that happened, with its unix `time`."""


@dataclass(slots=True)
class FaultMark:
    """A fault and when it was on, in seconds of the call; a cut ends when it happens."""

    vendor: str
    service: str
    label: str
    on: float
    off: float | None = None

    @property
    def cut(self) -> bool:
        """Whether it dropped connections once instead of lasting."""
        return self.off == self.on


@dataclass(slots=True)
class TurnMark:
    """One turn as it was played, in seconds of the call.

    Attributes:
        began: the first sample of the caller's line was sent.
        speech_end: its last audible sample was sent.
        ended: the answer was over, or nobody waited for it any longer.
        reference: what a recogniser makes of the line when nothing disturbs it.
        reply: the answer to it; "" where that depends on what a tool finds.
    """

    number: int
    title: str
    said: str
    began: float
    speech_end: float
    ended: float | None = None
    reference: str = ""
    reply: str = ""
    faults: list[FaultMark] = field(default_factory=list)

    @property
    def opened(self) -> float:
        """When things could first happen because of this turn: its first fault, or its line."""
        return min([self.began, *(fault.on for fault in self.faults)])


@dataclass(slots=True)
class CallRecord:
    """Everything recorded of one call.

    Attributes:
        began_at: unix time of the call's first sample.
        lasting_faults: those that belong to no turn, because they are on all call long.
        provider_log: what the local providers saw.
        adapter_events: what the adapter said it did.
        session_events: what LiveKit's session reported.
        said: the caller's sound.
        heard: the agent's sound as the caller heard it.
        played: the words of it, by number of the turn; None until the call is over.
    """

    adapter: str
    began_at: float = 0.0
    turns: list[TurnMark] = field(default_factory=list)
    lasting_faults: list[FaultMark] = field(default_factory=list)
    provider_log: list[Entry] = field(default_factory=list)
    adapter_events: list[Entry] = field(default_factory=list)
    session_events: list[Entry] = field(default_factory=list)
    said: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    heard: Samples = field(default_factory=lambda: np.zeros(0, np.int16))

    played: dict[int, list[Played]] | None = None

    @property
    def seconds(self) -> float:
        """How long the call was."""
        return len(self.heard) / RATE

    def clock(self, time: float) -> float:
        """Unix `time` on the call's clock."""
        return time - self.began_at
