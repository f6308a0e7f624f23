# SPDX-License-Identifier: Apache-2.0
"""Which words the caller really heard: every word the voices made is looked for in the recording.

The voices always make the same sound of the same text, so a word was heard where its sound is found
in what came out of the line. No adapter is asked what it thinks it has played.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from examples.local_providers.tape import TAPE_RATE

from .audio import RATE, resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .record import CallRecord, Entry, TurnMark

Sound = npt.NDArray[np.float64]

ALIKE = 0.8
"""Correlation from which on a word was heard. One that is torn reaches it with two thirds of its
energy. Of the different words of one voice a sixtieth does, nearly all of them shorter than 0.15 s:
therefore words count only at the place of their text, and the text has to be sure."""

SURE = 0.9
"""Correlation that the words of a text must reach together: their own sound does, by far."""

SURE_AFTER = int(0.25 * TAPE_RATE)
"""Samples that these words must have together, or all that the text has. Less of a text than that
is not looked for: it would be found everywhere."""

SLACK = int(0.02 * TAPE_RATE)
"""Samples by which words of one text may be off their place: codecs and resamplers."""

BEFORE = 0.3
"""Seconds before a turn was opened at which its speech may have been ordered: clocks differ."""


@dataclass(frozen=True, slots=True)
class Played:
    """A word that was heard, and the second of the call at which it began."""

    text: str
    at: float


def played(record: CallRecord, tape: Sequence[Entry]) -> dict[int, list[Played]]:
    """The words heard in each turn, by its number, in the order they were heard in."""
    heard = resample(record.heard, RATE, TAPE_RATE).astype(np.float64)
    return {turn.number: _in_turn(record, turn, tape, heard) for turn in record.turns}


def _in_turn(
    record: CallRecord, turn: TurnMark, tape: Sequence[Entry], heard: Sound
) -> list[Played]:
    end = record.seconds if turn.ended is None else turn.ended
    sound = heard[int(turn.opened * TAPE_RATE) : int(end * TAPE_RATE)].copy()
    said: list[tuple[str, int]] = []
    for entry in tape:
        if turn.opened - BEFORE <= record.clock(entry["time"]) < end:
            said += find(_samples(entry), entry["words"], sound)
    said.sort(key=lambda word: word[1])
    return [Played(text, turn.opened + at / TAPE_RATE) for text, at in said]


def _samples(entry: Entry) -> Sound:
    return np.frombuffer(base64.b64decode(entry["pcm"]), np.int16).astype(np.float64)


def find(
    made: Sound, words: Sequence[tuple[str, float, float]], sound: Sound
) -> list[tuple[str, int]]:
    """Return the words of a text that are in `sound`, and where; they are silenced there.

    All at one place, that where most of them are: a text that was made twice is found twice.

    Args:
        made: the sound of the text, at `TAPE_RATE`.
        words: each with start and end in seconds of it.
        sound: what is searched, and changed.
    """
    cut = [(text, int(a * TAPE_RATE), int(b * TAPE_RATE)) for text, a, b in words]
    curves = [(text, a, b, _alike(made[a:b], sound)) for text, a, b in cut]
    curves = [curve for curve in curves if curve[3].size]
    best: list[Found] = []
    for _, start, _, curve in curves:
        if (peak := int(np.argmax(curve))) >= 0 and curve[peak] >= ALIKE:
            best = max(best, _at(peak - start, curves), key=len)
    if not _is_sure(best, len(made)):
        return []
    for _, at, length, _ in best:
        sound[at : at + length] = 0.0
    return [(text, at) for text, at, _, _ in best]


Found: TypeAlias = tuple[str, int, int, float]
"""A word, its first sample in the recording, how many it has, and how alike they are."""


def _is_sure(found: Sequence[Found], made: int) -> bool:
    length = sum(length for _, _, length, _ in found)
    alike = sum(length * alike for _, _, length, alike in found)
    return length >= max(1, min(SURE_AFTER, made)) and alike >= SURE * length


def _at(offset: int, curves: Sequence[tuple[str, int, int, Sound]]) -> list[Found]:
    """The words that are heard if the text begins at `offset`."""
    found: list[Found] = []
    for text, start, end, curve in curves:
        low = max(0, offset + start - SLACK)
        near = curve[low : max(0, offset + start + SLACK + 1)]
        if near.size and near.max() >= ALIKE:
            found.append((text, low + int(np.argmax(near)), end - start, float(near.max())))
    return found


def _alike(word: Sound, sound: Sound) -> Sound:
    """The correlation of `word` with every place of `sound`, from -1 to 1."""
    places = len(sound) - len(word) + 1
    loudness = float(np.sqrt((word**2).sum()))
    if places <= 0 or not len(word) or not loudness:
        return np.zeros(0)
    size = 1 << (len(sound) + len(word) - 1).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(word, size))
    products = np.fft.irfft(spectrum, size)[:places]
    sums = np.concatenate(([0.0], np.cumsum(sound**2)))
    energy = sums[len(word) :] - sums[: -len(word)]
    # Where there is hardly any sound there is no word, whatever its shape.
    floor = (loudness * 0.1) ** 2
    alike: Sound = products / (loudness * np.sqrt(np.maximum(energy, floor)))
    return alike
