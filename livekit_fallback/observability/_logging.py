# SPDX-License-Identifier: Apache-2.0
"""One log line per failover, recovery and loss: a static message and structured fields."""

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
}


def log_events(adapter: Any) -> None:
    """Log an adapter's events on the logger ``livekit_fallback``. Done for every adapter."""
    for name in EVENT_NAMES:
        adapter.on(name, _line(name))


def _line(name: str) -> Callable[[Any], None]:
    level, message = _LINES[name]
    return partial(_log, level, message)


def _log(level: int, message: str, event: Any) -> None:
    if not logger.isEnabledFor(level):
        return
    fields = plain_fields(event)
    error = getattr(event, "error", None)
    if error is not None:
        fields["lk.pii.error"] = str(error)
    logger.log(level, message, extra=fields)
