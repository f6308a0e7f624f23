# SPDX-License-Identifier: Apache-2.0
"""Whether somebody speaks, judged by loudness alone: levels of short windows in, decisions out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

# The level of digital silence, and the lowest there is: 16 bit audio holds 96 dB.
SILENT_DB = -96.0

# Speech is this much louder than the noise around it when it begins, and while it goes on. Vowels
# stand 20 dB and more above the noise of a usable line; the soft ends of words much less.
_ONSET_DB = 10.0
_HOLD_DB = 6.0

# However quiet the line is, nothing softer is speech: a whisper held close comes with -45 dBFS.
_SOFTEST_ONSET_DB = -50.0
_SOFTEST_HOLD_DB = -54.0

# Nobody speaks for so long without a gap or a closed consonant, so the quietest window is noise.
_FLOOR_SEC = 4.0

# Levels that stay within so little for so long are a hum, a fan or a tone: syllables come and go
# three to five times a second, and swing by 15 dB and more.
_STEADY_SEC = 0.6
_STEADY_DB = 3.0

# Levels above the onset's threshold at which one is certain.
_CERTAIN_DB = 10.0

_SLACK_SEC = 1e-6  # of floating point


class Level(NamedTuple):
    """One window compared with the noise around it."""

    is_loud: bool
    """Loud enough for speech to begin."""

    is_audible: bool
    """Loud enough for speech to go on."""

    probability: float
    """From 0 to 1; 0.5 and more is loud."""


class NoiseFloor:
    """Follows the noise of a line.

    Args:
        window_sec: Length of a window in seconds.
    """

    def __init__(self, window_sec: float) -> None:
        self._recent: deque[float] = deque(maxlen=max(1, round(_FLOOR_SEC / window_sec)))
        self._steady = max(2, round(_STEADY_SEC / window_sec))

    def compare(self, level_db: float) -> Level:
        """Take the next window's level (dBFS) into account and compare it with the noise."""
        self._recent.append(level_db)
        self._follow_steady_noise()
        floor = min(self._recent)
        onset = max(floor + _ONSET_DB, _SOFTEST_ONSET_DB)
        hold = max(floor + _HOLD_DB, _SOFTEST_HOLD_DB)
        probability = 0.5 + 0.5 * (level_db - onset) / _CERTAIN_DB
        return Level(level_db >= onset, level_db >= hold, min(max(probability, 0.0), 1.0))

    def _follow_steady_noise(self) -> None:
        if len(self._recent) <= self._steady:
            return
        newest = list(self._recent)[-self._steady :]
        if max(newest) - min(newest) <= _STEADY_DB:
            # noise that has set in: what was quieter before it says nothing any more
            self._recent.clear()
            self._recent.extend(newest)


@dataclass(frozen=True)
class Patience:
    """How long it takes to be sure, in seconds."""

    min_speech: float
    """Loud for so long: speech has begun."""

    min_silence: float
    """Quiet for so long: speech has ended."""


@dataclass(frozen=True)
class Heard:
    """What is known after a window."""

    started: bool
    """Speech is known to go on since this window."""

    ended: bool
    """Speech is known to be over since this window."""

    is_speaking: bool
    """Whether speech goes on, this window included."""

    probability: float
    """That this window holds speech."""

    speech: float
    """Seconds of the segment so far, pauses included; at its end without the silence after it."""

    silence: float
    """Seconds since the last segment; at the end of one, those of the silence that ended it."""

    loud: float
    """Seconds without a quiet window, up to this one."""

    quiet: float
    """Seconds without a loud window, up to this one."""


class SpeechGate:
    """Cuts a line into speech and silence.

    Args:
        window_sec: Length of a window in seconds.
        patience: How long it takes to be sure.
    """

    def __init__(self, window_sec: float, patience: Patience) -> None:
        self._window = window_sec
        self._patience = patience
        self._floor = NoiseFloor(window_sec)
        self.reset()

    def reset(self) -> None:
        """Begin a new segment with the next window. What is known of the noise stays."""
        self._speaking = False
        self._speech = self._silence = 0.0
        self._loud = self._quiet = 0.0

    def hear(self, level_db: float) -> Heard:
        """Take the next window's level (dBFS) into account."""
        level = self._floor.compare(level_db)
        if self._speaking:
            self._speech += self._window
        else:
            self._silence += self._window
        if level.is_loud or (self._speaking and level.is_audible):
            self._loud, self._quiet = self._loud + self._window, 0.0
        else:
            self._loud, self._quiet = 0.0, self._quiet + self._window
        started, ended = self._starts(), self._ends()
        heard = Heard(
            started=started,
            ended=ended,
            is_speaking=self._speaking,
            probability=level.probability,
            speech=self._speech,
            silence=self._silence,
            loud=self._loud,
            quiet=self._quiet,
        )
        if ended:
            self._speech = 0.0
        return heard

    def _starts(self) -> bool:
        if self._speaking or not _lasts(self._loud, self._patience.min_speech):
            return False
        self._speaking = True
        self._speech, self._silence = self._loud, 0.0
        return True

    def _ends(self) -> bool:
        if not self._speaking or not _lasts(self._quiet, self._patience.min_silence):
            return False
        self._speaking = False
        self._speech, self._silence = max(0.0, self._speech - self._quiet), self._quiet
        return True


def _lasts(seconds: float, least: float) -> bool:
    return seconds > 0.0 and seconds >= least - _SLACK_SEC
