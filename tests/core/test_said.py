# SPDX-License-Identifier: Apache-2.0
"""Words that were settled are not taken for new when they are heard again."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.said import Said

NUMBERED = st.integers(0, 12).map(lambda n: [f"w{i}" for i in range(n)])


def said(text: str) -> Said:
    words = Said()
    words.add(text)
    return words


@pytest.mark.parametrize(
    ("before", "heard", "new"),
    [
        ("", "Hello there.", "Hello there."),
        ("hello", "Hello, how are you?", "how are you?"),
        ("hello there", "Hello", ""),
        ("hello there", "Hello there.", ""),
        ("what's the weather like in", "What is the weather like in Paris?", "Paris?"),
        ("so", "So so good.", "so good."),
        ("你好", "你好吗", "吗"),
        ("hello", "", ""),
    ],
)
def test_only_what_is_new_is_left(before: str, heard: str, new: str):
    """In the spelling of who hears it."""
    assert said(before).trim(heard) == new
    assert said(before).use_up(heard) == new


def test_a_partial_transcript_uses_nothing_up():
    """The same words come again with the next one, until they are final."""
    words = said("one two three")

    assert [words.trim(text) for text in ("one", "one two", "one two three four")] == [
        "", "", "four",
    ]  # fmt: skip


@given(before=NUMBERED, more=NUMBERED, cut=st.integers(0, 24))
def test_finals_in_pieces_leave_each_word_once(before: list[str], more: list[str], cut: int):
    """However the next recogniser cuts its finals, the new words come out once, in order."""
    after = [f"n{word}" for word in more]
    heard = [*before, *after]
    words = said(" ".join(before))

    pieces = [" ".join(heard[:cut]), " ".join(heard[cut:])]
    new = " ".join(words.use_up(piece) for piece in pieces if piece)

    assert new.split() == after


def test_it_knows_whether_anything_is_expected():
    """And forgets on demand."""
    words = said("one two")
    copy = words.copy()
    assert words

    words.clear()

    assert not words
    assert words.trim("one two three") == "one two three"
    assert copy.trim("one two three") == "three"


@pytest.mark.parametrize(
    ("heard", "new"),
    [
        ("four five", "five"),
        ("three four five", "five"),
        ("five six", "five six"),
        ("two", "two"),
        ("for five", "for five"),
        ("", ""),
    ],
)
def test_of_words_heard_in_part_only_the_very_same_are_left_out(heard: str, new: str):
    """Nobody knows where the audio begins, so nothing is guessed."""
    words = said("one two three four")

    words.keep_last(3)

    assert words.copy().trim(heard) == new
    assert words.use_up(heard) == new


def test_words_in_part_are_expected_once():
    """What the next final begins with decides; an empty one decides nothing."""
    words = said("one two")
    words.keep_last(2)

    assert words.use_up("...") == "..."
    assert words
    assert words.use_up("three") == "three"
    assert not words


def test_its_memory_is_bounded():
    """In a call of hours without a pause nothing piles up."""
    words = Said()
    for _ in range(100):
        words.add("one two three four five six seven eight nine ten")

    assert len(words._words) == 400
