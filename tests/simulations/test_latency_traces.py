# SPDX-License-Identifier: Apache-2.0
"""Providers that become slow and fast again, in conversations of a hundred turns and more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulations.latency_traces import (
    AUTO,
    BACKUP,
    DEADLINE,
    FAST,
    FIRST_WELL,
    FLOOR,
    HEDGE,
    HEDGED,
    KINDS,
    PAUSE,
    RATIO,
    SLOW,
    THRESHOLD,
    Conversation,
    all_kinds,
    by_chance,
    by_turn,
    conversation,
    drift,
    hedged_turns,
    probed_until_well,
    spikes,
    steady,
    step,
    turn_at,
    wobbling,
)
from tests.support.outage import DOWN, LLM, Kind

if TYPE_CHECKING:
    from tests.support.census import Census

TURNS = 110
SPIKES, SPIKE = [24, 49, 74, 99], 3.2  # longer than any deadline


def _turns_by(*shares: tuple[str, int]) -> str:
    """Who answers: each of these until the turn that stands beside it."""
    answers = ""
    for name, until in shares:
        answers += name * (until - len(answers))
    return answers


# ---------------------------------------------------------------------------------------- step


@all_kinds
@pytest.mark.parametrize("how", ["plain", "hedged", "auto"])
async def test_a_step_moves_traffic_once_there_and_once_back(kind: Kind, how: str, census: Census):
    """Three slow turns, or one late one, are all that a caller hears of 40 slow turns' worth."""
    options = {"plain": {}, "hedged": HEDGED, "auto": AUTO}[how]
    late, wait = {
        "plain": ([20, 21, 22], SLOW),
        "hedged": ([20, 21, 22], HEDGE + BACKUP),
        "auto": ([20], FLOOR[kind] + BACKUP),
    }[how]
    left_at = late[-1] * PAUSE + (FLOOR[kind] if how == "auto" else wait)
    probed, back = probed_until_well(step(), left_at, DEADLINE[kind])
    talk = conversation(census, kind, step(), steady(BACKUP), **options)

    await talk.hold(TURNS)

    first_of_b = 23 if how == "plain" else 20
    assert talk.by == _turns_by(("a", first_of_b), ("b", back), ("a", TURNS))
    assert talk.late == dict.fromkeys(late, pytest.approx(wait, abs=2e-3))
    assert talk.failovers == [f"a>b {'first_output_timeout' if how == 'auto' else 'latency'}"]
    assert talk.recoveries == [(back, "a")]
    assert talk.asked_beside("a") == pytest.approx(probed, abs=0.02)
    assert talk.chain.rests() == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0]
    assert talk.hedges == (late if how == "hedged" else [])
    after_a = [20 * PAUSE + FLOOR[kind]]
    beside = {"plain": [21 * PAUSE + SLOW], "hedged": [], "auto": after_a}
    assert talk.asked_beside("b") == beside[how]


async def test_a_hedge_covers_what_an_adaptive_deadline_would_let_wait(census: Census):
    """The turn that times out at its deadline has been answered by the hedge by then, or nearly."""
    talk = conversation(census, LLM, step(), steady(BACKUP), **HEDGED, **AUTO)
    _, back = probed_until_well(step(), 20 * PAUSE + FLOOR[LLM], DEADLINE[LLM])

    await talk.hold(TURNS)

    assert talk.by == _turns_by(("a", 20), ("b", back), ("a", TURNS))
    assert talk.late == {20: pytest.approx(HEDGE + BACKUP, abs=2e-3)}
    assert talk.failovers == ["a>b first_output_timeout"]


@pytest.mark.parametrize("hits", [1, 2, 5, 8])
async def test_the_switch_takes_exactly_the_evidence_asked_for(hits: int, census: Census):
    """Traffic moves after `consecutive_latency_hits` turns, and the stand-in is asked once."""
    talk = conversation(census, LLM, step(), steady(BACKUP), consecutive_latency_hits=hits)

    await talk.hold(FIRST_WELL)

    assert talk.by == _turns_by(("a", 20 + hits), ("b", FIRST_WELL))
    assert list(talk.late.values()) == [SLOW] * hits
    assert len(talk.asked_beside("b")) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_noise_makes_no_difference(seed: int, census: Census):
    """With a tenth more or less in every answer traffic moves in the same turn, and comes back."""
    primary = wobbling(step(), seed)
    talk = conversation(census, LLM, primary, wobbling(steady(BACKUP), seed + 100))
    earliest, latest = (
        probed_until_well(step(slow=SLOW * much), 22 * PAUSE + SLOW * much, 2.5)[1]
        for much in (0.9, 1.1)
    )

    await talk.hold(TURNS)

    first, back = talk.switches
    assert first == 23
    assert earliest <= back <= latest


@pytest.mark.parametrize(
    ("own", "stand_ins", "is_left"),
    [
        pytest.param({"latency_threshold_ms": 2000}, {}, False, id="a-may-be-slower"),
        pytest.param({"latency_threshold_ms": None}, {}, False, id="a-is-never-slow"),
        pytest.param({"latency_threshold_ms": 1400}, {}, True, id="a-is-just-too-slow"),
        pytest.param({}, {"latency_threshold_ms": 200}, False, id="b-is-slower-than-it-may-be"),
        pytest.param({}, {"latency_threshold_ms": None}, True, id="b-is-never-slow"),
    ],
)
async def test_each_is_measured_by_its_own_threshold(
    own: Any, stand_ins: Any, is_left: bool, census: Census
):
    """A provider is left for its own threshold, and for one that keeps to its own."""
    talk = conversation(census, LLM, (step(), own), (steady(BACKUP), stand_ins))

    await talk.hold(FIRST_WELL)

    assert talk.by == _turns_by(("a", 23), ("b" if is_left else "a", FIRST_WELL))


async def test_live_probes_cost_one_slow_turn_per_growing_rest(census: Census):
    """With `probe="live"` the caller hears each probe of the slow one, and nothing else of it."""
    talk = conversation(census, LLM, step(), steady(BACKUP), probe="live")
    due, heard = 22 * PAUSE + SLOW, [20, 21, 22]
    for rest in (5.0, 10.0, 20.0, 40.0, 80.0):
        heard.append(-int(-(due + rest) // PAUSE))
        due = heard[-1] * PAUSE + SLOW
    back = -int(-(due + 160.0) // PAUSE)

    await talk.hold(TURNS)

    assert [*talk.late] == heard == [20, 21, 22, 24, 27, 32, 41, 58]
    assert [turn for turn, name in enumerate(talk.by) if name == "a"] == [
        *range(20), *heard, *range(back, TURNS)
    ]  # fmt: skip
    assert talk.asked_beside("a") == talk.asked_beside("b") == []


async def test_a_recovery_is_told_when_the_primary_is_back(census: Census):
    """A live probe that is answered too slowly is no recovery; the return that lasts is one."""
    talk = conversation(census, LLM, step(), steady(BACKUP), probe="live")

    await talk.hold(TURNS)

    assert talk.recoveries == [(talk.switches[-1], "a")]


async def test_a_recovery_is_told_though_a_request_was_under_way(census: Census):
    """Two calls share an adapter: one is waiting for the slow provider while the other leaves."""
    talk = conversation(census, LLM, step(), steady(BACKUP))
    other = Conversation(talk.chain, talk.began)

    await asyncio.gather(talk.hold(TURNS), other.hold(TURNS, late=1.0))

    assert talk.by[-1] == other.by[-1] == "a"
    assert talk.failovers == ["a>b latency"]
    assert [name for _, name in talk.recoveries] == ["a"]


async def test_a_slow_primary_is_better_than_a_dead_backup(census: Census):
    """While the stand-in is down the slow one answers every turn; it is left again afterwards."""
    backup = by_turn(lambda turn: DOWN if turn in range(30, 35) else BACKUP)
    talk = conversation(census, LLM, step(), backup)

    await talk.hold(TURNS)

    assert max(talk.waits) == SLOW
    assert set(talk.by[23:30]) == {"b"}
    assert set(talk.by[30:35]) == {"a"}
    assert talk.by[50] == "b"
    assert talk.by[-1] == "a"


# -------------------------------------------------------------------- spikes and bad minutes


@all_kinds
@pytest.mark.parametrize("how", ["plain", "hedged", "auto", "patient"])
async def test_a_spike_now_and_then(kind: Kind, how: str, census: Census):
    """One slow output is no reason to leave: only a deadline that passes moves traffic, briefly."""
    options = {"plain": {}, "hedged": HEDGED, "auto": AUTO, "patient": {"attempt_timeout": 5.0}}
    bound = {
        "plain": DEADLINE[kind] + BACKUP,
        "hedged": HEDGE + BACKUP,
        "auto": FLOOR[kind] + BACKUP,
        "patient": SPIKE,
    }[how]
    talk = conversation(census, kind, spikes(SPIKES, SPIKE), steady(BACKUP), **options[how])

    await talk.hold(TURNS)

    assert talk.late == dict.fromkeys(SPIKES, pytest.approx(bound, abs=2e-3))
    assert talk.hedges == (SPIKES if how == "hedged" else [])
    times_out = how in ("plain", "auto")
    assert talk.failovers == ["a>b first_output_timeout"] * 4 * times_out
    of_b = {turn + more for turn in SPIKES for more in range(2)} if times_out else set(talk.hedges)
    assert {turn for turn, name in enumerate(talk.by) if name == "b"} == of_b
    assert len(talk.asked_beside("a")) == 4 * times_out
    assert len(talk.chain.providers["b"].calls) == len(of_b)


@pytest.mark.parametrize("rule", [{}, RATIO], ids=["in-a-row", "ratio"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_long_tail_is_hedged_and_nobody_is_left(seed: int, rule: Any, census: Census):
    """Three in a hundred outputs of 4 s are no bad minute, and no turn waits for one."""
    tail = by_chance(seed, 0.03, 200)
    talk = conversation(census, LLM, spikes(tail, 4.0), steady(BACKUP), **HEDGED, **rule)

    await talk.hold(200)

    assert talk.hedges == hedged_turns(tail, 200) == tail
    assert talk.late == dict.fromkeys(tail, pytest.approx(HEDGE + BACKUP, abs=2e-3))
    assert talk.failovers == []
    assert len(talk.chain.providers["b"].calls) == len(tail)


@pytest.mark.parametrize("seed", range(3))
async def test_a_long_tail_meets_an_adaptive_deadline(seed: int, census: Census):
    """A turn waits 0.8 s, or the ceiling while under twenty, or 95 in 100, outputs were in time."""
    tail = by_chance(seed, 0.03, 200)
    talk = conversation(census, LLM, spikes(tail, 4.0), steady(BACKUP), **AUTO)

    await talk.hold(200)

    primary = [turn_at(call.opened_at - talk.began) for call in talk.chain.providers["a"].calls]
    for turn in talk.late:
        before = [earlier for earlier in primary if earlier < turn]
        timed = [earlier for earlier in before if earlier not in tail]
        is_known = len(timed) >= 20 and len(timed) / len(before) >= 0.95
        assert talk.waits[turn] == pytest.approx(
            (FLOOR if is_known else DEADLINE)[LLM] + BACKUP, abs=2e-3
        )
    assert set(talk.late) <= set(tail)


@all_kinds
async def test_one_fast_answer_does_not_hide_a_bad_minute(kind: Kind, census: Census):
    """Every second output is slow: five of ten are too many, and on probation one is."""
    bad = by_turn(lambda turn: SLOW if 20 <= turn < 60 and turn % 2 == 0 else FAST)
    talk = conversation(census, kind, bad, steady(BACKUP), **RATIO)
    # left in turn 28, well when probed in 29, slow in 30; then probed after 10, 20, 40 and 80 s

    await talk.hold(TURNS)

    assert talk.by == _turns_by(("a", 29), ("b", 30), ("a", 31), ("b", 62), ("a", TURNS))
    assert [*talk.late] == [20, 22, 24, 26, 28, 30]
    assert talk.chain.rests() == [5.0, 10.0, 20.0, 40.0, 80.0]


async def test_in_a_row_means_in_a_row(census: Census):
    """Without `slow_ratio` every second slow output is no reason to leave."""
    bad = by_turn(lambda turn: SLOW if turn % 2 == 0 else FAST)
    talk = conversation(census, LLM, bad, steady(BACKUP))

    await talk.hold(TURNS)

    assert talk.by == "a" * TURNS
    assert talk.asked_beside("b") == []


async def test_a_provider_slow_every_second_minute_is_left_once_in_each(census: Census):
    """Traffic moves twice in two minutes: after three slow turns, and once a probe was fast."""
    minutes = by_turn(lambda turn: SLOW if turn // 12 % 2 else FAST)
    talk = conversation(census, LLM, minutes, steady(BACKUP))
    moved = []
    for begins in range(12, 192, 24):
        left_at = (begins + 2) * PAUSE + SLOW
        moved += [begins + 3, probed_until_well(minutes, left_at, DEADLINE[LLM])[1]]

    await talk.hold(192)

    assert talk.switches == [turn for turn in moved if turn < 192]
    assert len(talk.failovers) == 8


@pytest.mark.parametrize(
    ("slow", "reasons"),
    [({20: SPIKE, 23: SPIKE}, 2), ({20: SLOW, 21: SLOW, 22: SPIKE}, 1)],
    ids=["on-probation", "as-the-third"],
)
async def test_a_timeout_is_one_failover(slow: dict[int, float], reasons: int, census: Census):
    """A turn that times out moves on once, because of its deadline, whatever it is evidence of."""
    primary = by_turn(lambda turn: slow.get(turn, FAST))
    talk = conversation(census, LLM, primary, steady(BACKUP))

    await talk.hold(40)

    assert talk.failovers == ["a>b first_output_timeout"] * reasons


# ------------------------------------------------------------------------------------ drift


@pytest.mark.parametrize(
    ("kind", "options", "hedged"),
    [
        *((kind, {}, []) for kind in KINDS),
        (LLM, AUTO, []),
        # slower than the delay from turn 25 on: the budget is spent by the time that it would help
        (LLM, HEDGED, hedged_turns(range(25, 35), 35)),
    ],
    ids=["llm", "tts", "recognize", "llm-auto", "llm-hedged"],
)
async def test_a_slow_drift(kind: Kind, options: Any, hedged: list[int], census: Census):
    """The third turn past the threshold is the last of a drifting provider, until it is back."""
    third = next(turn for turn in range(TURNS) if drift(turn * PAUSE) > THRESHOLD) + 2
    left_at = third * PAUSE + drift(third * PAUSE)
    probed, back = probed_until_well(drift, left_at, DEADLINE[kind])
    talk = conversation(census, kind, drift, steady(BACKUP), **options)

    await talk.hold(120)

    assert third == 34
    assert talk.by == _turns_by(("a", 35), ("b", back), ("a", 120))
    assert max(talk.waits) == pytest.approx(drift(third * PAUSE), abs=2e-3)
    assert talk.hedges == hedged
    assert talk.asked_beside("a") == pytest.approx(probed, abs=0.02)
    assert talk.failovers == ["a>b latency"]
