# SPDX-License-Identifier: Apache-2.0
"""Events as plain fields, without anything that could quote what was said."""

from __future__ import annotations

import dataclasses
from typing import Any

_PLAIN = (str, int, float, bool, type(None))

EVENT_NAMES = (
    "failover",
    "recovery",
    "exhausted",
    "output_lost",
    "health_changed",
    "probed",
    "hedged",
    "flapping",
)


def names_of(adapter: Any) -> tuple[str, ...]:
    """Return the names of the events that an adapter emits, LiveKit's own left out."""
    return (*EVENT_NAMES, f"{adapter.component}_availability_changed")


def plain_fields(event: Any) -> dict[str, Any]:
    """Return the event's texts and numbers; of an exception only its type is kept."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, BaseException):
            fields["error_type"] = type(value).__name__
        elif isinstance(value, _PLAIN):
            fields[field.name] = round(value, 6) if isinstance(value, float) else value
    return fields
