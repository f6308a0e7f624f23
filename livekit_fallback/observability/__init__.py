# SPDX-License-Identifier: Apache-2.0
"""What the adapters tell the outside. Subscribers to their events, never called by the core."""

from ._eventlog import EventLog
from ._logging import log_events

__all__ = ["EventLog", "log_events"]
