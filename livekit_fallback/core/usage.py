# SPDX-License-Identifier: Apache-2.0
"""What one language model's token counts say about the end of its answers."""

from __future__ import annotations


class UsageHabit:
    """Whether a provider ends each answer with its usage. Learnt from its answers.

    Most send the usage once, last. Some send it with every chunk, where it means nothing, and
    some never do.
    """

    def __init__(self) -> None:
        self._seen_at_end = False
        self._seen_before_text = False

    @property
    def tells_the_end(self) -> bool:
        """Whether an answer without usage at its end is certainly cut off."""
        return self._seen_at_end and not self._seen_before_text

    @property
    def may_tell_the_end(self) -> bool:
        """Whether usage after the last text can be taken for the end of the answer."""
        return not self._seen_before_text

    def ended_an_answer(self) -> None:
        """Take note of an answer that ended with its usage."""
        self._seen_at_end = True

    def never_tells_the_end(self) -> None:
        """Take note that text came after usage."""
        self._seen_before_text = True
