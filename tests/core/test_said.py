# SPDX-License-Identifier: Apache-2.0
"""What was settled already is found at the beginning of what is heard, however it is spelt."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.alignment import tokens_of
from livekit_fallback.core.said import Said

numbered_words = st.integers(0, 40).map(lambda n: [f"{i}th" for i in range(n)])


def said(text: str, *, last: int | None = None) -> Said:
    """These words were settled; of their audio, only the last few are kept."""
    words = Said()
    words.add(text)
    if last is not None:
        words.keep_last(last)
    return words


# --- words of a text ---------------------------------------------------------------------------


def test_case_and_marks_are_no_part_of_a_word():
    """Recognisers punctuate as they like."""
    assert [t.word for t in tokens_of("Hello, World! It's 10-15 …")] == [
        "hello",
        "world",
        "its",
        "1015",
    ]


@pytest.mark.parametrize(
    ("text", "letters"), [("你好世界", "你好世界"), ("こんにちは", "こんにちは"), ("สวัสดี", "สวสด")]
)
def test_scripts_without_spaces_are_compared_by_letters(text: str, letters: str):
    """Else a sentence were one word, which is never spelt the same twice."""
    assert [t.word for t in tokens_of(text)] == list(letters)


@pytest.mark.parametrize(("text", "ends"), [("สวัสดี", [1, 3, 4, 6]), ("เก็บ", [1, 3, 4])])
def test_a_letter_takes_its_signs_along(text: str, ends: list[int]):
    """Vowels and tones stand above it and cannot begin a text."""
    assert [t.end for t in tokens_of(text)] == ends


def test_a_word_says_where_it_ends():
    """So that the rest of the text keeps its spelling."""
    text = "One,  two. THREE"

    assert [text[: t.end] for t in tokens_of(text)] == ["One,", "One,  two.", text]


# --- what is heard again -----------------------------------------------------------------------


def test_nothing_was_said():
    """Then everything is new."""
    assert not Said()
    assert Said().trim("One two.") == "One two."
    assert Said().use_up("One two.") == "One two."


@given(words=numbered_words, cut=st.integers(0, 40), capital=st.booleans())
def test_what_is_heard_word_for_word_is_told_exactly(words: list[str], cut: int, *, capital: bool):
    """Of the same words in the same order, those before the cut were said and no other."""
    cut = min(cut, len(words))
    heard = " ".join(words).title() if capital else " ".join(words)

    rest = said(" ".join(words[:cut])).trim(heard)

    assert rest.casefold().split() == words[cut:]


@given(
    words=numbered_words,
    cut=st.integers(0, 40),
    pieces=st.lists(st.integers(1, 5), max_size=20),
)
def test_finals_use_it_up_piece_by_piece(words: list[str], cut: int, pieces: list[int]):
    """However the next recogniser cuts its finals, each new word comes out once."""
    cut = min(cut, len(words))
    again = said(" ".join(words[:cut]))
    out: list[str] = []
    at = 0
    for piece in [*pieces, len(words)]:
        out += again.use_up(" ".join(words[at : at + piece])).split()
        at += piece

    assert out == words[cut:]
    assert not again


@given(words=numbered_words, cut=st.integers(0, 40), shown=st.integers(0, 40))
def test_interims_use_nothing_up(words: list[str], cut: int, shown: int):
    """They may be asked about any number of times, and are the same each time."""
    cut = min(cut, len(words))
    again = said(" ".join(words[:cut]))

    once = again.trim(" ".join(words[:shown]))

    assert again.trim(" ".join(words[:shown])) == once
    assert once.split() == words[cut:shown]
    assert again.use_up(" ".join(words)).split() == words[cut:]


@given(seed=st.integers(0, 10_000))
def test_a_misheard_word_does_not_repeat_its_neighbours(seed: int):
    """One word in four is taken for another: no word that was understood comes twice or is lost."""
    fate = random.Random(seed)
    words = [f"{fate.choice('abcdefgh')}{i}" for i in range(fate.randrange(8, 30))]
    cut = fate.randrange(4, len(words))
    heard = list(words)
    for i in range(0, cut - 2, 4):  # what joins the two is understood
        heard[i + fate.randrange(2)] += "x"

    assert said(" ".join(words[:cut])).trim(" ".join(heard)).split() == words[cut:]


@pytest.mark.parametrize(
    ("before", "heard", "rest"),
    [
        ("book a table", "a table please", "please"),  # the first word was not understood again
        ("book table", "book a table please", "please"),  # a word was found in addition
        ("i would like", "I'd like a table", "a table"),
        ("hello", "Hallo, is this the kitchen", "is this the kitchen"),
        ("no no", "no no no", "no"),  # whoever says it three times is heard three times
    ],
)
def test_words_are_aligned_with_as_few_changes_as_possible(before: str, heard: str, rest: str):
    """The same audio is the same words, whatever it is taken for."""
    assert said(before).trim(heard) == rest


def test_words_of_the_beginning_may_be_given_up():
    """The rest is expected as before."""
    again = said("one two three four")

    again.drop_first(2)

    assert len(again) == 2
    assert again.use_up("three four five") == "five"


@pytest.mark.parametrize(
    ("before", "heard"),
    [
        ("five five five one two three four", "5551234"),
        ("five five five one two three four", "yes please"),
        ("two hundred and fifty", "okay"),
    ],
)
def test_words_with_nothing_in_common_are_others(before: str, heard: str):
    """They are fewer than those that were said, but no beginning of them."""
    again = said(before)

    assert again.use_up(heard) == heard
    assert again.use_up(before) == ""


@pytest.mark.parametrize(
    ("before", "heard", "rest"),
    [
        ("你好", "你好。", ""),
        ("こんにちは", "こんにちは。お元気ですか。", "お元気ですか。"),
        ("Bonjour", "Bonjour !", ""),
        ("hello", "Hello ? Who is there?", "Who is there?"),
        ("hola", "Hola . ¿Quién es?", "¿Quién es?"),
    ],
)
def test_marks_that_end_what_was_said_are_nothing_new(before: str, heard: str, rest: str):
    """Recognisers punctuate as they like; those that begin the rest belong to it."""
    assert said(before).trim(heard) == rest


def test_a_text_of_marks_only_is_left_alone():
    """There is no word in it that could have been said before."""
    again = said("one two")

    assert again.use_up("...") == "..."
    assert again.use_up("one two three") == "three"


# --- what is kept of it ------------------------------------------------------------------------


def test_a_copy_is_used_up_by_itself():
    """Two recognisers hear the same audio again."""
    first = said("one two")
    second = first.copy()

    assert first.use_up("one two three") == "three"
    assert not first
    assert second.use_up("one two four") == "four"


def test_a_copy_knows_that_the_audio_begins_later():
    """It is asked about the very same audio."""
    assert said("one two three four", last=2).copy().trim("four five") == "five"


def test_cleared_is_forgotten():
    """Its audio is kept no longer, and what is said from now on is whole again."""
    again = said("one two three", last=1)

    again.clear()
    again.add("seven eight")

    assert again.trim("seven nine") == "nine"


@pytest.mark.parametrize(
    ("heard", "rest"),
    [
        ("five six", "five six"),  # none of the kept audio held a word
        ("four five", "five"),
        ("three four five", "five"),
        ("three", ""),
        ("two three four five", "two three four five"),  # that audio is gone: it is said again
        ("", ""),
    ],
)
def test_of_audio_that_is_partly_gone_only_the_same_words_count(heard: str, rest: str):
    """Where it begins nobody knows, so that nothing new is taken for old."""
    again = said("one two three four", last=2)

    assert again.trim(heard) == rest


def test_audio_that_is_partly_gone_is_heard_again_only_once():
    """Its first words settle what was kept, whether they were the same or not."""
    again = said("one two three four", last=2)

    assert again.use_up("five") == "five"
    assert again.use_up("four") == "four"


def test_audio_that_begins_anywhere_is_heard_again_piece_by_piece():
    """The first piece that is found shows where it begins; from there on it is all expected."""
    again = said("one two three four five six seven")
    again.begin_anywhere()

    assert again.use_up("three four") == ""
    assert again.use_up("fife six") == ""
    assert again.use_up("seven eight") == "eight"


def test_of_a_long_history_the_end_is_remembered():
    """No replay is longer, and memory has an end."""
    words = [f"{i}th" for i in range(1000)]
    again = said(" ".join(words))

    assert again.trim(" ".join(words[600:])) == ""
    assert again.trim(" ".join([*words[600:], "new"])) == "new"


def test_of_many_texts_the_last_are_remembered():
    """A speaker who never pauses gives one final after the other."""
    again = Said()
    for i in range(1000):
        again.add(f"{i}th")

    assert len(again) == 400
    assert again.trim(" ".join(f"{i}th" for i in range(600, 1001))) == "1000th"


def test_a_text_without_words_is_nothing_said():
    """It is looked at only when somebody asks."""
    again = said("...")

    assert len(again) == 0
    assert again.trim("one") == "one"
