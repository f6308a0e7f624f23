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
from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, TOO_SLOW, FailureKind, Outcome
from tests.support.circuits import (
    LATER,
    NAME,
    NOW,
    cooling,
    disabled,
    fail,
    given_up,
    in_state,
    new_circuit,
    on_probation,
    probe_of,
    probing,
    seen,
    served,
)
from tests.support.outcomes import SERVED, failed

# --- the table ---------------------------------------------------------------------------------

SOON = LATER + 7.0

#: Written by hand from the rules, not from the code.
EXPECTED = {
    (State.HEALTHY, Signal.FAILED): State.COOLING_DOWN,
    (State.HEALTHY, Signal.TOO_SLOW): State.COOLING_DOWN,
    (State.HEALTHY, Signal.DISABLED): State.DISABLED,
    (State.COOLING_DOWN, Signal.PROBE_STARTED): State.PROBING,
    (State.COOLING_DOWN, Signal.SERVED): State.HEALTHY,
    (State.COOLING_DOWN, Signal.DISABLED): State.DISABLED,
    (State.COOLING_DOWN, Signal.ENABLED): State.PROBATION,
    (State.COOLING_DOWN, Signal.RESET): State.HEALTHY,
    (State.PROBING, Signal.PROBE_GOOD): State.PROBATION,
    (State.PROBING, Signal.PROBE_BAD): State.COOLING_DOWN,
    (State.PROBING, Signal.PROBE_ABANDONED): State.COOLING_DOWN,
    (State.PROBING, Signal.GIVEN_UP): State.DISABLED,
    (State.PROBING, Signal.SERVED): State.HEALTHY,
    (State.PROBING, Signal.DISABLED): State.DISABLED,
    (State.PROBING, Signal.ENABLED): State.PROBATION,
    (State.PROBING, Signal.RESET): State.HEALTHY,
    (State.PROBATION, Signal.PROVEN): State.HEALTHY,
    (State.PROBATION, Signal.FAILED): State.COOLING_DOWN,
    (State.PROBATION, Signal.TOO_SLOW): State.COOLING_DOWN,
    (State.PROBATION, Signal.GIVEN_UP): State.DISABLED,
    (State.PROBATION, Signal.DISABLED): State.DISABLED,
    (State.PROBATION, Signal.RESET): State.HEALTHY,
    (State.DISABLED, Signal.ENABLED): State.PROBATION,
    (State.DISABLED, Signal.RESET): State.HEALTHY,
}
ILLEGAL = [(state, sig) for state in State for sig in Signal if (state, sig) not in EXPECTED]

Way = tuple[Circuit, Change | None]


def asked(circuit: Circuit, outcome: Outcome) -> Way:
    return circuit, circuit.record(circuit.permit(), outcome, SOON)


def too_slow(circuit: Circuit) -> Way:
    return circuit, circuit.demote(TOO_SLOW, SOON)


def probed(outcome: Outcome, *, give_up_after: int | None = None) -> Way:
    circuit, permit = probing(cooling(give_up_after=give_up_after))
    return circuit, circuit.record(permit, outcome, SOON)


def probe_started() -> Way:
    circuit = cooling()
    probe_of(circuit, SOON)
    return circuit, circuit.last_change


def proven() -> Way:
    circuit = on_probation()
    served(circuit)
    return asked(circuit, SERVED)


def by_hand(state: State, act: Callable[[Circuit, float], Change | None]) -> Callable[[], Way]:
    def walk() -> Way:
        circuit = in_state(state)
        return circuit, act(circuit, SOON)

    return walk


BY_HAND = {
    Signal.DISABLED: Circuit.disable,
    Signal.ENABLED: Circuit.enable,
    Signal.RESET: Circuit.reset,
}
WAYS: dict[tuple[State, Signal], Callable[[], Way]] = {
    (State.HEALTHY, Signal.FAILED): lambda: asked(new_circuit(), failed()),
    (State.HEALTHY, Signal.TOO_SLOW): lambda: too_slow(new_circuit()),
    (State.COOLING_DOWN, Signal.PROBE_STARTED): probe_started,
    (State.COOLING_DOWN, Signal.SERVED): lambda: asked(cooling(), SERVED),
    (State.PROBING, Signal.PROBE_GOOD): lambda: probed(SERVED),
    (State.PROBING, Signal.PROBE_BAD): lambda: probed(failed()),
    (State.PROBING, Signal.PROBE_ABANDONED): lambda: probed(CANCELLED),
    (State.PROBING, Signal.GIVEN_UP): lambda: probed(failed(), give_up_after=1),
    (State.PROBING, Signal.SERVED): lambda: asked(probing()[0], SERVED),
    (State.PROBATION, Signal.PROVEN): proven,
    (State.PROBATION, Signal.FAILED): lambda: asked(on_probation(), failed()),
    (State.PROBATION, Signal.TOO_SLOW): lambda: too_slow(on_probation()),
    (State.PROBATION, Signal.GIVEN_UP): lambda: asked(
        on_probation(cooling(give_up_after=1)), failed()
    ),
    **{
        (state, signal): by_hand(state, BY_HAND[signal])
        for state, signal in EXPECTED
        if signal in BY_HAND
    },
}


def test_table_is_the_one_that_is_tested_here():
    """A move that is added to the table needs a way to get there, and a test of it."""
    table = {(state, sig): to for state, row in TRANSITIONS.items() for sig, to in row.items()}

    assert table == EXPECTED
    assert set(WAYS) == set(EXPECTED)


@pytest.mark.parametrize(("state", "signal"), EXPECTED)
def test_every_row_of_the_table_can_be_walked(state, signal):
    """What callers may do leads from each state along each of its rows; the change says so."""
    circuit, change = WAYS[state, signal]()

    assert circuit.state is EXPECTED[state, signal]
    assert change is not None
    assert (change.provider, change.before, change.after) == (NAME, state, circuit.state)
    assert circuit.last_change == change
    assert circuit.since == SOON


@pytest.mark.parametrize(("state", "signal"), ILLEGAL)
def test_every_other_pair_raises_and_changes_nothing(state, signal):
    """A signal that a state does not know is refused, naming both."""
    circuit = in_state(state)
    before = seen(circuit)

    with pytest.raises(IllegalTransitionError, match=f"{signal.value}.*{state.value}"):
        circuit._move(signal, SOON)

    assert seen(circuit) == before


each_outcome = pytest.mark.parametrize(
    "outcome", [SERVED, failed(), CANCELLED, OVERTAKEN], ids=lambda o: o.status.value
)


@each_outcome
@pytest.mark.parametrize("state", [State.HEALTHY, State.COOLING_DOWN, State.PROBATION])
def test_outcome_of_a_probe_that_was_never_given_raises_and_changes_nothing(state, outcome):
    """A probe's result where no probe is out is a mistake of the caller, not evidence."""
    circuit = in_state(state)
    before = seen(circuit)
    real = circuit.permit()
    forged = Permit(NAME, real.generation, real.number, is_probe=True)

    with pytest.raises(IllegalTransitionError):
        circuit.record(forged, outcome, SOON)

    assert seen(circuit) == before


@each_outcome
@pytest.mark.parametrize("maker", [disabled, given_up])
def test_no_outcome_brings_a_disabled_provider_back(maker, outcome):
    """Given up for good means that only a person brings it back, whatever a request learns."""
    circuit = maker()
    before = seen(circuit)

    assert circuit.record(circuit.permit(), outcome, SOON) is None
    assert seen(circuit) == before


# --- usable or not -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_requests_go_to_the_healthy_and_to_those_on_probation(state):
    """A provider whose probe was good gets real requests; they decide whether it is trusted."""
    assert state.is_usable == (state in {State.HEALTHY, State.PROBATION})


def test_new_provider_is_healthy():
    """Nothing is held against a provider that was never asked."""
    circuit = new_circuit()

    assert circuit.state is State.HEALTHY
    assert (circuit.failures, circuit.share, circuit.generation) == (0, 1.0, 0)
    assert not circuit.is_barred
    assert not circuit.is_demoted
    assert (circuit.since, circuit.last_change) == (None, None)
    assert not circuit.probe_is_due(NOW)
    assert circuit.probe_permit(NOW) is None


@pytest.mark.parametrize("state", [s for s in State if s is not State.COOLING_DOWN])
def test_only_a_provider_that_cools_down_is_probed(state):
    """In no other state is a probe due, however long it lasts."""
    circuit = in_state(state)
    before = seen(circuit)

    assert not circuit.probe_is_due(LATER + 1e6)
    assert circuit.probe_permit(LATER + 1e6) is None
    assert seen(circuit) == before


@pytest.mark.parametrize("state", [State.HEALTHY, State.PROBATION])
@pytest.mark.parametrize("outcome", [CANCELLED, OVERTAKEN, failed(FailureKind.REQUEST)])
def test_harmless_outcome_moves_nothing(state, outcome):
    """Who was cancelled or overtaken, or met a request at fault, stays as usable as it was."""
    circuit = in_state(state)
    before = seen(circuit)

    change = circuit.record(circuit.permit(), outcome, SOON)

    assert change is None
    assert seen(circuit) == before


def test_success_of_a_healthy_provider_moves_nothing():
    """Being well is not news."""
    circuit = new_circuit()
    before = seen(circuit)

    assert circuit.record(circuit.permit(), SERVED, NOW) is None
    assert seen(circuit) == before


@pytest.mark.parametrize("kind", [k for k in FailureKind if k is not FailureKind.REQUEST])
def test_one_failure_that_counts_starts_the_cool_down(kind):
    """One failure is enough: the next caller must not pay for the same silence."""
    circuit = fail(new_circuit(), NOW, failed(kind))

    assert circuit.state is State.COOLING_DOWN
    assert circuit.failures == 1


@pytest.mark.parametrize("outcome", [failed(), failed(FailureKind.REQUEST), CANCELLED, OVERTAKEN])
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


# --- probing -----------------------------------------------------------------------------------


def test_only_one_probe_is_out_at_a_time():
    """The place is taken until the probe's outcome is known, however long that takes."""
    circuit, permit = probing()

    assert circuit.probe_permit(LATER) is None
    assert circuit.probe_permit(LATER + 1e6) is None

    circuit.record(permit, CANCELLED, LATER)
    assert circuit.probe_permit(LATER) is not None


def test_cancelled_probe_gives_its_turn_back():
    """A probe that was cancelled says nothing about the provider: the next may follow at once."""
    circuit, permit = probing()

    change = circuit.record(permit, CANCELLED, SOON)

    assert change == Change(NAME, State.PROBING, State.COOLING_DOWN, down_for=407.0, rest=0.0)
    assert circuit.failures == 1
    assert circuit.probe_is_due(SOON)


def test_probe_that_was_a_bad_request_is_not_repeated_at_once():
    """It says nothing about the provider, but the same sample would be rejected again."""
    circuit, permit = probing()

    change = circuit.record(permit, failed(FailureKind.REQUEST), LATER)

    assert change == Change(NAME, State.PROBING, State.COOLING_DOWN, down_for=400.0, rest=5.0)
    assert (circuit.due, circuit.failures) == (LATER + 5.0, 1)


# --- by hand, and the rest: a first look; further modules go on --------------------------------


@pytest.mark.parametrize("state", State)
def test_reset_makes_everybody_healthy(state):
    """Whatever was held against a provider is forgotten; a healthy one does not change."""
    circuit = in_state(state)

    change = circuit.reset(SOON)

    assert circuit.state is State.HEALTHY
    assert (change is None) == (state is State.HEALTHY)


def test_rejected_key_rests_longest():
    """An auth failure does not heal by itself; any other first failure rests the base."""
    assert cooling(failed(FailureKind.AUTH)).due == NOW + 300.0
    assert cooling(failed()).due == NOW + 5.0


def test_late_result_changes_nothing():
    """A result from before the outage is dropped; test_circuit_late.py has all such stories."""
    circuit = new_circuit()
    old = circuit.permit()
    fail(circuit)
    before = seen(circuit)

    assert circuit.record(old, SERVED, LATER) is None
    assert seen(circuit) == before
