# SPDX-License-Identifier: Apache-2.0
"""Attempts that last: one provider hearing a caller for as long as it serves."""

from __future__ import annotations

from typing import Any, TypeVar

from ._attempt import Attempt

Item = TypeVar("Item")


class LastingAttempt(Attempt[Item]):
    """One use of a provider for a request without end: the audio of a caller."""

    @property
    def owed(self) -> bool:
        """Always: a caller's audio is waiting to be heard by somebody."""
        return True

    @property
    def is_open_question(self) -> bool:
        """Never: what it heard has cost something, whatever comes of it."""
        return False

    @property
    def broke_off(self) -> bool:
        """Never: the next provider hears what this one has not settled."""
        return False

    def hand_over(self) -> None:
        """End here: another provider is better by now, and nothing is under way."""
        self.unfinished = True
        self._succeed()


def flush(stream: Any) -> None:
    """Tell a stream that a segment ends; for ``feed``, which takes a function and its argument."""
    stream.flush()


def end_input(stream: Any) -> None:
    """Tell a stream that no more audio comes; likewise."""
    stream.end_input()
