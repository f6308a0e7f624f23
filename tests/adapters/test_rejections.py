# SPDX-License-Identifier: Apache-2.0
"""A request that every provider rejects alike bans nobody; all other rejections count."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from livekit.agents import APIConnectionError, llm

from livekit_fallback import AllProvidersFailedError, FallbackLLM, Provider
from tests.support.audio import frames
from tests.support.caller import calling
from tests.support.errors import status
from tests.support.fakes import Fail, Say, ScriptedLLM, Wait, ask, text_of
from tests.support.outage import DOWN, LLM, SILENT, STT, TTS, Kind, line
from tests.support.recorder import EventRecorder
from tests.support.virtual_time import turns

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

each_kind = pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
each_rejection = pytest.mark.parametrize("code", [401, 402, 403, 404])

HEALTH_EVENTS = {"health_changed", "llm_availability_changed", "tts_availability_changed"}


def rejects(code: int) -> Script:
    return [Fail(lambda: status(code))]


def states(chain: Line) -> str:
    """The health of all, as h(ealthy), c(ooling down), p(robation), d(isabled)."""
    return "".join(chain.state(name)[0] for name in chain.providers)


async def _exhaust(chain: Line) -> AllProvidersFailedError:
    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.use()
    return caught.value


# --- everybody alike ----------------------------------------------------------------------------


@each_kind
@each_rejection
async def test_what_everybody_rejects_alike_is_the_request(kind: Kind, code: int, census: Census):
    """Nobody is banned, and no event says that anybody's health has changed."""
    chain = line(census, kind, rejects(code), rejects(code), rejects(code))

    error = await _exhaust(chain)

    assert chain.asked == "abc"
    assert states(chain) == "hhh"
    assert HEALTH_EVENTS.isdisjoint(chain.events.names)
    assert [attempt.status_code for attempt in error.attempts] == [code] * 3


async def test_the_next_request_starts_with_the_primary(census: Census):
    """One odd request costs the next one nothing."""
    chain = line(
        census, LLM, *(LLM.make(rejects(401), LLM.answer(name)) for name in "ab"), probe=None
    )
    await _exhaust(chain)

    assert await chain.use() == "a"


async def test_it_is_counted_as_the_request_s_fault(census: Census):
    """The counts tell a rejected request from a rejected key."""
    chain = line(census, LLM, rejects(404), rejects(404))

    await _exhaust(chain)

    health = chain.adapter.get_service_health("a")
    assert dict(health.failures) == {"request": 1}
    assert (health.consecutive_failures, health.reason) == (0, "")


# --- not alike ----------------------------------------------------------------------------------


@each_kind
async def test_different_rejections_ban_both(kind: Kind, census: Census):
    """Two keys are wrong in two ways: each is its provider's."""
    chain = line(census, kind, rejects(401), rejects(403))

    await _exhaust(chain)

    assert states(chain) == "cc"
    assert chain.rests("a") == chain.rests("b") == [300.0]


@pytest.mark.parametrize(
    ("scripts", "banned"),
    [
        ((rejects(401), rejects(401), rejects(403)), "ccc"),
        ((rejects(401), rejects(403), rejects(401)), "ccc"),
        ((rejects(403), rejects(401), rejects(401)), "ccc"),
        ((rejects(401), rejects(401), rejects(400)), "cch"),
        ((rejects(400), rejects(401), rejects(401)), "hcc"),
        ((rejects(401), rejects(400), rejects(401)), "chc"),
        ((rejects(401), DOWN, rejects(401)), "ccc"),
        ((rejects(401), rejects(401), SILENT), "ccc"),
    ],
)
async def test_one_that_answers_otherwise_makes_it_the_providers_fault(
    scripts: tuple[Script, ...], banned: str, census: Census
):
    """Whatever the other answer is, and whenever it comes."""
    chain = line(census, LLM, *scripts, total_timeout=5.0)

    await _exhaust(chain)

    assert states(chain) == banned


@each_kind
@each_rejection
async def test_one_that_serves_makes_it_the_provider_s_fault(kind: Kind, code: int, census: Census):
    """Somebody else saw nothing wrong: who rejected is banned, exactly once."""
    chain = line(census, kind, rejects(code), kind.answer("b"))

    assert await chain.use() == "b"

    (event,) = chain.events.of("health_changed")
    assert (event.provider, event.after, event.kind) == ("a", "cooling_down", "auth")
    assert (event.reason, event.rest) == (f"http_{code}", 300.0)
    assert len(chain.events.of(f"{kind.name}_availability_changed")) == 1
    assert chain.adapter.get_service_health("a").failures == {"auth": 1}


async def test_it_is_banned_at_the_first_useful_output(census: Census):
    """A long answer of the backup does not keep the wrong key in service meanwhile."""
    chain = line(census, LLM, rejects(401), [Wait(1), Say("b"), Wait(3), Say("b")])
    asking = asyncio.create_task(chain.use())

    await asyncio.sleep(0.5)
    before = states(chain)
    await asyncio.sleep(1)
    during = states(chain)

    assert (before, during, await asking) == ("hh", "ch", "bb")


async def test_all_that_rejected_before_are_banned(census: Census):
    """Two wrong keys in a row, and the third provider shows that they are."""
    chain = line(census, LLM, rejects(401), rejects(401), LLM.answer("c"))

    assert await chain.use() == "c"

    assert states(chain) == "cch"


@each_kind
async def test_a_rejection_before_silence_counts(kind: Kind, census: Census):
    """A provider that hangs has rejected nothing: who did is banned when the deadline passes."""
    third = [Wait(0.5), *kind.answer("c")]
    chain = line(census, kind, rejects(401), SILENT, third, attempt_timeout=1.0)
    asking = asyncio.create_task(chain.use())

    await asyncio.sleep(0.9)
    before = states(chain)
    await asyncio.sleep(0.2)

    assert (before, states(chain)) == ("hhh", "cch")
    assert await asking == "c"


# --- ends before it is known --------------------------------------------------------------------


async def test_a_cancelled_request_settles_what_it_held(census: Census):
    """Nobody else's word comes any more, so the rejection counts."""
    chain = line(census, LLM, rejects(401), SILENT)
    stream = chain.adapter.chat(chat_ctx=llm.ChatContext.empty())
    await asyncio.sleep(0.5)

    await stream.aclose()

    assert states(chain) == "ch"
    assert dict(chain.adapter.get_service_health("a").failures) == {"auth": 1}


async def test_a_budget_that_ends_settles_what_was_held(census: Census):
    """Those not asked for lack of time have not rejected anything."""
    slow = [Wait(3.0), Fail(status(401))]
    chain = line(census, LLM, slow, slow, LLM.answer("c"), total_timeout=5.0, attempt_timeout=4.0)

    await _exhaust(chain)

    assert chain.state("a") == "cooling_down"


async def test_closing_settles_what_was_held(census: Census):
    """A request that is ended by `aclose` leaves nothing open."""
    a, b = ScriptedLLM(rejects(401)), ScriptedLLM(SILENT)
    adapter = FallbackLLM([Provider(a, name="a"), b])
    asking = asyncio.create_task(ask(adapter))
    await asyncio.sleep(0.5)

    await adapter.aclose()

    with pytest.raises(APIConnectionError):
        await asking
    assert adapter.get_service_health("a").state == "cooling_down"
    assert a.listeners == b.listeners == 0


# --- who is not asked ---------------------------------------------------------------------------


@each_kind
async def test_a_lone_provider_that_rejects_is_banned(kind: Kind, census: Census):
    """There is nobody to compare it with: the key is the likelier fault."""
    chain = line(census, kind, rejects(401))

    await _exhaust(chain)

    assert states(chain) == "c"
    assert len(chain.events.of("health_changed")) == 1


async def test_one_that_nobody_could_ask_has_not_rejected(census: Census):
    """Of two providers one is disabled: the other stands alone."""
    chain = line(census, LLM, rejects(401), LLM.answer("b"))
    chain.adapter.disable("b")

    await _exhaust(chain)

    assert chain.state("a") == "cooling_down"


async def test_one_that_is_disabled_is_not_waited_for(census: Census):
    """Everybody means everybody who may be asked."""
    chain = line(census, LLM, rejects(401), rejects(401), LLM.answer("c"))
    chain.adapter.disable("c")

    await _exhaust(chain)

    assert states(chain) == "hhd"


async def test_those_that_rest_already_are_heard_too(census: Census):
    """Who is asked last because it rests may reject the request like the others."""
    chain = line(census, LLM, LLM.make(DOWN, rejects(401)), LLM.make(LLM.answer("b"), rejects(401)))
    await chain.use()

    await _exhaust(chain)

    assert states(chain) == "ch"
    assert len(chain.events.of("health_changed")) == 1


async def test_other_requests_are_not_held_up(census: Census):
    """Each request judges for itself: one that is well served settles its own only."""
    a = LLM.make(rejects(401), LLM.answer("a"))
    chain = line(census, LLM, a, [Wait(1), Fail(lambda: status(401))])
    odd = asyncio.create_task(_exhaust(chain))
    await turns()

    assert await chain.use() == "a"
    await odd

    assert states(chain) == "hh"


# --- probes, speech, nesting --------------------------------------------------------------------


async def _probe_live(chain: Line) -> None:
    await chain.use()
    await asyncio.sleep(6)
    with contextlib.suppress(AllProvidersFailedError):
        await chain.use()


async def test_a_live_probe_that_is_rejected_is_bad_once_another_serves(census: Census):
    """It keeps its place until then, and rests as long as a rejected key does."""
    primary = LLM.make(DOWN, rejects(401))
    chain = line(census, LLM, primary, LLM.answer("b"), probe="live", temporary_disable_sec=5)

    await _probe_live(chain)

    assert chain.moves() == ["cooling_down", "probing", "cooling_down"]
    assert chain.rests() == [5.0, 300.0]
    assert chain.adapter.get_service_health("a").consecutive_failures == 2


async def test_a_live_probe_that_all_reject_alike_is_given_back(census: Census):
    """The request was at fault: the provider rests as long as before, and may prove itself."""
    primary = LLM.make(DOWN, rejects(401), LLM.answer("a"))
    backup = LLM.make(LLM.answer("b"), rejects(401))
    chain = line(census, LLM, primary, backup, probe="live", temporary_disable_sec=5)

    await _probe_live(chain)

    assert states(chain) == "ch"
    assert chain.rests() == [5.0, 5.0]
    assert chain.adapter.get_service_health("a").consecutive_failures == 1
    await asyncio.sleep(6)
    assert await chain.use() == "a"


async def test_a_speech_stream_asks_for_nothing_that_could_be_wrong(census: Census):
    """Rejections of streaming recognisers count at once, even if all reject alike."""
    chain = line(census, STT, rejects(401), rejects(401))

    async with calling(chain.adapter) as caller:
        await caller.listening

    assert isinstance(caller.error, AllProvidersFailedError)
    assert states(chain) == "cc"


async def test_a_recording_that_is_rejected_counts_at_once(census: Census):
    """A recogniser's 401 is about its key, whatever it is given to hear."""
    chain = line(census, STT, rejects(401), rejects(401))

    with pytest.raises(AllProvidersFailedError):
        await chain.adapter.recognize(frames(0.2))

    assert states(chain) == "cc"


def _nested(*scripts: Script) -> tuple[FallbackLLM, FallbackLLM, list[ScriptedLLM]]:
    *inside, last = leaves = [ScriptedLLM(script) for script in scripts]
    inner = FallbackLLM(inside)
    outer = FallbackLLM([Provider(inner, name="inner"), Provider(last, name="z")])
    return inner, outer, leaves


async def test_what_all_leaves_of_nested_adapters_reject_alike_is_the_request(census: Census):
    """The inner adapter speaks for its providers: the same rejection from all is everybody's."""
    inner, outer, leaves = _nested(*[rejects(404)] * 3)
    census.watch(*leaves)
    events = EventRecorder(outer, ("health_changed",))

    with pytest.raises(AllProvidersFailedError):
        await ask(outer)

    assert [inner.get_service_health(leaf).state for leaf in leaves[:2]] == ["healthy"] * 2
    assert [outer.get_service_health(n).state for n in ("inner", "z")] == ["healthy"] * 2
    assert events.records == []


async def test_an_inner_adapter_whose_keys_are_rejected_is_banned_by_an_answer(census: Census):
    """The outer adapter's backup shows that the request was fine."""
    _, outer, leaves = _nested(rejects(401), rejects(401), [Say("z")])
    census.watch(*leaves)

    assert text_of(await ask(outer)) == "z"

    assert outer.get_service_health("inner").state == "cooling_down"
