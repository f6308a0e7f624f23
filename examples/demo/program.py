# SPDX-License-Identifier: Apache-2.0
"""What both commands share: run a call with its report, and end cleanly however it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from . import report
from .live import open_view, verdict_table
from .preflight import INTERRUPTED
from .processes import StartupError
from .stage import Files, hold_call
from .turns import turn_facts, verdict
from .words import missed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from .record import CallRecord

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(program: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run `program` and turn trouble into one line and an exit code."""
    try:
        return asyncio.run(_stoppable(program()))
    except StartupError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        print("demo: interrupted; everything it started is stopped", file=sys.stderr)
        return INTERRUPTED


async def one_call(adapter: str, out: Path, control_port: int = 0) -> int:
    """Hold and report one call; 1 if a turn went unanswered, or a word got lost or came twice."""
    record = await recorded_call(adapter, out, control_port)
    result = verdict(record)
    Console().print(verdict_table(adapter, result))
    for turn in turn_facts(record):
        if text := missed(turn):
            print(f"turn {turn.mark.number}, {turn.mark.title}: words {text}")
    print(f"The report: {out / 'report.html'}")
    return 0 if result.good else 1


async def recorded_call(adapter: str, out: Path, control_port: int = 0) -> CallRecord:
    """Hold one call, watched in the terminal, and write its report."""
    with open_view(adapter) as view:
        record = await hold_call(adapter, Files(out), control_port, view)
    report.write(record, out)
    return record


async def _stoppable(program: Coroutine[Any, Any, int]) -> int:
    """Cancel `program` on the first signal only: a second one must not cut its cleaning up."""
    task = asyncio.ensure_future(program)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for sig in SIGNALS:
            loop.add_signal_handler(sig, lambda: None)
        task.cancel()

    for sig in SIGNALS:
        loop.add_signal_handler(sig, stop)
    return await task
