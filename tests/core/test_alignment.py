# SPDX-License-Identifier: Apache-2.0
"""Two accounts of the same speech are laid side by side, however they are spelled."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.alignment import (
    align,
    last_common,
    letters_in,
    needs_space,
    tokens_of,
)


def words(text: str) -> list[str]:
    return [token.word for token in tokens_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("Hello, World!", ["hello", "world"]),
        ("well-known", ["wellknown"]),
        ("don't", ["dont"]),
        ("- ... _", []),
        ("at 7:30 p.m.", ["at", "730", "pm"]),
        ("Straße", ["strasse"]),
        # written without spaces: letter by letter
        ("今天天气", ["今", "天", "天", "气"]),
        ("GPT-4は良い。", ["gpt4", "は", "良", "い"]),
        ("สวัสดี", list("สวสด")),  # combining vowels are no letters of their own
        ("안녕 하세요", ["안녕", "하세요"]),
    ],
)
def test_words_have_no_case_and_no_punctuation(text, expected):
    """What differs between two ways of writing the same thing is left out."""
    assert words(text) == expected


@given(st.text())
def test_each_word_is_where_it_says(text):
    """The places are those in the text: the rest of it can be cut out."""
    tokens = tokens_of(text)

    assert all(words(text[token.start : token.end]) == [token.word] for token in tokens)
    assert all(a.end <= b.start for a, b in pairwise(tokens))


def aligned(first: str, second: str) -> tuple[int, int]:
    return align(words(first), words(second))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", (0, 0)),
        ("", "one two", (0, 0)),
        ("one two", "one two", (2, 2)),
        ("one two", "one two three four", (2, 2)),
        ("one two three four", "one two", (2, 2)),
    ],
)
def test_beginning_is_found(first, second, expected):
    """The shorter account is the beginning of the longer."""
    assert aligned(first, second) == expected


@pytest.mark.parametrize(
    ("spoken", "text", "place"),
    [
        # normalised by the voice
        ("it is twenty three degrees outside", "It is 23 degrees outside today.", 5),
        ("we meet at seven thirty in the evening", "We meet at 7:30 in the evening, then.", 7),
        ("doctor who lives here", "Dr. Who lives here now", 4),
        # a word left out, or one too many
        ("the table booked for seven", "The table is booked for seven people", 6),
        ("the table um is booked", "The table is booked for seven", 4),
        # a word misheard
        ("the cable is booked", "The table is booked for seven", 4),
    ],
)
def test_place_is_found_although_it_is_spelled_differently(spoken, text, place):
    """A voice speaks numbers and abbreviations as words; the text has them in short."""
    assert aligned(spoken, text)[1] == place


WORDS = st.lists(st.sampled_from(["a", "an", "the", "table", "is", "7", "seven"]), max_size=12)


@given(WORDS, WORDS)
def test_one_of_two_is_used_up(first, second):
    """Something always counts as heard in full: one account, or the other."""
    used_first, used_second = align(first, second)

    assert used_first == len(first) or used_second == len(second)
    assert 0 <= used_first <= len(first)
    assert 0 <= used_second <= len(second)


@given(WORDS, WORDS)
def test_order_of_the_two_makes_no_difference_where_one_begins_the_other(first, rest):
    """The beginning of a text is found in it as what it is, whichever is named first."""
    assert align(first, first + rest) == (len(first), len(first))
    assert align(first + rest, first) == (len(first), len(first))


class Counted(str):
    """A word that counts how often any of them is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("method", [align, last_common])
def test_beginning_of_a_long_text_is_found_without_comparing_all_words(method, monkeypatch):
    """A voice tells its text as it is written, mostly; and nothing else runs meanwhile."""
    monkeypatch.setattr(Counted, "comparisons", 0)
    text = [Counted(f"word{i}") for i in range(300)]
    told = [Counted(word) for word in text[:-1]]

    assert method(told, text) == (299, 299)
    assert Counted.comparisons < 1000


@pytest.mark.parametrize(
    ("told", "text", "place"),
    [
        ("", "one two", (0, 0)),
        ("one two", "one two three", (2, 2)),
        ("three four", "one two", (0, 0)),
        # after a number, the next word that is the same says where the voice is
        ("it is twenty three", "It is 23 degrees outside.", (2, 2)),
        ("it is twenty three degrees", "It is 23 degrees outside.", (5, 4)),
        ("dial five five five", "Dial 555 1234 to find friends first.", (1, 1)),
        ("dial five five one two to find", "Dial 55 12 to find friends.", (7, 5)),
        # each digit is one word, in another spelling
        ("five five five one and ask for", "5 5 5 1 and ask for the manager", (7, 7)),
        # two words in other words than the text has them, or heard wrong
        ("doctor miller wants", "Dr. Miller wants coats.", (3, 3)),
        ("the cable is", "The table is booked.", (3, 3)),
        ("the restaurants are open", "The restaurant's are open.", (4, 4)),
        # the same word further on is not meant
        ("please call the", "Please dial 5 and then call the shop.", (1, 1)),
        # nothing is told as it is written
        ("jin tian qi hen hao", "今天气很好。", (0, 0)),
    ],
)
def test_last_word_that_is_the_same_is_found(told, text, place):
    """What a voice tells in other words does not count for any word of the text."""
    assert last_common(words(told), words(text)) == place


@given(WORDS, WORDS)
def test_last_common_word_is_the_same_in_both(told, text):
    """Or there is none."""
    in_told, in_text = last_common(told, text)

    assert (in_told, in_text) == (0, 0) or told[in_told - 1] == text[in_text - 1]


@pytest.mark.parametrize(
    ("words", "letters"),
    [("", 0), ("hello7", 8), ("5551234", 21), ("schön", 5), ("今天", 6), ("です", 4), ("안녕", 6)],
)
def test_syllables_and_digits_take_as_long_as_several_letters(words, letters):
    """A second of Chinese has five letters, a second of English thirteen, or four digits."""
    assert letters_in(words) == letters


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        ("", "a", False),
        ("a", "", False),
        ("a ", "b", False),
        ("a", " b", False),
        ("a", "b", True),
        ("a.", "B", True),
        ("天", "气", False),
        ("好。", "我", False),
    ],
)
def test_pieces_of_two_voices_do_not_run_together(before, after, needed):
    """Some voices put the blank before a word, others behind it; the first word has none."""
    assert needs_space(before, after) is needed
