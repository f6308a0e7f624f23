# SPDX-License-Identifier: Apache-2.0
"""Results that come back late: newer evidence is never overridden by older."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Circuit, Permit, State
from livekit_fallback.core.outcome import CANCELLED
from tests.support.circuits import (
    LATER,
    NOW,
    cooling,
    new_circuit,
    probe_of,
    probing,
    seen,
)
from tests.support.outcomes import SERVED, failed

OUTCOMES = {"success": SERVED, "failure": failed(), "cancelled": CANCELLED}

all_outcomes = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())


@pytest.mark.parametrize("late_success", [False, True])
def test_newer_failure_is_not_excused_by_an_older_success(late_success):
    """What counts is when requests were made, not when their outcomes came in."""
    circuit = new_circuit()
    first, second, third = (circuit.permit() for _ in range(3))
    circuit.record(second, SERVED, NOW)
    if late_success:
        circuit.record(first, SERVED, NOW + 1.0)

    change = circuit.record(third, failed(), NOW + 2.0)

    assert change is not None
    assert change.after is State.COOLING_DOWN


def before_the_outage() -> tuple[Circuit, Permit]:
    circuit = new_circuit()
    old = circuit.permit()
    circuit.record(circuit.permit(), failed(), NOW)
    return circuit, old


def before_the_probe() -> tuple[Circuit, Permit]:
    circuit = cooling()
    old = circuit.permit()
    probe_of(circuit, LATER)
    return circuit, old


def before_the_recovery() -> tuple[Circuit, Permit]:
    circuit = cooling()
    old = circuit.permit()
    circuit.record(circuit.permit(), SERVED, LATER)
    return circuit, old


def before_outage_and_recovery() -> tuple[Circuit, Permit]:
    circuit, old = before_the_outage()
    circuit.record(circuit.permit(), SERVED, LATER)
    return circuit, old


def of_an_abandoned_probe() -> tuple[Circuit, Permit]:
    circuit, old = probing()
    circuit.record(old, CANCELLED, LATER)
    return circuit, old


def of_an_older_probe() -> tuple[Circuit, Permit]:
    circuit, old = of_an_abandoned_probe()
    probe_of(circuit, LATER)
    return circuit, old


@all_outcomes
@pytest.mark.parametrize(
    "story",
    [
        before_the_outage,
        before_the_probe,
        before_the_recovery,
        before_outage_and_recovery,
        of_an_abandoned_probe,
        of_an_older_probe,
    ],
    ids=lambda story: story.__name__,
)
def test_late_result_changes_nothing(story, outcome):
    """A result whose permit is of an older generation is dropped, whatever it says."""
    circuit, old = story()
    before = seen(circuit)

    assert circuit.record(old, outcome, LATER + 1.0) is None
    assert seen(circuit) == before


def test_concurrent_failures_are_one_outage():
    """Of many requests that a provider fails at once, the first starts the only cool-down."""
    circuit = new_circuit()
    permits = [circuit.permit() for _ in range(10)]

    changes = [circuit.record(p, failed(), NOW + i) for i, p in enumerate(permits)]

    assert [change is not None for change in changes] == [True] + [False] * 9
    assert (circuit.due, circuit.failures) == (NOW + 5.0, 1)


@all_outcomes
def test_probe_overtaken_by_a_real_success_changes_nothing(outcome):
    """Newer evidence stands: the probe's own result comes from an older generation."""
    circuit, probe = probing()
    circuit.record(circuit.permit(), SERVED, LATER)
    before = seen(circuit)

    assert circuit.record(probe, outcome, LATER + 1.0) is None
    assert seen(circuit) == before
