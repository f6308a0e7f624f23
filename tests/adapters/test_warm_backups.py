# SPDX-License-Identifier: Apache-2.0
"""Who is prewarmed: the primary, and by option the next or all; nobody twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackLLM
from tests.support.fakes import ScriptedLLM
from tests.support.outage import BATCH_STT, BATCH_TTS, DOWN, LLM, STT, TTS, Kind, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

every_kind = pytest.mark.parametrize("kind", [LLM, STT, BATCH_STT, TTS, BATCH_TTS], ids=repr)
each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)

WARM: dict[str | None, list[int]] = {None: [1, 0, 0], "next": [1, 1, 0], "all": [1, 1, 1]}
each_option = pytest.mark.parametrize(
    ("warm_backups", "expected"), WARM.items(), ids=map(str, WARM)
)


def three(census: Census, kind: Kind, **options: Any) -> Line:
    return line(census, kind, DOWN, kind.answer("b"), kind.answer("c"), **options)


def prewarmed(chain: Line) -> list[int]:
    """How often each provider was prewarmed."""
    return [provider.prewarmed for provider in chain.providers.values()]


@every_kind
@each_option
async def test_prewarm_reaches_whom_the_option_says(
    kind: Kind, warm_backups: str | None, expected: list[int], census: Census
):
    """The primary always, behind its wrapper too; backups only if asked for."""
    chain = three(census, kind, warm_backups=warm_backups)

    chain.adapter.prewarm()

    assert prewarmed(chain) == expected


@each_kind
@each_option
async def test_nobody_is_prewarmed_twice(
    kind: Kind, warm_backups: str | None, expected: list[int], census: Census
):
    """A session and its agents prewarm the same adapter; a provider connects once."""
    chain = three(census, kind, warm_backups=warm_backups)

    for _ in range(3):
        chain.adapter.prewarm()
    await chain.use()
    chain.adapter.prewarm()

    assert prewarmed(chain) == expected


@each_kind
async def test_without_being_asked_nobody_is_prewarmed(kind: Kind, census: Census):
    """Neither by making the adapter nor by using it: connections cost something."""
    chain = three(census, kind, warm_backups="all")

    await chain.use()

    assert prewarmed(chain) == [0, 0, 0]


@each_kind
async def test_the_primary_is_prewarmed_after_its_failure_too(kind: Kind, census: Census):
    """Prewarming knows nothing of health: a provider that rests is expected back."""
    chain = three(census, kind, warm_backups="next")
    await chain.use()

    chain.adapter.prewarm()

    assert prewarmed(chain) == [1, 1, 0]


@each_kind
async def test_more_backups_than_there_are_is_no_mistake(kind: Kind, census: Census):
    """A lone primary has no next."""
    chain = line(census, kind, kind.answer("a"), warm_backups="next")

    chain.adapter.prewarm()

    assert prewarmed(chain) == [1]


class Warm(ScriptedLLM):
    """Notes the event loop that it is to connect on."""

    loop: asyncio.AbstractEventLoop | None = None

    def prewarm(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        super().prewarm(loop=loop)


def test_language_models_are_given_the_loop():
    """Workers prewarm before their loop runs; every model connects on the one they name."""
    models = [Warm(), Warm()]
    loop = asyncio.new_event_loop()

    FallbackLLM(models, warm_backups="all").prewarm(loop=loop)

    assert [model.loop for model in models] == [loop, loop]
    loop.close()


@each_kind
async def test_a_backup_that_cannot_be_prewarmed_breaks_nothing(kind: Kind, census: Census):
    """A call does not fail to start because of a provider that it may never need."""
    chain = three(census, kind, warm_backups="all")

    def broken(**_: Any) -> None:
        raise OSError("no network")

    chain.providers["b"].prewarm = broken
    chain.adapter.prewarm()

    assert prewarmed(chain) == [1, 0, 1]
