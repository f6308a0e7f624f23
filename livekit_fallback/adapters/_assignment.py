# SPDX-License-Identifier: Apache-2.0
"""What an attempt is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.circuit import Permit
from ..provider import Member
from ._tasks import TaskHolder

if TYPE_CHECKING:
    from ._attempt import Attempt


class Assignment(NamedTuple):
    """What an attempt is given to work with.

    Args:
        member: The provider to use.
        permit: Leave to use it; outcomes are reported with it.
        tasks: Holds the attempt's task.
        first_output_due: When the first useful output must be there if it is owed from the
            given time on; ``None`` is no limit. Called once per debt.
        served: Called at the first useful output of the attempt, before it is handed over.
        owed: Called when output is first owed, with since when, and when it is due; ``None``:
            nobody wants to know.
        is_probe: The attempt exists only to learn whether the provider is back: it ends at its
            first useful output.
    """

    member: Member[Any]
    permit: Permit
    tasks: TaskHolder
    first_output_due: Callable[[float], float | None]
    served: Callable[[Attempt[Any]], None]
    owed: Callable[[float, float | None], None] | None
    is_probe: bool = False
