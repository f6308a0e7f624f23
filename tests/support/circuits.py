# SPDX-License-Identifier: Apache-2.0
"""Circuits brought into a state, by outcomes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit_fallback.core.circuit import Circuit, CoolDownPolicy, Permit, State
from tests.support.outcomes import failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit_fallback.core.outcome import Outcome

NAME = 3
NOW = 1000.0
LATER = NOW + 400.0  # after every cool-down of the policy below


def new_circuit(*, base: float = 5.0, cap: float = 300.0) -> Circuit:
    """A provider that was never asked."""
    return Circuit(NAME, CoolDownPolicy(base=base, cap=cap))


def cooling(outcome: Outcome | None = None, *, base: float = 5.0, cap: float = 300.0) -> Circuit:
    """A circuit whose provider failed at `NOW`."""
    circuit = new_circuit(base=base, cap=cap)
    circuit.record(circuit.permit(), outcome or failed(), NOW)
    return circuit


def probing() -> tuple[Circuit, Permit]:
    """A circuit whose probe went out at `LATER`, and the probe's permit."""
    circuit = cooling()
    return circuit, probe_of(circuit, LATER)


def probe_of(circuit: Circuit, now: float) -> Permit:
    """The permit of a probe that must be due."""
    permit = circuit.probe_permit(now)
    assert permit is not None
    return permit


def in_state(state: State) -> Circuit:
    """A circuit in this state."""
    makers: dict[State, Callable[[], Circuit]] = {
        State.HEALTHY: new_circuit,
        State.COOLING_DOWN: cooling,
        State.PROBING: lambda: probing()[0],
    }
    return makers[state]()


def seen(circuit: Circuit) -> tuple[object, ...]:
    """All of a circuit that can be seen from outside."""
    return circuit.state, circuit.due, circuit.failures, circuit.permit().generation
