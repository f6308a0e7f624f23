# SPDX-License-Identifier: Apache-2.0
"""The real ``openai.responses.LLM``, over websocket and HTTP, behind FallbackLLM."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIError
from livekit.agents.utils import http_context
from livekit.plugins import openai

from livekit_fallback import FallbackLLM, Provider
from tests.integration.llm_client import ANSWER, Answer, ask
from tests.integration.plugins import KEY
from tests.integration.responses_server import (
    COMPLETED,
    CREATED,
    ERROR,
    Step,
    call,
    responses_server,
    text,
)
from tests.integration.support import DEADLINES, failovers, recoverable, served
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

WORDS = [CREATED, text("Of "), text("course ")]

# steps, reason over the websocket, reason over HTTP
BEFORE_COMMIT: dict[str, tuple[list[Step], str, str]] = {
    # the plugin reports a refused handshake as a mere connection error, its cause says more
    "status 401": ([401], "http_401", "http_401"),
    "hang": (["hang"], "first_output_timeout", "first_output_timeout"),
    "created, then silence": ([CREATED, "hang"], "first_output_timeout", "first_output_timeout"),
    "empty": ([CREATED, COMPLETED], "empty", "empty"),
    "drop": ([CREATED, "drop"], "api_error", "connection"),
    "clean close": ([CREATED, "close"], "closed_1000", "empty"),
    "error": ([CREATED, ERROR], "http_500", "connection"),
}
AFTER_COMMIT: dict[str, tuple[list[Step], str, str]] = {
    "stall": ([*WORDS, "hang"], "stall", "stall"),
    "drop": ([*WORDS, "drop"], "api_error", "connection"),
    "error": ([*WORDS, ERROR], "http_500", "connection"),
}
each_mode = pytest.mark.parametrize("mode", ["websocket", "http"])


def responses_llm(base_url: str, mode: str) -> openai.responses.LLM:
    """The plugin, on either wire."""
    if mode == "websocket":
        return openai.responses.LLM(base_url=base_url + "/responses", api_key=KEY)
    return openai.responses.LLM(base_url=base_url, api_key=KEY, use_websocket=False)


@contextlib.asynccontextmanager
async def chain(
    plugins: Plugins, base_url: str, mode: str, **options: Any
) -> AsyncIterator[FallbackLLM]:
    primary = responses_llm(base_url, mode)
    llms = [
        Provider(primary, name="responses"),
        Provider(plugins.cerebras_llm(), name="cerebras"),
    ]
    async with (
        http_context.open(),  # the plugin takes no session of ours
        contextlib.aclosing(primary),
        contextlib.aclosing(FallbackLLM(llms, **{**DEADLINES, **options})) as llm,
    ):
        yield llm


@each_mode
async def test_a_healthy_responses_api_serves(
    providers: LocalProviders, plugins: Plugins, mode: str
):
    """Both modes of the plugin work through the adapter as they do without it."""
    async with (
        responses_server(*WORDS, COMPLETED) as server,
        chain(plugins, server.url, mode) as llm,
    ):
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert answer == Answer("Of course ")
    assert events.names == ["metrics_collected"]
    assert served(providers, "llm") == []


@each_mode
@pytest.mark.parametrize("case", BEFORE_COMMIT.values(), ids=BEFORE_COMMIT.keys())
async def test_before_the_commit_point_the_next_provider_answers(
    providers: LocalProviders, plugins: Plugins, mode: str, case: tuple[list[Step], str, str]
):
    """A responses API that fails before its first words costs no words."""
    steps, over_websocket, over_http = case

    async with responses_server(*steps) as server, chain(plugins, server.url, mode) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    reason = over_websocket if mode == "websocket" else over_http
    assert answer == Answer(ANSWER)
    assert failovers(events) == [("responses", "cerebras", reason)]
    assert recoverable(events) == [True]


@each_mode
@pytest.mark.parametrize("case", AFTER_COMMIT.values(), ids=AFTER_COMMIT.keys())
async def test_after_the_commit_point_the_plugin_s_own_retry_repeats_nothing(
    providers: LocalProviders, plugins: Plugins, mode: str, case: tuple[list[Step], str, str]
):
    """What broke off is reported as lost, although the plugin itself would say it all again."""
    steps, over_websocket, over_http = case

    async with responses_server(*steps) as server, chain(plugins, server.url, mode) as llm:
        events = EventRecorder(llm)
        answer = await ask(llm)

    reason = over_websocket if mode == "websocket" else over_http
    assert answer.text == "Of course "
    assert isinstance(answer.error, APIError)
    assert [(lost.provider, lost.reason) for lost in events.of("output_lost")] == [
        ("responses", reason)
    ]
    assert failovers(events) == []


@each_mode
@pytest.mark.parametrize("case", AFTER_COMMIT.values(), ids=AFTER_COMMIT.keys())
async def test_another_wire_goes_on_with_what_broke_off(
    providers: LocalProviders, plugins: Plugins, mode: str, case: tuple[list[Step], str, str]
):
    """From the responses API to chat completions, in the middle of a sentence."""
    steps, over_websocket, over_http = case

    async with (
        responses_server(*steps) as server,
        chain(plugins, server.url, mode, retry_on_chunk_sent="continue") as llm,
    ):
        events = EventRecorder(llm)
        answer = await ask(llm)

    reason = over_websocket if mode == "websocket" else over_http
    assert answer == Answer(ANSWER)
    assert failovers(events) == [("responses", "cerebras", reason)]
    assert events.of("output_lost") == []


@each_mode
async def test_the_responses_api_goes_on_with_what_another_wire_broke_off(
    providers: LocalProviders, plugins: Plugins, mode: str
):
    """From chat completions to the responses API, which repeats a word."""
    rest = [text(f"{word} ") for word in ANSWER.split()[2:]]
    providers.set_fault("drop", vendor="openai", service="llm", after=3)

    async with (
        responses_server(CREATED, *rest, COMPLETED) as server,
        http_context.open(),
        contextlib.aclosing(responses_llm(server.url, mode)) as responses,
        contextlib.aclosing(
            FallbackLLM(
                [plugins.openai_llm(), responses], retry_on_chunk_sent="continue", **DEADLINES
            )
        ) as llm,
    ):
        answer = await ask(llm)

    assert (answer.text.rstrip(), answer.error) == (ANSWER, None)


@each_mode
async def test_after_a_tool_call_nothing_is_asked_again(
    providers: LocalProviders, plugins: Plugins, mode: str
):
    """A tool that was called is not called twice, even where answers may start again."""
    steps: list[Step] = [CREATED, call("find_table", "{}"), "drop"]

    async with (
        responses_server(*steps) as server,
        chain(plugins, server.url, mode, retry_on_chunk_sent=True) as llm,
    ):
        events = EventRecorder(llm)
        answer = await ask(llm)

    assert [tool_call.name for tool_call in answer.calls] == ["find_table"]
    assert isinstance(answer.error, APIError)
    assert failovers(events) == []
    assert served(providers, "llm") == []
