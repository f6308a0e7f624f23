# SPDX-License-Identifier: Apache-2.0
"""A real plugin that listens along takes over from another without a new connection."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from livekit.agents import inference

from examples.local_providers.dialogue import LINES, spoken
from livekit_fallback import FallbackSTT, Provider
from tests.integration.speech import calling, line
from tests.integration.support import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.stt import STT

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

EARS = "sphinx"

SOON = 5.0

PAIRS = (("deepgram", "cartesia"), ("cartesia", "deepgram"))


def _vendors(providers: LocalProviders) -> list[str]:
    """Who was connected to, in order."""
    return [e["vendor"] for e in providers.log if e["event"] == "request"]


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
async def test_it_takes_over_without_a_new_connection(
    providers: LocalProviders, plugins: Plugins, pair: tuple[str, str]
):
    """Two lines of a caller, a connection lost in the middle of the second: each word once."""
    make: dict[str, Callable[[], STT]] = {
        "deepgram": plugins.deepgram_stt,
        "cartesia": plugins.cartesia_stt,
    }
    entries = [Provider(make[name](), name=name, attempt_timeout=SOON) for name in pair]
    stt = FallbackSTT(entries, vad=inference.VAD(), standby=1)
    async with contextlib.aclosing(stt), calling(stt) as caller:
        await caller.says(line(1))
        await until(lambda: caller.finals, within=SOON)
        second = line(2)
        await caller.says(second[: len(second) // 2])
        connected = _vendors(providers)
        assert providers.kill(pair[0], "stt")
        await caller.says(second[len(second) // 2 :])
        expected = spoken(" ".join(LINES[:2])).split()
        await until(
            lambda: len(spoken(" ".join(caller.finals)).split()) >= len(expected), within=SOON
        )

    assert spoken(" ".join(caller.finals)).split() == expected
    assert caller.is_balanced
    assert sorted(connected) == sorted(pair)
    assert _vendors(providers).count(pair[1]) == 1
