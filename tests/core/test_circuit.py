# SPDX-License-Identifier: Apache-2.0
"""The health of one provider: every move of the table, every illegal one, every state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from livekit_fallback.core.circuit import (
    TRANSITIONS,
    Change,
    Circuit,
    IllegalTransitionError,
    Permit,
    Signal,
    State,
)
from livekit_fallback.core.outcome import CANCELLED, FailureKind, Outcome
from tests.support.circuits import (
    LATER,
    NAME,
    NOW,
    cooling,
    in_state,
    new_circuit,
    probe_of,
    probing,
    seen,
)
from tests.support.outcomes import SERVED, failed

# --- the table ---------------------------------------------------------------------------------


def after_failure() -> tuple[Circuit, Change | None]:
    circuit = new_circuit()
    return circuit, circuit.record(circuit.permit(), failed(), NOW)


def after_last_resort_served() -> tuple[Circuit, Change | None]:
    circuit = cooling()
    return circuit, circuit.record(circuit.permit(), SERVED, LATER)


def after_probe_started() -> tuple[Circuit, Change | None]:
    return probing()[0], None


def after_probe(outcome: Outcome) -> tuple[Circuit, Change | None]:
    circuit, permit = probing()
    return circuit, circuit.record(permit, outcome, LATER)


def after_served_beside_probe() -> tuple[Circuit, Change | None]:
    circuit, _ = probing()
    return circuit, circuit.record(circuit.permit(), SERVED, LATER)


WAYS: dict[tuple[State, Signal], Callable[[], tuple[Circuit, Change | None]]] = {
    (State.HEALTHY, Signal.FAILED): after_failure,
    (State.COOLING_DOWN, Signal.PROBE_STARTED): after_probe_started,
    (State.COOLING_DOWN, Signal.SERVED): after_last_resort_served,
    (State.PROBING, Signal.PROBE_GOOD): lambda: after_probe(SERVED),
    (State.PROBING, Signal.PROBE_BAD): lambda: after_probe(failed()),
    (State.PROBING, Signal.PROBE_ABANDONED): lambda: after_probe(CANCELLED),
    (State.PROBING, Signal.SERVED): after_served_beside_probe,
}
EXPECTED = {
    (State.HEALTHY, Signal.FAILED): State.COOLING_DOWN,
    (State.COOLING_DOWN, Signal.PROBE_STARTED): State.PROBING,
    (State.COOLING_DOWN, Signal.SERVED): State.HEALTHY,
    (State.PROBING, Signal.PROBE_GOOD): State.HEALTHY,
    (State.PROBING, Signal.PROBE_BAD): State.COOLING_DOWN,
    (State.PROBING, Signal.PROBE_ABANDONED): State.COOLING_DOWN,
    (State.PROBING, Signal.SERVED): State.HEALTHY,
}
LEGAL = [(state, signal) for state, row in TRANSITIONS.items() for signal in row]
ILLEGAL = [(state, sig) for state in State for sig in Signal if (state, sig) not in LEGAL]


def test_table_is_the_one_that_is_tested_here():
    """A move that is added to the table needs a way to get there, and a test of it."""
    table = {(state, sig): to for state, row in TRANSITIONS.items() for sig, to in row.items()}

    assert table == EXPECTED
    assert set(WAYS) == set(EXPECTED)


@pytest.mark.parametrize(("state", "signal"), LEGAL)
def test_every_row_of_the_table_can_be_walked(state, signal):
    """Outcomes alone lead from each state along each of its rows, and the change says so."""
    circuit, change = WAYS[state, signal]()

    assert circuit.state is EXPECTED[state, signal]
    if signal is not Signal.PROBE_STARTED:
        assert change is not None
        assert (change.provider, change.before, change.after) == (NAME, state, circuit.state)


@pytest.mark.parametrize(("state", "signal"), ILLEGAL)
def test_every_other_pair_raises_and_changes_nothing(state, signal):
    """A signal that a state does not know is refused, naming both."""
    circuit = in_state(state)
    before = seen(circuit)

    with pytest.raises(IllegalTransitionError, match=f"{signal.value}.*{state.value}"):
        circuit._move(signal, LATER)

    assert seen(circuit) == before


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (State.HEALTHY, failed()),
        (State.HEALTHY, CANCELLED),
        (State.COOLING_DOWN, SERVED),
        (State.COOLING_DOWN, failed()),
        (State.COOLING_DOWN, CANCELLED),
    ],
)
def test_outcome_of_a_probe_that_was_never_given_raises_and_changes_nothing(state, outcome):
    """A probe's result where no probe is out is a mistake of the caller, not evidence."""
    circuit = in_state(state)
    before = seen(circuit)
    real = circuit.permit()
    forged = Permit(NAME, real.generation, real.number, is_probe=True)

    with pytest.raises(IllegalTransitionError):
        circuit.record(forged, outcome, LATER)

    assert seen(circuit) == before


# --- while healthy -----------------------------------------------------------------------------


def test_new_provider_is_healthy():
    """Nothing is held against a provider that was never asked."""
    circuit = new_circuit()

    assert circuit.state is State.HEALTHY
    assert circuit.failures == 0
    assert not circuit.probe_is_due(NOW)
    assert circuit.probe_permit(NOW) is None


@pytest.mark.parametrize("outcome", [SERVED, CANCELLED, failed(FailureKind.REQUEST)])
def test_harmless_outcome_moves_nothing(outcome):
    """A success, a cancelled attempt and a request's own fault leave a healthy provider alone."""
    circuit = new_circuit()
    before = seen(circuit)

    change = circuit.record(circuit.permit(), outcome, NOW)

    assert change is None
    assert seen(circuit) == before


@pytest.mark.parametrize("kind", [k for k in FailureKind if k is not FailureKind.REQUEST])
def test_one_failure_that_counts_starts_the_cool_down(kind):
    """One failure is enough: the next caller must not pay for the same silence."""
    circuit = new_circuit()

    change = circuit.record(circuit.permit(), failed(kind), NOW)

    assert change == Change(NAME, State.HEALTHY, State.COOLING_DOWN, down_for=0.0)
    assert circuit.failures == 1


# --- cooling down ------------------------------------------------------------------------------


def test_probe_is_due_when_the_cool_down_is_over():
    """No probe goes out a moment before the cool-down ends."""
    circuit = cooling(base=5.0)

    assert circuit.due == NOW + 5.0
    assert circuit.probe_permit(NOW + 4.999) is None
    assert circuit.probe_permit(NOW + 5.0) is not None


def test_cool_down_of_zero_is_over_at_once():
    """With `temporary_disable_sec=0` the probe may follow the failure immediately."""
    assert cooling(base=0.0).probe_permit(NOW) is not None


@pytest.mark.parametrize("outcome", [failed(), failed(FailureKind.REQUEST), CANCELLED])
def test_last_resort_that_did_not_serve_changes_nothing(outcome):
    """A failure during the cool-down neither extends it nor is reported a second time."""
    circuit = cooling()
    before = seen(circuit)

    change = circuit.record(circuit.permit(), outcome, NOW + 1.0)

    assert change is None
    assert seen(circuit) == before


def test_last_resort_that_served_is_healthy_again():
    """A provider that answers during its cool-down is back, its failures forgotten."""
    circuit = cooling()

    change = circuit.record(circuit.permit(), SERVED, NOW + 1.5)

    assert change == Change(NAME, State.COOLING_DOWN, State.HEALTHY, down_for=1.5)
    assert circuit.failures == 0


def test_rejected_key_rests_as_long_as_the_policy_allows():
    """An auth failure does not heal by itself, so it gets the longest rest from the start."""
    assert cooling(failed(FailureKind.AUTH), base=5.0, cap=300.0).due == NOW + 300.0
    assert cooling(failed(FailureKind.AUTH), base=5.0, cap=2.0).due == NOW + 5.0


@pytest.mark.parametrize(
    ("retry_after", "rest"),
    [(None, 5.0), (0.0, 5.0), (3.0, 5.0), (40.0, 40.0), (9999.0, 300.0), (float("inf"), 300.0)],
)
def test_rest_honours_what_the_provider_asked_for(retry_after, rest):
    """Retry-After lengthens the rest, never beyond the cap, and never shortens it."""
    outcome = failed(FailureKind.RATE_LIMITED, retry_after=retry_after)

    assert cooling(outcome, base=5.0, cap=300.0).due == NOW + rest


# --- probing -----------------------------------------------------------------------------------


def test_only_one_probe_is_out_at_a_time():
    """The place is taken until the probe's outcome is known, however long that takes."""
    circuit, permit = probing()

    assert circuit.probe_permit(LATER) is None
    assert circuit.probe_permit(LATER + 1e6) is None

    circuit.record(permit, CANCELLED, LATER)
    assert circuit.probe_permit(LATER) is not None


def test_good_probe_heals_and_says_how_long_it_took():
    """`down_for` counts from the failure that started the outage."""
    circuit, permit = probing()

    change = circuit.record(permit, SERVED, LATER + 2.0)

    assert change == Change(NAME, State.PROBING, State.HEALTHY, down_for=402.0)
    assert circuit.failures == 0


def test_bad_probes_double_the_rest_until_the_cap():
    """Calls to a dead provider come at growing intervals, whatever the traffic."""
    circuit, rests = cooling(base=5.0, cap=60.0), []
    for _ in range(5):
        now = circuit.due
        circuit.record(probe_of(circuit, now), failed(), now)
        rests.append(circuit.due - now)

    assert rests == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert circuit.failures == 6


def test_rest_starts_anew_after_recovery():
    """An outage next week has nothing to do with this one: counters are reset by health."""
    circuit = cooling(base=5.0)
    circuit.record(probe_of(circuit, LATER), failed(), LATER)
    circuit.record(circuit.permit(), SERVED, LATER)

    circuit.record(circuit.permit(), failed(), LATER)

    assert circuit.due == LATER + 5.0
    assert circuit.failures == 1


def test_cancelled_probe_gives_its_turn_back():
    """A probe that was cancelled says nothing about the provider: the next may follow at once."""
    circuit, permit = probing()
    due, failures = circuit.due, circuit.failures

    change = circuit.record(permit, CANCELLED, LATER)

    assert change == Change(NAME, State.PROBING, State.COOLING_DOWN, down_for=400.0)
    assert (circuit.due, circuit.failures) == (due, failures)
    assert circuit.probe_is_due(LATER)


def test_probe_that_was_a_bad_request_is_not_repeated_at_once():
    """It says nothing about the provider, but the same sample would be rejected again."""
    circuit, permit = probing()
    failures = circuit.failures

    change = circuit.record(permit, failed(FailureKind.REQUEST), LATER)

    assert change == Change(NAME, State.PROBING, State.COOLING_DOWN, down_for=400.0)
    assert (circuit.due, circuit.failures) == (LATER + 5.0, failures)


def test_failure_beside_a_probe_is_left_to_the_probe():
    """A last resort that fails while the probe is out must not end the probe."""
    circuit, _ = probing()
    before = seen(circuit)

    change = circuit.record(circuit.permit(), failed(), LATER)

    assert change is None
    assert seen(circuit) == before


def test_late_result_changes_nothing():
    """A result from before the outage is dropped; test_circuit_late.py has all such stories."""
    circuit = new_circuit()
    old = circuit.permit()
    circuit.record(circuit.permit(), failed(), NOW)
    before = seen(circuit)

    assert circuit.record(old, SERVED, LATER) is None
    assert seen(circuit) == before


def test_old_failure_does_not_override_a_newer_success():
    """A request that hangs until its deadline says nothing about a provider that served since."""
    circuit = new_circuit()
    hangs, served = circuit.permit(), circuit.permit()
    circuit.record(served, SERVED, NOW)

    assert circuit.record(hangs, failed(), NOW + 1.0) is None
    assert circuit.state is State.HEALTHY
