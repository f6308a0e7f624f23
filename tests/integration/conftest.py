# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: local providers, real plugins, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import TYPE_CHECKING, Literal

import aiohttp
import pytest
from livekit.plugins import openai

from examples.local_providers import LocalProviders, Pace
from tests.integration.llm_client import ask
from tests.integration.plugins import KEY, Plugins
from tests.integration.support import comes_true
from tests.support.census import Census

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# Answers as fast as the machine can, so that what a test waits for is the fault.
AT_ONCE = Pace(first_token=0, token_gap=0, first_audio=0, audio_chunk=0.1, audio_gap=0)

# Real sockets take real time to close; deadlines of ours would take longer than this.
CLOSING_SEC = 1.0


@pytest.fixture(scope="session", autouse=True)
def no_certificates() -> Iterator[None]:
    """Saves the 60 ms that each OpenAI plugin spends on loading them: nothing here speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def warm(no_certificates: None) -> None:
    """What is imported at a first request, longer than a deadline takes, is imported before."""
    asyncio.run(_ask_nobody())


async def _ask_nobody() -> None:
    llm = openai.LLM(base_url="http://127.0.0.1:1", api_key=KEY)
    answer = await ask(llm)
    await llm.aclose()
    assert answer.error is not None


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fails a test after which a task runs on or an exception got lost, whosever it is."""
    async with Census() as census:
        yield
        # The OpenAI client drops its generators after an error; the loop closes what is collected.
        gc.collect()
        await comes_true(lambda: not census.left_behind(), within=CLOSING_SEC)


@pytest.fixture
async def providers(
    request: pytest.FixtureRequest, nothing_left_behind: None
) -> AsyncIterator[LocalProviders]:
    """All vendors on loopback, with a voice of tones.

    Their ears know the script, unless a module is about words and says ``EARS = "sphinx"``.
    """
    ears: Literal["sphinx", "script"] = getattr(request.module, "EARS", "script")
    async with LocalProviders(ears=ears, voice="tone", pace=AT_ONCE) as providers:
        yield providers


@pytest.fixture
async def plugins(providers: LocalProviders) -> AsyncIterator[Plugins]:
    """The real plugins; they are closed before the providers."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Plugins(providers, http, stack)
        assert not _tasks_of_ours(), "the adapter had been closed, but its tasks run on"


def _tasks_of_ours() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if "fallback" in name.lower()]
