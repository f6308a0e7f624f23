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
        self._seen_at_end = False
        self._seen_before_more = False

    @property
    def is_expected(self) -> bool:
        """Whether an output without the mark at its end is certainly cut off."""
        return self._seen_at_end and not self._seen_before_more

    @property
    def is_plausible(self) -> bool:
        """Whether the mark, where it comes, can be taken for the end."""
        return not self._seen_before_more

    def seen_at_end(self) -> None:
        """Take note of an output that ended with the mark."""
        self._seen_at_end = True

    def seen_before_more(self) -> None:
        """Take note of an output that went on after the mark."""
        self._seen_before_more = True
