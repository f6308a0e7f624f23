# SPDX-License-Identifier: Apache-2.0
"""What an adapter tells: health, failovers and recoveries as events, and metrics once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from livekit.agents import llm

from livekit_fallback import AdapterClosedError, FallbackLLM, LLMAvailabilityChangedEvent
from tests.support.census import Census
from tests.support.errors import gone
from tests.support.fakes import (
    Fail,
    Hang,
    RoleOnly,
    Say,
    ScriptedLLM,
    UsageOnly,
    Wait,
    ask,
)
from tests.support.llm_chain import Model, bad_request, chain_of, unauthorized, unavailable
from tests.support.virtual_time import turns

GOOD = [Say("b"), UsageOnly()]


async def test_a_failure_makes_a_provider_unavailable_once(census: Census):
    """`llm_availability_changed` extends LiveKit's event and says what it does not."""
    chain = chain_of(census, [Wait(0.5), Fail(unavailable)], GOOD)

    await chain.answer()

    (event,) = chain.events.of("llm_availability_changed")
    assert isinstance(event, LLMAvailabilityChangedEvent)
    assert isinstance(event, llm.AvailabilityChangedEvent)
    assert event.llm is chain.models["a"]
    assert event.available is False
    assert (event.provider, event.state, event.reason) == ("a", "cooling_down", "http_503")
    assert event.error is chain.call("a").error
    assert event.down_for == 0.0
    assert event.timestamp == pytest.approx(time.time(), abs=0.1)


async def test_a_success_makes_it_available_again(census: Census):
    """The return says after how long."""
    chain = chain_of(census, Model([Fail(unavailable)], GOOD), GOOD, temporary_disable_sec=5)
    await chain.answer()
    await asyncio.sleep(7)

    await chain.answer()

    event = chain.events.of("llm_availability_changed")[-1]
    assert (event.llm, event.available) == (chain.models["a"], True)
    assert (event.provider, event.state, event.reason, event.error) == ("a", "probation", "", None)
    assert event.down_for == pytest.approx(7, abs=0.05)


async def test_the_request_s_own_fault_leaves_health_alone(census: Census):
    """A provider that rejects one prompt is asked first for the next."""
    chain = chain_of(census, Model([Fail(bad_request)], [Say("a")]), GOOD)

    assert [await chain.answer(), await chain.answer()] == ["b", "a"]
    assert chain.events.of("llm_availability_changed") == []


async def test_a_failover_says_from_where_to_where_and_why(census: Census):
    """Each move of a request to another provider is one `failover`."""
    chain = chain_of(census, [Wait(0.5), Fail(unavailable)], [Hang()], GOOD, attempt_timeout=2.0)

    await chain.answer()

    first, second = chain.events.of("failover")
    assert (first.component, first.from_provider, first.to_provider) == ("llm", "a", "b")
    assert (first.reason, first.attempt) == ("http_503", 1)
    assert first.error is chain.call("a").error
    assert first.elapsed == pytest.approx(0.5, abs=0.01)
    assert (second.from_provider, second.to_provider) == ("b", "c")
    assert (second.reason, second.attempt) == ("first_output_timeout", 2)
    assert second.elapsed == pytest.approx(2.0, abs=0.01)
    assert second.timestamp == pytest.approx(time.time(), abs=0.1)
    assert first.request_id == second.request_id
    assert first.request_id.startswith("llm_request_")


async def test_a_retry_on_the_same_provider_is_no_failover(census: Census):
    """Traffic has not moved."""
    chain = chain_of(census, [Fail(unavailable)], GOOD, max_retry_per_llm=2)

    await chain.answer()

    assert [(e.from_provider, e.attempt) for e in chain.events.of("failover")] == [("a", 3)]


async def test_requests_have_their_own_ids(census: Census):
    """Events of concurrent requests can be told apart."""
    chain = chain_of(census, [Fail(bad_request)], GOOD)

    await asyncio.gather(*(chain.answer() for _ in range(5)))

    assert len({event.request_id for event in chain.events.of("failover")}) == 5


async def test_events_come_in_the_order_of_what_happened(census: Census):
    """Health first, then the error, then the move; metrics when the answer is over."""
    chain = chain_of(census, [Fail(unavailable)], GOOD)

    await chain.answer()

    assert chain.events.names == [
        "llm_availability_changed",
        "error",
        "failover",
        "metrics_collected",
    ]


async def test_exhaustion_is_one_event(census: Census):
    """`exhausted` carries the error that is raised."""
    chain = chain_of(census, [Fail(unauthorized)], [Wait(0.5), Fail(unauthorized)])

    with pytest.raises(Exception, match="all llm providers failed") as caught:
        await chain.answer()

    (event,) = chain.events.of("exhausted")
    assert (event.component, event.attempts, event.error) == ("llm", 2, caught.value)
    assert event.elapsed == pytest.approx(0.5, abs=0.05)
    assert event.request_id == chain.events.of("failover")[0].request_id


async def test_a_recovery_says_how_long_traffic_was_away(census: Census):
    """`recovery` comes with the first output of a better provider than served last."""
    chain = chain_of(census, Model([Fail(unavailable)], [Wait(1), Say("a")]), GOOD)
    await chain.answer()
    await asyncio.sleep(20)

    await chain.answer()

    (event,) = chain.events.of("recovery")
    assert (event.component, event.provider, event.from_provider) == ("llm", "a", "b")
    assert event.down_for == pytest.approx(21, abs=0.05)
    assert event.request_id != chain.events.of("failover")[0].request_id


async def test_no_recovery_without_a_way_down(census: Census):
    """Serving on, and moving down, are no recoveries."""
    chain = chain_of(census, Model([Say("a")], [Say("a")], [Fail(gone)]), GOOD)

    answers = [await chain.answer() for _ in range(4)]

    assert answers == ["a", "a", "b", "b"]
    assert chain.events.of("recovery") == []


async def test_each_absence_is_measured_on_its_own(census: Census):
    """What happened in an earlier outage is not part of a later one."""
    down, up = [Fail(unavailable)], [Say("x")]
    a, b, c = Model(down), Model(down), Model(up)
    chain = chain_of(census, a, b, c, temporary_disable_sec=5)

    await chain.answer()  # c serves
    await asyncio.sleep(100)
    a.play(up)
    await chain.answer()  # a is back after 100
    await asyncio.sleep(100)
    a.play(down)
    b.play(up)
    await chain.answer()  # b serves
    b.play(down)
    await chain.answer()  # c serves
    await asyncio.sleep(30)
    b.play(up)
    await chain.answer()  # b is back after 30

    recoveries = [(event.provider, event.from_provider) for event in chain.events.of("recovery")]
    assert recoveries == [("a", "c"), ("b", "c")]
    assert [e.down_for for e in chain.events.of("recovery")] == pytest.approx([100, 30], abs=0.1)


@pytest.mark.parametrize("error", [TypeError("x"), ValueError("x"), asyncio.CancelledError()])
@pytest.mark.parametrize(
    "event", ["failover", "error", "llm_availability_changed", "metrics_collected", "recovery"]
)
async def test_a_subscriber_s_mistake_breaks_no_call(
    event: str, error: BaseException, census: Census
):
    """Whatever a listener raises, the caller gets an answer."""
    chain = chain_of(census, Model([Fail(unavailable)], [Say("a")]), GOOD)
    called = []

    def listener(it: Any) -> None:
        called.append(it)
        raise error

    chain.adapter.on(event, listener)  # type: ignore[arg-type]

    first = await chain.answer()
    await asyncio.sleep(20)
    second = await chain.answer()

    assert (first, second) == ("b", "a")
    assert called


async def test_a_subscriber_s_mistake_does_not_change_the_error(census: Census):
    """A request that fails does so with its own error, whatever listeners raise."""
    chain = chain_of(census, [Fail(unauthorized)])

    def listener(_: Any) -> None:
        raise TypeError("listener")

    for event in ("exhausted", "error"):
        chain.adapter.on(event, listener)

    with pytest.raises(Exception, match="all llm providers failed"):
        await chain.answer()


async def test_metrics_are_those_of_the_provider_that_served(census: Census):
    """The served answer is counted once, under its own provider."""
    chain = chain_of(census, GOOD, GOOD)

    await chain.answer()

    (metrics,) = chain.events.of("metrics_collected")
    assert (metrics.label, metrics.total_tokens) == ("a", 15)
    assert metrics.metadata.model_name == "a-model"


@pytest.mark.parametrize(
    "loser",
    [
        [UsageOnly()],
        [RoleOnly(), UsageOnly(), Say(" ")],
        [UsageOnly(), Hang()],
        [UsageOnly(), Wait(1), Fail(unavailable)],
        [RoleOnly(), UsageOnly(), Fail(asyncio.CancelledError)],
    ],
    ids=["usage", "blank", "hang", "fail", "cancelled"],
)
async def test_metrics_of_losers_are_withheld(loser: list[Any], census: Census):
    """An attempt in vain is not part of what the session used."""
    chain = chain_of(census, loser, GOOD)

    await chain.answer()
    await asyncio.sleep(0.1)

    assert [m.label for m in chain.events.of("metrics_collected")] == ["b"]


async def test_metrics_of_probes_are_withheld(census: Census):
    """A probe's answer is nobody's: it is not counted."""
    chain = chain_of(
        census, Model([Fail(unavailable)], GOOD), GOOD, probe="replay", temporary_disable_sec=1
    )

    await chain.answer()
    await asyncio.sleep(2)

    assert chain.asked == "aba"
    assert [m.label for m in chain.events.of("metrics_collected")] == ["b"]


async def test_metrics_of_a_restarted_answer_are_all_counted(census: Census):
    """A fragment that was heard was used: it is counted beside the whole answer."""
    cut = [Say("one "), UsageOnly(), Say("two "), Hang()]
    chain = chain_of(census, cut, GOOD, retry_on_chunk_sent=True)

    await chain.answer()

    assert [m.label for m in chain.events.of("metrics_collected")] == ["a", "b"]


async def test_metrics_come_before_the_end_of_the_answer(census: Census):
    """A session reads them when the answer is over."""
    chain = chain_of(census, GOOD)

    async with chain.adapter.chat(chat_ctx=llm.ChatContext.empty()) as stream:
        await stream.collect()

        assert chain.events.names == ["metrics_collected"]


async def test_metrics_of_other_requests_of_a_shared_provider_are_kept_apart(census: Census):
    """Two adapters may share a provider; a loser in one is not hidden or shown by the other."""
    chain = chain_of(census, Model([UsageOnly()], [Wait(0.1), *GOOD]), GOOD)

    await asyncio.gather(chain.answer(), chain.answer())

    labels = sorted(m.label for m in chain.events.of("metrics_collected"))
    assert labels == ["a", "b"]


@pytest.mark.parametrize("script", [GOOD, [Fail(unavailable)], [Fail(unauthorized)], [Hang()]])
async def test_closing_leaves_no_listener(script: list[Any]):
    """After `aclose` the providers are as they were given, and not closed."""
    models = [ScriptedLLM(script), ScriptedLLM(GOOD)]
    async with Census(*models):
        adapter = FallbackLLM(models, probe="live")
        await ask(adapter)

        await adapter.aclose()

    assert [model.listeners for model in models] == [0, 0]
    assert not any(model.closed for model in models)


async def test_closing_is_idempotent():
    """A second close, also a concurrent one, does nothing."""
    model = ScriptedLLM([Hang()])
    async with Census(model):
        adapter = FallbackLLM([model])
        asking = asyncio.create_task(ask(adapter))
        await turns()

        await asyncio.gather(adapter.aclose(), adapter.aclose())
        await adapter.aclose()

        with pytest.raises(AdapterClosedError):
            await asking


async def test_a_closed_adapter_refuses():
    """After `aclose` nothing new starts, and it is said so."""
    model = ScriptedLLM(GOOD)
    adapter = FallbackLLM([model])
    await adapter.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        adapter.chat(chat_ctx=llm.ChatContext.empty())

    assert model.calls == []
