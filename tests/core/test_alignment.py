# SPDX-License-Identifier: Apache-2.0
"""Two accounts of the same speech: which words of one are which of the other."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.alignment import align, tokens_of

WORDS = st.lists(st.sampled_from(["one", "two", "three", "four", "other"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  ...  !", []),
        ("Hello, World!", ["hello", "world"]),
        ("It's 7 o'clock.", ["its", "7", "oclock"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("你好吗", ["你", "好", "吗"]),
        ("OK 你好, ja", ["ok", "你", "好", "ja"]),
        ("สวัสดี", list("สวัสดี")),
    ],
)
def test_words_are_compared_without_case_and_marks(text: str, words: list[str]):
    """Recognisers and voices differ in both; scripts without spaces go letter by letter."""
    found = [token.word for token in tokens_of(text)]

    assert [word for word in found if word] == [word for word in words if word.isalnum()]


@given(text=st.text("ab ,.\u4f60\u597d", max_size=30))
def test_tokens_stand_where_they_say(text: str):
    """In order, apart from each other, and nothing that is spoken lies between them."""
    tokens = tokens_of(text)
    ends = [0, *(token.end for token in tokens)]
    starts = [*(token.start for token in tokens), len(text)]

    assert all(end <= start for end, start in zip(ends, starts, strict=True))
    between = "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    assert not any(map(str.isalnum, between))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", (0, 0)),
        ("a b", "", (0, 0)),
        ("", "a b", (0, 0)),
        ("a b", "a b", (2, 2)),
        ("a b", "a b c d", (2, 2)),
        ("a b c d", "a b", (2, 2)),
        # a word in another spelling, one too many, one too few
        ("what is on", "what it on tv", (3, 3)),
        ("twenty one guests", "21 guests today", (3, 2)),
        ("a c", "a b c d", (2, 3)),
        ("hello", "how are you", (1, 1)),
        # a strange word stands for none
        ("hello", "zoo are you", (1, 0)),
    ],
)
def test_the_fewest_changes_are_made(first: str, second: str, expected: tuple[int, int]):
    """Until one of the two ends."""
    assert align(first.split(), second.split()) == expected


@given(words=WORDS, more=WORDS)
def test_what_is_the_same_is_found_whole(words: list[str], more: list[str]):
    """A beginning is recognised as such, whatever follows it, on either side."""
    assert align(words, words + more) == (len(words), len(words))
    assert align(words + more, words) == (len(words), len(words))


@given(first=WORDS, second=WORDS)
def test_one_of_the_two_is_used_up(first: list[str], second: list[str]):
    """Both begin at the same moment, and the shorter account ends first."""
    used_first, used_second = align(first, second)

    assert used_first == len(first) or used_second == len(second)
    assert 0 <= used_first <= len(first)
    assert 0 <= used_second <= len(second)
