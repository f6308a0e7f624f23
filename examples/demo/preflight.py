# SPDX-License-Identifier: Apache-2.0
"""Says in one line what is missing before anything is started.

Must stay readable for old Pythons and import nothing that can be missing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130

MODULES = {
    "livekit.agents": "livekit-agents",
    "livekit.plugins.openai": "livekit-plugins-openai",
    "livekit.plugins.deepgram": "livekit-plugins-deepgram",
    "livekit.plugins.cartesia": "livekit-plugins-cartesia",
    "pocketsphinx": "pocketsphinx",
    "matplotlib": "matplotlib",
    "rich": "rich",
}
"""What the demo imports, and the distribution it comes from."""


def run(program: Callable[[], int]) -> int:
    """Run `program` if nothing is missing and return its exit code, 2 if something is."""
    try:
        if (missing := trouble()) is None:
            return program()
    except KeyboardInterrupt:
        # Only while modules are imported: nothing has been started yet.
        return INTERRUPTED
    print(f"demo: {missing}", file=sys.stderr)
    return 2


def trouble() -> str | None:
    """What keeps the demo from running here, None if nothing does."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one shall be told
        return "Python 3.11 or newer is needed"
    for module, distribution in MODULES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"cannot import {module} ({error}): pip install {distribution}"
        except OSError as error:
            return f"{module} needs a system library that is missing: {error}"
    return None
