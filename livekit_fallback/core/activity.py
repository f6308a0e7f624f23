# SPDX-License-Identifier: Apache-2.0
"""Whether the caller speaks, as told by several detectors one after the other."""

from __future__ import annotations

from enum import Enum

# No detector waits for longer silence before it believes in the end of speech, unless told to.
_SURE_SEC = 0.55

_SLACK_SEC = 1e-6  # of floating point


class Verdict(Enum):
    """What is to be told of a window of audio."""

    KNOWN = "known"
    """Nothing: it was told already, by another detector."""

    NEW = "new"
    """The window."""

    BEGINS = "begins"
    """The window, and that speech has begun: it went on while the detectors changed."""

    ENDS = "ends"
    """The window, and that speech has ended: it did so while the detectors changed."""


class Activity:
    """Keep START and END balanced, and the positions growing, over a change of detector.

    The next detector is given the newest audio again, so it hears things that were told already,
    and the beginning of a segment that was open may lie before everything it hears.

    Positions are seconds of the caller's audio.
    """

    def __init__(self) -> None:
        self.reported = 0.0  # everything before was told
        self.voiced_at = 0.0  # where a voice was heard last
        self.is_open = False  # a START was told whose END was not
        self.is_held = False  # a START came that may be about what was told already
        self._is_inherited = False  # the open START was another detector's, and this one has none
        self._sure_at = 0.0  # where the silence of this detector means that speech is over

    @property
    def at_rest(self) -> bool:
        """Whether no speech is under way."""
        return not self.is_open and not self.is_held

    def detector_changed(self, since: float, caught_up_at: float) -> None:
        """Another detector hears from now on.

        Args:
            since: Where the audio that it is given begins.
            caught_up_at: Where it has heard all that there is by now.
        """
        self.is_held = False
        self._is_inherited = self.is_open
        self._sure_at = max(caught_up_at, since + _SURE_SEC)

    def window(self, position: float, *, is_voiced: bool) -> Verdict:
        """The detector has judged the audio up to this position."""
        if position <= self.reported + _SLACK_SEC:
            return Verdict.KNOWN
        self.reported = position
        if is_voiced:
            self.voiced_at = position
            if self.is_held:
                self.is_held, self.is_open = False, True
                return Verdict.BEGINS
        elif self._is_inherited and position >= self._sure_at:
            self.close()
            return Verdict.ENDS
        return Verdict.NEW

    def start(self, position: float) -> bool:
        """The detector hears speech begin; return whether that is to be told."""
        self._is_inherited = False  # this detector will say where it ends
        if self.is_open:
            return False
        if position < self.reported - _SLACK_SEC:
            self.is_held = True
            return False
        self.is_open, self.is_held = True, False
        self.voiced_at = max(self.voiced_at, position)
        return True

    def end(self) -> bool:
        """The detector hears speech end; return whether that is to be told."""
        return self.close()

    def close(self) -> bool:
        """Begin a new segment; return whether an END is due for the last one."""
        was_open = self.is_open
        self.is_open = self.is_held = self._is_inherited = False
        return was_open
