# SPDX-License-Identifier: Apache-2.0
"""An utterance whose recogniser is lost at every point of it.

    python -m tests.integration.kill_points [--runs N]

Real plugins on loopback hear a recorded utterance of some four seconds. At each point, in each
way, for each pair of recognisers the first one is lost; what was understood in the end must be
what is understood without a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from livekit import rtc
from livekit.agents import inference

from examples.local_providers import LocalProviders, Pace
from examples.local_providers.dialogue import LINES, spoken
from livekit_fallback import FallbackSTT, Provider
from tests.integration.plugins import Plugins
from tests.integration.speech import FRAME_SEC, PAUSE_SEC, Caller, calling, line
from tests.integration.support import comes_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from livekit.agents.stt import STT

VENDORS = ("deepgram", "cartesia", "openai")
PAIRS = tuple(itertools.permutations(VENDORS, 2))
STEP_SEC = 0.25

LOSSES: dict[str, dict[str, Any]] = {
    "drop": {"mode": "drop"},
    "1011": {"mode": "close"},
    "hang": {"mode": "hang"},
    # the server's keep-alive goes on, and so do the plugin's own events
    "black hole": {"mode": "keepalive", "gap": 0.1},
}

SILENCE_TIMEOUT = 0.6
LINE_WORDS = spoken(" ".join(LINES[:2])).split()

PATIENCE_SEC = 8.0  # real time, on a busy machine


@dataclass(frozen=True)
class Loss:
    """One way to lose a recogniser.

    Args:
        pair: The vendor that is lost, and the one that takes over.
        how: One of ``LOSSES``.
        at: Seconds of the utterance that the first one has been given.
    """

    pair: tuple[str, str]
    how: str
    at: float

    def __str__(self) -> str:
        return f"{self.pair[0]} to {self.pair[1]}, {self.how} at {self.at:.2f} s"


def utterance() -> tuple[rtc.AudioFrame, ...]:
    """Two recorded lines, spoken in one breath: a little over four seconds."""
    pause = round(PAUSE_SEC / FRAME_SEC)
    return (*line(1)[:-pause], *line(2)[:-pause])


def points() -> Iterator[float]:
    """Every quarter of a second of the utterance, and its end."""
    length = len(utterance()) * FRAME_SEC
    yield from (i * STEP_SEC for i in range(int(length / STEP_SEC) + 1))


def losses() -> list[Loss]:
    """Every way to lose a recogniser."""
    return [Loss(p, how, at) for p, how, at in itertools.product(PAIRS, LOSSES, points())]


async def understood(
    providers: LocalProviders,
    plugins: Plugins,
    pair: Sequence[str],
    loss: Loss | None,
    count: int,
) -> Caller:
    """Let the utterance be heard, with a loss or without one, and wait for so many words of it."""
    make: dict[str, Callable[[], STT]] = {
        "deepgram": plugins.deepgram_stt,
        "cartesia": plugins.cartesia_stt,
        "openai": plugins.openai_stt,
    }
    stts = [Provider(make[name](), name=name, attempt_timeout=1.0) for name in pair]
    stt = FallbackSTT(stts, vad=inference.VAD(), silence_timeout=SILENCE_TIMEOUT)
    async with contextlib.aclosing(stt), calling(stt) as caller:
        await _speak(caller, providers, loss)
        quiet = asyncio.create_task(_stay_on_the_line(caller), name="quiet line")
        try:
            await comes_true(lambda: len(words(caller)) >= count, within=PATIENCE_SEC)
            await asyncio.sleep(SILENCE_TIMEOUT)  # for what comes twice, or is not closed
        finally:
            quiet.cancel()
            await asyncio.wait([quiet])
    return caller


async def _speak(caller: Caller, providers: LocalProviders, loss: Loss | None) -> None:
    frames = utterance()
    cut = len(frames) if loss is None else round(loss.at / FRAME_SEC)
    await caller.says(frames[:cut])
    if loss is not None:
        providers.set_fault(vendor=loss.pair[0], service="stt", times=1, **LOSSES[loss.how])
    await caller.says(frames[cut:])


async def _stay_on_the_line(caller: Caller) -> None:
    rate = utterance()[0].sample_rate
    count = int(FRAME_SEC * rate)
    while True:
        await caller.says([rtc.AudioFrame(bytes(2 * count), rate, 1, count)])


def words(caller: Caller) -> list[str]:
    """The words that were understood, without capitals and marks: cuts move those."""
    return spoken(" ".join(caller.finals)).split()


async def one(pair: Sequence[str], loss: Loss | None, count: int = len(LINE_WORDS)) -> Caller:
    """As :func:`understood`, with providers of its own."""
    at_once = Pace(first_token=0, token_gap=0, first_audio=0, audio_chunk=0.1, audio_gap=0)
    async with (
        LocalProviders(ears="sphinx", voice="tone", pace=at_once) as providers,
        contextlib.AsyncExitStack() as stack,
    ):
        http = await stack.enter_async_context(aiohttp.ClientSession())
        return await understood(providers, Plugins(providers, http, stack), pair, loss, count)


async def _all(runs: int, at_once: int) -> int:
    expected = {vendor: words(await one([vendor], None)) for vendor in VENDORS}
    for vendor, heard in expected.items():
        print(f"{vendor} without a fault: {' '.join(heard)}")
    gate = asyncio.Semaphore(at_once)
    todo = losses() * runs
    began = time.monotonic()

    async def run(loss: Loss) -> bool:
        async with gate:
            caller = await one(loss.pair, loss)
        good = words(caller) == expected[loss.pair[1]] and caller.is_balanced
        if not good:
            print(f"{loss}: {caller.finals} {caller.marks}")
        return good

    good = await asyncio.gather(*map(run, todo))
    took = time.monotonic() - began
    print(f"{sum(good)} of {len(todo)} without a word lost or repeated, in {took:.0f} s")
    return 0 if all(good) else 1


def main() -> int:
    """Run every loss so many times."""
    parser = argparse.ArgumentParser(description="lose a recogniser at every point of an utterance")
    parser.add_argument("--runs", type=int, default=1, help="how often (default: 1)")
    parser.add_argument("--at-once", type=int, default=4, help="calls at a time (default: 4)")
    arguments = parser.parse_args()
    return asyncio.run(_all(arguments.runs, arguments.at_once))


if __name__ == "__main__":
    sys.exit(main())
