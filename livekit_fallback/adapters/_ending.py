# SPDX-License-Identifier: Apache-2.0
"""What the end of an attempt is taken for: the answers that components may see differently."""

from __future__ import annotations


class Ending:
    """The part of an attempt that its request asks once it is over.

    The answers here are those of a request with one answer, such as that of a language model.
    """

    committed = False  # true from the first useful output on
    error: Exception | None = None  # set when the attempt fails
    was_overtaken = False  # another attempt at the same request was faster

    @property
    def is_decided(self) -> bool:
        """Whether it is over, and how it went is known."""
        raise NotImplementedError

    @property
    def nothing_to_count(self) -> bool:
        """Whether nothing is under way that its end would decide about."""
        return False

    @property
    def has_served(self) -> bool:
        """Whether, before it failed, the provider had been at work for the session."""
        return self.committed

    @property
    def is_open_question(self) -> bool:
        """Whether it may still turn out to have been in vain."""
        return not self.committed and not self.is_decided

    @property
    def was_in_vain(self) -> bool:
        """Whether it failed, or was given up, before the session had anything of it."""
        return (self.error is not None or self.was_overtaken) and not self.committed

    @property
    def ended_in_silence(self) -> bool:
        """Whether its end, however it came, was of no consequence: it is just begun anew."""
        return False

    @property
    def broke_off(self) -> bool:
        """Whether, after a failure, the session is left with part of an answer."""
        return self.committed

    @property
    def may_move_on(self) -> bool:
        """Whether, after a failure, another provider may be asked without harm."""
        return not self.broke_off

    @property
    def may_be_asked_again(self) -> bool:
        """Whether, after a failure, the same provider may be asked again for this request."""
        return not self.broke_off

    @property
    def lost(self) -> float | None:
        """How much is missing if the request ends here, where that can be known or estimated."""
        return None
