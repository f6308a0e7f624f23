# SPDX-License-Identifier: Apache-2.0
"""One log line per event that somebody may have to act on: a static message, structured fields."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from ..log import logger
from ._fields import EVENT_NAMES, plain_fields

_LINES: dict[str, tuple[int, str]] = {
    "failover": (logging.WARNING, "failed over to the next provider"),
    "recovery": (logging.INFO, "back on a provider of higher priority"),
    "exhausted": (logging.ERROR, "all providers failed"),
    "output_lost": (logging.WARNING, "output was lost"),
    "health_changed": (logging.DEBUG, "the health of a provider changed"),
    "probed": (logging.DEBUG, "a provider was probed"),
    "hedged": (logging.INFO, "a second provider was asked while the first was silent"),
    "flapping": (logging.WARNING, "providers fail over too often"),
}
_REJECTED = logging.ERROR, "a provider rejects its key, its quota or its configuration"
_DISABLED = logging.WARNING, "a provider was disabled"


def log_events(adapter: Any) -> None:
    """Log an adapter's events on the logger ``livekit_fallback``. Done for every adapter."""
    lines = _Lines()
    for name in EVENT_NAMES:
        adapter.on(name, lines.listener(name))


class _Lines:
    """The lines of one adapter. What only a person can mend is an error, said once."""

    def __init__(self) -> None:
        self._rejecting: set[str] = set()  # providers of which it was said

    def listener(self, name: str) -> Callable[[Any], None]:
        return partial(self._log, name)

    def _line(self, name: str, event: Any) -> tuple[int, str]:
        if name != "health_changed":
            return _LINES[name]
        if event.after == "healthy" or event.before == "disabled":
            self._rejecting.discard(event.provider)
        if event.kind == "auth" and event.provider not in self._rejecting:
            self._rejecting.add(event.provider)
            return _REJECTED
        return _DISABLED if event.after == "disabled" else _LINES[name]

    def _log(self, name: str, event: Any) -> None:
        level, message = self._line(name, event)
        if not logger.isEnabledFor(level):
            return
        fields = plain_fields(event)
        error = getattr(event, "error", None)
        if error is not None:
            fields["lk.pii.error"] = str(error)
        logger.log(level, message, extra=fields)
