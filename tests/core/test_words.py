# SPDX-License-Identifier: Apache-2.0
"""Text is let through by whole words, so that nothing breaks off inside one."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.words import WholeWords


def passed(*pieces: str) -> list[str]:
    """What comes through at each piece, and at the end."""
    words = WholeWords()
    return [*map(words.push, pieces), words.rest()]


@pytest.mark.parametrize(
    ("pieces", "through"),
    [
        (["Hel", "lo", " wor", "ld"], ["", "", "Hello", "", " world"]),
        (["Hello ", "world ", "!"], ["Hello", " world", "", " !"]),
        (["One two three"], ["One two", " three"]),
        (["3", ".5 ", "km"], ["", "3.5", "", " km"]),
        (["a.\n", "\nb", " "], ["a.", "", "\n\nb", " "]),
        (["  ", "a "], ["", "  a", " "]),
        ([], [""]),
        (["", "a", ""], ["", "", "", "a"]),
        # ideographs end with themselves
        (["今天", "天气"], ["今天", "天气", ""]),
        (["用iPho", "ne 吗", "。"], ["用", "iPhone 吗", "。", ""]),
        # other scripts without spaces: before a character that is no mark of the last
        (["สวั", "สดี"], ["ส", "วัส", "ดี"]),
        # a tag is one word
        (["Hi <e", ' a="b', ' c"/> th', "ere"], ["Hi", "", ' <e a="b c"/>', "", " there"]),
        (["<b", "> a "], ["", "<b> a", " "]),
        (["1 < 2 ", "< b"], ["1 < 2", " <", " b"]),
    ],
)  # fmt: skip
def test_text_comes_through_by_whole_words(pieces: list[str], through: list[str]):
    """As soon as the next character tells that a word is over, and not before."""
    assert passed(*pieces) == through


@pytest.mark.parametrize("length", [31, 60])
def test_what_is_too_long_for_a_word_is_not_held(length: int):
    """An address of the web may be long, and a model may write a line of dashes."""
    words = WholeWords()

    assert words.push("x" * 30) == ""
    assert not words.is_inside_word
    assert words.push("x" * (length - 30)) == "x" * length
    assert words.is_inside_word
    assert words.push("yz") == ""
    assert words.is_inside_word
    assert words.push(" end") == "yz"
    assert not words.is_inside_word


def test_a_long_word_that_ended_where_it_was_let_go():
    """White space that follows tells so."""
    words = WholeWords()
    words.push("x" * 31)

    assert words.push(" next") == ""
    assert not words.is_inside_word


def test_a_tag_that_is_never_closed_is_not_held():
    """What looks like a tag may be none."""
    words = WholeWords()

    assert words.push("a <b" + "c" * 100) == "a"
    assert words.push("c" * 30).startswith(" <b")


pieces = st.lists(st.text("ab <>/.今ส ั\n", max_size=8), max_size=30)


@given(pieces)
def test_nothing_is_lost_and_little_is_held(given_pieces: list[str]):
    """All text comes through in order; no more is held than a word, or a tag, may be long."""
    words, through = WholeWords(), ""
    for count, piece in enumerate(given_pieces, start=1):
        through += words.push(piece)
        assert "".join(given_pieces[:count]).startswith(through)
        assert len("".join(given_pieces[:count])) - len(through) <= 120 + 8

    assert through + words.rest() == "".join(given_pieces)


@given(
    st.lists(st.sampled_from(["the", "cat's", "3.5", "well-known", "ends."]), min_size=1), st.data()
)
def test_it_never_ends_inside_a_word(text_words: list[str], data: st.DataObject):
    """Wherever the text is cut, what came through is a number of whole words."""
    text = " ".join(text_words)
    cut = data.draw(st.integers(0, len(text)))
    words = WholeWords()

    through = "".join(words.push(letter) for letter in text[:cut])

    assert through.split() == text_words[: len(through.split())]
    assert len(text[:cut].split()) - len(through.split()) <= 1
