# SPDX-License-Identifier: Apache-2.0
"""The user's own rule: which failures are worth asking another provider for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIStatusError

from livekit_fallback import AllProvidersFailedError, AttemptReport
from livekit_fallback.core.outcome import FailureKind
from tests.support.caller import FRAME, calling
from tests.support.errors import status
from tests.support.fakes import Audio, Fail, Flush, Interim, Say, ToolCall, Wait
from tests.support.llm_chain import listen
from tests.support.outage import DOWN, LLM, SILENT, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line

KINDS = [LLM, STT, TTS]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


class Rule:
    """Answers with what it is given, and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[Exception, AttemptReport]] = []
        self._answers = answers

    def __call__(self, error: Exception, report: AttemptReport) -> Any:
        self.asked.append((error, report))
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def rejected() -> APIStatusError:
    return status(451)


async def _fail(chain: Line) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011  any type: the provider's own
        await chain.use()
    return caught.value


# --- False --------------------------------------------------------------------------------------


@each_kind
async def test_false_ends_the_request_with_the_provider_s_own_error(kind: Kind, census: Census):
    """No other provider is asked, and the error is not wrapped."""
    error = rejected()
    chain = line(census, kind, [Fail(error)], kind.answer("b"), should_failover=Rule(False))

    assert await _fail(chain) is error
    assert chain.asked == "a"


@each_kind
@pytest.mark.parametrize("code", [401, 429, 503])
async def test_false_leaves_health_alone(kind: Kind, code: int, census: Census):
    """Whatever the failure would have meant, nobody's health is touched."""
    primary = kind.make([Fail(status(code))], kind.answer("a"))
    chain = line(census, kind, primary, kind.answer("b"), should_failover=Rule(False))

    await _fail(chain)

    assert [chain.state(name) for name in "ab"] == ["healthy", "healthy"]
    assert chain.moves() == chain.unavailable == []
    assert await chain.use() == "a"


@each_kind
async def test_false_is_one_recoverable_error(kind: Kind, census: Census):
    """The session hears of the error, and counts nothing against the call; nothing moved."""
    error = rejected()
    chain = line(census, kind, [Fail(error)], kind.answer("b"), should_failover=Rule(False))

    await _fail(chain)

    (event,) = chain.events.of("error")
    assert event.error is error
    assert event.recoverable is True
    assert {"failover", "exhausted"}.isdisjoint(chain.events.names)


async def test_false_ends_retries_too(census: Census):
    """What is not worth another provider is not worth another try."""
    rule = Rule(False)
    chain = line(census, LLM, DOWN, LLM.answer("b"), should_failover=rule, max_retry_per_llm=5)

    await _fail(chain)

    assert (chain.asked, len(rule.asked)) == ("a", 1)


async def test_false_can_come_later_in_the_walk(census: Census):
    """The failures before it count as always; the one it is said of does not."""
    rule = Rule(True, False)
    chain = line(census, LLM, DOWN, [Fail(rejected)], LLM.answer("c"), should_failover=rule)

    error = await _fail(chain)

    assert isinstance(error, APIStatusError)
    assert error.status_code == 451
    assert chain.asked == "ab"
    assert [chain.state(name) for name in "abc"] == ["cooling_down", "healthy", "healthy"]


async def test_false_for_a_live_probe_gives_it_back(census: Census):
    """The provider is neither back nor worse: it may prove itself with a later request."""
    primary = LLM.make(DOWN, [Fail(rejected)], LLM.answer("a"))
    rule = Rule(True, False)
    options = {"probe": "live", "temporary_disable_sec": 5, "should_failover": rule}
    chain = line(census, LLM, primary, LLM.answer("b"), **options)
    await chain.use()
    await asyncio.sleep(6)

    await _fail(chain)

    assert chain.state() == "cooling_down"
    assert chain.adapter.get_service_health("a").consecutive_failures == 1
    await asyncio.sleep(6)
    assert await chain.use() == "a"


# --- True, and what counts as it ----------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(
    "answer",
    [True, 1, "yes", TypeError("mine"), asyncio.CancelledError(), ExceptionGroup("x", [OSError()])],
    ids=repr,
)
async def test_true_is_as_if_there_were_no_rule(kind: Kind, answer: Any, census: Census):
    """So is a rule that raises: a mistake in it must not cost the caller an answer."""
    rule = Rule(answer)
    chain = line(census, kind, breaks(kind), kind.answer("b"), should_failover=rule)

    assert await chain.use() == "b"
    assert len(rule.asked) == 1
    assert chain.moves() == ["cooling_down"]
    assert len(chain.events.of("failover")) == 1


@pytest.mark.parametrize("answer", [False, 0, None, ""], ids=repr)
async def test_what_is_not_true_is_false(answer: Any, census: Census):
    """A rule that forgets to return anything has not said that it is worth it."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), should_failover=Rule(answer))

    await _fail(chain)

    assert chain.asked == "a"


# --- what it is asked ---------------------------------------------------------------------------


@each_kind
async def test_it_is_given_the_exception_and_its_report(kind: Kind, census: Census):
    """All that the classification found, so that a rule can be one comparison."""
    error = APIStatusError("no", status_code=429, request_id="req_7", body={"code": "slow"})
    rule = Rule(True)
    primary = [Wait(0.5), Fail(error)]
    chain = line(census, kind, primary, kind.answer("b"), should_failover=rule)

    await chain.use()

    ((given, report),) = rule.asked
    assert given is report.error is error
    assert (report.provider, report.kind) == ("a", FailureKind.RATE_LIMITED)
    assert (report.reason, report.status_code) == ("http_429", 429)
    assert (report.request_id, report.body) == ("req_7", {"code": "slow"})
    assert report.duration == pytest.approx(0.5, abs=0.02)


async def test_it_is_asked_once_per_failure(census: Census):
    """Retries, deadlines and the last provider included; successes are none of its business."""
    rule = Rule(True)
    options = {"max_retry_per_llm": 1, "attempt_timeout": 1.0, "total_timeout": 4.0}
    chain = line(census, LLM, DOWN, SILENT, [Fail(status(401))], should_failover=rule, **options)

    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.use()

    assert [report for _, report in rule.asked] == list(caught.value.attempts)
    assert [report.provider for _, report in rule.asked][:4] == ["a", "a", "b", "c"]


async def test_it_is_not_asked_about_what_is_no_failure_of_a_request(census: Census):
    """Answers, interruptions and probes."""
    rule = Rule(True)
    primary = LLM.make(LLM.answer("a"), SILENT, DOWN, DOWN)
    options = {"temporary_disable_sec": 5, "should_failover": rule}
    chain = line(census, LLM, primary, LLM.answer("b"), **options)

    await chain.use()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.use(), 1.0)
    await chain.use()
    await asyncio.sleep(6)

    assert chain.probes() == [False]
    assert len(rule.asked) == 1


# --- after output -------------------------------------------------------------------------------


async def test_an_answer_that_broke_off_is_not_begun_anew(census: Census):
    """`retry_on_chunk_sent` would; the rule says no, and what is missing is told."""
    broken = [Say("one two "), Fail(rejected)]
    options = {"retry_on_chunk_sent": True, "should_failover": Rule(False)}
    chain = line(census, LLM, broken, LLM.answer("b"), **options)

    chunks, error = await listen(chain.adapter)

    assert isinstance(error, APIStatusError)
    assert len(chunks) == 1
    assert chain.asked == "a"
    (lost,) = chain.events.of("output_lost")
    assert (lost.provider, lost.reason, lost.delivered) == ("a", "http_451", 8)
    assert chain.state() == "healthy"


async def test_a_reply_that_broke_off_is_told(census: Census):
    """How much was heard; and the rule has its say on health, though nobody could take over."""
    rule = Rule(False)
    broken = [Audio(0.4), Flush(), Fail(rejected)]
    chain = line(census, TTS, broken, TTS.answer("b"), should_failover=rule)

    await _fail(chain)

    assert len(rule.asked) == 1
    assert chain.state() == "healthy"

    (lost,) = chain.events.of("output_lost")
    assert (lost.provider, lost.reason) == ("a", "http_451")
    assert lost.delivered == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("answer", [True, TypeError("mine")], ids=repr)
async def test_the_rule_cannot_allow_what_would_be_said_twice(answer: Any, census: Census):
    """After a tool call nothing is repeated, whatever the rule says."""
    broken = [ToolCall("book"), Fail(rejected)]
    options = {"retry_on_chunk_sent": True, "should_failover": Rule(answer)}
    chain = line(census, LLM, broken, LLM.answer("b"), **options)

    _, error = await listen(chain.adapter)

    assert isinstance(error, APIStatusError)
    assert chain.asked == "a"


async def test_before_the_first_output_nothing_is_lost(census: Census):
    """There is nothing to complete, so nothing is reported as missing."""
    chain = line(census, LLM, [Fail(rejected)], LLM.answer("b"), should_failover=Rule(False))

    await _fail(chain)

    assert chain.events.of("output_lost") == []


async def test_speech_that_nobody_will_hear_is_told(census: Census):
    """The stream ends with the provider's error, and with it the audio that was kept."""
    deaf = [Interim("one"), Wait(0.5), Fail(rejected)]
    chain = line(census, STT, deaf, STT.answer("b"), should_failover=Rule(False))

    async with calling(chain.adapter) as caller:
        await caller.speak(20)
        await caller.listening

    assert isinstance(caller.error, APIStatusError)
    assert chain.asked == "a"
    (lost,) = chain.events.of("output_lost")
    assert (lost.provider, lost.reason) == ("a", "http_451")
    assert lost.lost == pytest.approx(20 * FRAME, abs=FRAME)


async def test_a_retry_that_the_rule_ends_blames_nobody_for_what_went_before(census: Census):
    """The request ended by the rule: neither of its tries is held against the provider."""
    chain = line(
        census, LLM, LLM.make(DOWN, [Fail(rejected)]), LLM.answer("b"),
        should_failover=Rule(True, False), max_retry_per_llm=1, retry_interval=0.0,
    )  # fmt: skip

    error = await _fail(chain)

    assert isinstance(error, APIStatusError)
    assert (chain.asked, chain.moves()) == ("aa", [])
