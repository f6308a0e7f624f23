# SPDX-License-Identifier: Apache-2.0
"""What the failures of one request are held against, and when: provider, or request itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from ..core.circuit import Permit
from ..core.outcome import FailureKind, Outcome
from ..errors import AttemptReport, SilentError
from . import _clock
from ._chain import Chain

# Words that come so long after a silence are not those that it swallowed, if there were any; nor
# are those that come so long after the caller began to speak anew. Sooner they cannot be new.
_OTHER_SPEECH_SEC = 30.0
_NEW_WORDS_SEC = 0.3


class Failed(NamedTuple):
    """A failure that is not held against anybody yet."""

    permit: Permit
    outcome: Outcome
    report: AttemptReport


class Verdicts:
    """Records the failures of one request, and holds back those that are not yet understood.

    A provider that answers 401, 403 or 404 rests for minutes. But when every provider rejects a
    request with the same status, it is the request that is wrong (an option that nobody knows,
    a conversation that nobody allows), and nobody's health is touched. A speech stream asks for
    nothing that could be wrong before there is speech, so there rejections count at once.

    A recogniser that says nothing about speech has failed if another one says something about the
    same audio. If that makes nothing of it either, there are no words in it. Where the caller has
    begun to speak anew nobody knows which audio the words are from. That excuses it once.

    A provider that is about to be asked again has not failed the request yet.

    Args:
        chain: The providers and their health.
    """

    def __init__(self, chain: Chain[Any]) -> None:
        self._chain = chain
        self._holds = chain.component != "stt" and len(chain.members) > 1
        self._rejections: list[Failed] = []
        self._silences: list[Failed] = []
        self._excused: set[int] = set()  # who has given nothing for good since
        self._silent_at = 0.0  # when the last of them was found out
        self._retried: Failed | None = None

    def record(self, failed: Failed, *, is_retried: bool) -> None:
        """Take a failure into account: at once, unless there is more to come."""
        self.make_good()
        if is_retried and not failed.permit.is_probe:
            self._retried = failed
        elif self._is_rejection(failed.report):
            self._reject(failed)
        elif isinstance(failed.report.error, SilentError):
            self._silent_at = _clock.now()
            self._silences.append(failed)
        else:
            self.settle()  # but whether there were words is still open
            self._hold_against(failed)

    def make_good(self) -> None:
        """A retry came to an end: it decides about health, not what went before it."""
        if self._retried is not None:
            self._chain.only_count(*self._retried)
            self._retried = None

    def settle(self) -> None:
        """Hold rejections against the providers: somebody else saw nothing wrong."""
        rejections, self._rejections = self._rejections, []
        for failed in rejections:
            self._hold_against(failed)

    def words_came(self, provider: int, *, is_final: bool, new_speech_at: float | None) -> None:
        """Hold silences against the providers if these are words that they have swallowed.

        Args:
            provider: Who heard them. For one that was asked again and now gives words for good
                it was a fault of the connection, which is over.
            is_final: Whether they are for good.
            new_speech_at: When the caller began to speak anew since the last of them was left.
        """
        if not self._silences:
            return
        now = _clock.now()
        if now - self._silent_at > _OTHER_SPEECH_SEC:
            self.forgive_silence()
            return
        own = [failed for failed in self._silences if failed.permit.provider == provider]
        others = [failed for failed in self._silences if failed.permit.provider != provider]
        is_new = new_speech_at is not None and now - new_speech_at > _NEW_WORDS_SEC
        judge = self._excuse if is_new else self._hold_against
        for failed in others:
            judge(failed)
        if is_final:
            self._acquit(own)
        self._silences = [] if is_final else own

    def _excuse(self, failed: Failed) -> None:
        provider = failed.permit.provider
        if provider in self._excused:
            self._hold_against(failed)
        else:
            self._excused.add(provider)
            self._acquit([failed])

    def served_well(self, provider: int) -> None:
        """A provider has given something for good: it may be excused again."""
        self._excused.discard(provider)

    def forgive_silence(self) -> None:
        """There was nothing to hear: whoever heard nothing has not failed."""
        silences, self._silences = self._silences, []
        self._acquit(silences)

    def close(self) -> None:
        """The request is over: nothing more is to come, and no words have come of a silence."""
        self.forgive_silence()
        self.settle()
        if self._retried is not None:
            self._hold_against(self._retried)
            self._retried = None

    def blame_request(self) -> None:
        """The request is given up. If everybody has rejected it alike, it was at fault."""
        rejected_by = {failed.permit.provider for failed in self._rejections}
        circuits = map(self._chain.health.circuit, range(len(self._chain.members)))
        could_be_asked = {i for i, circuit in enumerate(circuits) if not circuit.is_barred}
        if len(rejected_by) == 1 or not could_be_asked <= rejected_by:
            self.settle()
        held, self._rejections = self._rejections, []
        self._acquit(held)

    def _hold_against(self, failed: Failed) -> None:
        self._chain.record(*failed)

    def _acquit(self, held: list[Failed]) -> None:
        for failed in held:
            blamed = replace(failed.report, kind=FailureKind.REQUEST)
            self._chain.record(failed.permit, as_requests_fault(failed.outcome), blamed)

    def _is_rejection(self, report: AttemptReport) -> bool:
        return self._holds and report.kind is FailureKind.AUTH and report.status_code is not None

    def _reject(self, failed: Failed) -> None:
        held = self._rejections
        if held and held[0].report.status_code != failed.report.status_code:
            self.settle()
        self._rejections.append(failed)


def as_requests_fault(outcome: Outcome) -> Outcome:
    """Return a failure as one that says nothing about its provider."""
    assert outcome.failure is not None
    return outcome._replace(failure=replace(outcome.failure, kind=FailureKind.REQUEST))
