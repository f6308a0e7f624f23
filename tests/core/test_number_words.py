# SPDX-License-Identifier: Apache-2.0
"""Numbers are known as they are read out on the telephone."""

from __future__ import annotations

import pytest

from livekit_fallback.core.number_words import is_number

READ_OUT = [
    "oh one seven double two nought ninety",
    "null drei zwanzig einundzwanzig fünfunddreißig neunundneunzig elf",
    "cero veinte veintitrés treinta noventa once mil",
    "zéro six vingt soixante douze quatre-vingts",
    "zero trentuno ventotto quarantadue novantatré cinquantasei dodici",
    "zero vinte três meia sete dezesseis noventa",
    "nul zes eenentwintig tweeëndertig vijfenveertig negenennegentig",
    "\u3007 一 幺 两 零 九 十",
    "0 12 3rd ٤ ४ B4",
]
WORDS = [
    "and",
    "a",
    "ein",
    "una",
    "und",
    "very",
    "ventilator",
    "twentieth",
    "さ",
    "好",
    "number",
    "",
]


@pytest.mark.parametrize("text", READ_OUT)
def test_what_is_read_out_is_a_number(text: str):
    """Digits, pairs, and what Germans, Dutch and Italians write in one word."""
    words = text.casefold().replace("-", " ").split()

    assert [word for word in words if not is_number(word)] == []


@pytest.mark.parametrize("word", WORDS)
def test_other_words_are_none(word: str):
    """Articles too, where numbers are read with another word."""
    assert not is_number(word)
