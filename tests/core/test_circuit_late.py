# SPDX-License-Identifier: Apache-2.0
"""Results that come back late: newer evidence is never overridden by older."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Circuit, Permit, State
from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, TOO_SLOW
from tests.support.circuits import (
    LATER,
    NOW,
    cooling,
    fail,
    new_circuit,
    on_probation,
    probe_of,
    probing,
    seen,
    served,
)
from tests.support.outcomes import SERVED, failed

OUTCOMES = {
    "success": SERVED,
    "failure": failed(),
    "cancelled": CANCELLED,
    "overtaken": OVERTAKEN,
}

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


def before_the_demotion() -> tuple[Circuit, Permit]:
    circuit = new_circuit()
    old = circuit.permit()
    circuit.demote(TOO_SLOW, NOW)
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


def before_the_reset() -> tuple[Circuit, Permit]:
    circuit, _ = probing()
    old = circuit.permit()
    circuit.reset(LATER)
    return circuit, old


def before_a_recovery_by_probe() -> tuple[Circuit, Permit]:
    circuit = cooling()
    old = circuit.permit()
    return on_probation(circuit), old


def before_outage_and_probation() -> tuple[Circuit, Permit]:
    circuit, old = before_the_outage()
    return on_probation(circuit), old


def before_outage_and_trust() -> tuple[Circuit, Permit]:
    circuit, old = before_outage_and_probation()
    served(circuit, times=2)
    return circuit, old


def of_the_probe_that_was_good() -> tuple[Circuit, Permit]:
    circuit, old = probing()
    circuit.record(old, SERVED, LATER)
    return circuit, old


def before_the_relapse() -> tuple[Circuit, Permit]:
    circuit = on_probation()
    old = circuit.permit()
    return fail(circuit, LATER), old


def before_it_was_given_up() -> tuple[Circuit, Permit]:
    circuit = on_probation(cooling(give_up_after=1))
    old = circuit.permit()
    return fail(circuit, LATER), old


@all_outcomes
@pytest.mark.parametrize(
    "story",
    [
        before_the_outage,
        before_the_demotion,
        before_the_probe,
        before_the_recovery,
        before_outage_and_recovery,
        of_an_abandoned_probe,
        of_an_older_probe,
        before_the_reset,
        before_a_recovery_by_probe,
        before_outage_and_probation,
        before_outage_and_trust,
        of_the_probe_that_was_good,
        before_the_relapse,
        before_it_was_given_up,
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


def test_failure_beside_a_probe_is_left_to_the_probe():
    """A last resort that fails while the probe is out must not end the probe."""
    circuit, _ = probing()
    before = seen(circuit)

    change = circuit.record(circuit.permit(), failed(), LATER)

    assert change is None
    assert seen(circuit) == before


@all_outcomes
def test_probe_overtaken_by_a_real_success_changes_nothing(outcome):
    """Newer evidence stands: the probe's own result comes from an older generation."""
    circuit, probe = probing()
    circuit.record(circuit.permit(), SERVED, LATER)
    before = seen(circuit)

    assert circuit.record(probe, outcome, LATER + 1.0) is None
    assert seen(circuit) == before


# --- what is not late --------------------------------------------------------------------------


def test_old_failure_does_not_override_a_newer_success():
    """A request that hangs until its deadline says nothing about a provider that served since."""
    circuit = new_circuit()
    hangs, done = circuit.permit(), circuit.permit()
    circuit.record(done, SERVED, NOW)

    assert circuit.record(hangs, failed(), NOW + 1.0) is None
    assert circuit.state is State.HEALTHY


def test_order_of_arrival_does_not_matter_to_old_failures():
    """A success that comes in late does not take the place of the newest one."""
    circuit = new_circuit()
    slow, hangs, done = (circuit.permit() for _ in range(3))
    circuit.record(done, SERVED, NOW)
    circuit.record(slow, SERVED, NOW + 1.0)

    assert circuit.record(hangs, failed(), NOW + 2.0) is None
    assert circuit.state is State.HEALTHY


def test_request_is_judged_once():
    """Whose success is known does not fail afterwards: what follows needs a permit of its own."""
    circuit = new_circuit()
    permit = circuit.permit()
    circuit.record(permit, SERVED, NOW)

    assert circuit.record(permit, failed(), NOW + 1.0) is None
    assert circuit.state is State.HEALTHY


def test_old_failure_does_not_override_a_newer_success_on_probation():
    """The same holds while the provider is being tried: the newer request served."""
    circuit = on_probation()
    hangs, done = circuit.permit(), circuit.permit()
    circuit.record(done, SERVED, LATER)

    assert circuit.record(hangs, failed(), LATER + 1.0) is None
    assert circuit.state is State.PROBATION


def test_failure_that_began_on_probation_counts_after_it():
    """Being trusted in the meantime does not make newer evidence old."""
    circuit = on_probation()
    served(circuit)
    last, newest = circuit.permit(), circuit.permit()
    circuit.record(last, SERVED, LATER)
    assert circuit.state is State.HEALTHY

    change = circuit.record(newest, failed(), LATER + 1.0)

    assert change is not None
    assert (change.before, change.after) == (State.HEALTHY, State.COOLING_DOWN)


def test_success_that_began_on_probation_confirms_trust():
    """It is newer evidence than the failure of a request that was made before it."""
    circuit = on_probation()
    hangs, confirms = circuit.permit(), circuit.permit()
    served(circuit, times=2)

    assert circuit.record(confirms, SERVED, LATER) is None
    assert circuit.record(hangs, failed(), LATER + 1.0) is None
    assert circuit.state is State.HEALTHY


def test_permit_says_whether_it_is_still_current():
    """A permit lasts until the provider stops being usable, or begins to be."""
    circuit = new_circuit()
    healthy = circuit.permit()
    assert circuit.is_current(healthy)

    fail(circuit)
    resting = circuit.permit()
    assert not circuit.is_current(healthy)
    assert circuit.is_current(resting)

    on_probation(circuit)
    tried = circuit.permit()
    assert not circuit.is_current(resting)

    served(circuit, times=2)
    assert circuit.is_current(tried)
    assert [healthy.number, resting.number, tried.number] == sorted(
        {healthy.number, resting.number, tried.number}
    )
