# SPDX-License-Identifier: Apache-2.0
"""Whatever a language model does instead of answering, the next one is asked, and soon."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from livekit.agents import APIConnectionError, APIStatusError
from livekit.agents.llm import ChatChunk, ChoiceDelta
from yarl import URL

from tests.support.census import Census
from tests.support.errors import ERRORS, STATUSES, gone, status
from tests.support.fake_llm import ScriptedLLMStream
from tests.support.fakes import (
    Fail,
    FailInCall,
    Hang,
    KeepAlive,
    Metadata,
    Repeat,
    RoleOnly,
    Say,
    Step,
    UsageOnly,
    Wait,
    ask,
    text_of,
)
from tests.support.llm_chain import Model, chain_of
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable


GOOD = [RoleOnly(), Say("Hello "), Say("there."), UsageOnly()]


def _refused() -> aiohttp.ClientError:
    key = ConnectionKey("provider", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None,
                        proxy_headers_hash=None)  # fmt: skip
    return aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))


def _rejected_handshake() -> aiohttp.ClientError:
    request = aiohttp.RequestInfo(URL("https://provider"), "POST", headers={}, real_url=URL("/"))  # type: ignore[arg-type]
    return aiohttp.WSServerHandshakeError(request, (), status=503, message="no", headers=None)


def _own_cause() -> Exception:
    error, cause = ValueError(), ValueError()
    error.__cause__, cause.__cause__ = cause, error
    return error


class _OddRetryAfterError(Exception):
    headers: dict[str, Any] = {"Retry-After": None}  # noqa: RUF012  read only


class _NoBodyError(Exception):
    @property
    def body(self) -> object:
        raise RuntimeError("the response was closed")


class _SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


ALL_ERRORS: dict[str, Callable[[], BaseException]] = {
    **ERRORS,
    "status-missing": lambda: APIStatusError("odd"),
    "exception": Exception,
    "reset": ConnectionResetError,
    "aiohttp-refused": _refused,
    "aiohttp-payload": lambda: aiohttp.ClientPayloadError("not all data"),
    "aiohttp-timeout": aiohttp.ServerTimeoutError,
    "aiohttp-handshake": _rejected_handshake,
    "generator-exit": GeneratorExit,
    "stop-async-iteration": StopAsyncIteration,
    "odd-retry-after": _OddRetryAfterError,
    "raising-body": _NoBodyError,
    "raising-text": _SpeechlessError,
    "cyclic-cause": _own_cause,
}

SILENCE: dict[str, list[Step]] = {
    "nothing": [Hang()],
    "role-then-nothing": [RoleOnly(), Hang()],
    "keep-alives": [Repeat([KeepAlive(), Wait(0.2)])],
    "roles": [Repeat([RoleOnly(), Wait(0.2)])],
    "usages": [Repeat([UsageOnly(), Wait(0.2)])],
    "metadata": [Repeat([Metadata(), Wait(0.2)])],
    "blanks": [Repeat([Say(" "), Wait(0.2)])],
    "empty-texts": [Repeat([Say(""), Wait(0.2)])],
    "everything-but-text": [
        Repeat([RoleOnly(), KeepAlive(), UsageOnly(), Say("\n"), Metadata(), Wait(0.1)])
    ],
}

EMPTY: dict[str, list[Step]] = {
    "nothing": [],
    "role": [RoleOnly()],
    "keep-alive": [KeepAlive()],
    "usage": [RoleOnly(), UsageOnly()],
    "blank": [Say(" "), Say("\n\t"), UsageOnly()],
    "empty-text": [Say("")],
    "metadata": [Metadata()],
    "late": [Wait(1.0), RoleOnly()],
}


@pytest.mark.parametrize("script", SILENCE.values(), ids=SILENCE.keys())
async def test_silence_costs_the_deadline_and_fifty_milliseconds(
    script: list[Step], census: Census
):
    """A provider that says nothing useful is left at its deadline, and its stream is closed."""
    chain = chain_of(census, script, GOOD, attempt_timeout=2.0)

    answer = await chain.answer()

    assert answer == "Hello there."
    loser, winner = chain.call("a"), chain.call("b")
    assert winner.opened_at - loser.opened_at == pytest.approx(2.0, abs=0.05)
    assert loser.closed_at == pytest.approx(loser.opened_at + 2.0, abs=0.05)
    assert chain.events.of("failover")[0].reason == "first_output_timeout"


@pytest.mark.parametrize("script", EMPTY.values(), ids=EMPTY.keys())
async def test_clean_end_without_text_is_a_failure(script: list[Step], census: Census):
    """An answer with nothing in it is no answer, however cleanly it ends."""
    chain = chain_of(census, script, GOOD)

    answer = await chain.answer()

    assert answer == "Hello there."
    assert chain.events.of("failover")[0].reason == "empty"


@pytest.mark.parametrize("code", STATUSES)
@pytest.mark.parametrize("where", [Fail, FailInCall])
async def test_every_status_moves_on_at_once(code: int, where: type[Fail], census: Census):
    """No status ends a request while another provider is left."""
    chain = chain_of(census, [where(partial(status, code))], GOOD)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert (answer, chain.asked) == ("Hello there.", "ab")
    assert watch.elapsed < 0.05


@pytest.mark.parametrize("error", ALL_ERRORS.values(), ids=ALL_ERRORS.keys())
@pytest.mark.parametrize("where", [Fail, FailInCall])
async def test_every_exception_moves_on_at_once(
    error: Callable[[], BaseException], where: type[Fail], census: Census
):
    """An exception of any type, from the stream or from `chat()` itself, is a failed attempt."""
    chain = chain_of(census, [where(error)], GOOD)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert (answer, chain.asked) == ("Hello there.", "ab")
    assert watch.elapsed < 0.05
    assert [e.recoverable for e in chain.events.of("error")] == [True]


@pytest.mark.parametrize("seconds", [0.0, 1.0])
@pytest.mark.parametrize("error", ALL_ERRORS.values(), ids=ALL_ERRORS.keys())
async def test_the_error_may_follow_the_opening(
    error: Callable[[], BaseException], seconds: float, census: Census
):
    """What a provider sent before it failed without useful output leaves no trace."""
    opening = [RoleOnly(), UsageOnly(), Metadata(), Say(" "), Wait(seconds), Fail(error)]
    chain = chain_of(census, opening, GOOD)

    chunks = await ask(chain.adapter)

    assert text_of(chunks) == "Hello there."
    assert {chunk.id for chunk in chunks} == {"b-0"}


async def test_a_provider_may_cancel_the_task_it_runs_in(census: Census):
    """A provider that cancels the very task it runs in is failed over like any other."""

    class SelfDestructive(Model):
        def chat(self, **request: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return super().chat(**request)

    chain = chain_of(census, SelfDestructive([Hang()]), GOOD)

    assert await chain.answer() == "Hello there."


@pytest.mark.parametrize("on_close", [Hang(), Wait(0.2), Fail(gone)])
@pytest.mark.parametrize("script", [[Hang()], [Fail(gone)], [], [FailInCall(gone)]])
async def test_a_close_that_misbehaves_delays_nobody(
    on_close: Step, script: list[Step], census: Census
):
    """The next provider does not wait until the loser's stream has closed."""
    chain = chain_of(census, Model(script, on_close=on_close), GOOD, attempt_timeout=2.0)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "Hello there."
    assert watch.elapsed == pytest.approx(2.0 if script == [Hang()] else 0.0, abs=0.05)
    await asyncio.sleep(10)  # the census finds a close that was waited for without end


@pytest.mark.parametrize("on_close", [Hang(), Wait(0.2), Fail(gone)])
async def test_a_close_that_misbehaves_does_not_spoil_a_complete_answer(
    on_close: Step, census: Census
):
    """An answer is over when it is over: its provider's close can neither fail nor hold it."""
    chain = chain_of(census, Model(GOOD, on_close=on_close), GOOD)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert (answer, chain.asked) == ("Hello there.", "a")
    assert watch.elapsed <= 0.3
    await asyncio.sleep(10)  # the census finds a close that was waited for without end


@pytest.mark.parametrize("seconds", [0.5, 5.0])
async def test_a_provider_that_swallows_cancellation_delays_nobody(seconds: float, census: Census):
    """A loser that refuses to go is left behind, and its task ends when it does."""
    # whether its stream closes is up to such a provider: it is not in the census
    chain = chain_of(Census(), Model([Hang()], stubborn=seconds), GOOD, attempt_timeout=2.0)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "Hello there."
    assert watch.elapsed == pytest.approx(2.0, abs=0.05)
    await asyncio.sleep(10)


async def test_nothing_is_heard_of_a_provider_after_its_deadline(census: Census):
    """What a loser says instead of going is dropped."""
    chain = chain_of(census, TalksBack([Hang()]), GOOD, attempt_timeout=2.0)

    chunks = await ask(chain.adapter)

    assert text_of(chunks) == "Hello there."
    assert {chunk.id for chunk in chunks} == {"b-0"}


class TalksBack(Model):
    """Answers its cancellation with one more word."""

    def chat(self, **request: Any) -> ScriptedLLMStream:
        self.journal.append(self.name)
        return _TalkingBack(self, self.open_call("chat", **request))


class _TalkingBack(ScriptedLLMStream):
    async def __anext__(self) -> ChatChunk:
        try:
            return await super().__anext__()
        except asyncio.CancelledError:
            return ChatChunk(id="a-0", delta=ChoiceDelta(content="but "))


async def test_all_faults_in_one_chain(census: Census):
    """A chain may be longer than two, and each provider may fail in its own way."""
    chain = chain_of(
        census, [Hang()], [], [Fail(gone)], [FailInCall(TimeoutError)], GOOD,
        attempt_timeout=1.0,
    )  # fmt: skip

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert (answer, chain.asked) == ("Hello there.", "abcde")
    assert watch.elapsed == pytest.approx(1.0, abs=0.05)


async def test_providers_are_driven_without_retries_of_their_own(census: Census):
    """A provider's own retries would multiply with the adapter's: it gets none."""
    chain = chain_of(census, [Fail(APIConnectionError)], GOOD)

    await chain.answer()

    call = chain.call("a")
    assert call.kwargs["conn_options"].max_retry == 0
    assert call.runs == 1
