# SPDX-License-Identifier: Apache-2.0
"""A chain's health as a state machine, against a model that is too simple to be wrong.

The model keeps, for each provider, whether it is up, when its rest ends, which permit is the probe
that is out, and an *era*: everything that was given out before the last change belongs to another
era and must have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from livekit_fallback.core.circuit import Change, CoolDownPolicy, Permit, State
from livekit_fallback.core.health import HealthBook
from livekit_fallback.core.outcome import CANCELLED, FailureKind, Outcome, Status
from tests.support.outcomes import SERVED, failed

BASE, CAP = 4.0, 32.0

outcomes = st.one_of(
    st.sampled_from([SERVED, CANCELLED]),
    st.builds(failed, st.sampled_from(FailureKind)),
)


@dataclass
class Model:
    """One provider, naively."""

    up: bool = True
    due: float = 0.0
    probe: Permit | None = None
    era: int = 0
    bad: int = 0
    newest_success: int = -1

    def turn(self, *, up: bool) -> None:
        self.era += 1
        self.up = up
        self.probe = None
        if up:
            self.bad = 0

    def fails(self, now: float, kind: FailureKind) -> None:
        self.turn(up=False)
        self.bad += 1
        self.rests(now, kind)

    def rests(self, now: float, kind: FailureKind) -> None:
        rest = CAP if kind is FailureKind.AUTH else min(CAP, BASE * 2 ** (self.bad - 1))
        self.due = now + rest

    @property
    def state(self) -> State:
        if self.up:
            return State.HEALTHY
        return State.COOLING_DOWN if self.probe is None else State.PROBING


@dataclass(frozen=True)
class Given:
    """A permit that is out, with what the model knew when it was given."""

    permit: Permit
    era: int
    order: int = field(compare=False)


class HealthMachine(RuleBasedStateMachine):
    """Requests, probes and their outcomes, in any order, on one chain."""

    out: Bundle[Given] = Bundle("out")

    @initialize(size=st.integers(1, 4), live=st.booleans(), sticky=st.booleans())
    def begin(self, size: int, live: bool, sticky: bool) -> None:
        self.now = 1000.0
        self.live, self.sticky = live, sticky
        self.book = HealthBook([CoolDownPolicy(BASE, CAP)] * size, live_probe=live, sticky=sticky)
        self.models = [Model() for _ in range(size)]
        self.last_served = 0
        self.given = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, BASE, 2 * BASE, CAP]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=out, place=st.integers(0, 3))
    def request_asks(self, place: int) -> Given:
        provider = self.book.order(self.now)[place % len(self.book)]
        model, may_probe = self.models[provider], self.live and self.probe_is_due(provider)
        permit = self.book.acquire(provider, self.now)
        assert permit.provider == provider
        assert permit.is_probe == may_probe
        return self.note(model, permit)

    @rule(target=out, provider=st.integers(0, 3))
    def timer_probes(self, provider: int) -> Given | MultipleResults[Given]:
        provider %= len(self.book)
        due = self.probe_is_due(provider)
        permit = self.book.circuit(provider).probe_permit(self.now)
        assert (permit is not None) == due
        return multiple() if permit is None else self.note(self.models[provider], permit)

    @rule(given=consumes(out), outcome=outcomes)
    def outcome_comes(self, given: Given, outcome: Outcome) -> None:
        model = self.models[given.permit.provider]
        before = model.state
        down = self.seen(given.permit.provider)
        change = self.book.record(given.permit, outcome, self.now)
        if not self.model_takes(model, given, outcome):
            assert change is None
            assert self.seen(given.permit.provider) == down
            return
        assert isinstance(change, Change)
        assert (change.before, change.after) == (before, model.state)

    @rule(provider=st.integers(0, 3))
    def provider_serves(self, provider: int) -> None:
        self.last_served = provider % len(self.book)
        self.book.mark_served(self.last_served)

    def note(self, model: Model, permit: Permit) -> Given:
        if permit.is_probe:
            assert model.probe is None, "two probes are out at once"
            model.era += 1
            model.probe = permit
        self.given += 1
        return Given(permit, model.era, self.given)

    def model_takes(self, model: Model, given: Given, outcome: Outcome) -> bool:
        """Let the model take an outcome; return whether it changes the provider's state."""
        if given.era != model.era:
            return False
        if outcome.status is Status.SUCCESS:
            model.newest_success = max(model.newest_success, given.order)
            if model.up:
                return False
            model.turn(up=True)
            return True
        if outcome.failure is None or outcome.failure.kind is FailureKind.REQUEST:
            if not given.permit.is_probe:
                return False
            model.turn(up=False)
            if outcome.failure is not None:
                model.rests(self.now, outcome.failure.kind)
            return True
        refuted = model.up and given.order > model.newest_success
        if refuted or given.permit.is_probe:
            model.fails(self.now, outcome.failure.kind)
            return True
        return False

    def probe_is_due(self, provider: int) -> bool:
        model = self.models[provider]
        return not model.up and model.probe is None and self.now >= model.due

    def seen(self, provider: int) -> tuple[State, float, int]:
        circuit = self.book.circuit(provider)
        return circuit.state, circuit.due, circuit.failures

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        for provider, model in enumerate(self.models):
            state, due, failures = self.seen(provider)
            assert (state, failures) == (model.state, model.bad)
            assert model.up or due == model.due

    @invariant()
    def everybody_is_asked_usable_first(self) -> None:
        order = self.book.order(self.now)
        usable = [i for i in order if self.book.usable(i, self.now)]
        rest = order[len(usable) :]
        assert sorted(order) == list(range(len(self.models)))
        assert order[0] == self.book.first(self.now)
        assert order[: len(usable)] == usable
        assert [self.book.circuit(i).due for i in rest] == sorted(
            self.book.circuit(i).due for i in rest
        )
        for i, model in enumerate(self.models):
            assert (i in usable) == (model.up or (self.live and self.probe_is_due(i)))

    @invariant()
    def usable_come_by_priority_but_for_who_is_stuck_to(self) -> None:
        usable = [i for i in self.book.order(self.now) if self.book.usable(i, self.now)]
        if self.sticky and self.models[self.last_served].up:
            assert usable.pop(0) == self.last_served
        assert usable == sorted(usable)


TestHealthMachine = HealthMachine.TestCase
TestHealthMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
