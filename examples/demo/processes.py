# SPDX-License-Identifier: Apache-2.0
"""Child processes: started with a log, stopped by their own pid, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The repository: children run here, so that `examples` and the package can be imported."""

READY_WITHIN = 20.0
"""Seconds for the local providers to load their models: half a second is usual, a busy or cold
machine takes several."""

STOP_WITHIN = 6.0
"""Seconds to end on request; closing a LiveKit session alone takes two."""


class StartupError(Exception):
    """The demo cannot run here; the message is one line for the person who started it."""


class Child:
    """One Python process with its output in a log file.

    It gets a session of its own: Ctrl-C reaches only the demo, which then stops its children, and
    a worker that kills its process group (LiveKit's does on the second signal) kills only itself.
    """

    def __init__(self, name: str, args: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        self._args = args
        self._env = env
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *, pipe: bool = False) -> None:
        """Start it; with `pipe` its standard output is read by `ready_line` instead of logged."""
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._args,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if pipe else log,
                stderr=log,
                start_new_session=True,
            )

    async def ready_line(self) -> dict[str, Any]:
        """Wait for the JSON line with which the process says that it is ready."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), READY_WITHIN)
            answer: dict[str, Any] = json.loads(line)
        except (TimeoutError, ValueError):
            raise StartupError(f"{self.name} did not start: {self.last_line()}") from None
        return answer

    async def exited(self) -> int:
        """Wait for the process to end and return its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process: a request first, force after `STOP_WITHIN`."""
        if self._process is None or self._process.returncode is not None:
            return
        for sig in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(sig)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_WITHIN)
                return

    def tail(self, lines: int = 15) -> str:
        """The end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def last_line(self) -> str:
        return self.tail(1).strip() or "no output"


def local_providers(log: Path, control_port: int) -> Child:
    """The process that plays the vendors."""
    args = ["-m", "examples.local_providers", "--control-port", str(control_port)]
    return Child("the local providers", args, log, {})


def worker(adapter: str, port: int, control: str, log: Path, events: Path) -> Child:
    """The agent, started the way LiveKit's own console starts it."""
    path = "voice_agent.py" if adapter == "fallback" else "demo/baseline_agent.py"
    args = ["-m", "livekit.agents", "console", f"examples/{path}"]
    env = {
        "LOCAL_PROVIDERS": control,
        "FALLBACK_EVENT_LOG": str(events),
        "DEMO_ADAPTER": adapter,
    }
    return Child("the worker", [*args, "--connect-addr", f"127.0.0.1:{port}"], log, env)
