# SPDX-License-Identifier: Apache-2.0
"""Which tests run on which clock, and the fixtures every test may use."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.census import Census
from tests.support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Deadlines measure real time, which a busy machine stretches.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


INTEGRATION = Path(__file__).parent / "integration"


def _is_integration(path: Path) -> bool:
    return path.is_relative_to(INTEGRATION)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m unit` does not even import the integration tests: their plugins may be missing."""
    if config.getoption("markexpr") == "unit" and _is_integration(collection_path):
        return True
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """The folder decides the kind of a test, so that no file can forget its marker."""
    item.add_marker("integration" if _is_integration(item.path) else "unit")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Unit tests run on virtual time, integration tests on the real one."""
    if _is_integration(item.path):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def exact_rests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cool-downs last as long as their options say; what chance does to them is a rule of core."""
    if "core" not in request.path.parts:
        monkeypatch.setattr("livekit_fallback.core.circuit.spread", lambda rest, jitter: rest)


@pytest.fixture(autouse=True)
def no_bundled_detector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector of livekit-agents computes on threads of its own: not in virtual time."""
    if not _is_integration(request.path):
        monkeypatch.setattr("livekit_fallback.adapters.stt.bundled_detector", lambda: None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what is imported by now out of the garbage collection that ends each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def census() -> AsyncIterator[Census]:
    """Fails the test if it leaves a task, an open stream, a listener or a lost exception."""
    async with Census() as census:
        yield census
