# SPDX-License-Identifier: Apache-2.0
"""Sets up everything one call needs, has it held, and takes everything down again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from examples.local_providers.dialogue import TURNS

from . import processes
from .audio import load_wav
from .call import Caller, SpokenLine
from .control import Control
from .host import ConsoleHost
from .processes import StartupError
from .record import CallRecord, Entry
from .reference import references
from .scenario import ALL_CALL_LONG, SCENARIO
from .spoken import played

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SPEECH = processes.ROOT / "examples" / "speech"

CONNECT_WITHIN = 30.0
"""Seconds for the worker to import LiveKit and dial in: two to three are usual."""

LOOK_EVERY = 0.2
"""Seconds between looks at the providers' log and the adapter's events."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where one call leaves its logs."""

    folder: Path

    @property
    def worker(self) -> Path:
        return self.folder / "worker.log"

    @property
    def providers(self) -> Path:
        return self.folder / "providers.log"

    @property
    def events(self) -> Path:
        return self.folder / "adapter-events.jsonl"


async def hold_call(
    adapter: str, files: Files, control_port: int, show: Callable[[CallRecord, str], None]
) -> CallRecord:
    """Hold the scripted call with one kind of adapter.

    Args:
        show: told about progress: the record so far and what is going on.

    Raises:
        StartupError: something needed did not start, or stopped during the call.
    """
    record = CallRecord(adapter)
    paths = [SPEECH / f"{number:02}.wav" for number in range(1, len(SCENARIO) + 1)]
    show(record, "listening to the caller's lines")
    understood = await references(await asyncio.to_thread(lambda: [p.read_bytes() for p in paths]))
    lines = list(map(SpokenLine, TURNS, map(load_wav, paths), understood))
    files.folder.mkdir(parents=True, exist_ok=True)
    files.events.write_text("")
    async with contextlib.AsyncExitStack() as stack:
        show(record, "starting the local providers")
        providers = processes.local_providers(files.providers, control_port)
        stack.push_async_callback(providers.stop)
        await providers.start(pipe=True)
        url = (await providers.ready_line())["control"]
        control = Control(url)
        stack.push_async_callback(control.close)
        host = ConsoleHost(record.session_events.append)
        stack.push_async_callback(host.close)
        show(record, "starting the worker")
        port = await host.open()
        worker = processes.worker(adapter, port, url, files.worker, files.events)
        stack.push_async_callback(worker.stop)
        await worker.start()
        await _connected(host, worker)
        try:
            await _talk(host, control, record, lines, files.events, show)
        except aiohttp.ClientError as error:
            raise StartupError(f"the local providers stopped: {error}") from error
        show(record, "counting the words that were heard")
        record.played = await asyncio.to_thread(played, record, await control.tape())
        show(record, "hanging up")
    return record


async def _connected(host: ConsoleHost, worker: processes.Child) -> None:
    """Wait until the worker dialled in."""
    dialled = asyncio.create_task(host.connected.wait(), name="worker dials in")
    ended = asyncio.create_task(worker.exited(), name="worker ends")
    try:
        await asyncio.wait({dialled, ended}, timeout=CONNECT_WITHIN, return_when="FIRST_COMPLETED")
    finally:
        ended.cancel()
        dialled.cancel()
    if not host.connected.is_set():
        raise StartupError(f"the worker did not connect. The end of its log:\n{worker.tail()}")


async def _talk(
    host: ConsoleHost,
    control: Control,
    record: CallRecord,
    lines: list[SpokenLine],
    events: Path,
    show: Callable[[CallRecord, str], None],
) -> None:
    """Play the scenario from beginning to end."""
    sound = asyncio.create_task(host.line.run(), name="line")
    looking = asyncio.create_task(_look(host, control, record, events, show), name="look")
    try:
        caller = Caller(host, control, record)
        await caller.break_for_good(ALL_CALL_LONG)
        await caller.greeted()
        for turn, line in zip(SCENARIO, lines, strict=True):
            await caller.take_turn(turn, line)
            _raise_from(looking, sound)
        await asyncio.sleep(LOOK_EVERY * 2)
    finally:
        for task in (looking, sound):
            task.cancel()
        await asyncio.gather(looking, sound, return_exceptions=True)
    record.said, record.heard = host.line.said, host.line.heard


def _raise_from(*tasks: asyncio.Task[None]) -> None:
    """Pass on the error of a helper that should still be running."""
    for task in tasks:
        if task.done():
            task.result()


async def _look(
    host: ConsoleHost,
    control: Control,
    record: CallRecord,
    events: Path,
    show: Callable[[CallRecord, str], None],
) -> None:
    """Gather what providers and adapter report, and show it."""
    copied = 0
    with events.open(encoding="utf-8") as file:
        while True:
            record.began_at = host.line.began_at
            record.provider_log += await control.new_entries()
            record.adapter_events += map(_adapter_event, file)
            if (finished := sum(turn.ended is not None for turn in record.turns)) > copied:
                # Copying minutes of sound five times a second would make the line late.
                copied, record.heard = finished, host.line.heard
            show(record, f"{host.line.now:5.1f} s  {_doing(host, record)}")
            await asyncio.sleep(LOOK_EVERY)


def _adapter_event(line: str) -> Entry:
    fields: Entry = json.loads(line)
    return {"time": fields.pop("timestamp"), **fields}


def _doing(host: ConsoleHost, record: CallRecord) -> str:
    if host.hung_up.is_set():
        return "the agent hung up"
    if not record.turns:
        return "the agent greets"
    turn = record.turns[-1]
    if host.line.now < turn.speech_end:
        return f"caller: {turn.said}"
    return "agent speaks" if host.line.agent_pending else "waiting for the agent"
