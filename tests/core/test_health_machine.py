# SPDX-License-Identifier: Apache-2.0
"""A chain's health as a state machine, against a model that is too simple to be wrong."""

from __future__ import annotations

from dataclasses import replace

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

from livekit_fallback.core.circuit import Change, HealthPolicy, Permit
from livekit_fallback.core.demotion import Demotion
from livekit_fallback.core.health import HealthBook, OrderPolicy
from livekit_fallback.core.latency import Bound, LatencyPolicy, Sample
from livekit_fallback.core.outcome import CANCELLED, OVERTAKEN, FailureKind, Outcome, Status
from tests.support.health_model import BASE, CAP, OFF, RESTING, TESTING, TRIAL, WELL, Given, Model
from tests.support.outcomes import SERVED, failed

ASKED_FOR = 20.0
SLOW = 0.8

outcomes = st.sampled_from(
    [
        SERVED,
        SERVED,
        CANCELLED,
        OVERTAKEN,
        *map(failed, FailureKind),
        failed(FailureKind.RATE_LIMITED, retry_after=ASKED_FOR),
    ]
)
samples = st.builds(
    Sample,
    st.sampled_from([0.2, SLOW, 2.0, 2.0, 2.0]),
    st.sampled_from([*Bound, Bound.EXACT, Bound.EXACT]),
)
policies = st.sampled_from(
    [
        LatencyPolicy(SLOW, hits=2),
        LatencyPolicy(SLOW, hits=3),
        LatencyPolicy(SLOW, ratio=0.6, window=3),
        LatencyPolicy(),
    ]
)


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
        latency=policies,
    )
    def begin(
        self,
        live: list[bool],
        sticky: bool,
        dwell: float,
        give_up_after: int | None,
        shares: tuple[float, ...],
        successes: int,
        latency: LatencyPolicy,
    ) -> None:
        self.now, self.number = 1000.0, 0
        self.live, self.sticky, self.dwell = live, sticky, dwell
        policy = HealthPolicy(BASE, CAP, give_up_after, shares, successes)
        self.probed = frozenset(i for i, is_live in enumerate(live) if not is_live)
        order = OrderPolicy(tuple(live), sticky, dwell, self.probed)
        self.book = HealthBook(
            [policy] * len(live), order, jitter=lambda: 0.0, latency=[latency] * len(live)
        )
        self.models = [Model(give_up_after, shares, successes, latency) for _ in live]
        self.last_served, self.switched_at = 0, float("-inf")
        self.preferred: int | None = None
        self.held_back: frozenset[int] = frozenset()

    def pick(self, provider: int) -> int:
        return provider % len(self.models)

    # --- requests, probes and what becomes of them ---

    @rule(seconds=st.sampled_from([0.0, 0.5, BASE, 2 * BASE, 2 * CAP]))
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

    # --- latencies ---

    @rule(given=out, sample=samples)
    def output_is_timed(self, given: Given, sample: Sample) -> None:
        self.take(given.permit.provider, sample, given)

    @rule(
        provider=st.integers(0, 3),
        sample=samples,
        times=st.integers(1, 4),
        is_reviewed=st.booleans(),
    )
    def somebody_else_times_outputs(
        self, provider: int, sample: Sample, times: int, is_reviewed: bool
    ) -> None:
        for _ in range(times):
            self.take(self.pick(provider), sample, None)
        if is_reviewed:
            self.slow_one_is_left()

    def take(self, provider: int, sample: Sample, given: Given | None) -> None:
        model, permit = self.models[provider], None if given is None else given.permit
        if sample.bound is Bound.EXACT:
            self.book.pace(provider).add(sample)
            model.timed.append(sample.seconds)
        told = self.book.judge(provider, sample, self.now, permit)
        assert told is model.takes(sample, self.now, given)

    @rule()
    def slow_one_is_left(self) -> None:
        first, *others = self.book.order(self.now)
        could_stand_in = [
            i
            for i in others
            if self.models[i].could_stand_in(self.now, can_be_probed=i in self.probed)
        ]
        is_left = self.models[first].is_too_slow(self.now) and bool(could_stand_in)

        assert Demotion(self.book).to_leave(self.now) == (first if is_left else None)

        if is_left:
            change = self.book.demote(first, self.now)
            self.must_tell(first, change, self.models[first].is_left_for_being_slow(self.now))

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
        if model.is_usable:
            assert told is None
            return
        model.failed_recoveries = 0
        self.must_tell(self.pick(provider), told, model.goes(TRIAL, self.now))

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
        return (
            circuit.state,
            circuit.due,
            circuit.failures,
            circuit.share,
            circuit.is_barred,
            circuit.is_demoted,
        )

    @invariant()
    def health_is_that_of_the_model(self) -> None:
        for i, model in enumerate(self.models):
            circuit = self.book.circuit(i)
            assert (circuit.state, circuit.failures) == (model.state, model.bad)
            assert (circuit.share, circuit.is_barred) == (model.share, model.by_hand)
            assert circuit.is_demoted == model.is_demoted
            assert model.state is not RESTING or circuit.due == model.due

    @invariant()
    def slowness_is_that_of_the_model(self) -> None:
        for i, model in enumerate(self.models):
            pace = self.book.pace(i)
            assert pace.slow_outputs == model.slow_ever
            assert pace.hits(self.book.circuit(i).generation) == model.hits

    @invariant()
    def everybody_is_asked_in_the_order_of_the_rules(self) -> None:
        def rank(i: int, fastest: int | None = None) -> tuple[float, ...]:
            model, is_usable = self.models[i], self.is_usable(i)
            if not is_usable:
                return (5, i != self.last_served, i) if model.state is OFF else (4, model.due, i)
            if i in self.held_back:
                return 3, i
            if i == fastest:
                return (-1,)
            if i == self.preferred:
                return (0,)
            stays = self.sticky or self.now < self.switched_at + self.dwell
            if stays and i == self.last_served and model.is_usable:
                return (1,)
            return 2, self.stands_back(i), i

        askable = [i for i, model in enumerate(self.models) if not model.by_hand]
        order = self.book.order(self.now, self.held_back)
        assert order == sorted(askable, key=rank)
        assert order, "nobody is left to ask"
        if any(self.is_usable(i) for i in askable):
            assert self.is_usable(order[0]), "asked first though another is usable"
        assert self.book.first(self.now) == self.book.order(self.now)[0]
        urgently = self.book.order(self.now, self.held_back, is_urgent=True)
        fastest = self.fastest([i for i in askable if self.is_usable(i)])
        assert urgently == sorted(askable, key=lambda i: rank(i, fastest))

    def stands_back(self, provider: int) -> bool:
        model, can_be_probed = self.models[provider], provider in self.probed
        is_at_work = provider == self.last_served
        return not is_at_work and model.stands_back(self.now, can_be_probed=can_be_probed)

    def fastest(self, usable: list[int]) -> int | None:
        asked = sorted((i for i in usable if i not in self.held_back), key=self.stands_back)
        times = {i: self.models[i].typical for i in asked}
        if not times or next(iter(times.values())) is None:
            return None
        return min((i for i in asked if times[i] is not None), key=lambda i: times[i] or 0.0)

    def is_usable(self, provider: int) -> bool:
        usable = self.models[provider].is_usable or (
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
            assert tally.overtaken == ended[Status.OVERTAKEN]
            assert tally.probes == model.probes


TestHealthMachine = HealthMachine.TestCase
TestHealthMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
