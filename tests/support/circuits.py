# SPDX-License-Identifier: Apache-2.0
"""Circuits brought into a state by what callers may do, and chains of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit_fallback.core.circuit import Circuit, HealthPolicy, Permit, State
from livekit_fallback.core.health import NOBODY, HealthBook, OrderPolicy
from livekit_fallback.core.latency import Bound, LatencyPolicy, Sample
from tests.support.outcomes import SERVED, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from livekit_fallback.core.outcome import Outcome

NAME = 3
NOW = 1000.0
LATER = NOW + 400.0  # after every cool-down of the policies below


def new_circuit(
    *,
    base: float = 5.0,
    cap: float = 300.0,
    give_up_after: int | None = None,
    shares: tuple[float, ...] = (1.0,),
    successes: int = 2,
    draw: float = 0.0,
) -> Circuit:
    """A provider that was never asked; chance draws the same number each time."""
    policy = HealthPolicy(base, cap, give_up_after, shares, successes)
    return Circuit(NAME, policy, lambda: draw)


def served(circuit: Circuit, now: float = LATER, *, times: int = 1) -> None:
    """So many requests are served, one after the other."""
    for _ in range(times):
        circuit.record(circuit.permit(), SERVED, now)


def fail(circuit: Circuit, now: float = NOW, outcome: Outcome | None = None) -> Circuit:
    """A request to the provider fails."""
    circuit.record(circuit.permit(), outcome or failed(), now)
    return circuit


def cooling(
    outcome: Outcome | None = None,
    *,
    base: float = 5.0,
    cap: float = 300.0,
    give_up_after: int | None = None,
    draw: float = 0.0,
) -> Circuit:
    """A circuit whose provider failed at `NOW`."""
    circuit = new_circuit(base=base, cap=cap, give_up_after=give_up_after, draw=draw)
    return fail(circuit, NOW, outcome)


def probing(circuit: Circuit | None = None, *, now: float = LATER) -> tuple[Circuit, Permit]:
    """A circuit whose probe went out, and the probe's permit."""
    circuit = circuit or cooling()
    return circuit, probe_of(circuit, now)


def on_probation(circuit: Circuit | None = None, *, now: float = LATER) -> Circuit:
    """A circuit whose probe was good: it failed at `NOW` and has been probed at `LATER`."""
    circuit, probe = probing(circuit, now=now)
    circuit.record(probe, SERVED, now)
    return circuit


def given_up() -> Circuit:
    """A circuit whose first probe was bad, which was one too many."""
    circuit, probe = probing(cooling(give_up_after=1))
    circuit.record(probe, failed(), LATER)
    return circuit


def disabled() -> Circuit:
    """A healthy provider that somebody disabled at `LATER`."""
    circuit = new_circuit()
    circuit.disable(LATER)
    return circuit


def probe_of(circuit: Circuit, now: float) -> Permit:
    """The permit of a probe that must be due."""
    permit = circuit.probe_permit(now)
    assert permit is not None
    return permit


def in_state(state: State) -> Circuit:
    """A circuit in this state, since `LATER` at the latest."""
    makers: dict[State, Callable[[], Circuit]] = {
        State.HEALTHY: new_circuit,
        State.COOLING_DOWN: cooling,
        State.PROBING: lambda: probing()[0],
        State.PROBATION: on_probation,
        State.DISABLED: disabled,
    }
    return makers[state]()


def seen(circuit: Circuit) -> tuple[object, ...]:
    """All of a circuit that can be seen from outside."""
    return (
        circuit.state,
        circuit.since,
        circuit.due,
        circuit.failures,
        circuit.share,
        circuit.is_barred,
        circuit.is_demoted,
        circuit.last_change,
        circuit.permit().generation,
    )


def new_book(
    size: int = 3,
    *,
    live_probe: bool | tuple[bool, ...] = False,
    sticky: bool = False,
    min_dwell: float = 0.0,
    give_up_after: int | None = None,
    shares: tuple[float, ...] = (1.0,),
    successes: int = 1,
    latency: LatencyPolicy | None = None,
    probed: frozenset[int] = NOBODY,
) -> HealthBook:
    """The health of so many providers that rest exactly 5 s after their first failure."""
    policy = HealthPolicy(5.0, 300.0, give_up_after, shares, successes)
    live = live_probe if isinstance(live_probe, tuple) else (live_probe,) * size
    return HealthBook(
        [policy] * size,
        OrderPolicy(live, sticky, min_dwell, probed),
        jitter=lambda: 0.0,
        latency=[] if latency is None else [latency] * size,
    )


ROW = LatencyPolicy(0.8, hits=3)
HALF = LatencyPolicy(0.8, ratio=0.5, window=4)


def timed_book(
    size: int = 3, policy: LatencyPolicy = ROW, *, probed: Collection[int] = range(3)
) -> HealthBook:
    """The health of providers that are to answer within 0.8 s, probed beside the traffic."""
    return new_book(size, latency=policy, probed=frozenset(probed))


def outputs(book: HealthBook, provider: int, pattern: str, now: float = NOW) -> HealthBook:
    """Outputs of a provider: `s` was slow, `f` was fast, and of `?` that cannot be said."""
    samples = {"s": Sample(2.0), "f": Sample(0.2), "?": Sample(0.1, Bound.AT_LEAST)}
    for letter in pattern:
        book.judge(provider, samples[letter], now)
    return book


def put_on_probation(book: HealthBook, provider: int) -> None:
    """Somebody takes a provider out and back in."""
    book.circuit(provider).disable(NOW)
    book.circuit(provider).enable(NOW)


def paced_book(
    *latencies: float | None, size: int = 3, times: int = 3, sticky: bool = False
) -> HealthBook:
    """The health of providers that took so long, so many times; `None` was never timed."""
    book = new_book(size, sticky=sticky)
    for provider, seconds in enumerate(latencies):
        if seconds is not None:
            for _ in range(times):
                book.pace(provider).add(Sample(seconds))
    return book
