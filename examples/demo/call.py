# SPDX-License-Identifier: Apache-2.0
"""The caller: speaks line after line, waits for answers, and has the providers fail meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from .audio import audible_spans
from .line import TICK
from .record import CallRecord, FaultMark, TurnMark
from .scenario import ANSWER_LASTS, ANSWER_WITHIN, PAUSE, Fault, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from examples.local_providers import dialogue

    from .audio import Samples
    from .control import Control
    from .host import ConsoleHost

_TALKING = ("AS_THINKING", "AS_SPEAKING")


class SpokenLine(NamedTuple):
    """What the caller says in a turn: the words and the answer to them, the sound of them, and
    what a recogniser makes of it when nothing disturbs it."""

    script: dialogue.Turn
    samples: Samples
    reference: str


class Caller:
    """Holds one call.

    Args:
        record: filled while the call goes on.
    """

    def __init__(self, host: ConsoleHost, control: Control, record: CallRecord) -> None:
        self._host = host
        self._line = host.line
        self._control = control
        self._record = record
        self._to_heal: list[int] = []  # numbers of the faults of the turn

    async def break_for_good(self, faults: Iterable[Fault]) -> None:
        """Switch faults on that last as long as the call."""
        self._record.lasting_faults += [await self._inject(fault) for fault in faults]
        self._to_heal.clear()

    async def greeted(self) -> None:
        """Wait for the agent's greeting, if it has one."""
        await self._answer(self._line.now)
        await self._reach(self._line.now + PAUSE)

    async def take_turn(self, turn: Turn, line: SpokenLine) -> None:
        """Speak one line and wait for the answer; all faults of the turn are gone afterwards."""
        first = [fault for fault in turn.faults if fault.at == 0]
        marks = [await self._inject(fault) for fault in first]
        began = self._line.say(line.samples)
        mark = TurnMark(
            number=len(self._record.turns) + 1,
            title=turn.title,
            said=line.script.line,
            began=began,
            speech_end=began + audible_spans(line.samples)[-1][1],
            reference=line.reference,
            reply=line.script.answer or "",
            faults=marks,
        )
        self._record.turns.append(mark)
        for fault in turn.faults[len(first) :]:
            await self._reach(began + fault.at)
            marks.append(await self._inject(fault))
        await self._reach(mark.speech_end)
        await self._answer(mark.speech_end)
        await self._heal(marks)
        await self._reach(self._line.now + PAUSE)
        mark.ended = self._line.now

    async def _answer(self, since: float) -> bool:
        """Wait for an answer and its end; False if none came in time."""
        if not await self._until(lambda: self._heard_after(since), since + ANSWER_WITHIN):
            return False
        await self._until(self._agent_is_done, self._line.now + ANSWER_LASTS)
        return True

    def _heard_after(self, since: float) -> bool:
        # Sound that was there before is the end of an earlier answer.
        return any(start > 0 for start, _ in audible_spans(self._line.heard_since(since)))

    def _agent_is_done(self) -> bool:
        return self._state() not in _TALKING and not self._line.agent_pending

    def _state(self) -> str:
        states = (
            str(event["new_state"])
            for event in reversed(self._record.session_events)
            if event["event"] == "agent_state_changed"
        )
        return next(states, "")

    async def _inject(self, fault: Fault) -> FaultMark:
        now = self._line.now
        mark = FaultMark(fault.vendor, fault.service, fault.label, on=now)
        if fault.mode == "cut":
            mark.off = now
            await self._control.drop(fault.vendor, fault.service)
        else:
            self._to_heal.append(await self._control.inject(fault.wire()))
        return mark

    async def _heal(self, marks: list[FaultMark]) -> None:
        while self._to_heal:
            await self._control.heal(self._to_heal.pop())
        for mark in marks:
            mark.off = self._line.now if mark.off is None else mark.off

    async def _reach(self, time: float) -> None:
        await self._until(lambda: False, time)

    async def _until(self, ready: Callable[[], bool], deadline: float) -> bool:
        """Wait until `ready`, at most to `deadline` on the call's clock; return whether it is."""
        while not ready():
            if self._line.now >= deadline:
                return False
            await asyncio.sleep(TICK)
        return True
