# SPDX-License-Identifier: Apache-2.0
"""Who served: told from the logs of providers and adapter, probes and requests in vain aside."""

from __future__ import annotations

import pytest

from examples.demo.attempts import attempts, is_down
from examples.demo.record import CallRecord, FaultMark
from examples.demo.turns import turn_facts, verdict
from tests.support.demo_call import (
    answered,
    availability,
    call,
    failover,
    logged,
    recovery,
    transcribed,
    turn,
    understood,
)

SAID = "Hello there."


def _healthy() -> CallRecord:
    """One turn that the primaries served."""
    record = call([turn(1, 5.0, 9.0, said=SAID)], (6.0, 8.0))
    record.session_events = [understood(5.3, SAID)]
    record.provider_log = [
        transcribed(5.2, "deepgram", SAID),
        *answered(5.4, "llm", "openai", 1),
        *answered(5.6, "tts", "cartesia", 1),
    ]
    return record


def test_a_call_can_end_on_the_primaries():
    """It does if all three served its last turn, and nobody else did."""
    record = _healthy()

    (facts,) = turn_facts(record)

    assert (facts.heard_by, facts.thought_by, facts.spoken_by) == (
        ("deepgram",), ("openai",), ("cartesia",),
    )  # fmt: skip
    assert verdict(record).ended_on_primaries


def test_a_backup_in_the_last_turn_is_no_end_on_the_primaries():
    """One of the three is enough."""
    record = _healthy()
    record.provider_log += answered(5.8, "tts", "openai", 1)

    assert turn_facts(record)[0].spoken_by == ("cartesia", "openai")
    assert not verdict(record).ended_on_primaries


def test_only_the_last_turn_decides_where_the_call_ended():
    """A recovery is a recovery though a backup served before it."""
    record = _healthy()
    record.turns.insert(0, turn(1, 2.0, 4.0))
    record.provider_log += answered(2.5, "llm", "cerebras", 9)

    assert [facts.thought_by for facts in turn_facts(record)] == [("cerebras",), ("openai",)]
    assert verdict(record).ended_on_primaries

    record.turns.append(turn(3, 11.0, 14.0))

    assert not verdict(record).ended_on_primaries


def test_a_request_in_vain_did_not_serve():
    """Who gave nothing, or was called off, is not named."""
    record = _healthy()
    record.provider_log += [
        logged(5.4, "request", "llm", "groq", 7),
        logged(5.5, "fault", "llm", "groq", 7),
        logged(5.4, "request", "llm", "groq", 8),
        logged(5.4, "request", "llm", "cerebras", 8),
        logged(5.5, "first_output", "llm", "cerebras", 8),
        logged(5.6, "closed_by_client", "llm", "cerebras", 8),
    ]

    assert turn_facts(record)[0].thought_by == ("openai",)
    assert [a.wasted for a in attempts(record, "llm")] == [False, True, True, False]


def test_a_voice_that_broke_off_has_served():
    """The caller heard its beginning."""
    record = _healthy()
    record.provider_log += [
        logged(5.6, "first_output", "tts", "openai", 2),
        logged(6.5, "fault", "tts", "openai", 2),
    ]

    assert turn_facts(record)[0].spoken_by == ("cartesia", "openai")
    assert [a.wasted for a in attempts(record, "tts")] == [False, True]


def test_a_probe_does_not_serve():
    """A provider that is down answers a probe, while another one answers the caller."""
    record = _healthy()
    record.adapter_events = [failover(3.0, "llm", "openai", "cerebras")]
    record.provider_log += answered(5.5, "llm", "cerebras", 1)

    assert turn_facts(record)[0].thought_by == ("cerebras",)
    assert {a.vendor: a.probe for a in attempts(record, "llm")} == {
        "openai": True, "cerebras": False,
    }  # fmt: skip


def test_services_and_vendors_are_kept_apart():
    """Requests are numbered by each vendor for itself, and a vendor has several services."""
    record = call([])
    record.provider_log = [
        *answered(1.0, "llm", "openai", 1),
        logged(1.5, "first_output", "llm", "openai", 1),
        *answered(2.0, "tts", "openai", 2),
        *answered(3.0, "llm", "cerebras", 1),
    ]

    found = attempts(record, "llm")

    assert [a.vendor for a in found] == ["openai", "cerebras"]
    assert [(a.start, a.first_output, a.end) for a in found] == [
        pytest.approx((1.0, 1.2, 1.5)),
        pytest.approx((3.0, 3.2, 3.5)),
    ]


@pytest.mark.parametrize(
    ("second", "down"), [(0.5, False), (1.5, True), (2.5, True), (3.5, False), (4.5, True)]
)
@pytest.mark.parametrize("named", [True, False], ids=["moves", "availability"])
def test_a_provider_is_down_between_its_failover_and_its_recovery(
    named: bool, second: float, down: bool
):
    """Whichever events the adapter has, and whatever happens to others meanwhile."""
    record = call([])
    if named:
        record.adapter_events = [
            failover(1.0, "llm", "openai", "cerebras"),
            failover(1.2, "llm", "cerebras", "openai"),
            recovery(2.0, "llm", "cerebras"),
            recovery(3.0, "llm", "openai"),
            failover(4.0, "llm", "openai", "cerebras"),
        ]
    else:
        record.adapter_events = [
            availability(1.0, "llm", "openai", False),
            availability(2.0, "llm", "cerebras", True),
            availability(2.1, "tts", "openai", True),
            availability(3.0, "llm", "openai", True),
            availability(4.0, "llm", "openai", False),
        ]

    assert is_down(record, "llm", "openai", second) is down
    assert not is_down(record, "tts", "openai", second)


def test_a_transcript_is_the_work_of_the_last_that_said_it():
    """Several recognisers may hear the same words: the one that was not down was listened to."""
    record = _healthy()
    record.provider_log += [
        transcribed(5.25, "openai", SAID),
        transcribed(5.28, "groq", "Hello where?"),
    ]
    assert turn_facts(record)[0].heard_by == ("openai",)

    record.adapter_events = [failover(4.5, "stt", "openai", "deepgram")]

    assert turn_facts(record)[0].heard_by == ("deepgram",)


def test_what_came_with_the_fault_belongs_to_its_turn():
    """A fault is switched on just before the caller's line, and its consequences are the turn's."""
    fault = FaultMark("deepgram", "stt", "refused", on=3.8, off=8.0)
    record = call([turn(1, 2.0, 3.7), turn(2, 5.0, 9.0, faults=[fault])])
    record.adapter_events = [failover(3.9, "stt", "deepgram", "openai")]

    switches = [facts.switches for facts in turn_facts(record)]

    assert switches == [(), ("STT deepgram → openai: http_503",)]
