# SPDX-License-Identifier: Apache-2.0
"""Names of parametrised tests that are the same in every process that runs some of them."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """What the value looks like, wherever in memory it lies."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
