# SPDX-License-Identifier: Apache-2.0
"""What a scripted provider is told to do, step by step, and what it noted while doing it.

A script is a list of steps and belongs to one request:

    ScriptedLLM([Say("Hel"), Fail(ConnectionResetError())], [Say("Hello")])

fails its first request after three letters and answers every later one: the last script is used
again and again. A function from the request's number to a script works as well. The steps below
are common to all services; the others stand beside the fake that understands them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livekit import rtc


class Step:
    """One thing a provider does in a request."""


Script = Sequence[Step]
ScriptSource = Script | Callable[[int], Script]
# An instance is raised as it is, each time; a class or function makes a new one each time.
Error = BaseException | Callable[[], BaseException]


@dataclass(frozen=True)
class Wait(Step):
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Fail(Step):
    """Raise, whatever it is: CancelledError and exception groups included."""

    error: Error


@dataclass(frozen=True)
class FailInCall(Step):
    """Raise from `chat()`, `stream()` or `synthesize()` itself. Only as the first step."""

    error: Error


@dataclass(frozen=True)
class Hang(Step):
    """Never come back, until cancelled."""


@dataclass(frozen=True)
class End(Step):
    """End cleanly here. The end of a script does the same, except for a listening STT stream."""


@dataclass(frozen=True)
class Repeat(Step):
    """Do these steps so many times, for ever by default."""

    steps: Script
    times: int | None = None


@dataclass(eq=False)
class Call:
    """One request as the provider saw it; times are loop seconds, None = has not happened."""

    number: int
    kind: str
    script: Script
    kwargs: dict[str, Any]
    opened_at: float
    # More than one if LiveKit's base class retried: each plays the same script.
    runs: int = 0
    started_at: float | None = None
    cancelled_at: float | None = None
    ended_at: float | None = None
    closed_at: float | None = None
    error: BaseException | None = None
    played: list[Step] = field(default_factory=list)
    # What a voice was given to say.
    tokens: list[str] = field(default_factory=list)
    # What a listener was given to hear.
    frames: list[rtc.AudioFrame] = field(default_factory=list)
    flushes: int = 0
    input_ended: bool = False

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def audio_seconds(self) -> float:
        return sum(frame.duration for frame in self.frames)

    def __repr__(self) -> str:
        state = "open" if self.closed_at is None else "closed"
        return f"<{self.kind} #{self.number} {state}, played {len(self.played)} steps>"


class News:
    """Lets a script wait for something that its input brings."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Have everybody who waits look again."""
        self._event.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once `reached()` is true."""
        while not reached():
            self._event.clear()
            await self._event.wait()


def now() -> float:
    """The running loop's time in seconds."""
    return asyncio.get_running_loop().time()


def raise_error(error: Error) -> None:
    """Raise what a failing step holds."""
    raise error if isinstance(error, BaseException) else error()


async def perform(
    call: Call, output: Callable[[Step], Awaitable[None]], *, stubborn: float
) -> None:
    """Play a call's script to its end.

    Args:
        call: the request; its times, error and played steps are noted as they happen.
        output: does the steps that are particular to the service.
        stubborn: seconds for which a cancellation is swallowed before it is obeyed.
    """
    call.runs += 1
    call.started_at = now()
    try:
        await _play(call, call.script, output)
    except BaseException as error:
        await _note(call, error, stubborn)
        raise
    finally:
        call.ended_at = now()


async def do_common(step: Step) -> bool:
    """Do a step if it is one that every service knows; say whether it was."""
    match step:
        case Wait():
            await asyncio.sleep(step.seconds)
        case Hang():
            await asyncio.get_running_loop().create_future()
        case Fail() | FailInCall():
            raise_error(step.error)
        case _:
            return False
    return True


async def _play(call: Call, script: Script, output: Callable[[Step], Awaitable[None]]) -> bool:
    """Do these steps; true if one of them was the end of the whole script."""
    for step in script:
        if isinstance(step, End):
            return True
        if isinstance(step, Repeat):
            if await _repeat(call, step, output):
                return True
        elif not await do_common(step):
            await output(step)
        call.played.append(step)
    return False


async def _repeat(call: Call, step: Repeat, output: Callable[[Step], Awaitable[None]]) -> bool:
    done = 0
    while step.times is None or done < step.times:
        if await _play(call, step.steps, output):
            return True
        done += 1
    return False


async def _note(call: Call, error: BaseException, stubborn: float) -> None:
    task = asyncio.current_task()
    if not isinstance(error, asyncio.CancelledError) or not (task and task.cancelling()):
        call.error = error
        return
    call.cancelled_at = now()
    await ignore_cancellation(stubborn)


async def ignore_cancellation(seconds: float) -> None:
    """Keep going for so long, however often it is cancelled meanwhile."""
    until = now() + seconds
    while (left := until - now()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
