# SPDX-License-Identifier: Apache-2.0
"""How long a provider rests: growing from one failed recovery to the next, spread by chance."""

from __future__ import annotations

import pytest

from livekit_fallback.core.circuit import Circuit, HealthPolicy, State
from livekit_fallback.core.outcome import FailureKind
from tests.support.circuits import (
    LATER,
    NAME,
    NOW,
    cooling,
    fail,
    new_circuit,
    on_probation,
    probe_of,
    served,
)
from tests.support.outcomes import failed


def rest_of(circuit: Circuit) -> float:
    """The rest that its last change began."""
    assert circuit.last_change is not None
    assert circuit.last_change.after is State.COOLING_DOWN
    assert circuit.since is not None
    assert circuit.due == circuit.since + circuit.last_change.rest
    return circuit.last_change.rest


def test_probe_is_due_when_the_cool_down_is_over():
    """No probe goes out a moment before the cool-down ends."""
    circuit = cooling(base=5.0)

    assert circuit.due == NOW + 5.0
    assert circuit.probe_permit(NOW + 4.999) is None
    assert circuit.probe_permit(NOW + 5.0) is not None


def test_cool_down_of_zero_is_over_at_once():
    """With `temporary_disable_sec=0` the probe may follow the failure immediately."""
    assert cooling(base=0.0).probe_permit(NOW) is not None


def test_bad_probes_double_the_rest_until_the_cap():
    """Calls to a dead provider come at growing intervals, whatever the traffic."""
    circuit = cooling(base=5.0, cap=60.0)
    rests = [rest_of(circuit)]
    for _ in range(5):
        circuit.record(probe_of(circuit, circuit.due), failed(), circuit.due)
        rests.append(rest_of(circuit))

    assert rests == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert circuit.failures == 6


def test_failures_on_probation_double_the_rest_too():
    """A provider whose probes are good and whose service is not comes back less and less often."""
    circuit, rests = new_circuit(base=5.0, cap=60.0), []
    fail(circuit)
    for _ in range(5):
        on_probation(circuit, now=circuit.due)
        served(circuit, circuit.due)
        fail(circuit, circuit.due)
        rests.append(rest_of(circuit))

    assert rests == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_bad_probes_and_failures_on_probation_grow_one_and_the_same_rest():
    """It is one outage until the provider is trusted again, however it goes on failing."""
    circuit = cooling(base=5.0)
    circuit.record(probe_of(circuit, LATER), failed(), LATER)
    on_probation(circuit, now=LATER + 100.0)

    fail(circuit, LATER + 100.0)

    assert (rest_of(circuit), circuit.failures) == (20.0, 3)


@pytest.mark.parametrize("way_back", ["last resort", "probation"])
def test_rest_starts_anew_after_recovery(way_back):
    """An outage next week has nothing to do with this one: counters are reset by health."""
    circuit = cooling(base=5.0)
    circuit.record(probe_of(circuit, LATER), failed(), LATER)
    if way_back == "probation":
        on_probation(circuit, now=LATER + 100.0)
        served(circuit, LATER + 100.0, times=2)
    else:
        served(circuit, LATER + 100.0)
    assert circuit.state is State.HEALTHY
    assert circuit.failures == 0

    fail(circuit, LATER + 200.0)

    assert (rest_of(circuit), circuit.failures) == (5.0, 1)


def test_abandoned_probe_does_not_lengthen_the_rest():
    """A probe that was the request's own fault says nothing: the rest is as long as before."""
    circuit = cooling(base=5.0)
    circuit.record(probe_of(circuit, LATER), failed(FailureKind.REQUEST), LATER)
    first = rest_of(circuit)
    circuit.record(probe_of(circuit, LATER + 5.0), failed(), LATER + 5.0)

    assert (first, rest_of(circuit)) == (5.0, 10.0)


# --- what the failure says about it ------------------------------------------------------------


@pytest.mark.parametrize("cap", [300.0, 5.0])
def test_rejected_key_rests_as_long_as_the_policy_allows(cap):
    """An auth failure does not heal by itself, so it gets the longest rest from the start."""
    assert rest_of(cooling(failed(FailureKind.AUTH), cap=cap)) == cap


def test_rejected_key_rests_no_longer_each_time():
    """The longest rest is the longest rest; what follows it grows as if it had been any other."""
    circuit = cooling(failed(FailureKind.AUTH), base=5.0, cap=60.0)
    circuit.record(probe_of(circuit, LATER), failed(FailureKind.AUTH), LATER)
    auth_again = rest_of(circuit)
    circuit.record(probe_of(circuit, LATER + 60.0), failed(), LATER + 60.0)

    assert (auth_again, rest_of(circuit)) == (60.0, 20.0)


@pytest.mark.parametrize(
    ("retry_after", "rest"),
    [(None, 5.0), (0.0, 5.0), (3.0, 5.0), (40.0, 40.0), (9999.0, 300.0), (float("inf"), 300.0)],
)
def test_rest_honours_what_the_provider_asked_for(retry_after, rest):
    """Retry-After lengthens the rest, never beyond the cap, and never shortens it."""
    outcome = failed(FailureKind.RATE_LIMITED, retry_after=retry_after)

    assert rest_of(cooling(outcome, base=5.0, cap=300.0)) == rest


def test_abandoned_probe_honours_what_the_provider_asked_for():
    """Even a request that was at fault itself may be answered with a time to come back."""
    circuit = cooling()
    outcome = failed(FailureKind.REQUEST, retry_after=90.0)

    circuit.record(probe_of(circuit, LATER), outcome, LATER)

    assert rest_of(circuit) == 90.0


# --- chance ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "rest"), [(0.0, 5.0), (0.5, 4.5), (1.0 - 2**-53, 4.0)])
def test_rest_is_shortened_by_chance(draw, rest):
    """Workers that lost a provider together come back to it apart: up to a fifth earlier."""
    assert rest_of(cooling(base=5.0, draw=draw)) == pytest.approx(rest)


def test_each_rest_has_its_own_draw():
    """Two workers that drew alike once part with the next rest."""
    draws = iter([0.0, 0.5, 1.0])
    circuit = Circuit(NAME, HealthPolicy(base=10.0, cap=300.0), lambda: next(draws))
    fail(circuit)
    rests = [rest_of(circuit)]
    for _ in range(2):
        circuit.record(probe_of(circuit, circuit.due), failed(), circuit.due)
        rests.append(rest_of(circuit))

    assert rests == pytest.approx([10.0, 18.0, 32.0])


def test_longest_rest_is_spread_too():
    """A key that was rejected in all workers at once is not tried by all of them at once."""
    assert rest_of(cooling(failed(FailureKind.AUTH), draw=0.5)) == pytest.approx(270.0)


@pytest.mark.parametrize(("retry_after", "rest"), [(100.0, 100.0), (9.2, 9.2), (8.0, 9.0)])
def test_chance_never_undercuts_what_the_provider_asked_for(retry_after, rest):
    """Whoever says when to come back means it; a rest that is longer by itself is kept."""
    outcome = failed(FailureKind.RATE_LIMITED, retry_after=retry_after)

    assert rest_of(cooling(outcome, base=10.0, draw=0.5)) == pytest.approx(rest)
