# SPDX-License-Identifier: Apache-2.0
"""How long a recogniser takes from the end of speech to the transcript that settles it."""

from __future__ import annotations

# What is settled later than this belongs to other words: speech can be too soft to be detected.
_TOO_LATE_SEC = 10.0


class Hearing:
    """Joins what a voice activity detector hears with what a recogniser says.

    A detector believes in the end of speech only after some silence, so a quick transcript comes
    before it; and noise that the detector takes for speech is followed by none at all. A caller
    who goes on has only paused, and recognisers that wait for the end of the turn rightly say
    nothing then. So a latency is known when words that were spoken up to the end of speech are
    settled, and in no other case.

    All times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._ended_at: float | None = None  # of speech that is not settled yet
        self._settled_at: float | None = None  # the newest settled words since speech began
        self._words_open = False  # words came that are not settled yet

    def speech_began(self) -> None:
        """The detector hears speech; whatever was waited for goes on."""
        self._ended_at = self._settled_at = None

    def speech_ended(self, at: float) -> float | None:
        """The detector has heard nothing since ``at``.

        Returns:
            The latency, if the words were settled between then and now.
        """
        settled_at = self._settled_at
        if settled_at is not None and settled_at >= at and not self._words_open:
            return settled_at - at
        self._ended_at = at
        return None

    def words_came(self) -> None:
        """The recogniser gave words that it may still change."""
        self._words_open = True

    def words_settled(self, now: float) -> float | None:
        """The recogniser gave words for good, or such as an answer may begin with.

        Returns:
            The latency, if the end of their speech is known.
        """
        self._settled_at, self._words_open = now, False
        ended_at = self._ended_at
        if ended_at is None:
            return None
        self._ended_at = None
        latency = max(0.0, now - ended_at)
        return latency if latency <= _TOO_LATE_SEC else None

    def recogniser_changed(self) -> None:
        """Another recogniser hears from now on: what the last one owed is not its debt."""
        self._ended_at = self._settled_at = None
