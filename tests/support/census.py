# SPDX-License-Identifier: Apache-2.0
"""A census of what a test left behind: tasks, open streams, listeners, lost exceptions."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Protocol

from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from types import TracebackType


class Watched(Protocol):
    """What a fake provider can say about itself."""

    @property
    def listeners(self) -> int: ...

    @property
    def open_calls(self) -> list[Any]: ...


class Census:
    """Counts on entering, counts again on leaving, and fails on any difference.

    Also collects what reached the loop's exception handler in between: "exception was never
    retrieved", "task was destroyed but it is pending", a callback that raised.

    Args:
        fakes: providers that must end without open stream and with the listeners they started
            with. More can be added with `watch`.
        settle: loop turns granted to what is already ending, on leaving. Virtual time stands
            still meanwhile, so work that still waits for a timer is found.
    """

    def __init__(self, *fakes: Watched, settle: int = 10) -> None:
        self._settle = settle
        self._listeners: dict[Watched, int] = {}
        self._lost: list[str] = []
        self._tasks_before: set[asyncio.Task[Any]] = set()
        self.watch(*fakes)

    def watch(self, *fakes: Watched) -> None:
        """Take these providers into the census, with the listeners they have now."""
        for fake in fakes:
            self._listeners.setdefault(fake, fake.listeners)

    async def __aenter__(self) -> Census:
        self._loop = asyncio.get_running_loop()
        self._tasks_before = asyncio.all_tasks()
        self._loop.set_exception_handler(self._on_lost_exception)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await turns(self._settle)
        # A lost exception is reported when its task is collected, which a cycle may delay.
        gc.collect()
        # What has survived is looked at once: the next census has only its own test to search.
        gc.freeze()
        await turns(1)
        self._loop.set_exception_handler(None)
        if exc is None:
            assert not self.left_behind(), "left behind:\n" + "\n".join(self.left_behind())

    def left_behind(self) -> list[str]:
        """One line for each thing that should not be there, now."""
        return [*self._lost, *self._tasks(), *self._streams_and_listeners()]

    def _tasks(self) -> list[str]:
        here = {asyncio.current_task()}
        return [f"task: {task!r}" for task in asyncio.all_tasks() - self._tasks_before - here]

    def _streams_and_listeners(self) -> list[str]:
        found = []
        for fake, before in self._listeners.items():
            found += [f"open stream: {fake!r} {call!r}" for call in fake.open_calls]
            if fake.listeners != before:
                found.append(f"listeners: {fake!r} had {before}, has {fake.listeners}")
        return found

    def _on_lost_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        culprit = context.get("task") or context.get("future") or context.get("handle")
        self._lost.append(f"lost: {context['message']}: {context.get('exception')!r} {culprit!r}")
