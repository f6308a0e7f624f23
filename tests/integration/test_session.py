# SPDX-License-Identifier: Apache-2.0
"""A real AgentSession with the three adapters holds a call while its providers come and go."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import AgentSession, inference

from examples.local_providers.dialogue import LINES, TURNS
from livekit_fallback import (
    AllProvidersFailedError,
    FallbackLLM,
    FallbackSTT,
    FallbackTTS,
    Provider,
)
from tests.integration.phone import calling_agent, harbor_kitchen
from tests.integration.support import failovers, until, wrote
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit.agents.voice.run_result import RunResult

    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

EARS = "sphinx"

ANSWERS = [turn.answer for turn in TURNS]
OFFER = "Good news. We have a table for 4 tomorrow at 19:00. Shall I book it for you?"

VOICED = ("tts", "finished")

# One deadline for a whole busy process: session, detectors, recogniser and providers.
ATTEMPT = 1.0


@dataclass
class Agency:
    """The three adapters of one agent, and what they emit."""

    stt: FallbackSTT
    llm: FallbackLLM
    tts: FallbackTTS

    def __post_init__(self) -> None:
        self.events = {a.component: EventRecorder(a) for a in (self.stt, self.llm, self.tts)}

    def failovers(self) -> list[tuple[str, str, str]]:
        return [move for events in self.events.values() for move in failovers(events)]


@pytest.fixture
async def agency(plugins: Plugins) -> AsyncIterator[Agency]:
    options: dict[str, Any] = {"attempt_timeout": ATTEMPT, "temporary_disable_sec": 30.0}
    stts = [
        Provider(plugins.deepgram_stt(), name="deepgram"),
        Provider(plugins.openai_stt(), name="openai"),
    ]
    llms = [
        Provider(plugins.openai_llm(), name="openai"),
        Provider(plugins.cerebras_llm(), name="cerebras"),
    ]
    ttss = [
        Provider(plugins.cartesia_tts(), name="cartesia"),
        Provider(plugins.openai_tts(), name="openai"),
    ]
    async with (
        contextlib.aclosing(FallbackSTT(stts, vad=inference.VAD(), **options)) as stt,
        contextlib.aclosing(FallbackLLM(llms, total_timeout=3.0, **options)) as llm,
        contextlib.aclosing(FallbackTTS(ttss, **options)) as tts,
    ):
        yield Agency(stt, llm, tts)


async def test_a_call_goes_on_while_its_providers_fail(providers: LocalProviders, agency: Agency):
    """Every line is answered, once and in full, whoever fails, and the session hears no alarm."""
    async with calling_agent(agency.stt, agency.llm, agency.tts) as call:
        await call.turn(1)
        providers.set_fault("hang", vendor="openai", service="llm")
        await call.turn(2)
        providers.set_fault("hang", vendor="cartesia", service="tts")
        await call.turn(3)
        providers.set_fault("refuse", vendor="deepgram")
        await call.turn(4)

        assert call.history == [
            ("user", LINES[0]),
            ("assistant", ANSWERS[0]),
            ("user", LINES[1]),
            ("assistant", ANSWERS[1]),
            ("user", LINES[2]),
            ("assistant", ANSWERS[2]),
            ("user", LINES[3]),
            ("assistant", OFFER),
        ]
        assert agency.failovers() == [
            ("deepgram", "openai", "closed_1006"),
            ("openai", "cerebras", "first_output_timeout"),
            ("cartesia", "openai", "first_output_timeout"),
        ]
        assert call.recoverable == [True, True, True]
        assert {event.source for event in call.errors} == {agency.stt, agency.llm, agency.tts}
        assert call.closed == []


async def test_a_sentence_goes_on_while_its_model_dies(
    providers: LocalProviders, plugins: Plugins, agency: Agency
):
    """One message in the history, and the voice was given each of its words once."""
    llms = [
        Provider(plugins.openai_llm(), name="openai"),
        Provider(plugins.cerebras_llm(), name="cerebras"),
    ]
    providers.set_fault("drop", vendor="openai", service="llm", after=4)
    async with (
        contextlib.aclosing(FallbackLLM(llms, retry_on_chunk_sent="continue")) as llm,
        calling_agent(agency.stt, llm, agency.tts) as call,
    ):
        await call.turn(1)

        assert call.history == [("user", LINES[0]), ("assistant", ANSWERS[0])]
        assert call.recoverable == [True]
        spoken = [e["text"] for e in providers.log if (e["service"], e["event"]) == VOICED]
        assert " ".join(" ".join(spoken).split()) == ANSWERS[0]


async def test_a_caller_may_interrupt_a_failover(providers: LocalProviders, agency: Agency):
    """A line spoken while providers are being changed drops the old request and is answered."""
    providers.set_fault("hang", vendor="openai", service="llm")
    slow = providers.set_fault("hang", vendor="cerebras", service="llm")

    async with calling_agent(agency.stt, agency.llm, agency.tts) as call:
        await call.says(1)
        await until(lambda: wrote(providers, "cerebras", "llm", "fault"), within=5.0)
        call.microphone.say(2)
        await until(lambda: wrote(providers, "cerebras", "llm", "closed_by_client"), within=5.0)
        providers.clear_faults(slow)
        await until(lambda: len(call.history) == 3, within=10.0)
        await call.is_answered()

        assert call.history == [
            ("user", LINES[0]),
            ("user", LINES[1]),
            ("assistant", ANSWERS[1]),
        ]
        assert set(call.recoverable) == {True}
        assert call.closed == []


async def test_a_turn_that_nobody_can_answer_is_one_error_and_not_the_end(
    providers: LocalProviders, agency: Agency
):
    """All language models down cost one unrecoverable error; the next line is answered again."""
    providers.set_fault("status", service="llm", status=401)

    async with calling_agent(agency.stt, agency.llm, agency.tts) as call:
        await call.says(1)
        await until(lambda: False in call.recoverable, within=10.0)
        await until(lambda: call.session.agent_state == "listening", within=5.0)
        providers.clear_faults()
        await call.turn(2)

        assert call.history == [
            ("user", LINES[0]),
            ("user", LINES[1]),
            ("assistant", ANSWERS[1]),
        ]
        assert call.recoverable.count(False) == 1
        assert call.closed == []


@pytest.fixture
async def typed(agency: Agency) -> AsyncIterator[AgentSession[None]]:
    """A session that is written to instead of spoken to."""
    async with AgentSession[None](llm=agency.llm, vad=None) as session:
        await session.start(harbor_kitchen(), record=False)
        yield session


async def test_a_typed_turn_with_a_tool_survives_a_failover(
    providers: LocalProviders, agency: Agency, typed: AgentSession[None]
):
    """The tool is called once, and its result is told, although the primary gave nothing."""
    providers.set_fault("hang", vendor="openai", service="llm")

    await typed.run(user_input=LINES[2])
    result: RunResult[None] = await typed.run(user_input=LINES[3])

    result.expect.next_event().is_function_call(
        name="find_table", arguments={"day": "tomorrow", "time": "19:00", "people": 4}
    )
    result.expect.next_event().is_function_call_output()
    assert last_words(result) == OFFER
    assert agency.failovers() == [("openai", "cerebras", "first_output_timeout")]


async def test_a_typed_turn_that_nobody_answers_raises_and_the_next_is_answered(
    providers: LocalProviders, agency: Agency, typed: AgentSession[None]
):
    """Whoever drives the session is told what failed, and may go on with it."""
    providers.set_fault("status", service="llm", status=401)

    with pytest.raises(AllProvidersFailedError):
        await typed.run(user_input=LINES[0])
    providers.clear_faults()
    result: RunResult[None] = await typed.run(user_input=LINES[1])

    assert last_words(result) == ANSWERS[1]


def last_words(result: RunResult[None]) -> str | None:
    """What the agent said in the next event, which is the last one."""
    message = result.expect.next_event().is_message(role="assistant").event().item
    result.expect.no_more_events()
    return message.text_content
