# SPDX-License-Identifier: Apache-2.0
"""What `get_service_health` counts: requests, latencies, shares of the traffic, probes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import llm

from livekit_fallback import AllProvidersFailedError
from livekit_fallback.core.outcome import CANCELLED
from tests.support.audio import frames
from tests.support.caller import calling
from tests.support.errors import status
from tests.support.fakes import AfterFrames, Fail, Final, Hang, Say, UsageOnly, Wait
from tests.support.outage import DOWN, LLM, SILENT, STT, TTS, WORD, Kind, line
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit_fallback import ServiceHealth
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Step

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)


def health(chain: Line, name: str = "a") -> ServiceHealth:
    """What is known of a provider."""
    found: ServiceHealth = chain.adapter.get_service_health(name)
    return found


def counted(chain: Line, name: str = "a") -> tuple[int, int, dict[str, int], int]:
    it = health(chain, name)
    return it.requests, it.successes, dict(it.failures), it.cancelled


@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_requests_end_as_successes_or_as_failures_by_kind(kind: Kind, census: Census):
    """Every request is counted once, by how it ended, for the provider it was given to."""
    codes = [503, 500, 400, 429]
    scripts = [[Fail(status(code))] for code in codes]
    primary = kind.make(*scripts, kind.answer("a"))
    chain = line(census, kind, primary, kind.answer("b"), temporary_disable_sec=0, probe="live")

    for _ in range(6):
        await chain.use()
        await asyncio.sleep(10)

    assert counted(chain) == (6, 2, {"transient": 2, "request": 1, "rate_limited": 1}, 0)
    assert counted(chain, "b") == (4, 4, {}, 0)


async def test_a_rejected_key_is_counted_by_its_kind(census: Census):
    """Auth failures stand apart: somebody has to do something about them."""
    chain = line(census, LLM, [Fail(status(401))], LLM.answer("b"))

    await chain.use()

    assert counted(chain) == (1, 0, {"auth": 1}, 0)


async def _interrupt(chain: Line, seconds: float) -> None:
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
    await asyncio.sleep(seconds)
    await stream.aclose()


async def test_an_interrupted_request_is_cancelled_unless_it_had_begun(census: Census):
    """Before its first output nothing can be said of the provider; after it, that it is well."""
    chain = line(census, LLM, [Wait(0.5), Say("a"), Hang()], LLM.answer("b"))

    await _interrupt(chain, 0.2)
    await _interrupt(chain, 0.8)

    assert counted(chain) == (2, 1, {}, 1)


async def test_a_reply_that_is_not_wanted_any_more_is_cancelled(census: Census):
    """A voice that was not given the time to speak has not failed."""
    chain = line(census, TTS, SILENT, TTS.answer("b"))

    async with chain.adapter.stream() as stream:
        stream.push_text(WORD)
        await asyncio.sleep(0.2)

    assert counted(chain) == (1, 0, {}, 1)


async def test_a_caller_who_hangs_up_without_a_word_cancels(census: Census):
    """A listener that was given nothing to hear has neither served nor failed."""
    chain = line(census, STT, STT.answer("a"), STT.answer("b"))

    async with calling(chain.adapter):
        await turns()

    assert counted(chain) == (1, 0, {}, 1)


async def test_a_request_under_way_is_counted_already(census: Census):
    """What is missing in the sum of the ends is at work."""
    chain = line(census, LLM, [Hang()], LLM.answer("b"))
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
    await turns()

    assert counted(chain) == (1, 0, {}, 0)
    await stream.aclose()


@pytest.mark.parametrize("utterances", [1, 3])
async def test_each_utterance_of_a_speech_stream_is_one_request(utterances: int, census: Census):
    """A long call counts as much as many short ones; its end is no request."""
    steps = [step for n in range(utterances) for step in (AfterFrames(5 * n + 5), Final(f"w{n}"))]
    chain = line(census, STT, steps, DOWN)

    async with calling(chain.adapter) as caller:
        await caller.speak(5 * utterances + 5)
        caller.stream.end_input()
        await caller.listening

    assert counted(chain) == (utterances, utterances, {}, 0)


@each_kind
async def test_retries_are_requests_of_their_own(kind: Kind, census: Census):
    """A provider that is asked three times for one answer has had three."""
    chain = line(census, kind, DOWN, kind.answer("b"), **{f"max_retry_per_{kind.name}": 2})

    await chain.use()

    assert counted(chain) == (3, 0, {"transient": 3}, 0)


# --- latency, share, probes ---------------------------------------------------------------------


async def _recognize(chain: Line) -> None:
    await chain.adapter.recognize(frames(0.2))


async def _use(chain: Line) -> None:
    await chain.use()


USES = {
    "llm": (LLM, _use, [LLM.useful, Wait(1.0)]),
    "tts": (TTS, _use, [TTS.useful, Wait(1.0)]),
    "recognize": (STT, _recognize, [STT.useful]),
}


@pytest.mark.parametrize(("kind", "use", "answer"), USES.values(), ids=USES)
async def test_latencies_are_those_to_the_first_useful_output(
    kind: Kind, use: Callable[[Line], Awaitable[None]], answer: list[Step], census: Census
):
    """Half of the requests kept to the median, and 95 or 99 of 100 to the others."""
    primary = kind.make(lambda n: [Wait(n / 10), *answer])
    chain = line(census, kind, primary, DOWN)

    for _ in range(10):
        await use(chain)

    assert health(chain).latency_p50 == pytest.approx(0.4, abs=0.02)
    assert health(chain).latency_p95 == pytest.approx(0.9, abs=0.02)
    assert health(chain).latency_p99 == pytest.approx(0.9, abs=0.02)
    assert health(chain, "b").latency_p50 is None


async def test_speech_streams_have_no_latency(census: Census):
    """How soon text comes is up to the caller, who may say nothing for minutes."""
    chain = line(census, STT, STT.answer("a"), DOWN)

    await chain.use()

    assert (health(chain).latency_p50, health(chain).latency_p95) == (None, None)


async def test_failures_have_no_latency(census: Census):
    """How soon a provider fails says nothing of how soon it answers."""
    chain = line(census, LLM, DOWN, LLM.answer("b"))

    await chain.use()

    it = health(chain)
    assert (it.latency_p50, it.latency_p95, it.latency_p99) == (None, None, None)


async def test_a_deadline_that_passed_is_longer_than_all_that_were_measured(census: Census):
    """Half of the outputs kept to a second; how long the other half takes, nobody has waited."""
    primary = LLM.make([Wait(1), *LLM.answer("a")], SILENT)
    chain = line(census, LLM, primary, LLM.answer("b"), probe=None)
    for _ in range(2):
        await chain.use()

    assert health(chain).latency_p50 == pytest.approx(1.0, abs=0.02)
    assert (health(chain).latency_p95, health(chain).latency_p99) == (None, None)


@pytest.mark.parametrize(("probe", "latency"), [("replay", 1.0), ("ping", None)])
async def test_only_probes_that_repeat_a_request_are_measured(
    probe: str, latency: float | None, census: Census
):
    """What a smaller request takes says nothing of what the conversation takes."""
    primary = LLM.make(DOWN, [Wait(1), Say("a")])
    options = {"probe": probe, "temporary_disable_sec": 5}
    chain = line(census, LLM, primary, LLM.answer("b"), **options)
    await chain.use()
    await asyncio.sleep(10)

    assert health(chain).state == "probation"
    assert health(chain).latency_p50 == (latency and pytest.approx(latency, abs=0.02))


@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_shares_are_those_of_requests_served(kind: Kind, census: Census):
    """Who carries the traffic: the parts add up, and old requests are forgotten."""
    primary = kind.make(kind.answer("a"), DOWN)
    chain = line(census, kind, primary, kind.answer("b"), probe=None)
    shares = []

    for _ in range(101):
        await chain.use()
        shares.append((health(chain).share, health(chain, "b").share))

    assert shares[:4] == [(1, 0), (1 / 2, 1 / 2), pytest.approx((1 / 3, 2 / 3)), (1 / 4, 3 / 4)]
    assert shares[99:] == [(0.01, 0.99), (0.0, 1.0)]


@each_kind
async def test_probes_are_counted_apart_from_requests(kind: Kind, census: Census):
    """What the adapter asks on its own account is no traffic."""
    chain = line(census, kind, kind.make(DOWN), kind.answer("b"), temporary_disable_sec=5)
    await chain.use()
    before = health(chain)

    await asyncio.sleep(6)

    assert (before.requests, before.probes) == (1, 0)
    assert (health(chain).requests, health(chain).probes) == (1, 1)
    assert health(chain).failures == {"transient": 1}


async def test_a_probe_that_was_never_sent_is_not_counted(census: Census):
    """Where there was nothing to ask, the provider has not been asked."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), probe="live", temporary_disable_sec=0)
    await chain.use()
    permit = chain.adapter._chain.health.circuit(0).probe_permit(asyncio.get_running_loop().time())

    chain.adapter._chain.record_probe(permit, CANCELLED, None)

    assert (health(chain).probes, health(chain).state) == (0, "cooling_down")
    assert chain.events.of("probed") == []


async def test_what_a_provider_counted_for_probes_is_kept_apart(census: Census):
    """The cost of probing can be read, and is no part of the session's usage."""
    probe = [UsageOnly(prompt=7, completion=1), Say("a"), UsageOnly(prompt=7, completion=1)]
    chain = line(census, LLM, LLM.make(DOWN, probe), LLM.answer("b"), temporary_disable_sec=5)
    await chain.use()
    await asyncio.sleep(6)

    assert health(chain).probe_usage == 8
    assert health(chain, "b").probe_usage == 0
    assert [m.label for m in chain.events.of("metrics_collected")] == ["b"]


async def test_insight_works_when_everybody_is_down(census: Census):
    """In the worst hour the numbers are needed most."""
    chain = line(census, LLM, [Fail(status(401))], [Fail(status(503))], total_timeout=1.0)

    with pytest.raises(AllProvidersFailedError):
        await chain.use()

    assert [health(chain, name).healthy for name in "ab"] == [False, False]
    assert [health(chain, name).share for name in "ab"] == [0.0, 0.0]
