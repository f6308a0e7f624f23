# SPDX-License-Identifier: Apache-2.0
"""Tasks that are named, held until they end, and whose exceptions are always retrieved."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..log import logger

T = TypeVar("T")


class TaskHolder:
    """Holds the tasks of one adapter. Safe to use from the event loop's thread only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed = False  # set by close(): from then on tasks are cancelled from here
        self.waits: set[asyncio.Future[Any]] = set()  # what requests wait for; cancelled by close()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task; it is held here until it ends, and what it raises is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait_for(self, future: asyncio.Future[T]) -> T:
        """Wait for something, but no longer than the adapter is open.

        Raises:
            asyncio.CancelledError: The caller was cancelled, or the adapter closed.
        """
        self.waits.add(future)
        try:
            return await future
        finally:
            self.waits.discard(future)

    async def close(self, *, patience: float) -> None:
        """Cancel all tasks and wait for them up to ``patience`` seconds.

        A provider may refuse to be cancelled. Its task is then left to the event loop, and
        said so in the log, because the caller must not hang on it.
        """
        self.closed = True
        for wait in self.waits:
            wait.cancel()
        tasks = self._tasks - {asyncio.current_task()}  # a hook may be what closes the adapter
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, stubborn = await asyncio.wait(tasks, timeout=patience)
        for task in stubborn:
            logger.warning(
                "a provider does not react to cancellation, its task was left behind",
                extra={"task": task.get_name()},
            )

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "a task of the adapter failed unexpectedly",
                extra={"task": task.get_name(), "lk.pii.error": repr(error)},
            )


def dismiss(task: asyncio.Task[Any], *, at_once: bool, patience: float) -> None:
    """Cancel a task nobody waits for, and once more if it is still there after ``patience``.

    Args:
        task: The task.
        at_once: ``False`` leaves it ``patience`` seconds to end by itself first.
        patience: Seconds. Providers may hang in closing, or swallow the first cancellation.
    """
    if task.done():
        return
    if at_once:
        task.cancel()
    task.get_loop().call_later(patience, task.cancel)


async def settle(task: asyncio.Task[Any], *, patience: float) -> None:
    """Wait for a task that is ending, up to ``patience`` seconds; never raises what it raised."""
    if not task.done():
        await asyncio.wait({task}, timeout=patience)


def is_cancelled() -> bool:
    """Whether the running task was asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
