# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI plugin behind FallbackLLM, and every fault that crosses a wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from livekit.agents import APIError
from livekit.agents.llm import ChatContext

from examples.local_providers.dialogue import LINES
from livekit_fallback import AllProvidersFailedError, FallbackLLM, Provider
from tests.integration.llm_client import ANSWER, QUESTION, Answer, ask, find_table
from tests.integration.support import (
    ATTEMPT,
    DEADLINES,
    LATE,
    REFUSALS,
    SLACK,
    Cases,
    Fault,
    each,
    failovers,
    recoverable,
    served,
    statuses,
    until,
    wrote,
)
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

BEGINNING = "Of course we "  # the first three pieces of the answer

BEFORE_COMMIT: Cases = {
    "refuse": ({"mode": "refuse"}, "connection"),
    **statuses(*REFUSALS),
    # LiveKit's base class takes a 499 for a cancellation and ends the stream quietly
    "status 499": ({"mode": "status", "status": 499}, "empty"),
    "hang_connect": ({"mode": "hang_connect"}, "first_output_timeout"),
    "hang": ({"mode": "hang"}, "first_output_timeout"),
    "keepalive": ({"mode": "keepalive", "gap": 0.1}, "first_output_timeout"),
    "role_only": ({"mode": "role_only", "gap": 0.1}, "first_output_timeout"),
    "usage_only": ({"mode": "usage_only"}, "empty"),
    "slow": ({"mode": "slow", "delay": LATE}, "first_output_timeout"),
    "drop": ({"mode": "drop"}, "connection"),
    "truncate": ({"mode": "truncate"}, "empty"),
    "empty": ({"mode": "empty"}, "empty"),
    "error_frame": ({"mode": "error_frame"}, "connection"),
    "garbage": ({"mode": "garbage"}, "connection"),
}
AFTER_COMMIT: Cases = {
    "stall": ({"mode": "stall", "after": 3}, "stall"),
    "slow": ({"mode": "slow", "after": 3, "delay": LATE}, "stall"),
    "keepalive": ({"mode": "keepalive", "after": 3, "gap": 0.1}, "stall"),
    "role_only": ({"mode": "role_only", "after": 3, "gap": 0.1}, "stall"),
    "drip": ({"mode": "drip", "after": 3, "gap": LATE}, "stall"),
    "drop": ({"mode": "drop", "after": 3}, "connection"),
    "truncate": ({"mode": "truncate", "after": 3}, "ended_early"),
    "error_frame": ({"mode": "error_frame", "after": 3}, "connection"),
    "garbage": ({"mode": "garbage", "after": 3}, "connection"),
}


def chain(plugins: Plugins, **options: Any) -> contextlib.aclosing[FallbackLLM]:
    llms = [
        Provider(plugins.openai_llm(), name="openai"),
        Provider(plugins.cerebras_llm(), name="cerebras"),
    ]
    return contextlib.aclosing(FallbackLLM(llms, **{**DEADLINES, **options}))


@each(BEFORE_COMMIT)
async def test_before_the_commit_point_the_next_provider_answers(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """A provider that fails before its first words costs a deadline at most, and no words."""
    providers.set_fault(vendor="openai", service="llm", **fault)

    async with chain(plugins) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert answer == Answer(ANSWER)
    assert served(providers, "llm") == ["cerebras"]
    assert failovers(events) == [("openai", "cerebras", reason)]
    assert events.of("failover")[0].elapsed < ATTEMPT + SLACK
    assert recoverable(events) == [True]
    assert len(events.of("metrics_collected")) == 1


@each({name: BEFORE_COMMIT[name] for name in ("hang_connect", "hang", "keepalive")})
async def test_a_provider_that_lost_its_turn_is_hung_up_on(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """The connection to a provider that missed its deadline is closed, not left to run."""
    providers.set_fault(vendor="openai", service="llm", **fault)

    async with chain(plugins) as llm:
        await ask(llm)

        await until(lambda: wrote(providers, "openai", "llm", "closed_by_client"))


@each(AFTER_COMMIT)
async def test_after_the_commit_point_the_answer_stops_and_the_loss_is_told(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """An answer that broke off is neither stitched nor repeated; the next one is whole again."""
    async with chain(plugins) as llm:
        await ask(llm)  # a clean cut can only be told from an end once an end was seen
        events = EventRecorder(llm)
        providers.set_fault(vendor="openai", service="llm", **fault)

        broken, following = await ask(llm), await ask(llm)

    assert broken.text == BEGINNING
    assert isinstance(broken.error, APIError)
    [lost] = events.of("output_lost")
    assert (lost.provider, lost.reason, lost.delivered) == ("openai", reason, len(BEGINNING))
    assert lost.error is broken.error
    assert failovers(events) == []
    assert recoverable(events) == [True]
    assert following == Answer(ANSWER)
    assert served(providers, "llm") == ["openai", "openai", "cerebras"]


async def test_a_broken_answer_starts_again_when_that_is_wanted(
    providers: LocalProviders, plugins: Plugins
):
    """With ``retry_on_chunk_sent`` the next provider gives the whole answer after the torso."""
    providers.set_fault("drop", vendor="openai", service="llm", after=3)

    async with chain(plugins, retry_on_chunk_sent=True) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert answer == Answer(BEGINNING + ANSWER)
    assert failovers(events) == [("openai", "cerebras", "connection")]


@each(AFTER_COMMIT)
async def test_a_broken_answer_is_continued_when_that_is_wanted(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """The next model is told what was said, repeats a little of it, and each word is said once."""
    async with chain(plugins, retry_on_chunk_sent="continue") as llm:
        await ask(llm)  # a clean cut can only be told from an end once an end was seen
        events = EventRecorder(llm)
        providers.set_fault(vendor="openai", service="llm", **fault)
        answer = await ask(llm)

    assert answer == Answer(ANSWER)
    assert failovers(events) == [("openai", "cerebras", reason)]
    assert recoverable(events) == [True]
    assert events.of("output_lost") == []


async def test_an_answer_is_whole_wherever_it_breaks_off(
    providers: LocalProviders, plugins: Plugins
):
    """Killed after every k of its n pieces, or with the last of them."""
    pieces = len(ANSWER.split())
    for k in range(pieces + 1):
        providers.set_fault("drop", vendor="openai", service="llm", after=k, times=1)

        async with chain(plugins, retry_on_chunk_sent="continue") as llm:
            answer = await ask(llm)

        assert answer == Answer(ANSWER), f"broken off after {k}"


async def test_a_tool_is_called_once_wherever_its_call_breaks_off(
    providers: LocalProviders, plugins: Plugins
):
    """A call that was received by halves is never handed over, in any mode."""
    for mode in (False, True, "continue"):
        for k in range(4):
            providers.set_fault("drop", vendor="openai", service="llm", after=k, times=1)

            async with chain(plugins, retry_on_chunk_sent=mode) as llm:
                answer = await ask(llm, *LINES[1:4], tools=[find_table])

            assert [call.name for call in answer.calls] == ["find_table"], f"{mode} {k}"
            assert json.loads(answer.calls[0].arguments)["time"] == "19:00"


async def test_the_last_resort_speaks_for_models_that_are_all_down(
    providers: LocalProviders, plugins: Plugins
):
    """The request ends well, with the application's own words."""
    providers.set_fault("status", service="llm", status=401)

    async with chain(plugins, last_resort="Please hold the line.") as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert answer == Answer("Please hold the line.")
    assert len(events.of("exhausted")) == 1
    assert recoverable(events) == [True, True]


@each(
    {
        "hang": ({"mode": "hang"}, "first_output_timeout"),
        "stall in the arguments": ({"mode": "stall", "after": 2}, "first_output_timeout"),
        "drop in the arguments": ({"mode": "drop", "after": 2}, "connection"),
        "truncate in the arguments": ({"mode": "truncate", "after": 2}, "empty"),
    }
)
async def test_a_tool_is_called_once_with_whole_arguments_through_a_failover(
    providers: LocalProviders, plugins: Plugins, fault: Fault, reason: str
):
    """A call that breaks off in its arguments was never handed over, so it can be asked again."""
    providers.set_fault(vendor="openai", service="llm", **fault)

    async with chain(plugins) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm, *LINES[1:4], tools=[find_table])

    [call] = answer.calls
    wanted = {"day": "tomorrow", "time": "19:00", "people": 4}
    assert (call.name, json.loads(call.arguments)) == ("find_table", wanted)
    assert answer.error is None
    assert failovers(events) == [("openai", "cerebras", reason)]


async def test_the_last_provider_may_be_slower_than_its_deadline(
    providers: LocalProviders, plugins: Plugins
):
    """A late answer is better than none: the last one gets what is left of the budget."""
    providers.set_fault("refuse", vendor="openai")
    providers.set_fault("slow", vendor="cerebras", service="llm", delay=LATE)

    async with chain(plugins, total_timeout=LATE + 5.0) as llm:
        answer = await ask(llm)

    assert answer == Answer(ANSWER)


async def test_when_all_fail_the_error_says_how_each_of_them_did(
    providers: LocalProviders, plugins: Plugins
):
    """Exhaustion is one unrecoverable error with one report for each attempt."""
    providers.set_fault("status", vendor="openai", service="llm", status=401)
    providers.set_fault("status", vendor="cerebras", service="llm", status=404)

    async with chain(plugins) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert isinstance(answer.error, AllProvidersFailedError)
    reports = [(a.provider, a.status_code, a.kind.value) for a in answer.error.attempts]
    assert reports == [("openai", 401, "auth"), ("cerebras", 404, "auth")]
    assert answer.error.__cause__ is answer.error.attempts[-1].error
    assert [event.error for event in events.of("exhausted")] == [answer.error]
    assert recoverable(events) == [True, False]


async def test_a_blip_that_hits_everybody_is_waited_out(
    providers: LocalProviders, plugins: Plugins
):
    """A whole pass that failed quickly is walked again while the budget lasts."""
    for vendor in ("openai", "cerebras"):
        providers.set_fault("status", vendor=vendor, service="llm", status=503, times=1)

    async with chain(plugins, total_timeout=5.0, retry_interval=0.1) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert answer == Answer(ANSWER)
    assert recoverable(events) == [True, True]


async def test_a_provider_that_is_back_serves_again(providers: LocalProviders, plugins: Plugins):
    """A probe that repeats the last request brings the primary back, and its cost stays hidden."""
    providers.set_fault("hang", vendor="openai", service="llm", times=1)

    async with chain(plugins, temporary_disable_sec=0.2) as llm:
        events = EventRecorder(llm)
        await ask(llm)
        await until(lambda: len(events.of("llm_availability_changed")) == 2, within=3.0)
        answer = await ask(llm)

    down, up = events.of("llm_availability_changed")
    assert (down.provider, down.available, down.reason) == ("openai", False, "first_output_timeout")
    assert (up.provider, up.available, up.state) == ("openai", True, "probation")
    assert answer == Answer(ANSWER)
    [recovery] = events.of("recovery")
    assert (recovery.provider, recovery.from_provider) == ("openai", "cerebras")
    assert served(providers, "llm") == ["cerebras", "openai", "openai"]  # the probe between them
    assert len(events.of("metrics_collected")) == 2


async def test_an_interrupted_request_blames_nobody(providers: LocalProviders, plugins: Plugins):
    """Barge-in hangs up on the provider at work, and says nothing about its health."""
    providers.set_fault("hang", vendor="openai", service="llm", times=1)
    chat_ctx = ChatContext.empty()
    chat_ctx.add_message(role="user", content=QUESTION)

    async with chain(plugins, attempt_timeout=5.0) as llm:
        events = EventRecorder(llm)
        stream = llm.chat(chat_ctx=chat_ctx)
        await until(lambda: wrote(providers, "openai", "llm", "fault"))
        async with asyncio.timeout(SLACK):
            await stream.aclose()
        await until(lambda: wrote(providers, "openai", "llm", "closed_by_client"))

        assert events.records == []
        assert await ask(llm) == Answer(ANSWER)
        assert served(providers, "llm") == ["openai"]
