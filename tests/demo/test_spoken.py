# SPDX-License-Identifier: Apache-2.0
"""Words are found where their sound is, as often as it is there, and nowhere else."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from examples.demo.audio import RATE, resample
from examples.demo.record import Entry
from examples.demo.spoken import Sound, find, played
from examples.local_providers.tape import TAPE_RATE
from tests.support.demo_call import BEGAN_AT, call, turn

WORD = 0.25  # seconds


def _made(*seeds: int) -> Sound:
    """A sound for each word: noise of a colour of its own, as long as a word."""
    return np.concatenate([_noise(seed) for seed in seeds])


def _noise(seed: int) -> Sound:
    made = np.random.default_rng(seed).normal(0.0, 2000.0, int(WORD * TAPE_RATE))
    return np.convolve(made, np.ones(4) / 4, "same").round()


def _words(*texts: str) -> list[tuple[str, float, float]]:
    return [(text, i * WORD, (i + 1) * WORD) for i, text in enumerate(texts)]


def _silence(seconds: float) -> Sound:
    return np.zeros(int(seconds * TAPE_RATE))


THREE, NAMES = _made(1, 2, 3), _words("a", "b", "c")
CUT = len(THREE) // 3


@pytest.mark.parametrize(
    ("sound", "found"),
    [
        (THREE, "abc"),
        (THREE[: 2 * CUT], "ab"),
        (THREE[: CUT + int(CUT * 0.8)], "ab"),
        (THREE[: CUT + int(CUT * 0.4)], "a"),
        (THREE[CUT:], "bc"),
        (THREE * 0.5, "abc"),
        (_made(4, 5, 6), ""),
        (_silence(1.0), ""),
        (_silence(0.0), ""),
    ],
)
def test_a_word_is_there_if_most_of_its_sound_is(sound: Sound, found: str):
    """However loud, and wherever the sound breaks off."""
    line = np.concatenate([_silence(0.4), sound, _silence(0.6)])

    assert "".join(text for text, _ in find(THREE, NAMES, line)) == found


def test_a_text_needs_more_than_a_short_word_to_be_found():
    """Short sounds are alike by chance; this one would be found at its very best."""
    short = int(0.1 * TAPE_RATE)
    line = np.concatenate([_silence(0.3), THREE[:short], _silence(0.5)])

    assert find(THREE, [("a", 0.0, 0.1), ("b", 0.3, 0.5)], line.copy()) == []
    assert find(THREE[:short], [("a", 0.0, 0.1)], line.copy()) == [("a", int(0.3 * TAPE_RATE))]


def test_a_text_made_twice_is_found_twice():
    """A second attempt that begins anew repeats what the first had said."""
    line = np.concatenate([_silence(0.3), THREE[: 2 * CUT], _silence(0.5), THREE, _silence(0.3)])

    attempts = [find(THREE, NAMES, line), find(THREE, NAMES, line), find(THREE, NAMES, line)]

    assert ["".join(text for text, _ in one) for one in attempts] == ["abc", "ab", ""]


def test_words_of_all_voices_come_in_the_order_they_were_heard_in():
    """Whenever they were made; each turn has its own."""
    first, second, unheard = THREE[: 2 * CUT], _made(7, 8), _made(9)
    line = np.concatenate([_silence(3.0), first, second, _silence(2.0), _made(1, 2), _silence(1.0)])
    record = call([turn(1, 2.0, 5.5), turn(2, 6.0, 8.0)])
    record.heard = resample(line.astype(np.int16), TAPE_RATE, RATE)
    tape = [
        _entry(2.6, second, *_words("x", "y")),
        _entry(2.5, THREE, *NAMES),
        _entry(2.7, unheard, *_words("z")),
        _entry(6.1, THREE, *NAMES),
    ]

    heard = played(record, tape)

    assert {number: "".join(w.text for w in said) for number, said in heard.items()} == {
        1: "abxy",
        2: "ab",
    }
    assert heard[1][0].at == pytest.approx(3.0, abs=0.02)
    assert heard[1][2].at == pytest.approx(3.5, abs=0.02)


def _entry(second: float, made: Sound, *words: tuple[str, float, float]) -> Entry:
    pcm = base64.b64encode(made.astype(np.int16).tobytes()).decode()
    return {"time": BEGAN_AT + second, "words": words, "pcm": pcm}
