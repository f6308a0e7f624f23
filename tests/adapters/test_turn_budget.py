# SPDX-License-Identifier: Apache-2.0
"""The budget of a turn: when hearing and thinking have used it up, the fastest voice is asked."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import AgentSession, UserStateChangedEvent

from livekit_fallback import FallbackSTT, TurnBudget
from tests.support.audio import frames
from tests.support.caller import FRAME, calling
from tests.support.fakes import ScriptedSTT, ScriptedVAD
from tests.support.outage import LLM, SYNTHESIZED, TTS, Kind, Line, line
from tests.support.paces import FAST, RECOGNIZED, Paced, use

if TYPE_CHECKING:
    from tests.support.census import Census

SPOKEN = pytest.mark.parametrize("kind", [TTS, SYNTHESIZED], ids=repr)


async def _voices(census: Census, kind: Kind, budget: TurnBudget | None, **options: Any) -> Line:
    """Two voices of which the second is the faster, both known."""
    chain = line(census, kind, Paced(kind, "a", 0.4), Paced(kind, "b", FAST),
                 **{"turn_budget": budget, "probe": "live", **options})  # fmt: skip
    for name in "ba":
        chain.adapter.prefer(name)
        await use(chain, 3)
    chain.adapter.prefer(None)
    return chain


def _brain(census: Census, budget: TurnBudget, seconds: float) -> Line:
    return line(census, LLM, Paced(LLM, "a", seconds), turn_budget=budget)


@SPOKEN
@pytest.mark.parametrize(("thinking", "voice"), [(0.4, "a"), (0.99, "a"), (1.01, "b"), (2.0, "b")])
async def test_the_fastest_speaks_when_the_budget_is_used_up(
    kind: Kind, thinking: float, voice: str, census: Census
):
    """Thinking alone may use it up; until then the order is that of the list."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, kind, budget)

    await _brain(census, budget, thinking).use()

    assert await chain.use() == voice


@SPOKEN
async def test_without_a_budget_time_changes_nothing(kind: Kind, census: Census):
    """By default the order is that of the list."""
    chain = await _voices(census, kind, None)

    await line(census, LLM, Paced(LLM, "a", 2.0)).use()

    assert await chain.use() == "a"


@SPOKEN
async def test_the_first_audio_ends_the_turn(kind: Kind, census: Census):
    """What is said next is not late by what was before."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, kind, budget)
    await _brain(census, budget, 2.0).use()

    assert await use(chain, 3) == "baa"


async def test_a_slow_voice_is_made_good_within_its_own_reply(census: Census):
    """A voice that fails after the budget is used up is followed by the fastest that is left."""
    budget = TurnBudget(1.0)
    chain = line(census, TTS, Paced(TTS, "a", 0.3), Paced(TTS, "b", 0.2), Paced(TTS, "c", FAST),
                 turn_budget=budget, probe="live")  # fmt: skip
    for name in "abc":
        chain.adapter.prefer(name)
        await use(chain, 3)
    chain.adapter.prefer(None)
    await _brain(census, budget, 1.5).use()

    assert await chain.use() == "c"


@pytest.mark.parametrize("known", ["neither", "first", "second"])
async def test_unknown_speeds_keep_the_order(known: str, census: Census):
    """Who served fewer than three times is not known to be fast."""
    budget = TurnBudget(1.0)
    chain = line(census, TTS, Paced(TTS, "a", 0.4), Paced(TTS, "b", FAST), turn_budget=budget,
                 probe="live")  # fmt: skip
    for name, times in (("a", 3 if known == "first" else 2), ("b", 3 * (known == "second"))):
        chain.adapter.prefer(name)
        await use(chain, times)
    chain.adapter.prefer(None)

    await _brain(census, budget, 1.5).use()

    assert await chain.use() == "a"


async def test_one_that_is_not_usable_is_not_asked_for_its_speed(census: Census):
    """The fastest of those that are well."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)
    chain.adapter.disable("b")

    await _brain(census, budget, 1.5).use()

    assert await chain.use() == "a"


async def test_a_turn_that_nobody_answered_is_over_in_the_end(census: Census):
    """Half a minute later somebody has something new to say."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)
    await _brain(census, budget, 0.1).use()

    await asyncio.sleep(31.0)

    assert await chain.use() == "a"


async def test_the_language_model_is_chosen_by_it_too(census: Census):
    """A second question of the same turn, after a tool has run, goes to the fastest model."""
    budget = TurnBudget(1.0)
    chain = line(census, LLM, Paced(LLM, "a", 0.3), Paced(LLM, "b", FAST), turn_budget=budget,
                 probe="live")  # fmt: skip
    chain.adapter.prefer("b")
    await use(chain, 3)
    await asyncio.sleep(31.0)
    chain.adapter.prefer(None)
    assert await use(chain, 3) == "aaa"

    await asyncio.sleep(1.0)

    assert await chain.use() == "b"


async def _heard(
    census: Census, budget: TurnBudget, speech: float, silence: float, more: float = 0.0
) -> None:
    """A caller speaks, is silent, and may speak again, before a recogniser with a detector."""
    ears = ScriptedSTT([])
    census.watch(ears)
    adapter = FallbackSTT([ears], vad=ScriptedVAD(), turn_budget=budget)
    census.watch(ears)
    audio = [*frames(speech), *frames(silence, pitch=0), *frames(more)]
    async with calling(adapter) as caller:
        for frame in audio:
            caller.stream.push_frame(frame)
            await asyncio.sleep(FRAME)
    await adapter.aclose()


@pytest.mark.parametrize(
    ("silence", "thinking", "voice"), [(0.6, 0.3, "a"), (0.6, 0.5, "b"), (0.3, 0.5, "a")]
)
async def test_hearing_counts_from_the_end_of_speech(
    silence: float, thinking: float, voice: str, census: Census
):
    """The silence by which the detector knew is part of the caller's wait."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)

    await _heard(census, budget, 0.4, silence)
    await _brain(census, budget, thinking).use()

    assert await chain.use() == voice


async def test_a_recording_is_no_turn(census: Census):
    """Whoever has a file recognised does not wait for the agent's voice."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)

    await line(census, RECOGNIZED, Paced(RECOGNIZED, "a", 1.5), turn_budget=budget).use()

    assert await chain.use() == "a"


async def test_a_caller_who_speaks_again_is_not_waiting(census: Census):
    """The turn begins anew when they fall silent again."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)

    await _heard(census, budget, 0.4, 2.0, 0.4)

    assert await chain.use() == "a"


async def test_a_session_that_is_attached_is_heard_instead(census: Census):
    """Without a detector of our own the session says when the user speaks."""
    budget = TurnBudget(1.0)
    chain = await _voices(census, TTS, budget)
    ears = FallbackSTT([ScriptedSTT([])], turn_budget=budget)
    session: AgentSession[Any] = AgentSession()
    ears.attach(session)

    session.emit("user_state_changed",
                 UserStateChangedEvent(old_state="speaking", new_state="listening"))  # fmt: skip
    await asyncio.sleep(1.1)
    late = await chain.use()
    session.emit("user_state_changed",
                 UserStateChangedEvent(old_state="speaking", new_state="listening"))  # fmt: skip
    await asyncio.sleep(1.1)
    session.emit("user_state_changed",
                 UserStateChangedEvent(old_state="listening", new_state="speaking"))  # fmt: skip
    resumed = await chain.use()
    await ears.aclose()

    assert (late, resumed) == ("b", "a")


@pytest.mark.parametrize("value", [0, -1, 0.0, "1", None, True, math.nan, [1.0]])
def test_a_wrong_budget_is_refused(value: Any):
    """It must be a number of seconds greater than 0."""
    with pytest.raises(ValueError, match=r"seconds=.*greater than 0"):
        TurnBudget(value)


def test_a_budget_says_what_it_is():
    """In logs and at the prompt."""
    assert repr(TurnBudget(1)) == "TurnBudget(1.0)"


@pytest.mark.parametrize("value", [1.0, "1", object()])
def test_an_option_that_is_no_budget_is_refused(value: Any):
    """A bare number could not be shared."""
    with pytest.raises(ValueError, match="turn_budget"):
        FallbackSTT([ScriptedSTT()], turn_budget=value)
