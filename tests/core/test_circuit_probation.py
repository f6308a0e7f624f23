# SPDX-License-Identifier: Apache-2.0
"""The way back: what a provider has to do to be trusted again, and when it is given up."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Change, Circuit, State
from livekit_fallback.core.outcome import CANCELLED, FailureKind
from tests.support.circuits import (
    LATER,
    NAME,
    cooling,
    fail,
    given_up,
    new_circuit,
    on_probation,
    probe_of,
    probing,
    served,
)
from tests.support.outcomes import SERVED, failed

# --- probation ---------------------------------------------------------------------------------


def test_good_probe_leads_to_probation_not_to_trust():
    """One small request proves little: the failures in a row stay on the books."""
    circuit, permit = probing()

    change = circuit.record(permit, SERVED, LATER + 2.0)

    assert change == Change(NAME, State.PROBING, State.PROBATION, down_for=402.0)
    assert circuit.failures == 1


@pytest.mark.parametrize("successes", [1, 2, 3, 10])
def test_provider_is_trusted_after_exactly_so_many_requests(successes):
    """The last of `successes` good requests makes it healthy, none before."""
    circuit = on_probation(fail(new_circuit(successes=successes)))

    served(circuit, times=successes - 1)
    assert circuit.state is State.PROBATION

    change = circuit.record(circuit.permit(), SERVED, LATER + 1.0)
    assert change == Change(NAME, State.PROBATION, State.HEALTHY, down_for=0.0)
    assert circuit.failures == 0


@pytest.mark.parametrize("outcome", [CANCELLED, failed(FailureKind.REQUEST)])
def test_harmless_outcome_is_no_evidence_on_probation(outcome):
    """Neither an interruption nor a bad request brings the provider nearer to trust."""
    circuit = on_probation()
    served(circuit)

    change = circuit.record(circuit.permit(), outcome, LATER)
    states = [circuit.state]
    served(circuit)
    states.append(circuit.state)

    assert change is None
    assert states == [State.PROBATION, State.HEALTHY]


def test_one_failure_ends_the_probation():
    """Whoever fails again so soon is not well; the outage it is in counts from its beginning."""
    circuit = on_probation()
    served(circuit)

    change = circuit.record(circuit.permit(), failed(), LATER + 3.0)

    assert change == Change(NAME, State.PROBATION, State.COOLING_DOWN, down_for=0.0, rest=10.0)


def test_probation_begins_anew_each_time():
    """What was served on an earlier probation proves nothing on this one."""
    circuit = on_probation()
    served(circuit)
    fail(circuit, LATER)
    on_probation(circuit, now=LATER + 400.0)

    served(circuit, LATER + 400.0)

    assert circuit.state is State.PROBATION


def test_each_step_has_its_share_and_takes_its_requests():
    """Traffic comes back in steps, each of them earned by as many good requests."""
    circuit = on_probation(fail(new_circuit(shares=(0.1, 0.5, 1.0), successes=2)))

    shares = []
    while circuit.state is State.PROBATION:
        shares.append(circuit.share)
        served(circuit)

    assert shares == [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]
    assert circuit.share == 1.0


@pytest.mark.parametrize("last_step", [0.5, 1.0])
def test_trust_is_whole_whatever_the_last_step_was(last_step):
    """A healthy provider gets every request, even if no step of the probation said so."""
    circuit = on_probation(fail(new_circuit(shares=(0.1, last_step), successes=1)))
    served(circuit, times=2)

    assert (circuit.state, circuit.share) == (State.HEALTHY, 1.0)


def test_provider_that_is_out_is_promised_the_first_share():
    """However it comes back, it begins with the first step, not with where it was before."""
    circuit = on_probation(fail(new_circuit(shares=(0.1, 0.5), successes=1)))
    served(circuit)
    shares = [circuit.share]
    fail(circuit, LATER)
    shares.append(circuit.share)
    probe_of(circuit, LATER + 400.0)
    shares.append(circuit.share)
    circuit.disable(LATER + 400.0)
    shares.append(circuit.share)

    assert shares == [0.5, 0.1, 0.1, 0.1]


# --- given up ----------------------------------------------------------------------------------


def bad_probe(circuit: Circuit) -> None:
    circuit.record(probe_of(circuit, circuit.due), failed(), circuit.due)


def bad_probation(circuit: Circuit) -> None:
    now = circuit.due
    on_probation(circuit, now=now)
    served(circuit, now)
    fail(circuit, now)


@pytest.mark.parametrize(
    "recoveries",
    [
        [bad_probe, bad_probe, bad_probe],
        [bad_probation, bad_probation, bad_probation],
        [bad_probation, bad_probe, bad_probation],
    ],
    ids=["probes", "probations", "both"],
)
def test_given_up_after_so_many_failed_recoveries(recoveries):
    """Bad probes and failures on probation count alike; the first failure is none of them."""
    circuit = cooling(give_up_after=3)
    states = []
    for attempt_to_recover in recoveries:
        attempt_to_recover(circuit)
        states.append(circuit.state)

    assert states == [State.COOLING_DOWN, State.COOLING_DOWN, State.DISABLED]


def test_never_given_up_unless_asked_for():
    """By default a provider is probed for ever, ever less often."""
    circuit = cooling(give_up_after=None)
    for _ in range(200):
        bad_probe(circuit)

    assert circuit.state is State.COOLING_DOWN


def test_isolated_blips_are_never_added_up():
    """A provider that fails once a day and heals each time is not given up in the end."""
    circuit = new_circuit(give_up_after=1)
    for day in range(50):
        now = LATER + 86400.0 * day
        fail(circuit, now)
        assert circuit.state is State.COOLING_DOWN
        on_probation(circuit, now=now + 400.0)
        served(circuit, now + 400.0, times=2)

    assert circuit.state is State.HEALTHY


@pytest.mark.parametrize("way_back", ["probation", "last resort", "reset"])
def test_sustained_health_forgets_failed_recoveries(way_back):
    """In a row means without having been healthy in between."""
    circuit = cooling(give_up_after=2)
    bad_probe(circuit)
    now = circuit.due
    if way_back == "probation":
        on_probation(circuit, now=now)
        served(circuit, now, times=2)
    elif way_back == "last resort":
        served(circuit, now)
    else:
        circuit.reset(now)
    fail(circuit, now)

    states = []
    for _ in range(2):
        bad_probe(circuit)
        states.append(circuit.state)

    assert states == [State.COOLING_DOWN, State.DISABLED]


def test_probation_alone_forgets_nothing():
    """A good probe is not yet health: the failed recoveries before it still count."""
    circuit = cooling(give_up_after=2)
    bad_probe(circuit)

    bad_probation(circuit)

    assert circuit.state is State.DISABLED


@pytest.mark.parametrize("outcome", [CANCELLED, failed(FailureKind.REQUEST)])
def test_probes_that_say_nothing_do_not_count(outcome):
    """Neither a cancelled probe nor one that was rejected as a request is a failed recovery."""
    circuit = cooling(give_up_after=1)
    for _ in range(5):
        circuit.record(probe_of(circuit, circuit.due), outcome, circuit.due)

    assert circuit.state is State.COOLING_DOWN
    assert circuit.failures == 1


@pytest.mark.parametrize("outcome", [CANCELLED, failed(FailureKind.REQUEST)])
def test_harmless_outcomes_on_probation_do_not_count(outcome):
    """Nor does a request on probation that says nothing about the provider."""
    circuit = on_probation(cooling(give_up_after=1))
    for _ in range(5):
        circuit.record(circuit.permit(), outcome, LATER)

    assert circuit.state is State.PROBATION


def test_last_resorts_do_not_count():
    """Requests that a resting provider gets because all others failed too are no recovery."""
    circuit = cooling(give_up_after=1)
    for _ in range(5):
        fail(circuit, circuit.due)

    assert circuit.state is State.COOLING_DOWN


def test_giving_up_says_how_long_it_was_down():
    """The change counts from when the provider last stopped being usable; there is no rest."""
    circuit, permit = probing(cooling(give_up_after=1))

    change = circuit.record(permit, failed(), LATER + 5.0)

    assert change == Change(NAME, State.PROBING, State.DISABLED, down_for=405.0, rest=0.0)


def test_given_up_is_not_barred():
    """Nobody disabled it by hand, so it may still be the last resort."""
    circuit = given_up()

    assert circuit.state is State.DISABLED
    assert not circuit.is_barred
    assert circuit.failures == 2
