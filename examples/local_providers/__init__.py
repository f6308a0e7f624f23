# SPDX-License-Identifier: Apache-2.0
"""Speech and language services on loopback that speak the wire of the real ones, and can fail.

``python -m examples.local_providers`` runs them in a process of their own; a test enters
``LocalProviders`` in its own loop.
"""

from __future__ import annotations

from .desk import Pace
from .faults import FaultError
from .server import LocalProviders
from .voice import EngineMissingError

__all__ = ["EngineMissingError", "FaultError", "LocalProviders", "Pace"]
