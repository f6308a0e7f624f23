# SPDX-License-Identifier: Apache-2.0
"""Words that one recogniser gave are expected of the other, but not for ever."""

from __future__ import annotations

from hypothesis import given, strategies as st

from livekit_fallback.core.arrears import Arrears
from livekit_fallback.core.said import Said

NUMBER, DIGITS = "five five five one two three four", "5551234"
words = st.lists(st.integers(1, 5), min_size=1, max_size=20)


def test_what_both_gave_is_not_expected_any_more():
    """The rest of either is."""
    arrears = Arrears()
    arrears.add("one two", 0.0)
    arrears.add("three", 0.5)

    assert arrears.use_up("One, two.", 1.0) == ""
    assert len(arrears) == 1
    assert arrears.use_up("three four", 1.5) == "four"
    assert len(arrears) == 0


@given(first=words, second=words)
def test_however_the_two_cut_it(first: list[int], second: list[int]):
    """As long as they are not far apart, each word is found."""
    arrears = Arrears()
    total = given_by_other = 0
    for one, other in zip(first, second, strict=False):
        arrears.add(" ".join(f"w{total + i}" for i in range(one)), total)
        total += one
        count = min(other, total - given_by_other)
        said = [f"w{given_by_other + i}" for i in range(count)]
        assert arrears.use_up(" ".join(said), given_by_other) == ""
        given_by_other += count
        assert len(arrears) == total - given_by_other


def test_words_that_are_spelt_differently_are_forgotten_when_others_come_later():
    """They are not taken for what is said then, and do not stand in its way."""
    arrears = Arrears()
    arrears.add(NUMBER, 1.0)
    assert arrears.use_up(DIGITS, 1.1) == DIGITS
    arrears.add("yes please", 8.0)

    assert arrears.use_up("Yes, please", 8.1) == ""
    assert len(arrears) == 0


def test_words_left_over_are_forgotten_too():
    """They were before those that were found."""
    arrears = Arrears()
    arrears.add("um well you know", 1.0)
    assert arrears.use_up("um", 1.1) == ""

    assert arrears.use_up("hello", 8.0) == "hello"
    assert len(arrears) == 0


def test_of_words_the_newer_ones_stay_expected():
    """The other one may be about to give them."""
    arrears = Arrears()
    arrears.add(NUMBER, 1.0)
    arrears.add("yes please", 8.0)

    assert arrears.use_up("okay", 9.0) == "okay"
    assert arrears.use_up("yes please", 9.5) == ""


def test_nothing_is_forgotten_while_the_other_one_gives_nothing():
    """However long it takes: it is about to give all of it."""
    arrears = Arrears()
    arrears.add("one two three", 0.0)
    arrears.add("four five", 30.0)

    assert arrears.use_up("one two three four five six", 60.0) == "six"


def test_words_that_were_given_before():
    """They are expected like those that come."""
    said = Said()
    said.add("one two")
    arrears = Arrears(said, 3.0)

    assert len(arrears) == 2
    assert arrears.use_up("two three", 3.5) == "three"


def test_what_comes_behind_words_that_were_found_is_kept():
    """One of the two may be slow, and hear everything."""
    arrears = Arrears()
    arrears.add("one two", 0.9)
    arrears.add("three four", 1.9)

    assert arrears.use_up("one two", 7.5) == ""
    assert arrears.use_up("three four", 8.2) == ""
