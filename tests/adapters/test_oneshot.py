# SPDX-License-Identifier: Apache-2.0
"""A single answer behaves as a stream of one item."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from livekit_fallback.adapters._oneshot import OneShot
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census


async def _answer(after: float = 0.0) -> str:
    await asyncio.sleep(after)
    return "answer"


async def _read(one_shot: OneShot[str]) -> list[str]:
    async with one_shot as stream:
        return [item async for item in stream]


async def test_it_gives_the_result_and_ends(census: Census):
    """One item, then the end, also when asked again."""
    async with OneShot(_answer()) as stream:
        assert await anext(stream) == "answer"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_an_error_is_the_streams_error(census: Census):
    """What the answer raises is raised where the item would have been."""

    async def fail() -> str:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        await _read(OneShot(fail()))


async def test_cancelling_the_reader_cancels_the_work(census: Census):
    """Nobody works for an answer that nobody reads."""
    cancelled = asyncio.Event()

    async def work() -> str:
        try:
            return await _answer(60.0)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    reader = asyncio.create_task(_read(OneShot(work())))
    await turns(3)
    reader.cancel()
    await asyncio.wait({reader})

    assert reader.cancelled()
    assert cancelled.is_set()


@pytest.mark.filterwarnings("error")
async def test_an_answer_that_was_never_asked_for_is_never_started(census: Census):
    """Leaving without reading closes the coroutine: it does not run, and does not warn."""
    started = False

    async def work() -> str:
        nonlocal started
        started = True
        return "answer"

    async with OneShot(work()):
        pass
    await turns(3)

    assert not started
