# SPDX-License-Identifier: Apache-2.0
"""What operators do to a provider's health: disable, enable, reset, from every state."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Change, State
from livekit_fallback.core.outcome import CANCELLED
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
    probing,
    seen,
    served,
)
from tests.support.outcomes import SERVED, failed

SOON = LATER + 7.0

#: Seconds since it stopped being usable, for `in_state(state)` at SOON.
DOWN_FOR = {
    State.HEALTHY: 0.0,
    State.COOLING_DOWN: SOON - NOW,
    State.PROBING: SOON - NOW,
    State.PROBATION: 0.0,
    State.DISABLED: SOON - LATER,
}
USABLE = [State.HEALTHY, State.PROBATION]
NOT_USABLE = [State.COOLING_DOWN, State.PROBING, State.DISABLED]


@pytest.mark.parametrize("state", [s for s in State if s is not State.DISABLED])
def test_disable_takes_a_provider_out_of_any_state(state):
    """Operators need not wait for the right moment."""
    circuit = in_state(state)

    change = circuit.disable(SOON)

    assert change == Change(NAME, state, State.DISABLED, DOWN_FOR[state])
    assert circuit.is_barred
    assert circuit.since == SOON


def test_disabled_provider_is_not_disabled_twice():
    """Nothing changes, so there is nothing to tell."""
    circuit = disabled()
    before = seen(circuit)

    assert circuit.disable(SOON) is None
    assert seen(circuit) == before


def test_given_up_provider_can_be_disabled_by_hand():
    """From then on it is not even the last resort, though its state is the same."""
    circuit = given_up()

    assert circuit.disable(SOON) is None
    assert circuit.state is State.DISABLED
    assert circuit.is_barred
    assert circuit.since == LATER


@pytest.mark.parametrize("state", NOT_USABLE)
def test_enable_puts_a_provider_on_probation(state):
    """Whoever enables a provider says that it is well; its requests have to confirm it."""
    circuit = in_state(state)

    change = circuit.enable(SOON)

    assert change == Change(NAME, state, State.PROBATION, DOWN_FOR[state])
    assert not circuit.is_barred


@pytest.mark.parametrize("state", USABLE)
def test_enable_changes_nothing_about_a_usable_provider(state):
    """It gets requests already; neither trust nor probation begins anew."""
    circuit = in_state(state)
    before = seen(circuit)

    assert circuit.enable(SOON) is None
    assert seen(circuit) == before


@pytest.mark.parametrize("maker", [disabled, given_up])
def test_enabled_provider_proves_itself_like_any_other(maker):
    """After its good requests it is healthy, and nothing is held against it."""
    circuit = maker()
    circuit.enable(SOON)
    states = []
    for _ in range(2):
        served(circuit, SOON)
        states.append(circuit.state)

    assert states == [State.PROBATION, State.HEALTHY]
    assert circuit.failures == 0


@pytest.mark.parametrize("state", [s for s in State if s is not State.HEALTHY])
def test_reset_makes_a_provider_healthy_from_any_state(state):
    """Forgotten is forgotten: failures, rests, what somebody disabled."""
    circuit = in_state(state)

    change = circuit.reset(SOON)

    assert change is not None
    down_for = 0.0 if state in USABLE else DOWN_FOR[state]
    assert change == Change(NAME, state, State.HEALTHY, down_for)
    assert (circuit.failures, circuit.is_barred) == (0, False)

    fail(circuit, SOON)
    assert circuit.due == SOON + 5.0


def test_reset_of_a_healthy_provider_changes_nothing():
    """There is nothing to forget, and nothing to tell."""
    circuit = new_circuit()
    before = seen(circuit)

    assert circuit.reset(SOON) is None
    assert seen(circuit) == before


def test_by_hand_is_forgotten_once_it_is_enabled():
    """A provider that is given up later is not barred because somebody barred it once."""
    circuit = cooling(give_up_after=1)
    circuit.disable(LATER)
    circuit.enable(LATER)

    fail(circuit, SOON)

    assert circuit.state is State.DISABLED
    assert not circuit.is_barred


def test_enable_by_hand_begins_the_count_of_failed_recoveries_anew():
    """Whoever takes a provider back in has a reason to: one failure does not give it up again."""
    circuit, probe = probing(cooling(give_up_after=2))
    circuit.record(probe, failed(), LATER)
    circuit.enable(SOON)

    fail(circuit, SOON)

    assert circuit.state is State.COOLING_DOWN


@pytest.mark.parametrize("act", ["disable", "enable", "reset"])
@pytest.mark.parametrize("outcome", [SERVED, failed(), CANCELLED], ids=lambda o: o.status.value)
def test_probe_that_is_out_meanwhile_is_void(act, outcome):
    """What an operator says is newer than what the probe found out."""
    circuit, probe = probing()
    getattr(circuit, act)(LATER + 1.0)
    before = seen(circuit)

    assert circuit.record(probe, outcome, SOON) is None
    assert seen(circuit) == before


@pytest.mark.parametrize("outcome", [SERVED, failed(), CANCELLED], ids=lambda o: o.status.value)
@pytest.mark.parametrize("maker", [new_circuit, cooling, on_probation])
def test_request_from_before_it_was_disabled_and_enabled_is_old_news(maker, outcome):
    """A request that was under way then says nothing about the provider that is back."""
    circuit = maker()
    old = circuit.permit()
    circuit.disable(LATER)
    circuit.enable(LATER)
    before = seen(circuit)

    assert circuit.record(old, outcome, SOON) is None
    assert seen(circuit) == before


def test_disabled_provider_counts_its_time_from_when_it_was_lost():
    """An outage does not begin anew because somebody disables the provider in the midst of it."""
    circuit = cooling()
    circuit.disable(LATER)

    change = circuit.enable(SOON)

    assert change is not None
    assert change.down_for == SOON - NOW
