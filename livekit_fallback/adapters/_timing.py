# SPDX-License-Identifier: Apache-2.0
"""What an adapter learns from how long its providers take, and what it does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from livekit.agents.metrics import LLMMetrics, STTMetrics, TTSMetrics

from ..core.circuit import Permit
from ..core.demotion import Demotion
from ..core.latency import Bound, Sample
from ..core.outcome import TOO_SLOW
from ..errors import AttemptReport, SlowOutputError
from ..provider import Member
from ..turn_budget import TurnBudget
from . import _clock
from ._stalls import StallWatch

if TYPE_CHECKING:
    from ._attempt import Attempt
    from ._chain import Chain
    from ._request import Request

T = TypeVar("T")

# For providers without a deadline, how long a wait for them is watched for stalls of the loop.
_WATCHED_SEC = 10.0


class Timing(Generic[T]):
    """Takes latencies from the clock, hands them to core, and carries out what that decides.

    The clock of the attempt decides: it runs from the debt to the first useful output, and is
    read while the output is in flight. What LiveKit's metrics say of the same output comes at
    its end or never, and is not counted again. They count for what no attempt of this adapter
    has timed: somebody else's use of the same provider.

    Args:
        chain: The adapter's providers.
        turn_budget: Shared by the adapters of one session, where there is one.
    """

    def __init__(self, chain: Chain[T], turn_budget: TurnBudget | None) -> None:
        self._chain = chain
        self.turn = None if turn_budget is None else turn_budget.clock
        self._demotion = Demotion(chain.health)
        self._stalls = StallWatch()
        self._slow: dict[int, float] = {}  # seconds that a provider's newest slow output took
        self.has_thresholds = chain.health.has_thresholds
        self.is_watching = self.has_thresholds or any(
            m.hedge_delay is not None or m.limits.adaptive_from is not None for m in chain.members
        )
        self.owed = self._keep_watch if self.is_watching else None
        """Takes note of when output is first owed, and when it is due."""

    @property
    def hears_endings(self) -> bool:
        """Whether it matters when a caller has stopped speaking."""
        return self.has_thresholds or self.turn is not None

    def is_urgent(self) -> bool:
        """Whether the request that begins now has to be fast, by the budget of its turn."""
        if self.turn is None:
            return False
        now = _clock.now()
        if self._chain.component != "stt":
            self.turn.work_began(now)
        return self.turn.is_spent(now)

    def watch(self, since: float) -> None:
        """Look out for stalls of the loop for a while."""
        self._keep_watch(since, None)

    def _keep_watch(self, since: float, due: float | None) -> None:
        self._stalls.keep_watch(since + _WATCHED_SEC if due is None else due)

    def first_output(self, attempt: Attempt[T], request: Request | None) -> None:
        """Take note of the first useful output of a request."""
        if self.turn is not None and self._chain.component == "tts":
            self.turn.answered()
        latency = attempt.latency
        if latency is None:
            return
        if self.is_watching:
            self._take(attempt.member, self._sample(attempt), attempt.permit, request)
        elif not attempt.is_blurred:
            self._chain.health.pace(attempt.member.index).add(Sample(latency))

    def cut_off(
        self, attempt: Attempt[T], request: Request, *, was_overtaken: bool = False
    ) -> None:
        """Take note that output was waited for no longer."""
        since = attempt.owed_since
        if since is None or attempt.committed:
            return
        now = _clock.now()
        if not self._stalls.has_stalled(since, now):
            bound = Bound.OVERTAKEN if was_overtaken else Bound.AT_LEAST
            sample = Sample(now - since, bound)
            self._take(attempt.member, sample, attempt.permit, request)

    def heard(self, member: Member[T], seconds: float, permit: Permit | None = None) -> None:
        """Take note of how long a recogniser took from the end of speech to its transcript."""
        now = _clock.now()
        has_stalled = self._stalls.has_stalled(now - seconds, now)
        sample = Sample(seconds, Bound.AT_MOST if has_stalled else Bound.EXACT)
        self._take(member, sample, permit)

    def reported(self, member: Member[T], metrics: Any) -> None:
        """Take note of what the metrics of somebody else's use of a provider say."""
        sample = _sample_of(metrics)
        if sample is not None and self.has_thresholds and _clock.is_running():
            self._take(member, sample)

    def was_slow(self, attempt: Attempt[T], permit: Permit) -> AttemptReport | None:
        """Return what is wrong with a good probe that took too long; ``None``: it did not."""
        pace, index, now = self._chain.health.pace(permit.provider), permit.provider, _clock.now()
        if attempt.latency is None:
            pace.trust(now)
            return None
        sample = self._sample(attempt)
        if attempt.member.probe == "replay":
            pace.add(sample)
        is_slow = self._chain.health.judge(index, sample, now, permit)
        if is_slow is None:
            pace.trust(now)
        if not is_slow:
            return None
        self._slow[index] = sample.seconds
        return _report(attempt.member, sample.seconds)

    def review(self, request: Request | None = None) -> None:
        """Leave whoever is too slow, if somebody faster can stand in; else look for somebody."""
        if not self.has_thresholds:
            return
        now = _clock.now()
        index = self._demotion.to_leave(now)
        if index is not None:
            report = _report(self._chain.members[index], self._slow[index])
            self._chain.demote(index, report, request)
        self._scout(self._demotion.to_scout(now))

    def close(self) -> None:
        """Stop what runs without traffic."""
        self._stalls.close()

    def _sample(self, attempt: Attempt[T]) -> Sample:
        since, latency, now = attempt.owed_since, attempt.latency, _clock.now()
        assert latency is not None
        # a voice may begin before it has been given enough to owe anything
        has_stalled = since is not None and self._stalls.has_stalled(since, now)
        is_blurred = attempt.is_blurred or has_stalled
        return Sample(latency, Bound.AT_MOST if is_blurred else Bound.EXACT)

    def _take(
        self,
        member: Member[T],
        sample: Sample,
        permit: Permit | None = None,
        request: Request | None = None,
    ) -> None:
        health, now = self._chain.health, _clock.now()
        health.pace(member.index).add(sample)
        if not health.judge(member.index, sample, now, permit):
            self._scout(self._demotion.to_look_at_again(now))
            return
        self._slow[member.index] = sample.seconds
        if permit is not None and permit.is_probe:
            self._chain.fail_probe(permit, _report(member, sample.seconds))
        else:
            self.review(request)

    def _scout(self, unknown: int | None) -> None:
        """Learn how fast somebody is before traffic is sent there: all may be slow alike."""
        if unknown is not None and unknown not in self._chain.being_probed:
            self._chain.scout(unknown)


def _report(member: Member[Any], seconds: float) -> AttemptReport:
    return AttemptReport(
        provider=member.name,
        kind=TOO_SLOW.kind,
        reason=TOO_SLOW.reason,
        status_code=None,
        request_id=None,
        body=None,
        duration=seconds,
        error=SlowOutputError(seconds),
        latency=seconds,
    )


def _sample_of(metrics: Any) -> Sample | None:
    """Return what LiveKit's metrics say of a latency; ``None`` if they say nothing."""
    match metrics:
        case LLMMetrics(ttft=seconds):
            bound = Bound.EXACT
        case TTSMetrics(ttfb=seconds, streamed=is_streamed):
            # a stream is timed from its first word, and may have had to wait for the rest
            bound = Bound.AT_MOST if is_streamed else Bound.EXACT
        case STTMetrics(duration=seconds, streamed=False):
            bound = Bound.EXACT
        case _:
            return None
    return Sample(seconds, bound) if seconds > 0 else None
