# SPDX-License-Identifier: Apache-2.0
"""What a fallback adapter adds to a direct call: LiveKit's adapter and ours, in one run.

    python -m benchmarks.overhead [--rounds N] [--json FILE]

The same provider is called directly, through LiveKit's adapter and through ours, in turn, use by
use. A round's figure is the quickest use through the adapter minus the quickest direct one; the
table shows the median over the rounds with the smallest and the largest, and the median of the
rounds' ratios.

Measured is the processor time of the process: nothing here waits, and what others do meanwhile is
not counted. What others do to the speed of a shared core still shows (a busy sibling thread can
halve it), hence the quickest use, the turns, and ratios taken within a round: trust the ratios
first, and the absolute figures where least and most agree.

The cost per request and per unit (LLM chunk, TTS or STT frame) are told apart by sending few and
many: the slope is the unit, what is left at zero units is the request.

LiveKit's adapter does not watch whether recognisers go silent, so ours is compared with it without
that. What the audio kept and the watch cost is measured by itself: processor time per second of
audio in real time, as a share of one core, for one stream, the bundled detector included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import json
import os
import platform
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import llm, stt, tts

from benchmarks.providers import FRAME, BenchLLM, BenchSTT, BenchTTS, Pace
from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS

FEW, MANY = 10, 210
FRAME_SEC = 0.02
WATCHED_SEC = 10.0
WATCH_TARGET = 2.0  # % of one core
USES_PER_ROUND = 20
IDLE_ADAPTERS = 200

Use = Callable[[Any, Pace], Awaitable[None]]
Make = Callable[[list[Any]], Any]
Samples = dict[str, list[float]]  # by what was called: one number per round


@dataclass(frozen=True)
class Subject:
    """A kind of adapter: its provider, and the adapters that wrap two of them."""

    name: str
    provider: Callable[[Pace], Any]
    livekit: Make
    ours: Make


@dataclass(frozen=True)
class Scenario:
    """One way to use an adapter; a unit of None means that only whole requests are measured."""

    name: str
    subject: Subject
    use: Use
    unit: str | None
    request_target: float | None
    unit_target: float | None


@dataclass(frozen=True)
class Figure:
    """Something measured once per round: median, least and most over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: list[float]) -> Figure:
        return cls(median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Share:
    """What one stream of audio costs in real time, in percent of one core, and the promise."""

    what: str
    percent: Figure
    target: float | None


@dataclass(frozen=True)
class Row:
    """One line of the table: what LiveKit's adapter adds, what ours adds, and the promise."""

    what: str
    scale: str
    livekit: Figure
    ours: Figure
    ratio: Figure
    target: float | None


CHAT_CTX = llm.ChatContext.empty()
CHAT_CTX.add_message(role="user", content="word")


async def use_llm(model: llm.LLM, pace: Pace) -> None:
    chunks = 0
    async with model.chat(chat_ctx=CHAT_CTX) as stream:
        async for chunk in stream:
            chunks += chunk.delta is not None
    assert chunks == pace.units, f"{chunks} of {pace.units} chunks"


async def use_tts(voice: tts.TTS, pace: Pace) -> None:
    heard = 0
    async with voice.stream() as stream:
        stream.push_text("word")
        stream.end_input()
        async for audio in stream:
            heard += audio.frame.samples_per_channel
    owed = pace.units * FRAME.samples_per_channel
    assert heard == owed, f"{heard} of {owed} samples"


async def use_stt_stream(listener: stt.STT, pace: Pace) -> None:
    async with listener.stream() as stream:
        for _ in range(pace.units):
            stream.push_frame(FRAME)
            await pace.pause()
        stream.end_input()
        finals = [event async for event in stream]
    assert len(finals) == 1, f"{len(finals)} transcripts"


async def use_stt_recognize(listener: stt.STT, pace: Pace) -> None:
    assert (await listener.recognize(FRAME)).alternatives


def stt_unwatched(providers: list[Any]) -> FallbackSTT:
    """Ours, doing what LiveKit's does."""
    return FallbackSTT(providers, silence_timeout=None)


LLM = Subject("llm", BenchLLM, llm.FallbackAdapter, FallbackLLM)
STT = Subject("stt", BenchSTT, stt.FallbackAdapter, stt_unwatched)
TTS = Subject("tts", BenchTTS, tts.FallbackAdapter, FallbackTTS)

SCENARIOS = (
    Scenario("LLM", LLM, use_llm, "LLM chunk", 1.0, 0.5),
    Scenario("TTS stream", TTS, use_tts, "TTS frame", 1.0, 0.5),
    Scenario("STT stream", STT, use_stt_stream, "STT frame", 1.0, 1.0),
    Scenario("STT recognize", STT, use_stt_recognize, None, 1.0, None),
)


async def measure(scenario: Scenario, *, rounds: int, wakes_reader: bool) -> list[Row]:
    """Run one scenario; a row for the request and, if it has units, one for the unit."""
    pace = Pace()
    pace.wakes_reader = wakes_reader
    subject = scenario.subject
    targets = {
        "direct": subject.provider(pace),
        "livekit": subject.livekit([subject.provider(pace), subject.provider(pace)]),
        "ours": subject.ours([subject.provider(pace), subject.provider(pace)]),
    }
    requests: Samples = {name: [] for name in targets}
    units: Samples = {name: [] for name in targets}
    await one_round(scenario, targets, pace)  # warms up
    for _ in range(rounds):
        for name, (request, unit) in (await one_round(scenario, targets, pace)).items():
            requests[name].append(request)
            units[name].append(unit)
    for target in targets.values():
        await target.aclose()
    rows = [added(f"{scenario.name} request", requests, scenario.request_target)]
    if scenario.unit:
        rows.append(added(scenario.unit, units, scenario.unit_target))
    return rows


async def one_round(
    scenario: Scenario, targets: dict[str, Any], pace: Pace
) -> dict[str, tuple[float, float]]:
    """Microseconds per request without its units, and per unit, of each target."""
    few = await quickest_uses(scenario.use, targets, pace, FEW)
    if scenario.unit is None:
        return {name: (few[name], 0.0) for name in targets}
    many = await quickest_uses(scenario.use, targets, pace, MANY)
    units = {name: (many[name] - few[name]) / (MANY - FEW) for name in targets}
    return {name: (few[name] - FEW * units[name], units[name]) for name in targets}


async def quickest_uses(
    use: Use, targets: dict[str, Any], pace: Pace, units: int
) -> dict[str, float]:
    """Microseconds of each target's quickest use with so many units; they take turns."""
    pace.units = units
    best = dict.fromkeys(targets, float("inf"))
    gc.collect()
    for _ in range(USES_PER_ROUND):
        for name, target in targets.items():
            started = time.process_time()
            await use(target, pace)
            best[name] = min(best[name], (time.process_time() - started) * 1e6)
    return best


def added(what: str, samples: Samples, target: float | None) -> Row:
    """Subtract the direct call, round by round."""
    over = {
        name: [a - b for a, b in zip(samples[name], samples["direct"], strict=True)]
        for name in samples
        if name != "direct"
    }
    return compared(what, "us", over, target)


def compared(what: str, scale: str, over: Samples, target: float | None) -> Row:
    """Put what ours adds beside what LiveKit's adds, round by round."""
    livekit, ours = over["livekit"], over["ours"]
    ratios = [a / b for a, b in zip(ours, livekit, strict=True)]
    figures = Figure.of(livekit), Figure.of(ours), Figure.of(ratios)
    return Row(what, scale, *figures, target)


async def measure_memory(subject: Subject, *, rounds: int) -> Row:
    """Bytes that an adapter holds before its first request, its two providers not counted."""
    samples: Samples = {"livekit": [], "ours": []}
    for _ in range(rounds):
        samples["livekit"].append(await bytes_per_adapter(subject.livekit, subject.provider))
        samples["ours"].append(await bytes_per_adapter(subject.ours, subject.provider))
    return compared(f"idle {subject.name} adapter", "B", samples, None)


async def bytes_per_adapter(make: Make, provider: Callable[[Pace], Any]) -> float:
    """Make many adapters, weigh them, close them."""
    pace = Pace()
    pairs = [[provider(pace), provider(pace)] for _ in range(IDLE_ADAPTERS)]
    gc.collect()
    tracemalloc.start()
    adapters = [make(pair) for pair in pairs]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for adapter in adapters:
        await adapter.aclose()
    return size / IDLE_ADAPTERS


async def measure_watch(*, rounds: int) -> list[Share]:
    """What a stream in real time costs: directly, and what ours adds without and with the watch."""
    samples: Samples = {"direct": [], "kept": [], "watched": []}
    pace = Pace()
    targets: dict[str, stt.STT] = {
        "direct": BenchSTT(pace),
        "kept": stt_unwatched([BenchSTT(pace), BenchSTT(pace)]),
        "watched": FallbackSTT([BenchSTT(pace), BenchSTT(pace)]),
    }
    await listen_in_real_time(targets["watched"], 1.0)  # loads the detector
    for _ in range(rounds):
        for name, target in targets.items():
            samples[name].append(await listen_in_real_time(target, WATCHED_SEC))
    for target in targets.values():
        await target.aclose()
    return [
        Share("replay buffer and ledger", share_of(samples, "kept", "direct"), None),
        Share("silence watch with its detector", share_of(samples, "watched", "kept"), None),
        Share("both", share_of(samples, "watched", "direct"), WATCH_TARGET),
    ]


async def listen_in_real_time(listener: stt.STT, seconds: float) -> float:
    """Percent of a core that this process used while it listened to so much audio."""
    frames = voice_like(seconds)
    async with listener.stream() as stream:
        began, started = time.perf_counter(), time.process_time()
        for number, frame in enumerate(frames):
            stream.push_frame(frame)
            await asyncio.sleep(max(0.0, began + (number + 1) * FRAME_SEC - time.perf_counter()))
        used, took = time.process_time() - started, time.perf_counter() - began
        stream.end_input()
        async for _ in stream:
            pass
    return 100.0 * used / took


def voice_like(seconds: float) -> list[rtc.AudioFrame]:
    """Sound that swells and fades, so that no detector has an easier time than with speech."""
    count = int(16_000 * FRAME_SEC)
    at = np.arange(int(seconds * 16_000)) / 16_000
    carrier = sum(np.sin(2 * np.pi * 140 * n * at) / n for n in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 1.5 * at), 0.0, 1.0)
    samples = (6000 * carrier * loudness).astype(np.int16)
    return [
        rtc.AudioFrame(samples[i : i + count].tobytes(), 16_000, 1, count)
        for i in range(0, len(samples) - count + 1, count)
    ]


def share_of(samples: Samples, more: str, less: str) -> Figure:
    """What one costs beyond the other, round by round."""
    return Figure.of([a - b for a, b in zip(samples[more], samples[less], strict=True)])


def print_shares(shares: list[Share]) -> None:
    """The table of what hearing every word once costs."""
    print("\nOne stream of audio in real time, frames of 20 ms: what ours adds, in % of one core")
    for s in shares:
        kept = "" if s.target is None else "ok" if s.percent.median <= s.target else "MISSED"
        bound = "" if s.target is None else f"  <= {s.target:.1f} % {kept}"
        print(f"{s.what:36}{shown(s.percent, '.2f'):>26}{bound}")


def print_table(title: str, rows: list[Row]) -> None:
    """One table: what each adds, and how ours compares to LiveKit's and to what is promised."""
    print(f"\n{title}")
    print(f"{'':26}{'LiveKit adds':>26}{'ours adds':>26}{'ratio':>22}")
    for r in rows:
        name = f"{r.what} [{r.scale}]"
        figures = f"{shown(r.livekit):>26}{shown(r.ours):>26}{shown(r.ratio, '.2f'):>22}"
        print(f"{name:26}{figures}{verdict(r)}")


def shown(figure: Figure, spec: str = "") -> str:
    """A figure as text, by default with one decimal where that says something."""
    spec = spec or (".1f" if abs(figure.median) < 100 else ".0f")
    return f"{figure.median:{spec}} ({figure.least:{spec}}..{figure.most:{spec}})"


def verdict(r: Row) -> str:
    """Whether the promise is kept, where there is one."""
    if r.target is None:
        return ""
    return f"  <= {r.target:.1f} {'ok' if r.ratio.median <= r.target else 'MISSED'}"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "livekit-agents": importlib.metadata.version("livekit-agents"),
    }


async def run(rounds: int) -> dict[str, list[Row]]:
    """Measure everything; the tables by title."""
    tables: dict[str, list[Row]] = {}
    for title, wakes_reader in (
        ("Every unit wakes its reader, as in a real stream (the figures that count)", True),
        ("Units in bursts: written as fast as possible, read when nothing is left to write", False),
    ):
        tables[title] = []
        for scenario in SCENARIOS:
            tables[title] += await measure(scenario, rounds=rounds, wakes_reader=wakes_reader)
    weighings = min(rounds, 3)
    tables["Memory"] = [await measure_memory(s, rounds=weighings) for s in (LLM, STT, TTS)]
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description="What a fallback adapter adds to a direct call.")
    parser.add_argument("--rounds", type=int, default=15, help="rounds per scenario (15)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()

    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="; ")
    print(f"{arguments.rounds} rounds: median (least..most), processor time")
    tables = asyncio.run(run(arguments.rounds))
    for title, rows in tables.items():
        print_table(title, rows)
    shares = asyncio.run(measure_watch(rounds=min(arguments.rounds, 5)))
    print_shares(shares)
    if arguments.json:
        figures = {title: [asdict(r) for r in rows] for title, rows in tables.items()}
        figures["Real time"] = [asdict(s) for s in shares]
        arguments.json.write_text(json.dumps({"machine": about, "tables": figures}, indent=2))


if __name__ == "__main__":
    main()
