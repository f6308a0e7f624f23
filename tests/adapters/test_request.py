# SPDX-License-Identifier: Apache-2.0
"""One request's walk: retries, second passes, and what is said when nobody served."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError

from livekit_fallback import AllProvidersFailedError, Provider
from livekit_fallback.core.outcome import FailureKind
from tests.support.errors import gone
from tests.support.fakes import Fail, Hang, Say, Wait
from tests.support.llm_chain import (
    LLMChain,
    Model,
    bad_request,
    chain_of,
    unauthorized,
    unavailable,
)
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.census import Census
    from tests.support.script import Script

GOOD = [Say("b")]


async def _exhaust(chain: LLMChain) -> AllProvidersFailedError:
    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.answer()
    return caught.value


def _fails_for(seconds: float, chain_clock: Callable[[], float]) -> Callable[[int], Script]:
    """A provider that is down for so long from now on."""
    until = chain_clock() + seconds
    return lambda _: [Fail(unavailable)] if chain_clock() < until else GOOD


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_a_failure_that_may_pass_is_retried_on_the_same_provider(
    retries: int, census: Census
):
    """`max_retry_per_llm` is how often a provider is asked again before the next one is."""
    chain = chain_of(census, [Fail(unavailable)], GOOD, max_retry_per_llm=retries)

    await chain.answer()

    assert chain.asked == "a" * (retries + 1) + "b"


async def test_retries_back_off(census: Census):
    """The wait before a retry is drawn from a span that doubles."""
    chain = chain_of(
        census, [Fail(unavailable)], GOOD, max_retry_per_llm=4, retry_interval=0.2, total_timeout=60
    )

    await chain.answer()

    times = [call.opened_at for call in chain.models["a"].calls]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait <= 0.2 * 2**n for n, wait in enumerate(waits))
    assert len({round(wait, 6) for wait in waits}) > 1


async def test_a_retry_can_succeed(census: Census):
    """A hiccup of the primary need not move the conversation."""
    chain = chain_of(census, Model([Fail(gone)], [Say("a")]), GOOD, max_retry_per_llm=1)

    assert await chain.answer() == "a"
    assert chain.events.of("failover") == []


@pytest.mark.parametrize(
    "script",
    [[Hang()], [Fail(unauthorized)], [Fail(bad_request)]],
    ids=["deadline", "auth", "request"],
)
async def test_what_a_retry_would_not_mend_is_not_retried(script: Script, census: Census):
    """Waiting for the same silence twice, or for the same refusal, helps nobody."""
    chain = chain_of(census, script, GOOD, max_retry_per_llm=3)

    await chain.answer()

    assert chain.asked == "ab"


async def test_retries_can_be_set_for_one_provider(census: Census):
    """An entry's `max_retry` wins over the adapter's."""
    entry = Provider(Model([Fail(unavailable)]), max_retry=2)
    chain = chain_of(census, entry, [Fail(unavailable)], GOOD)

    await chain.answer()

    assert chain.asked == "aaabc"


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.1, 8.0])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_blip_that_hits_everybody_is_waited_out(seconds: float, count: int, census: Census):
    """A chain that has failed quickly is walked again while the budget lasts.

    A bare LiveKit model with a session's retries survives a blip of 4.1 s.
    """
    clock = asyncio.get_running_loop().time
    source = _fails_for(seconds, clock)
    chain = chain_of(census, *[Model(source) for _ in range(count)])

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "b"
    assert seconds <= watch.elapsed <= seconds + 2.1  # at most the longest wait too late
    assert len(chain.asked) <= 30 * count
    assert chain.events.of("exhausted") == []


async def test_waits_between_passes_grow(census: Census):
    """Providers that are down are asked less and less often within one request."""
    chain = chain_of(census, [Fail(unavailable)], total_timeout=30.0)

    await _exhaust(chain)

    assert 12 <= len(chain.asked) <= 60  # means: 0.25, 0.5, then 1.0 s


async def test_no_interval_does_not_mean_a_busy_loop(census: Census):
    """`retry_interval=0` asks again soon, not thousands of times."""
    chain = chain_of(census, Model(lambda n: [Fail(unavailable)] if n < 500 else [Hang()]),
                     retry_interval=0, total_timeout=5.0)  # fmt: skip

    await _exhaust(chain)

    assert len(chain.asked) <= 51


@pytest.mark.parametrize("error", [unauthorized, bad_request])
async def test_what_will_not_pass_is_not_walked_again(
    error: Callable[[], APIStatusError], census: Census
):
    """A rejected key or request is rejected the second time as well: fail at once."""
    chain = chain_of(census, [Fail(error)], [Fail(error)])

    with Stopwatch() as watch:
        await _exhaust(chain)

    assert chain.asked == "ab"
    assert watch.elapsed < 0.05


async def test_only_those_that_may_come_back_are_walked_again(census: Census):
    """In later passes a provider that rejected the request is left out."""
    chain = chain_of(census, [Fail(unauthorized)], Model([Fail(unavailable)], [Fail(gone)], GOOD))

    assert await chain.answer() == "b"
    assert chain.asked == "abbb"


async def test_everybody_gets_a_turn_in_a_later_pass(census: Census):
    """One that hangs in the second pass does not eat the budget of the others."""
    a, b = Model([Fail(unavailable)], [Hang()]), Model([Fail(unavailable)], GOOD)
    chain = chain_of(census, a, b, attempt_timeout=2.0)

    with Stopwatch() as watch:
        answer = await chain.answer()

    assert answer == "b"
    assert watch.elapsed <= 2.6


async def test_the_error_tells_every_attempt(census: Census):
    """`AllProvidersFailedError` has one entry per attempt, with all that is known of it."""
    status = APIStatusError("no", status_code=403, request_id="r-1", body={"code": "blocked"})
    last = ValueError("no json")
    chain = chain_of(
        census, [Fail(status)], [Hang()], [Wait(0.5), Fail(last)],
        attempt_timeout=2.0, total_timeout=2.55,
    )  # fmt: skip

    error = await _exhaust(chain)

    assert isinstance(error, APIConnectionError)
    assert not error.retryable
    assert error.__cause__ is last
    assert error.component == "llm"
    assert error.duration == pytest.approx(2.5, abs=0.05)
    a, b, c = error.attempts
    assert (a.provider, a.kind, a.reason) == ("a", FailureKind.AUTH, "http_403")
    assert (a.status_code, a.request_id, a.body, a.error) == (403, "r-1", status.body, status)
    assert (b.provider, b.kind, b.reason) == ("b", FailureKind.TRANSIENT, "first_output_timeout")
    assert (b.status_code, b.request_id, b.body) == (None, None, None)
    assert (c.provider, c.reason, c.error) == ("c", "exception", last)
    assert [x.duration for x in (a, b, c)] == pytest.approx([0.0, 2.0, 0.5], abs=0.05)


async def test_the_error_s_text_names_providers_and_reasons_only(census: Census):
    """It ends up in logs, so it quotes no provider."""
    chain = chain_of(census, [Fail(APIStatusError("you said: secret", status_code=400))])

    error = await _exhaust(chain)

    assert error.message == "all llm providers failed after 0.00 s (a: http_400)"


@pytest.mark.parametrize("given", ["transient", "hopeless"])
async def test_exactly_one_error_is_unrecoverable(given: str, census: Census):
    """The session counts unrecoverable errors against the call: one per request, at its end."""
    error: Any = unavailable if given == "transient" else unauthorized
    chain = chain_of(census, [Fail(error)], [Fail(error)], total_timeout=1.0)

    raised = await _exhaust(chain)

    errors = chain.events.of("error")
    assert [e.recoverable for e in errors] == [True] * (len(chain.asked) - 1) + [False]
    assert errors[-1].error is raised
    assert {e.label for e in errors} == {chain.adapter.label}
    assert {e.type for e in errors} == {"llm_error"}


async def test_a_failover_is_never_fatal(census: Census):
    """While a provider is left there is one recoverable error per failure and no other."""
    chain = chain_of(census, [Fail(unavailable)], [Fail(unauthorized)], GOOD)

    await chain.answer()

    assert [e.recoverable for e in chain.events.of("error")] == [True, True]


async def test_an_exception_that_is_no_exception_can_be_the_last(census: Census):
    """Hosts handle `Exception` only: anything else reaches them as the cause of one."""
    own = BaseExceptionGroup("several", [asyncio.CancelledError()])
    chain = chain_of(census, [Fail(own)], total_timeout=0.3)

    error = await _exhaust(chain)

    assert isinstance(error.__cause__, APIError)
    assert {attempt.error.__cause__ for attempt in error.attempts} == {own}
    assert all(isinstance(e.error, Exception) for e in chain.events.of("error"))


async def test_an_exception_that_is_no_exception_can_break_off_an_answer(census: Census):
    """After the commit point as well the session is raised something that it handles."""
    own = BaseExceptionGroup("several", [asyncio.CancelledError()])
    chain = chain_of(census, [Say("a"), Fail(own)], GOOD)

    with pytest.raises(APIError) as caught:
        await chain.answer()

    assert caught.value.__cause__ is own


async def test_a_request_after_exhaustion_starts_afresh(census: Census):
    """The budget and the reports belong to one request."""
    chain = chain_of(census, Model([Fail(unauthorized)], [Fail(unauthorized)], [Say("a")]))

    errors = [await _exhaust(chain), await _exhaust(chain)]

    assert [len(error.attempts) for error in errors] == [1, 1]
    assert await chain.answer() == "a"
