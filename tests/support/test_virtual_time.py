# SPDX-License-Identifier: Apache-2.0
"""The virtual clock jumps when it may, waits when it must, and never hangs."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.support.virtual_time import WALL_CLOCK_START, Stopwatch, StuckLoopError, VirtualTimeLoop


async def test_hour_passes_at_once():
    real = time.thread_time()

    with Stopwatch() as watch:
        await asyncio.sleep(3600)

    assert watch.elapsed == pytest.approx(3600)
    assert time.thread_time() - real < 1


async def test_deadline_passes_exactly_when_it_is_due():
    with Stopwatch() as watch, pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await asyncio.sleep(60)

    assert watch.elapsed == pytest.approx(2.5, abs=1e-9)


async def test_timers_fire_in_order():
    fired = []

    async def fire(after: float) -> None:
        await asyncio.sleep(after)
        fired.append(after)

    await asyncio.gather(fire(3), fire(1), fire(2))

    assert fired == [1, 2, 3]


async def test_host_clocks_follow_while_the_loop_runs():
    before = time.time(), time.monotonic(), time.perf_counter()

    await asyncio.sleep(30)

    after = time.time(), time.monotonic(), time.perf_counter()
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([30] * 3)
    assert before[0] == pytest.approx(WALL_CLOCK_START, abs=1)


def test_host_clocks_are_real_again_afterwards():
    real = time.time, time.monotonic, time.perf_counter
    loop = VirtualTimeLoop()

    loop.run_until_complete(asyncio.sleep(1))
    loop.close()

    assert (time.time, time.monotonic, time.perf_counter) == real


async def test_clock_stands_still_while_a_thread_works():
    timer = asyncio.create_task(asyncio.sleep(5))

    with Stopwatch() as watch:
        await asyncio.to_thread(time.sleep, 0.02)

    assert watch.elapsed == 0
    await timer


def test_loop_on_which_nothing_can_happen_says_so():
    loop = VirtualTimeLoop()
    forever = loop.create_future()

    with pytest.raises(StuckLoopError, match="wait for ever"):
        loop.run_until_complete(forever)

    loop.close()


def test_socket_is_refused():
    loop = VirtualTimeLoop()
    near, far = socket.socketpair()
    near.setblocking(False)

    with near, far, pytest.raises(RuntimeError, match="integration test"):
        loop.run_until_complete(loop.sock_recv(near, 1))

    loop.close()
