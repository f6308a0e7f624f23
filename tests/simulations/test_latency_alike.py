# SPDX-License-Identifier: Apache-2.0
"""Slowness that is nobody's: all providers are slow alike, or our own event loop was blocked."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulations.latency_traces import (
    AUTO,
    BACKUP,
    DEADLINE,
    FAST,
    FIRST_SLOW,
    FIRST_WELL,
    FLOOR,
    HEDGED,
    PAUSE,
    RATIO,
    SCOUTED_AGAIN_AFTER,
    SLOW,
    all_kinds,
    by_turn,
    conversation,
    hedged_turns,
    probed_until_well,
    steady,
    step,
)
from tests.support.outage import LLM, TTS, Kind
from tests.support.paces import RECOGNIZED

if TYPE_CHECKING:
    from tests.support.census import Census

TURNS = 110
EVERYBODY = (step(), step(BACKUP))
THREE = (*EVERYBODY, step(0.4))


@all_kinds
@pytest.mark.parametrize("options", [{}, HEDGED, {"probe": "ping"}, RATIO], ids=str)
async def test_when_everybody_is_slow_nobody_is_left(kind: Kind, options: Any, census: Census):
    """Every turn is the primary's and takes no longer than without us; the backup is spared."""
    talk = conversation(census, kind, *EVERYBODY, **options)

    await talk.hold(TURNS)

    slow = range(FIRST_SLOW, FIRST_WELL)
    assert talk.by == "a" * TURNS
    assert talk.late == dict.fromkeys(slow, SLOW)
    assert talk.failovers == talk.chain.events.of("health_changed") == []
    assert talk.hedges == (hedged_turns(slow, TURNS) if options is HEDGED else [])
    first = 20 + (3 if options is RATIO else 1)  # one before the limit
    scouted = [turn * PAUSE + SLOW for turn in range(first, FIRST_WELL, 7)]
    if options is not HEDGED:  # else hedges say as much
        assert talk.asked_beside("b") == scouted
    assert len(talk.asked_beside("b")) <= 1 + len(slow) * PAUSE / SCOUTED_AGAIN_AFTER


async def test_a_recogniser_does_not_come_back_while_it_is_slow(census: Census):
    """Its probes have to be fast, too: after three slow turns there is no fourth."""
    talk = conversation(census, RECOGNIZED, step(), steady(BACKUP), probe="ping")

    await talk.hold(TURNS)

    assert [*talk.late] == [20, 21, 22]


@pytest.mark.parametrize(
    ("traces", "options"),
    [
        pytest.param(THREE, {}, id="three"),
        pytest.param(THREE, HEDGED, id="three-hedged"),
        pytest.param(EVERYBODY, {"consecutive_latency_hits": 1}, id="at-the-first-slow-output"),
    ],
)
async def test_nobody_is_left_for_one_that_is_not_known_to_be_faster(
    traces: Any, options: Any, census: Census
):
    """Traffic moves only to a provider that is known, as of now, to be fast."""
    talk = conversation(census, LLM, *traces, **options)

    await talk.hold(TURNS)

    assert talk.by[FIRST_SLOW:] == "a" * (TURNS - FIRST_SLOW)
    assert [failover for failover in talk.failovers if failover.endswith("latency")] == []


@pytest.mark.parametrize("options", [{}, HEDGED], ids=["plain", "hedged"])
async def test_traffic_goes_past_a_stand_in_that_is_known_to_be_slow(options: Any, census: Census):
    """With the second as slow as the first it gets no turn, and is never said to lose one."""
    talk = conversation(census, LLM, *EVERYBODY, steady(0.4), **options)

    await talk.hold(FIRST_WELL)

    assert "b" not in talk.by
    assert [failover for failover in talk.failovers if "b" in failover.split()[0]] == []


@pytest.mark.parametrize(("a_ends", "b_ends"), [(60, 40), (40, 60)], ids=["b-first", "a-first"])
async def test_who_becomes_fast_first_has_the_traffic(a_ends: int, b_ends: int, census: Census):
    """Should it be the backup, traffic moves within the time between two looks, and a turn."""
    a, b = step(ends=a_ends), step(BACKUP, ends=b_ends)
    talk = conversation(census, LLM, a, b)

    await talk.hold(TURNS)

    if a_ends < b_ends:
        assert talk.by == "a" * TURNS
        return
    there, back = talk.switches
    assert 40 <= there <= 40 + SCOUTED_AGAIN_AFTER / PAUSE + 2
    left_at = (there - 1) * PAUSE + SLOW + BACKUP
    assert back == probed_until_well(a, left_at, DEADLINE[LLM])[1]
    assert talk.failovers == ["a>b latency"]


@pytest.mark.parametrize("probe", ["live", None])
@pytest.mark.parametrize("kind", [LLM, TTS], ids=repr)
async def test_without_probes_beside_the_traffic_it_moves_once(
    kind: Kind, probe: str | None, census: Census
):
    """A stand-in that cannot be asked before keeps the traffic, but for the turns that probe."""
    talk = conversation(census, kind, *EVERYBODY, probe=probe)
    live = [24, 27, 32, 41, 58] if probe else []  # one per growing rest

    await talk.hold(FIRST_WELL)

    of_a = [turn for turn, name in enumerate(talk.by) if name == "a"]
    assert of_a == [*range(23), *live]
    assert talk.failovers == ["a>b latency"]


async def test_an_adaptive_deadline_that_all_miss_is_a_failure_of_the_first(census: Census):
    """The turn that meets it waits for the last provider as well; no other waits longer."""
    talk = conversation(census, LLM, *EVERYBODY, **AUTO)
    _, back = probed_until_well(step(), FIRST_SLOW * PAUSE + FLOOR[LLM], DEADLINE[LLM])

    await talk.hold(TURNS)

    assert talk.switches == [FIRST_SLOW, back]
    assert talk.failovers == ["a>b first_output_timeout"]
    slow = dict.fromkeys(range(FIRST_SLOW, FIRST_WELL), SLOW)
    assert talk.late == {**slow, FIRST_SLOW: pytest.approx(FLOOR[LLM] + SLOW, abs=2e-3)}


# ---------------------------------------------------------------------------- our own event loop

TWO_TRIPS = (FAST / 2, FAST / 2)  # such as a handshake before the answer
MIXED = by_turn(lambda turn: TWO_TRIPS if turn % 4 else FAST)


@all_kinds
@pytest.mark.parametrize("options", [{}, HEDGED, AUTO, RATIO], ids=str)
async def test_a_blocked_loop_is_held_against_nobody(kind: Kind, options: Any, census: Census):
    """Blocked for 1 to 3 s while it waits, in every other turn: all is as if it had not been."""
    draws = random.Random(repr(options))
    deadline = FLOOR[kind] if options is AUTO else DEADLINE[kind]
    talk = conversation(census, kind, MIXED, steady(BACKUP), **options)
    for turn in range(20, 100, 2):
        after, seconds = draws.uniform(0.01, FAST - 0.01), draws.uniform(1.0, 3.0)
        if -FAST < after + seconds - deadline < FAST:  # those have tests of their own
            seconds = 1.5
        talk.block(turn, after, seconds)

    await talk.hold(TURNS)

    assert talk.blame == []
    assert talk.hedges == []
    assert talk.chain.providers["b"].calls == []
    assert talk.chain.adapter.get_service_health("a").latency_p99 <= FAST + 1e-3


@pytest.mark.parametrize("options", [{}, AUTO], ids=["fixed", "auto"])
@pytest.mark.parametrize("past", [0.01, 0.05, 0.1])
async def test_a_block_that_ends_near_the_deadline_is_held_against_nobody(
    options: Any, past: float, census: Census
):
    """A provider that needs 0.3 s does not time out because the loop was blocked for the rest."""
    due = FLOOR[LLM] if options is AUTO else DEADLINE[LLM]
    talk = conversation(census, LLM, lambda _: FAST, steady(BACKUP), **options)
    talk.block(30, 0.1, due + past - 0.1)

    await talk.hold(40)

    assert talk.blame == []


@all_kinds
async def test_a_block_between_turns_is_nobodys_either(kind: Kind, census: Census):
    """Turns that begin late because of it are timed from their own beginning."""
    talk = conversation(census, kind, steady(FAST), steady(BACKUP))
    for turn in range(20, 100, 2):
        talk.block(turn, 3.0, 4.0)

    await talk.hold(TURNS)

    assert talk.blame == []
    assert talk.late == {}


@pytest.mark.parametrize("which", ["the stand-in", "the primary"])
async def test_a_block_while_a_probe_is_out_spoils_no_probe(which: str, census: Census):
    """A fast answer that was read late still lets traffic go there, or come back."""
    probed, back = probed_until_well(step(), 22 * PAUSE + SLOW, DEADLINE[LLM])
    talk = conversation(census, LLM, step(), steady(BACKUP))
    if which == "the stand-in":
        talk.block(0, 21 * PAUSE + SLOW + 0.1, 2.0)
    else:
        talk.block(0, probed[-1] + 0.1, 2.0)
        back += 1  # the turn that was to begin meanwhile begins before the answer is read

    await talk.hold(TURNS)

    assert talk.switches == [23, back]
    assert talk.chain.probes()[-1] is True
    assert talk.failovers == ["a>b latency"]
