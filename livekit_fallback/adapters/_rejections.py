# SPDX-License-Identifier: Apache-2.0
"""Whose fault is it that a request was rejected: the provider's, or the request's?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.circuit import Permit
from ..core.outcome import FailureKind, Outcome
from ..errors import AttemptReport
from ._chain import Chain


class Rejections:
    """Records the failures of one request, and holds back what may turn out to be its own fault.

    A provider that answers 401, 403 or 404 rests for minutes. But when every provider rejects a
    request with the same status, it is the request that is wrong (an option that nobody knows,
    a conversation that nobody allows), and nobody's health is touched. A speech stream asks for
    nothing that could be wrong before there is speech, so there rejections count at once.

    Args:
        chain: The providers and their health.
    """

    def __init__(self, chain: Chain[Any]) -> None:
        self._chain = chain
        self._holds = chain.component != "stt" and len(chain.members) > 1
        self._held: list[tuple[Permit, Outcome, AttemptReport]] = []

    def record(self, permit: Permit, outcome: Outcome, report: AttemptReport) -> None:
        """Take a failure into account: at once, unless it may be the request's fault."""
        is_rejection = report.kind is FailureKind.AUTH and report.status_code is not None
        if not is_rejection or not self._holds:
            self.settle()
            self._chain.record(permit, outcome, report)
            return
        if self._held and self._held[0][2].status_code != report.status_code:
            self.settle()
        self._held.append((permit, outcome, report))

    def settle(self) -> None:
        """Hold what was held back against the providers: somebody else saw nothing wrong."""
        if not self._held:
            return  # as in nearly every request
        held, self._held = self._held, []
        for permit, outcome, report in held:
            self._chain.record(permit, outcome, report)

    def blame_request(self) -> None:
        """The request is given up. If everybody has rejected it alike, it was at fault."""
        rejected_by = {permit.provider for permit, _, _ in self._held}
        circuits = map(self._chain.health.circuit, range(len(self._chain.members)))
        could_be_asked = {i for i, circuit in enumerate(circuits) if not circuit.is_barred}
        if len(rejected_by) == 1 or not could_be_asked <= rejected_by:
            self.settle()
        held, self._held = self._held, []
        for permit, outcome, report in held:
            self._chain.record(permit, as_requests_fault(outcome), report)


def as_requests_fault(outcome: Outcome) -> Outcome:
    """Return a failure as one that says nothing about its provider."""
    assert outcome.failure is not None
    return outcome._replace(failure=replace(outcome.failure, kind=FailureKind.REQUEST))
