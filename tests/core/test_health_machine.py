# SPDX-License-Identifier: Apache-2.0
"""A chain's health as a state machine, against a model that is too simple to be wrong.

The model writes down, for each provider, what the rules say in so many words. Whatever was given
out before a provider stopped or began to be usable belongs to another *era* and has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import assume, settings, strategies as st
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

from livekit_fallback.core.circuit import Change, HealthPolicy, Permit, State
from livekit_fallback.core.health import HealthBook, OrderPolicy
from livekit_fallback.core.outcome import CANCELLED, FailureKind, Outcome, Status
from tests.support.outcomes import SERVED, failed

BASE, CAP, ASKED_FOR = 4.0, 32.0, 20.0
WELL, RESTING, TESTING = State.HEALTHY, State.COOLING_DOWN, State.PROBING
TRIAL, OFF = State.PROBATION, State.DISABLED

outcomes = st.sampled_from(
    [
        SERVED,
        SERVED,
        CANCELLED,
        *map(failed, FailureKind),
        failed(FailureKind.RATE_LIMITED, retry_after=ASKED_FOR),
    ]
)


@dataclass
class Model:
    """One provider, naively."""

    give_up_after: int | None
    shares: tuple[float, ...]
    successes: int
    state: State = WELL
    by_hand: bool = False
    era: int = 0
    due: float = 0.0
    down_since: float = 0.0
    bad: int = 0
    failed_recoveries: int = 0
    good: int = 0
    newest_success: int = 0
    requests: int = 0
    ended: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    probes: int = 0
    probe_out: int | None = None  # number of the probe that is out

    def goes(self, to: State, now: float, rest: float = 0.0) -> Change:
        """It moves on; return the change."""
        was, self.state = self.state, to
        usable = (WELL, TRIAL)
        if not (was in usable and to in usable):
            self.era += 1
        if was in usable and to not in usable:
            self.down_since = now
        if to is WELL:
            self.bad = self.failed_recoveries = 0
        if to is TRIAL:
            self.good = 0
        if to is RESTING:
            self.due = now + rest
        if to is not TESTING:
            self.probe_out = None
        self.by_hand = False
        return Change(0, was, to, 0.0 if was in usable else now - self.down_since, rest)

    def hears(self, given: Given, outcome: Outcome, now: float) -> Change | None:
        """An outcome comes in; return the change, if any."""
        if given.era != self.era or self.state is OFF:
            return None
        if outcome.status is Status.SUCCESS:
            return self.hears_good(given, now)
        failure = outcome.failure
        if failure is None or failure.kind is FailureKind.REQUEST:
            if not given.is_probe:
                return None
            return self.goes(RESTING, now, 0.0 if failure is None else self.rest(outcome))
        is_news = self.state in (WELL, TRIAL) and given.number > self.newest_success
        return self.hears_bad(outcome, now) if given.is_probe or is_news else None

    def hears_good(self, given: Given, now: float) -> Change | None:
        self.newest_success = max(self.newest_success, given.number)
        if self.state is WELL:
            return None
        if self.state is not TRIAL:
            return self.goes(TRIAL if given.is_probe else WELL, now)
        self.good += 1
        return self.goes(WELL, now) if self.good == self.successes * len(self.shares) else None

    def hears_bad(self, outcome: Outcome, now: float) -> Change:
        self.bad += 1
        if self.state is not WELL:
            self.failed_recoveries += 1
            if self.failed_recoveries == self.give_up_after:
                return self.goes(OFF, now)
        return self.goes(RESTING, now, self.rest(outcome))

    @property
    def share(self) -> float:
        if self.state is WELL:
            return 1.0
        return self.shares[self.good // self.successes if self.state is TRIAL else 0]

    def rest(self, outcome: Outcome) -> float:
        assert outcome.failure is not None
        rest = CAP if outcome.failure.kind is FailureKind.AUTH else BASE * 2 ** (self.bad - 1)
        return max(min(rest, CAP), outcome.failure.retry_after or 0.0)


@dataclass(frozen=True)
class Given:
    """A permit that is out, with what the model knew when it was given."""

    permit: Permit
    era: int
    number: int
    is_probe: bool
    is_request: bool


class HealthMachine(RuleBasedStateMachine):
    """Requests, probes, their outcomes and operators, in any order, on one chain."""

    out: Bundle[Given] = Bundle("out")

    @initialize(
        live=st.lists(st.booleans(), min_size=1, max_size=4),
        sticky=st.booleans(),
        dwell=st.sampled_from([0.0, 6.0]),
        give_up_after=st.sampled_from([None, 1, 3]),
        shares=st.sampled_from([(1.0,), (0.5, 1.0), (0.1, 0.5, 1.0)]),
        successes=st.integers(1, 2),
    )
    def begin(
        self,
        live: list[bool],
        sticky: bool,
        dwell: float,
        give_up_after: int | None,
        shares: tuple[float, ...],
        successes: int,
    ) -> None:
        self.now, self.number = 1000.0, 0
        self.live, self.sticky, self.dwell = live, sticky, dwell
        policy = HealthPolicy(BASE, CAP, give_up_after, shares, successes)
        order = OrderPolicy(tuple(live), sticky, dwell)
        self.book = HealthBook([policy] * len(live), order, jitter=lambda: 0.0)
        self.models = [Model(give_up_after, shares, successes) for _ in live]
        self.last_served, self.switched_at = 0, float("-inf")
        self.preferred: int | None = None
        self.held_back: frozenset[int] = frozenset()

    def pick(self, provider: int) -> int:
        return provider % len(self.models)

    # --- requests, probes and what becomes of them ---

    @rule(seconds=st.sampled_from([0.0, 0.5, BASE, 2 * BASE, CAP]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def request_begins(self) -> None:
        self.held_back = self.book.hold_back()
        for i, model in enumerate(self.models):
            if model.share == 1.0 or (self.live[i] and model.state is not TRIAL):
                assert i not in self.held_back
            elif model.state is not TRIAL:
                assert i in self.held_back

    @rule(target=out, place=st.integers(0, 3))
    def request_asks(self, place: int) -> Given:
        order = self.book.order(self.now, self.held_back)
        provider = order[place % len(order)]
        is_probe = self.live[provider] and self.probe_is_due(provider)
        permit = self.book.acquire(provider, self.now)
        self.models[provider].requests += 1
        assert (permit.provider, permit.is_probe) == (provider, is_probe)
        return self.note(permit, is_probe=is_probe, is_request=True)

    @rule(target=out, provider=st.integers(0, 3))
    def timer_probes(self, provider: int) -> Given | MultipleResults[Given]:
        due = self.probe_is_due(self.pick(provider))
        permit = self.book.circuit(self.pick(provider)).probe_permit(self.now)
        assert (permit is not None) == due
        if permit is None:
            return multiple()
        return self.note(permit, is_probe=True, is_request=False)

    def note(self, permit: Permit, *, is_probe: bool, is_request: bool) -> Given:
        model = self.models[permit.provider]
        self.number += 1
        if is_probe:
            assert model.probe_out is None, "two probes are out at once"
            assert self.now >= model.due, "probed during its rest"
            model.goes(TESTING, self.now)
            model.probe_out = self.number
        return Given(permit, model.era, self.number, is_probe, is_request)

    @rule(target=out, given=consumes(out), outcome=outcomes, goes_on=st.booleans())
    def outcome_comes(
        self, given: Given, outcome: Outcome, goes_on: bool
    ) -> Given | MultipleResults[Given]:
        provider = given.permit.provider
        before = self.seen(provider)
        told = self.tell(given, outcome, release=goes_on)
        self.must_tell(provider, told, self.models[provider].hears(given, outcome, self.now))
        if given.era < self.models[provider].era and told is None:
            assert self.seen(provider) == before, "a late result changed something"
        if not (given.is_request and goes_on and outcome is SERVED):
            return multiple()
        self.models[provider].requests += 1
        return self.note(self.book.renew(provider), is_probe=False, is_request=True)

    def tell(self, given: Given, outcome: Outcome, *, release: bool) -> Change | None:
        model = self.models[given.permit.provider]
        if not given.is_request:
            model.probes += 1
            return self.book.record_probe(given.permit, outcome, self.now)
        if release and outcome is CANCELLED:
            model.requests -= 1
            return self.book.release(given.permit, self.now)
        model.ended[outcome.status] += 1
        return self.book.record(given.permit, outcome, self.now)

    @rule(provider=st.integers(0, 3))
    def provider_serves(self, provider: int) -> None:
        if self.pick(provider) != self.last_served:
            self.last_served, self.switched_at = self.pick(provider), self.now
        self.book.mark_served(self.pick(provider), self.now)

    # --- operators ---

    @rule(provider=st.integers(0, 3))
    def somebody_disables(self, provider: int) -> None:
        provider = self.pick(provider)
        others = [m for m in self.models if m is not self.models[provider]]
        may = any(not m.by_hand for m in others)
        assert self.book.may_disable(provider) == may
        assume(may)
        told, model = self.book.circuit(provider).disable(self.now), self.models[provider]
        self.must_tell(provider, told, None if model.state is OFF else model.goes(OFF, self.now))
        model.by_hand = True

    @rule(provider=st.integers(0, 3))
    def somebody_enables(self, provider: int) -> None:
        model = self.models[self.pick(provider)]
        told = self.book.circuit(self.pick(provider)).enable(self.now)
        is_usable = model.state in (WELL, TRIAL)
        model.failed_recoveries = model.failed_recoveries if is_usable else 0
        self.must_tell(
            self.pick(provider), told, None if is_usable else model.goes(TRIAL, self.now)
        )

    @rule(provider=st.none() | st.integers(0, 3))
    def somebody_prefers(self, provider: int | None) -> None:
        self.preferred = None if provider is None else self.pick(provider)
        self.switched_at = float("-inf")
        self.book.prefer(self.preferred)

    @rule()
    def somebody_resets(self) -> None:
        told = {change.provider: change for change in self.book.reset(self.now)}
        for i, model in enumerate(self.models):
            self.must_tell(
                i, told.get(i), None if model.state is WELL else model.goes(WELL, self.now)
            )
        self.preferred, self.last_served, self.switched_at = None, 0, float("-inf")

    # --- what holds at any time ---

    def must_tell(self, provider: int, told: Change | None, expected: Change | None) -> None:
        assert told == (expected and replace(expected, provider=provider))

    def probe_is_due(self, provider: int) -> bool:
        model = self.models[provider]
        return model.state is RESTING and self.now >= model.due

    def seen(self, provider: int) -> tuple[object, ...]:
        circuit = self.book.circuit(provider)
        return circuit.state, circuit.due, circuit.failures, circuit.share, circuit.is_barred

    @invariant()
    def health_is_that_of_the_model(self) -> None:
        for i, model in enumerate(self.models):
            circuit = self.book.circuit(i)
            assert (circuit.state, circuit.failures) == (model.state, model.bad)
            assert (circuit.share, circuit.is_barred) == (model.share, model.by_hand)
            assert model.state is not RESTING or circuit.due == model.due

    @invariant()
    def everybody_is_asked_in_the_order_of_the_rules(self) -> None:
        def rank(i: int) -> tuple[float, ...]:
            model, is_usable = self.models[i], self.is_usable(i)
            if not is_usable:
                return (5, i != self.last_served, i) if model.state is OFF else (4, model.due, i)
            if i in self.held_back:
                return 3, i
            if i == self.preferred:
                return (0,)
            stays = self.sticky or self.now < self.switched_at + self.dwell
            if stays and i == self.last_served and model.state in (WELL, TRIAL):
                return (1,)
            return 2, i

        askable = [i for i, model in enumerate(self.models) if not model.by_hand]
        order = self.book.order(self.now, self.held_back)
        assert order == sorted(askable, key=rank)
        assert order, "nobody is left to ask"
        if any(self.is_usable(i) for i in askable):
            assert self.is_usable(order[0]), "asked first though another is usable"
        assert self.book.first(self.now) == self.book.order(self.now)[0]

    def is_usable(self, provider: int) -> bool:
        usable = self.models[provider].state in (WELL, TRIAL) or (
            self.live[provider] and self.probe_is_due(provider)
        )
        assert self.book.usable(provider, self.now) == usable
        return usable

    @invariant()
    def counters_agree(self) -> None:
        for i, model in enumerate(self.models):
            tally, ended = self.book.tally(i), model.ended
            assert tally.requests == model.requests
            assert tally.successes == ended[Status.SUCCESS]
            assert tally.failures.total() == ended[Status.FAILURE]
            assert tally.cancelled == ended[Status.CANCELLED]
            assert tally.probes == model.probes


TestHealthMachine = HealthMachine.TestCase
TestHealthMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
