# SPDX-License-Identifier: Apache-2.0
"""A provider that serves, but too slowly: how it is left, and how it differs from a failed one."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Change, IllegalTransitionError, State
from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, TOO_SLOW
from tests.support.circuits import (
    LATER,
    NAME,
    NOW,
    cooling,
    fail,
    in_state,
    new_circuit,
    on_probation,
    probe_of,
    probing,
    seen,
    served,
)
from tests.support.outcomes import SERVED

SOON = LATER + 7.0


def test_too_slow_rests_like_a_failure_that_may_pass():
    """Once too slow is the first failure: the shortest rest, and then a probe."""
    circuit = new_circuit()

    change = circuit.demote(TOO_SLOW, NOW)

    assert change == Change(NAME, State.HEALTHY, State.COOLING_DOWN, down_for=0.0, rest=5.0)
    assert (circuit.due, circuit.failures) == (NOW + 5.0, 1)
    assert circuit.probe_is_due(NOW + 5.0)


def test_too_slow_on_probation_rests_longer():
    """A recovery that is slow again counts like one that failed again."""
    circuit = on_probation()

    change = circuit.demote(TOO_SLOW, SOON)

    assert (change.rest, circuit.failures) == (10.0, 2)


def test_too_slow_on_probation_may_be_one_recovery_too_many():
    """Whoever is given up after so many failed recoveries is given up for slow ones, too."""
    circuit = on_probation(cooling(give_up_after=1))

    circuit.demote(TOO_SLOW, SOON)

    assert circuit.state is State.DISABLED
    assert not circuit.is_barred


@pytest.mark.parametrize("state", [State.COOLING_DOWN, State.DISABLED, State.PROBING])
def test_only_a_provider_at_work_can_be_too_slow(state):
    """One that gets no traffic cannot be taken out of it."""
    circuit = in_state(state)
    before = seen(circuit)

    with pytest.raises(IllegalTransitionError):
        circuit.demote(TOO_SLOW, SOON)

    assert seen(circuit) == before


def test_demoted_is_who_is_out_for_being_slow():
    """Not who failed; and nobody any more once it is usable again."""
    circuit = new_circuit()
    known = [circuit.is_demoted]

    circuit.demote(TOO_SLOW, NOW)
    known.append(circuit.is_demoted)
    probe = probe_of(circuit, LATER)
    known.append(circuit.is_demoted)
    circuit.record(probe, SERVED, LATER)
    known.append(circuit.is_demoted)
    fail(circuit, SOON)
    known.append(circuit.is_demoted)

    assert known == [False, True, True, False, False]


@pytest.mark.parametrize("outcome", [CANCELLED, OVERTAKEN], ids=lambda o: o.status.value)
def test_probe_that_was_cut_short_gives_its_turn_back(outcome):
    """With live probes a request may be overtaken that was a test: the next may be one at once."""
    circuit, permit = probing()

    circuit.record(permit, outcome, SOON)

    assert circuit.probe_is_due(SOON)
    assert circuit.failures == 1


def test_generation_changes_with_being_usable_only():
    """Probation and health are one generation, and so are its rest and its probes apart."""
    circuit = new_circuit()
    generations = [circuit.generation]

    fail(circuit)
    generations.append(circuit.generation)
    probe = probe_of(circuit, LATER)
    generations.append(circuit.generation)
    circuit.record(probe, SERVED, LATER)
    generations.append(circuit.generation)
    served(circuit, times=2)
    generations.append(circuit.generation)

    assert circuit.state is State.HEALTHY
    assert generations == [0, 1, 2, 3, 3]
