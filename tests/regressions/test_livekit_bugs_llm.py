# SPDX-License-Identifier: Apache-2.0
"""Bugs that other fallback adapters for language models had, and that are not to come back here.

Each test is named after the public issue or pull request: `agents` is livekit/agents, `js` is
livekit/agents-js, the others are their own projects.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import APIConnectOptions, APIStatusError, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from livekit_fallback import FallbackLLM, Provider
from livekit_fallback.errors import StallError
from tests.support.census import Census
from tests.support.errors import gone, status
from tests.support.fakes import (
    Fail,
    Hang,
    Repeat,
    RoleOnly,
    Say,
    ScriptedLLM,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    ask,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unauthorized, unavailable
from tests.support.virtual_time import Stopwatch, turns

GOOD = [RoleOnly(), Say("Hello "), Say("there."), UsageOnly()]
REPLAY: dict[str, Any] = {"probe": "replay", "temporary_disable_sec": 1.0}


@pytest.mark.parametrize("broken", [[], [[Fail(unavailable)]]], ids=["primary", "backup"])
async def test_agents_1409_tool_calls_pass_through(broken: list[list[Step]], census: Census):
    """A tool call reaches the session whole, from whichever provider makes it."""
    call = ToolCall("find_table", '{"time": "19:00"}', "call_7")
    chain = chain_of(census, *broken, [RoleOnly(), call, UsageOnly()])

    (tool,) = tools_of(await ask(chain.adapter))

    assert (tool.name, tool.arguments, tool.call_id) == (
        "find_table",
        '{"time": "19:00"}',
        "call_7",
    )


async def test_agents_1429_a_stream_is_chosen_when_it_proves_alive(census: Census):
    """The provider that is said to serve is the one that gave output, not the first opened."""
    chain = chain_of(census, [RoleOnly(), Wait(1), Fail(unavailable)], [Wait(1), *GOOD])
    asking = asyncio.create_task(chain.answer())

    await asyncio.sleep(0.5)
    before = chain.adapter.metrics_metadata
    await asyncio.sleep(1.0)
    undecided = chain.adapter.metrics_metadata
    await asking

    assert [m["model_provider"] for m in (before, undecided)] == ["a", "a"]
    assert chain.adapter.metrics_metadata["model_provider"] == "b"


async def test_agents_1429_a_probe_never_becomes_the_current_stream(census: Census):
    """Neither the answer nor its attribution is a probe's."""
    chain = chain_of(
        census,
        Model([Fail(unavailable)], [Wait(0.2), Repeat([Say("probe "), Wait(0.1)], 20)]),
        [Repeat([Say("b"), Wait(0.5)], 6), UsageOnly()],
        probe="replay",
        temporary_disable_sec=0,
    )

    chunks = await ask(chain.adapter)

    assert text_of(chunks) == "bbbbbb"
    assert {chunk.id for chunk in chunks} == {"b-0"}
    assert chain.adapter.metrics_metadata["model_provider"] == "b"
    assert chain.events.of("recovery") == []


@pytest.mark.parametrize("timeout", [0.5, 4.0])
async def test_agents_2526_a_provider_s_own_timeout_is_the_one_that_counts(
    timeout: float, census: Census
):
    """The child is timed by the attempt's deadline, not by the caller's connect options."""
    chain = chain_of(census, Provider(Model([Hang()]), attempt_timeout=timeout), GOOD)

    with Stopwatch() as watch:
        await ask(chain.adapter, conn_options=APIConnectOptions(timeout=1.0))

    assert watch.elapsed == pytest.approx(timeout, abs=0.05)
    assert chain.call("a").kwargs["conn_options"].timeout >= timeout


async def test_agents_2626_an_answer_that_breaks_off_is_an_error(census: Census):
    """After the first chunk a failure is not given up on in silence."""
    chain = chain_of(census, [Say("Your total is "), Fail(unavailable)], GOOD)

    with pytest.raises(APIStatusError):
        await chain.answer()

    assert [event.recoverable for event in chain.events.of("error")] == [True]


@pytest.mark.parametrize(("restarts", "answer"), [(False, "Hel"), (True, "HelHello there.")])
async def test_agents_3033_a_restart_is_opt_in(restarts: bool, answer: str, census: Census):
    """Only `retry_on_chunk_sent=True` gives a second answer after the fragment of the first."""
    chain = chain_of(census, [Say("Hel"), Fail(gone)], GOOD, retry_on_chunk_sent=restarts)

    chunks, error = await listen(chain.adapter)

    assert text_of(chunks) == answer
    assert (error is None) == restarts


async def test_agents_4637_a_499_is_not_retried_on_the_same_provider(census: Census):
    """A provider that closed the request is not asked the same again at once."""
    chain = chain_of(census, [Fail(lambda: status(499))], GOOD)

    assert await chain.answer() == "Hello there."
    assert chain.asked == "ab"


@pytest.mark.parametrize("opening", [[], [RoleOnly()], [UsageOnly()], [Say("  ")]])
async def test_agents_4685_a_499_is_no_success(opening: list[Step], census: Census):
    """LiveKit's base class ends such a stream cleanly: an empty answer, which is a failure."""
    chain = chain_of(census, [*opening, Fail(lambda: status(499))], GOOD)

    assert await chain.answer() == "Hello there."
    assert [event.provider for event in chain.events.of("llm_availability_changed")] == ["a"]


async def test_agents_3526_model_and_provider_are_never_unknown(census: Census):
    """What the session labels its metrics with is a real provider's at any time."""
    chain = chain_of(census, Model([Fail(unavailable)], GOOD), GOOD, temporary_disable_sec=5)
    seen = []

    for _ in range(3):
        await asyncio.gather(chain.answer(), return_exceptions=True)
        seen.append((chain.adapter.model, chain.adapter.provider))
        await asyncio.sleep(3)

    assert seen == [("b-model", "b"), ("b-model", "b"), ("a-model", "a")]


async def test_agents_3934_metrics_are_not_counted_twice(census: Census):
    """One answer is one metrics event, whatever stood between provider and session."""
    chain = chain_of(census, Model([Fail(unavailable)], GOOD), GOOD, **REPLAY)

    for _ in range(20):
        await chain.answer()
        await asyncio.sleep(0.5)

    assert len(chain.events.of("metrics_collected")) == 20
    total = sum(metrics.total_tokens for metrics in chain.events.of("metrics_collected"))
    assert total == 20 * 15


async def test_agents_6690_metrics_name_the_provider_that_served(census: Census):
    """Attribution follows each answer."""
    chain = chain_of(census, Model([Fail(unavailable)], GOOD), GOOD, **REPLAY)

    await chain.answer()
    await asyncio.sleep(2)
    await chain.answer()

    names = [m.metadata.model_provider for m in chain.events.of("metrics_collected")]
    assert names == ["b", "a"]


async def test_agents_6582_prewarm_reaches_the_model(census: Census):
    """Wrapping a model does not swallow its prewarming."""
    chain = chain_of(census, GOOD, GOOD)

    chain.adapter.prewarm()

    assert chain.models["a"].prewarmed == 1


@pytest.mark.parametrize("options", [DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions(max_retry=9)])
@pytest.mark.parametrize("restarts", [False, True])
async def test_agents_7233_no_retry_replays_output(
    options: APIConnectOptions, restarts: bool, census: Census
):
    """Neither the session's retries nor the provider's own repeat what was handed over."""
    chain = chain_of(
        census, [Say("one "), ToolCall("pay"), Fail(unavailable)], GOOD,
        retry_on_chunk_sent=restarts, max_retry_per_llm=3,
    )  # fmt: skip

    chunks, error = await listen(chain.adapter, conn_options=options)

    assert isinstance(error, APIStatusError)
    assert (text_of(chunks), len(tools_of(chunks))) == ("one ", 1)
    assert [(call.runs, len(chain.asked)) for call in chain.models["a"].calls] == [(1, 1)]


async def test_agents_6683_each_provider_recovers_on_its_own(census: Census):
    """The probe of one provider does not stand in the way of another's."""
    chain = chain_of(
        census, Model([Fail(unavailable)], [Hang()]), Model([Fail(gone)], GOOD), GOOD, **REPLAY
    )
    await chain.answer()

    await asyncio.sleep(1.5)

    healthy = [e.provider for e in chain.events.of("llm_availability_changed") if e.available]
    assert healthy == ["b"]
    await asyncio.sleep(5)


async def test_agents_6684_no_probe_after_close():
    """What was due when the adapter closed does not start."""
    a, b = ScriptedLLM([Fail(unavailable)]), ScriptedLLM(GOOD)
    async with Census(a, b):
        adapter = FallbackLLM([a, b], **REPLAY)
        await ask(adapter)
        await adapter.aclose()

        await asyncio.sleep(60)

    assert len(a.calls) == 1


async def test_agents_7154_requests_leave_no_listeners(census: Census):
    """A hundred requests later a provider has the listeners it had after the first."""
    chain = chain_of(census, Model([Fail(unavailable)], GOOD), GOOD, **REPLAY)
    await chain.answer()
    after_first = [model.listeners for model in chain.models.values()]

    for _ in range(30):
        await chain.answer()
        await asyncio.sleep(0.3)

    assert [model.listeners for model in chain.models.values()] == after_first


async def test_js_1182_recovery_starts_also_after_a_partial_answer(census: Census):
    """A provider that broke off in mid-answer is probed like one that never began."""
    chain = chain_of(census, Model([Say("Hel"), Fail(gone)], GOOD), GOOD, **REPLAY)
    await asyncio.gather(chain.answer(), return_exceptions=True)

    await asyncio.sleep(2)

    assert chain.asked == "aa"
    assert chain.events.of("llm_availability_changed")[-1].available


async def test_js_1218_a_silent_primary_is_left_and_closed(census: Census):
    """Its stream does not stay open beside the conversation."""
    chain = chain_of(census, [Hang()], GOOD, attempt_timeout=2.0)

    await chain.answer()
    await asyncio.sleep(0.05)

    assert chain.models["a"].open_calls == []


async def test_js_2381_nothing_is_emitted_after_close():
    """A provider that ends late cannot reach a session that has left."""
    a, b = ScriptedLLM([Hang()], stubborn=0.5), ScriptedLLM(GOOD)
    adapter = FallbackLLM([a, b])
    late: list[Any] = []
    asking = asyncio.create_task(ask(adapter))
    await asyncio.sleep(0.1)
    await adapter.aclose()
    for name in ("error", "failover", "metrics_collected", "llm_availability_changed"):
        adapter.on(name, late.append)

    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(60)

    assert late == []
    assert b.calls == []


async def test_js_2480_one_request_s_error_does_not_fail_another(census: Census):
    """Errors belong to the request whose attempt raised them, not to the shared provider."""
    slow = [Say("Hello "), Wait(1), Say("there."), UsageOnly()]
    chain = chain_of(census, Model(slow, [Wait(0.5), Fail(unavailable)]), GOOD)

    healthy = asyncio.create_task(chain.answer())
    await turns()
    failing = await chain.answer()

    assert (await healthy, failing) == ("Hello there.", "Hello there.")
    assert chain.asked == "aab"


async def test_pipecat_4149_no_failover_on_somebody_else_s_error(census: Census):
    """An error event of the provider object is not taken for a failure of a request."""
    chain = chain_of(census, [Wait(0.5), *GOOD], GOOD)
    asking = asyncio.create_task(chain.answer())
    await turns()

    chain.models["a"].emit(
        "error", llm.LLMError(timestamp=0.0, label="a", error=ValueError(), recoverable=False)
    )

    assert await asking == "Hello there."
    assert (chain.asked, chain.events.of("error")) == ("a", [])


async def test_pipecat_5242_a_rejected_key_is_not_tried_again_and_again(census: Census):
    """It is rejected for minutes: asked once, whatever the traffic."""
    chain = chain_of(census, [Fail(unauthorized)], GOOD, **REPLAY)

    for _ in range(100):
        await chain.answer()
        await asyncio.sleep(1)

    assert chain.asked.count("a") == 1


async def test_pipecat_5249_a_stall_in_mid_answer_ends_it(census: Census):
    """Two seconds of silence inside an answer are the end of it."""
    chain = chain_of(census, [Say("Your total "), Hang()], GOOD, stall_timeout=2.0)

    with Stopwatch() as watch, pytest.raises(StallError):
        await chain.answer()

    assert watch.elapsed == pytest.approx(2.0, abs=0.05)


async def test_pipecat_5262_a_stall_before_the_first_chunk_moves_on(census: Census):
    """An accepted request that stays silent is left at its deadline."""
    chain = chain_of(census, [Hang()], GOOD, attempt_timeout=2.0)

    assert await chain.answer() == "Hello there."
