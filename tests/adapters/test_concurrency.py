# SPDX-License-Identifier: Apache-2.0
"""Many requests on one adapter at once: each gets its own answer, or its own error."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, FallbackLLM
from tests.support.census import Census
from tests.support.errors import gone
from tests.support.fake_llm import ScriptedLLMStream
from tests.support.fakes import (
    Fail,
    FailInCall,
    Hang,
    KeepAlive,
    Repeat,
    RoleOnly,
    Say,
    ScriptedLLM,
    Step,
    ToolCall,
    UsageOnly,
    Wait,
    text_of,
)
from tests.support.llm_chain import bad_request, listen, unauthorized, unavailable
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.script import Script

REQUESTS = 100
BEFORE: list[Script] = [
    [Hang()],
    [RoleOnly(), Hang()],
    [Repeat([KeepAlive(), Wait(0.5)])],
    [Wait(15.0), Say("late")],
    [Fail(unavailable)],
    [Wait(0.3), Fail(gone)],
    [Fail(unauthorized)],
    [Fail(bad_request)],
    [Fail(BaseExceptionGroup("several", [ValueError()]))],
    [Fail(asyncio.CancelledError)],
    [FailInCall(ValueError)],
    [],
    [UsageOnly()],
    [Say(" ")],
]
BREAKS: list[Step] = [Hang(), Fail(gone), Fail(ValueError), Fail(TimeoutError)]


class Echo(ScriptedLLM):
    """Answers with what it was asked: `@` in its script stands for the request's text."""

    def chat(self, **request: Any) -> ScriptedLLMStream:
        return _EchoStream(self, self.open_call("chat", **request))


class _EchoStream(ScriptedLLMStream):
    async def _output(self, step: Step) -> None:
        if isinstance(step, Say):
            asked = self.chat_ctx.messages()[-1].text_content or ""
            step = Say(step.text.replace("@", asked))
        elif isinstance(step, ToolCall):
            step = ToolCall(step.name, call_id=self.chat_ctx.messages()[-1].text_content or "")
        await super()._output(step)


def _answer(chance: random.Random) -> list[Step]:
    words = [Say(f"@.{n} ") for n in range(4)]
    pauses = [Wait(chance.choice([0.0, 0.05, 0.3])) for _ in words]
    return [RoleOnly(), *(step for pair in zip(pauses, words, strict=True) for step in pair)]


def _whole(text: str) -> str:
    return "".join(f"{text}.{n} " for n in range(4))


def _faulty(seed: int, share: float, *, breaks: bool) -> Callable[[int], Script]:
    """A provider that fails a share of its requests, each in a way of its own."""
    chance = random.Random(seed)

    def script(_: int) -> Script:
        answer = _answer(chance)
        if chance.random() >= share:
            return [*answer, UsageOnly()]
        if breaks and chance.random() < 0.5:
            return [*answer[: chance.randrange(3, len(answer))], chance.choice(BREAKS)]
        return chance.choice(BEFORE)

    return script


async def _request(adapter: FallbackLLM, text: str, start: float) -> tuple[str, Any]:
    """The text that came, and the error if there was one."""
    await asyncio.sleep(start)
    chunks, error = await listen(adapter, text)
    return text_of(chunks), error


async def _all(
    models: Sequence[ScriptedLLM], seed: int, **options: Any
) -> tuple[list[tuple[str, Any]], EventRecorder]:
    """A hundred requests within three seconds, and a census of what they leave."""
    chance = random.Random(seed)
    async with Census(*models):
        adapter = FallbackLLM(list(models), **options)
        events = EventRecorder(adapter)
        requests = [
            _request(adapter, f"request {n}", chance.uniform(0, 3.0)) for n in range(REQUESTS)
        ]
        results = await asyncio.gather(*requests)
        await asyncio.sleep(5.0)
        await adapter.aclose()
    return results, events


@pytest.mark.parametrize("probe", ["live", "replay"])
@pytest.mark.parametrize("seed", range(2))
async def test_a_whole_answer_or_an_error_of_one_s_own(seed: int, probe: str):
    """Faults before the first output are never heard: each answer is whole and the caller's."""
    models = [Echo(_faulty(seed * 3 + n, 0.6, breaks=False), name="abc"[n]) for n in range(3)]

    results, events = await _all(models, seed, probe=probe, temporary_disable_sec=0.5)

    errors = [error for _, error in results if error is not None]
    whole = [text == _whole(f"request {n}") for n, (text, error) in enumerate(results) if not error]
    assert all(whole)
    assert len(whole) > REQUESTS / 2
    assert all(isinstance(error, AllProvidersFailedError) for error in errors)
    assert len({id(error) for error in errors}) == len(errors) == len(events.of("exhausted"))
    assert {id(e.error) for e in events.of("error") if not e.recoverable} == set(map(id, errors))


@pytest.mark.parametrize("seed", range(2))
async def test_a_broken_answer_is_one_s_own_too(seed: int):
    """Where answers break off each caller has the beginning of its own, and its own error."""
    models = [Echo(_faulty(seed * 3 + n, 0.5, breaks=True), name="abc"[n]) for n in range(3)]

    results, events = await _all(models, seed, probe="live", temporary_disable_sec=0.5)

    for n, (text, error) in enumerate(results):
        assert _whole(f"request {n}").startswith(text)
        assert error is not None or text == _whole(f"request {n}")
    broken = [text for text, error in results if text and error]
    assert len(broken) == len(events.of("output_lost"))


@pytest.mark.parametrize("seed", range(2))
async def test_a_restarted_answer_is_one_s_own_too(seed: int):
    """With restarts every answer ends with a whole one, and nothing of another caller's."""
    models = [Echo(_faulty(seed * 3 + n, 0.4, breaks=True), name="abc"[n]) for n in range(3)]

    results, _ = await _all(models, seed, retry_on_chunk_sent=True, temporary_disable_sec=0.5)

    for n, (text, error) in enumerate(results):
        assert error is not None or text.endswith(_whole(f"request {n}"))
        assert set(text.split()) <= {"request", *_whole(f"request {n}").split()}


@pytest.mark.parametrize("seed", range(2))
async def test_interruptions_of_some_do_not_disturb_the_others(seed: int):
    """Callers who hang up take nothing with them but their own request."""
    models = [Echo(_faulty(seed * 2 + n, 0.3, breaks=False), name="ab"[n]) for n in range(2)]
    chance = random.Random(seed)
    async with Census(*models):
        adapter = FallbackLLM(models, temporary_disable_sec=0.5)
        tasks = [
            asyncio.create_task(_request(adapter, f"request {n}", chance.uniform(0, 3.0)))
            for n in range(REQUESTS)
        ]
        leaving = chance.sample(range(REQUESTS), 40)
        for n in leaving:
            asyncio.get_running_loop().call_later(chance.uniform(0, 4.0), tasks[n].cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(5.0)
        await adapter.aclose()

    for n, result in enumerate(results):
        if isinstance(result, BaseException):
            assert isinstance(result, asyncio.CancelledError)
            assert n in leaving
        else:
            text, error = result
            assert error is not None or text == _whole(f"request {n}")


async def test_one_dead_provider_costs_each_request_its_deadline_at_most():
    """Requests that were on their way together do not wait for each other."""
    dead, good = Echo([Hang()], name="a"), Echo([Say("@")], name="b")
    started = asyncio.get_running_loop().time()

    async with Census(dead, good):
        adapter = FallbackLLM([dead, good], attempt_timeout=2.0, probe="live")
        results = await asyncio.gather(*(_request(adapter, f"r{n}", 0.0) for n in range(REQUESTS)))
        elapsed = asyncio.get_running_loop().time() - started
        await adapter.aclose()

    assert results == [(f"r{n}", None) for n in range(REQUESTS)]
    assert elapsed == pytest.approx(2.0, abs=0.05)
    assert len(dead.calls) == REQUESTS


async def test_closing_under_load_leaves_nothing():
    """A hundred requests in all phases end with the adapter."""
    models = [Echo(_faulty(n, 0.5, breaks=True), name="abc"[n]) for n in range(3)]
    chance = random.Random(1)

    async with Census(*models) as census:
        adapter = FallbackLLM(models, temporary_disable_sec=0.5)
        tasks = [
            asyncio.create_task(_request(adapter, f"request {n}", chance.uniform(0, 0.9)))
            for n in range(REQUESTS)
        ]
        await asyncio.sleep(1.0)
        await adapter.aclose()
        calls = [len(model.calls) for model in models]
        results = await asyncio.gather(*tasks)

        assert census.left_behind() == []
    assert [len(model.calls) for model in models] == calls
    for n, (text, _) in enumerate(results):
        assert _whole(f"request {n}").startswith(text)
