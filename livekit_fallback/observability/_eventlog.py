# SPDX-License-Identifier: Apache-2.0
"""Events as lines of JSON in a file, for reports after the call."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from ._fields import names_of, plain_fields


class EventLog:
    """Appends one JSON object per event to a file.

    Each line holds ``event`` (its name) and the event's fields; no transcript, prompt, key or
    exception text. Lines are written at once, so a crashed process leaves a readable file.

    Args:
        path: File to append to; created when missing.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  # closed by close()

    def attach(self, *adapters: Any) -> None:
        """Write the events of these adapters from now on."""
        for adapter in adapters:
            for name in names_of(adapter):
                adapter.on(name, partial(self._write, adapter.component, name))

    def close(self) -> None:
        """Close the file. Events that come later are dropped. Idempotent."""
        self._file.close()

    def _write(self, component: str, name: str, event: Any) -> None:
        if self._file.closed:
            return
        line = {"event": name, "component": component, **plain_fields(event)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
