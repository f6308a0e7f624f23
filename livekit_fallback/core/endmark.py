# SPDX-License-Identifier: Apache-2.0
"""What one provider's end marks are worth: how a cut-off output is told from a complete one."""

from __future__ import annotations


class EndMark:
    """Whether a provider marks the end of its outputs. Learnt from its outputs.

    Plugins report a body that was cut off cleanly as a good end, so the mark that comes last is
    the only evidence: the token usage of a language model, the final frame of a voice. Most
    providers send it once, last. Some never do, and some send it all the time, where it means
    nothing.
    """

    def __init__(self) -> None:
        self._in_a_row = 0  # outputs that ended with the mark
        self._needed = 1  # so many are taken for a habit
        self._seen_before_more = False

    @property
    def is_expected(self) -> bool:
        """Whether an output without the mark at its end is certainly cut off."""
        return self._in_a_row >= self._needed and not self._seen_before_more

    @property
    def is_plausible(self) -> bool:
        """Whether the mark, where it comes, can be taken for the end."""
        return not self._seen_before_more

    def seen_at_end(self) -> None:
        """Take note of an output that ended with the mark."""
        self._in_a_row += 1

    def missed_at_end(self) -> None:
        """Take note of an output that ended without the mark: a cut, or no habit after all.

        It takes four times as many marks in a row as before until the next one is missed.
        """
        if self.is_expected:
            self._needed *= 4
        self._in_a_row = 0

    def seen_before_more(self) -> None:
        """Take note of an output that went on after the mark."""
        self._seen_before_more = True
