# SPDX-License-Identifier: Apache-2.0
"""The journal of the providers: who was asked what, who answered, and what went wrong."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from typing import Any, Literal

Event = Literal["request", "first_output", "final", "finished", "closed_by_client", "fault"]
Entry = dict[str, Any]
"""``seq``, ``time`` (seconds since the epoch), ``vendor``, ``service``, ``event``, ``request``
and, where they apply, ``mode``, ``status`` and ``text``."""


class Journal:
    """Keeps the latest entries, the oldest first."""

    KEPT = 20_000  # a call of ten minutes writes a few hundred

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=self.KEPT)
        self._sequence = itertools.count(1)
        self._requests: Counter[tuple[str, str]] = Counter()

    def number(self, vendor: str, service: str) -> int:
        """Return the number of the next request to ``service`` of ``vendor``, from 1."""
        self._requests[vendor, service] += 1
        return self._requests[vendor, service]

    def add(
        self, vendor: str, service: str, event: Event, request: int = 0, **details: object
    ) -> None:
        """Write an entry; ``details`` that are None or empty are left out."""
        self._entries.append(
            {
                "seq": next(self._sequence),
                "time": time.time(),
                "vendor": vendor,
                "service": service,
                "event": event,
                "request": request,
                **{name: value for name, value in details.items() if value},
            }
        )

    def since(self, sequence: int) -> list[Entry]:
        """Return the entries whose ``seq`` is at least ``sequence``."""
        return [entry for entry in self._entries if entry["seq"] >= sequence]
