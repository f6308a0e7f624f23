# SPDX-License-Identifier: Apache-2.0
"""The census finds each kind of thing that can be left behind."""

from __future__ import annotations

import asyncio

import pytest
from livekit.agents import llm

from tests.support.census import Census
from tests.support.fakes import Hang, ScriptedLLM, ask


async def test_nothing_left_behind_passes():
    model = ScriptedLLM()

    async with Census(model):
        await ask(model)


async def test_forgotten_task_is_found():
    with pytest.raises(AssertionError, match=r"task: .*forgotten"):
        async with Census():
            task = asyncio.create_task(asyncio.sleep(60), name="forgotten")

    task.cancel()


async def test_open_stream_is_found():
    model = ScriptedLLM([Hang()])

    with pytest.raises(AssertionError, match=r"open stream: .*chat #0 open"):
        async with Census(model):
            stream = model.chat(chat_ctx=llm.ChatContext.empty())

    await stream.aclose()


async def test_listener_is_found():
    model = ScriptedLLM()

    with pytest.raises(AssertionError, match=r"listeners: .* had 0, has 1"):
        async with Census(model):
            model.on("error", print)


async def test_lost_exception_is_found():
    async def fail() -> None:
        raise ValueError("nobody looked")

    with pytest.raises(AssertionError, match=r"never retrieved: ValueError\('nobody looked'\)"):
        async with Census():
            asyncio.create_task(fail())  # noqa: RUF006  losing it is the point


async def test_failure_of_the_test_itself_is_not_hidden():
    async def fail_and_leave_a_task() -> None:
        async with Census():
            left.append(asyncio.create_task(asyncio.sleep(60)))
            raise KeyError

    left: list[asyncio.Task[None]] = []

    with pytest.raises(KeyError):
        await fail_and_leave_a_task()

    left[0].cancel()
