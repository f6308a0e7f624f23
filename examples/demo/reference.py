# SPDX-License-Identifier: Apache-2.0
"""What the local ears make of a line that nothing disturbs: slips of theirs are nobody's losses."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from examples.local_providers import audio
from examples.local_providers.ears import Listener
from examples.local_providers.sphinx import SphinxEars

if TYPE_CHECKING:
    from collections.abc import Iterable


async def references(lines: Iterable[bytes]) -> list[str]:
    """Return what is understood of each recording, a WAV file's content, by itself.

    Raises:
        EngineMissingError: the recogniser is not installed.
    """
    with contextlib.ExitStack() as stack:
        ears = await asyncio.to_thread(SphinxEars)
        stack.callback(ears.close)
        threads = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="reference"))
        recordings = map(audio.read_wav, lines)
        return [
            await _heard(Listener(ears.decoder(), rate, threads), pcm) for pcm, rate in recordings
        ]


async def _heard(listener: Listener, pcm: bytes) -> str:
    parts = await listener.hear(pcm) + await listener.finish()
    return " ".join(part.text for part in parts if part.final is not None)
