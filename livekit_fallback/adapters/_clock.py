# SPDX-License-Identifier: Apache-2.0
"""The only place that reads clocks and draws random numbers."""

from __future__ import annotations

import asyncio
import random
import time


def now() -> float:
    """Return monotonic seconds of the running event loop: what deadlines are measured in."""
    return asyncio.get_running_loop().time()


def now_anywhere() -> float:
    """Return the same where no loop may be running: sessions read properties that early."""
    return now() if is_running() else time.monotonic()


def is_running() -> bool:
    """Whether there is an event loop to schedule things on."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def wall() -> float:
    """Return Unix seconds: what events are stamped with."""
    return time.time()


def jitter() -> float:
    """Return a draw from [0, 1)."""
    return random.random()
