# SPDX-License-Identifier: Apache-2.0
"""The providers' metrics: passed on once for what the session used, and for nothing else."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from ..provider import Member
from ._attempt import Attempt, current_attempt
from ._livekit import quick_listener, usage_of

if TYPE_CHECKING:
    from ._chain import Chain


class MetricsRelay:
    """Listens to the providers of one adapter, and emits what belongs to its session.

    Args:
        chain: The adapter's providers.
    """

    def __init__(self, chain: Chain[Any]) -> None:
        self._chain = chain
        self.probe_usage: Counter[int] = Counter()
        self._listeners = [quick_listener(partial(self._relay, m)) for m in chain.members]
        for member, listener in zip(chain.members, self._listeners, strict=True):
            member.instance.on("metrics_collected", listener)

    def close(self) -> None:
        """Stop listening."""
        for member, listener in zip(self._chain.members, self._listeners, strict=True):
            member.instance.off("metrics_collected", listener)

    def settle(self, attempt: Attempt[Any]) -> None:
        """Emit what was held back while it was open whether the attempt would be in vain."""
        held, attempt.metrics = attempt.metrics, []
        if not attempt.was_in_vain:
            for metrics in held:
                self._emit(metrics)

    def _relay(self, member: Member[Any], metrics: Any) -> None:
        innermost = attempt = current_attempt.get()
        while attempt is not None and attempt.tasks is not self._chain.tasks:
            attempt = attempt.outer
        if attempt is None:
            # by somebody's own use of the provider; what another adapter used, that one reports
            self._chain.timing.reported(member, metrics)
            if innermost is None:
                self._emit(metrics)
        elif attempt.is_probe:
            self.probe_usage[attempt.member.index] += usage_of(metrics)
        elif attempt.was_in_vain:
            return  # not part of what the session used
        elif attempt.is_open_question:
            attempt.metrics.append(metrics)
        else:
            self._chain.events.emit("metrics_collected", metrics)

    def _emit(self, metrics: Any) -> None:
        self._chain.events.emit("metrics_collected", metrics)
