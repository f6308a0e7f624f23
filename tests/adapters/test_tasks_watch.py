# SPDX-License-Identifier: Apache-2.0
"""The two small tools under every attempt: tasks that are held, and a deadline that moves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from livekit_fallback.adapters._tasks import TaskHolder, dismiss, settle
from livekit_fallback.adapters._watch import Watch
from tests.support.script import ignore_cancellation
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from tests.support.census import Census


async def test_a_task_is_named_and_held():
    """A task that nobody holds may be collected in the middle of its work."""
    holder = TaskHolder()

    task = holder.spawn(asyncio.sleep(1, "done"), "the name")

    assert task.get_name() == "the name"
    assert await task == "done"


async def test_what_a_task_raises_is_retrieved_and_logged(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """No exception is lost; its text stays under a key that says what it may hold."""

    async def fail() -> None:
        raise ValueError("what the caller said")

    TaskHolder().spawn(fail(), "the name")
    await turns()

    (record,) = caplog.records
    assert "what the caller said" not in record.getMessage()
    assert record.__dict__["task"] == "the name"
    assert "what the caller said" in record.__dict__["lk.pii.error"]


async def test_closing_cancels_all_tasks(census: Census):
    """After closing none is left."""
    holder = TaskHolder()
    tasks = [holder.spawn(asyncio.sleep(100), f"task {n}") for n in range(3)]

    with Stopwatch() as watch:
        await holder.close(patience=1.0)

    assert all(task.cancelled() for task in tasks)
    assert watch.elapsed == 0.0


async def test_closing_an_empty_holder_does_nothing():
    """There is nothing to wait for."""
    with Stopwatch() as watch:
        await TaskHolder().close(patience=1.0)

    assert watch.elapsed == 0.0


async def test_closing_does_not_hang_on_a_stubborn_task(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """A task that swallows its cancellation is left behind, and said so."""
    holder = TaskHolder()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await ignore_cancellation(5.0)

    holder.spawn(stubborn(), "the name")
    await turns()

    with Stopwatch() as watch:
        await holder.close(patience=1.0)
    await asyncio.sleep(10)

    assert watch.elapsed == pytest.approx(1.0)
    assert [(r.levelno, r.__dict__["task"]) for r in caplog.records] == [
        (logging.WARNING, "the name")
    ]


@pytest.mark.parametrize(("at_once", "ends_at"), [(True, 0.0), (False, 1.0)])
async def test_a_dismissed_task_ends(at_once: bool, ends_at: float, census: Census):
    """Nobody waits for it: it is cancelled now, or when its time to end by itself is over."""
    task = asyncio.create_task(asyncio.sleep(100))
    await turns()

    with Stopwatch() as watch:
        dismiss(task, at_once=at_once, patience=1.0)
        await asyncio.wait({task})

    assert task.cancelled()
    assert watch.elapsed == pytest.approx(ends_at)


async def test_a_dismissed_task_that_swallows_it_is_reminded(census: Census):
    """One cancellation may get lost; the second comes after a while."""
    reminded = []

    async def swallows_one() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            reminded.append("once")
        await asyncio.sleep(100)

    task = asyncio.create_task(swallows_one())
    await turns()

    with Stopwatch() as watch:
        dismiss(task, at_once=True, patience=1.0)
        await asyncio.wait({task})

    assert (reminded, task.cancelled()) == (["once"], True)
    assert watch.elapsed == pytest.approx(1.0)


async def test_a_task_that_has_ended_is_left_alone(census: Census):
    """Dismissing it changes nothing."""
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task

    dismiss(task, at_once=True, patience=1.0)
    await asyncio.sleep(2)

    assert task.result() == "done"


@pytest.mark.parametrize("seconds", [0.0, 0.1, 5.0])
async def test_settling_waits_but_not_for_ever(seconds: float, census: Census):
    """The end of a task is waited for up to a bound; what it raises is not raised here."""

    async def fail() -> None:
        await asyncio.sleep(seconds)
        raise ValueError

    task = asyncio.create_task(fail())

    with Stopwatch() as watch:
        await settle(task, patience=1.0)

    assert watch.elapsed == pytest.approx(min(seconds, 1.0))
    with pytest.raises(ValueError):  # noqa: PT011  any will do
        await task


class _Deadline:
    """A watch over a deadline that the test moves."""

    def __init__(self, due: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self.due = due
        self.fired: list[float] = []
        self.watch = Watch(self._absolute, lambda: self.fired.append(self._loop.time()))

    @property
    def fired_after(self) -> list[float]:
        return [at - self._start for at in self.fired]

    def _absolute(self) -> float | None:
        return None if self.due is None else self._start + self.due


async def test_a_watch_fires_once_when_its_deadline_passes(census: Census):
    """At the deadline, not before and not twice."""
    deadline = _Deadline(2.0)
    deadline.watch.look()

    await asyncio.sleep(10)

    assert deadline.fired_after == pytest.approx([2.0])


async def test_a_deadline_may_move_away_without_telling(census: Census):
    """Outputs come every few milliseconds and only move the deadline."""
    deadline = _Deadline(2.0)
    deadline.watch.look()

    for seconds in range(1, 6):
        await asyncio.sleep(1)
        deadline.due = seconds + 2.0
    await asyncio.sleep(10)

    assert deadline.fired_after == pytest.approx([7.0])


async def test_a_deadline_that_comes_nearer_has_to_be_told(census: Census):
    """`look` sets the timer again when there is less time than before."""
    deadline = _Deadline(10.0)
    deadline.watch.look()
    deadline.due = 1.0
    deadline.watch.look()

    await asyncio.sleep(20)

    assert deadline.fired_after == pytest.approx([1.0])


async def test_nothing_is_due_while_nothing_is_owed(census: Census):
    """A deadline that is taken back does not fire; one that comes back does."""
    deadline = _Deadline(2.0)
    deadline.watch.look()
    deadline.due = None
    await asyncio.sleep(5)

    deadline.due = 6.0
    deadline.watch.look()
    await asyncio.sleep(5)

    assert deadline.fired_after == pytest.approx([6.0])


async def test_a_stopped_watch_sleeps_until_it_is_woken(census: Census):
    """`stop` is idempotent and final until the next `look`."""
    deadline = _Deadline(2.0)
    deadline.watch.look()
    deadline.watch.stop()
    deadline.watch.stop()
    await asyncio.sleep(5)
    assert deadline.fired == []

    deadline.due = 7.0
    deadline.watch.look()
    await asyncio.sleep(5)

    assert deadline.fired_after == pytest.approx([7.0])
