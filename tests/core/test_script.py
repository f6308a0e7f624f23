# SPDX-License-Identifier: Apache-2.0
"""What a voice can be expected to have spoken, of a text that is still being written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.script import Script, without_markup

SENTENCE = "The table is booked for seven. "
NEXT = "Is there anything else?"


def script_of(*pieces: str) -> Script:
    script = Script()
    for piece in pieces:
        script.push(piece)
    return script


def tokens(text: str) -> list[str]:
    return [text[i : i + 3] for i in range(0, len(text), 3)]


# --- what was handed over ----------------------------------------------------------------------


def test_text_is_kept_as_it_was_handed_over():
    """The next voice is given the same pieces, flushes included, in the same order."""
    script = script_of("Hel", "lo ")
    script.flush()
    script.push("there")

    assert script.pieces == ["Hel", "lo ", None, "there"]
    assert script.text == "Hello there"


@pytest.mark.parametrize("pieces", [[], [""], [" ", "\n", "\t "]])
def test_whitespace_is_nothing_to_speak(pieces):
    """A reply of blanks is blank, flushed or ended as it may be."""
    script = script_of(*pieces)
    script.flush()
    script.end()

    assert script.is_blank
    assert not script.is_speakable


def test_one_letter_is_something_to_speak():
    """Blank until the first character that is not, and never blank again."""
    script = script_of(" ", "a", " ")

    assert not script.is_blank


def test_beginning_is_a_short_text_of_its_own():
    """A probe asks for little: the first words, without markup, and nothing to wait for."""
    script = script_of('<speed ratio="2"/>The  table\n', "is booked for ", "seven.")

    sample = script.beginning(19)

    assert sample is not None
    assert sample.text == "The table is booked"
    assert sample.ended
    assert sample.is_speakable
    assert not script.ended


@pytest.mark.parametrize("text", ["", " \n", "<break time='3s'/>", "- - -", "..."])
def test_nothing_to_speak_has_no_beginning(text):
    """A voice that is probed with silence could never prove itself."""
    assert script_of(text).beginning(80) is None


# --- when the clock may start ------------------------------------------------------------------


def test_half_a_sentence_is_not_owed():
    """A voice has to see how a sentence ends before it can speak it."""
    script = script_of("The table is booked for seven and the terrace")

    assert not script.is_speakable
    assert not script.is_owed(0.0)


def test_whole_sentence_is_speakable_once_the_next_has_begun():
    """Tokenizers believe in the end of a sentence when they see the beginning of the next."""
    script = script_of(SENTENCE)
    assert not script.is_speakable

    script.push(NEXT)
    assert script.is_speakable


def test_sentence_is_found_across_pieces():
    """Language models write in tokens that end anywhere."""
    whole, pieces = script_of(SENTENCE + NEXT), script_of(*tokens(SENTENCE + NEXT))

    assert whole.is_speakable
    assert pieces.is_speakable


CUTS: dict[str, Callable[[str], list[str]]] = {
    "whole": lambda text: [text],
    "tokens": tokens,
    "where the first ends": lambda text: [text[:95], text[95:]],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_every_further_sentence_is_added(cut):
    """After the first sentence the next ones are found too, each when its successor has begun."""
    first, second = "A" * 80 + ". ", "B" * 40 + ". "
    one, two = script_of(*cut(first + second)), script_of(*cut(first + second + "C" * 12))

    assert (one.is_owed(1.99), one.is_owed(2.1)) == (True, False)
    assert (two.is_owed(2.99), two.is_owed(3.1)) == (True, False)


WORDS = [
    "table ",
    "Is ",
    "closed. ",
    "closed",
    '!" ',
    "? ",
    "Dr. ",
    "あ",
    "い。",
    "\n",
    "7",
    "<b> ",
]


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.randoms(use_true_random=False))
def test_pieces_make_no_difference(words, random):
    """However the text is cut into tokens, the same part of it is speakable and missing."""
    text = "".join(words)
    pieces: list[str] = []
    while rest := text[len("".join(pieces)) :]:
        pieces.append(rest[: random.randint(1, 9)])

    whole, cut = script_of(text), script_of(*pieces)

    assert cut.text == text
    assert cut.is_speakable == whole.is_speakable
    assert cut.unspoken(0.0) == whole.unspoken(0.0)
    assert [cut.is_owed(t / 4) for t in range(12)] == [whole.is_owed(t / 4) for t in range(12)]


def test_very_short_sentence_waits_for_more():
    """Voices gather short sentences: "Certainly." alone is not spoken yet."""
    assert not script_of("Certainly. ", "And the terrace is open").is_speakable


@pytest.mark.parametrize(
    "text",
    [
        "Your appointment is with Dr. Hendrickson, and it",
        "Please bring the form No. Twelve, and if you can",
        "You will meet J. R. Hendrickson at the entrance o",
        "The book costs 19. Euro is what they take, but th",
        "That is what the ministry... of course would have",
        "Write to booking@example.com. or call us on Sunday",
        "The following: 1. Breakfast 2. Lunch 3. Dinner and",
    ],
)
def test_stop_that_may_be_no_end_is_not_taken_for_one(text):
    """Abbreviations, initials and numbers: being late only gives a voice more time."""
    assert not script_of(*tokens(text)).is_speakable


@pytest.mark.parametrize(
    "text",
    [
        'He said: "The table is booked." Then he left us.',
        "Is the large terrace closed? Unfortunately it is.",
        "The large terrace is closed!\nUnfortunately it is.",
        "今日は天気がとてもいいですね、散歩に行きましょうか。それから夕食を食べに行きましょう。",
    ],
)
def test_sentences_end_in_many_ways(text):
    """Quotes, questions, exclamations, line breaks, and languages without spaces."""
    assert script_of(*tokens(text)).is_speakable


@pytest.mark.parametrize("finish", [Script.flush, Script.end])
def test_flush_and_end_make_everything_speakable(finish):
    """Nothing more is to be waited for, so even half a sentence is owed."""
    script = script_of("Sure")
    finish(script)

    assert script.is_speakable
    assert script.is_owed(0.0)


@pytest.mark.parametrize("text", ["Sure", "...", "7", "<break time='3s'/>", "[laughs]"])
def test_ended_text_starts_the_clock_whatever_it_is(text):
    """A voice that was given anything at all owes its audio, or its end; it may not hang."""
    script = script_of(text)
    script.end()

    assert script.is_blank or script.is_speakable


def test_text_after_a_flush_is_looked_at_by_itself():
    """What was flushed is counted once; the next sentence needs its own end."""
    script = script_of("Sure")
    script.flush()
    script.push(" and the terrace is open")
    owed_before = script.is_owed(1.0)
    script.push(" until eleven o'clock tonight. And then")
    script.push(" it closes for the winter, sadly.")

    assert not owed_before
    assert script.is_owed(1.0)


# --- how much is owed --------------------------------------------------------------------------


def test_voice_that_spoke_too_little_owes_more():
    """Audio shorter than anybody could speak the text in cannot hold it."""
    script = script_of(SENTENCE, NEXT)

    assert script.is_owed(0.5)


def test_voice_that_spoke_all_sentences_waits_for_the_writer():
    """While the language model thinks, a voice that has spoken everything owes nothing."""
    script = script_of(SENTENCE, NEXT)

    assert not script.is_owed(2.5)


def test_voice_owes_its_end_once_the_text_has_ended():
    """After the end of the text a voice has to speak on or to end; silence is a stall."""
    script = script_of(SENTENCE)
    script.end()

    assert script.is_owed(1000.0)


def test_unspoken_text_is_estimated_from_the_audio():
    """At an ordinary pace 48 letters take three to four seconds; never less than 0 is missing."""
    script = script_of("word " * 12)

    assert script.unspoken(0.0) == 48.0
    assert 18.0 <= script.unspoken(2.0) <= 28.0
    assert script.unspoken(5.0) == 0.0


@pytest.mark.parametrize("markup", ['<emotion value="happy"/>', "[laughs]", "   \n  "])
def test_markup_and_white_space_are_not_spoken(markup):
    """What a voice does not pronounce takes no time, so it is not counted as owed or missing."""
    plain, marked = script_of("word " * 10), script_of(f"{markup}word " * 10)
    for script in (plain, marked):
        script.flush()

    assert marked.unspoken(0.0) == plain.unspoken(0.0)
    assert [marked.is_owed(t) for t in (0.5, 1.5)] == [plain.is_owed(t) for t in (0.5, 1.5)]


def test_large_round_number_may_be_spoken_in_a_moment():
    """Digits say how long a number is only if they are spoken one by one."""
    script = Script.of("8,000,000,000.")

    assert not script.is_cut_short(0.7, usual=13.0)


def test_audio_that_cannot_hold_its_text_is_cut_short():
    """Not even a voice at double speed speaks 200 letters in two seconds; ten are plenty."""
    script = script_of("word " * 30, "and half a sentence that nobody has ended yet" * 2)

    assert script.is_cut_short(2.0)
    assert not script.is_cut_short(10.0)


@pytest.mark.parametrize("text", ["", " ", "Yes.", "Sure, go on!", "<break time='3s'/>"])
def test_short_text_is_never_called_cut_short(text):
    """Single words are spoken at any speed, and nothing at all takes no time."""
    script = script_of(text)
    script.end()

    assert not script.is_cut_short(0.0)


@given(
    st.lists(st.sampled_from(["a", "word ", "Dr. ", "End. ", "Ok! ", '?" ', "\n", "", None])),
    st.floats(0, 100),
)
def test_speakable_text_only_ever_grows(pieces, audio):
    """Owing is not taken back: what a voice could speak it can still speak later."""
    script = Script()
    was_speakable = was_owed = False
    for piece in pieces:
        if piece is None:
            script.flush()
        else:
            script.push(piece)
        assert script.is_speakable >= was_speakable
        assert script.is_owed(audio) >= was_owed
        assert script.is_speakable <= (not script.is_blank)
        was_speakable, was_owed = script.is_speakable, script.is_owed(audio)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("...", False),
        ("<break time='1s'/>", False),
        ("[laughs] - ", False),
        ("a", True),
        ("7", True),
    ],
)
def test_words_are_letters_and_digits(text, expected):
    """What holds none is spoken by silence, whether it has ended or not."""
    script = Script()
    script.push(text)
    before = script.has_words

    script.end()

    assert (before, script.has_words) == (expected, expected)


def test_text_is_surely_spoken_once_a_slow_voice_has_had_time_for_it():
    """Forty letters take a slow voice five seconds; before the end of the text nothing is sure."""
    script = script_of("word " * 10)
    assert not script.is_surely_spoken(100.0)

    script.end()

    assert not script.is_surely_spoken(4.5)
    assert script.is_surely_spoken(5.5)


# --- what is left to speak ---------------------------------------------------------------------


THREE = "Hello there. The table, as you said, is booked! Anything else?"


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (0, THREE),
        (1, "there. The table, as you said, is booked! Anything else?"),
        (2, "The table, as you said, is booked! Anything else?"),
        (4, "as you said, is booked! Anything else?"),
        (10, "else?"),
        (11, ""),
    ],
)
def test_rest_begins_with_a_word(words, rest):
    """The marks after a word belong to it: nobody says a full stop."""
    assert Script.of(THREE).after(words).text == rest


def test_rest_keeps_what_opens_it():
    """A quotation mark or bracket before the next word is the next word's."""
    assert Script.of("He said (again) “yes”.").after(2).text == "(again) “yes”."
    assert Script.of("He said (again) “yes”.").after(3).text == "“yes”."


def test_rest_of_a_text_without_spaces():
    """A sentence of Chinese can be continued anywhere."""
    assert Script.of("今天天气很好。我们去公园。").after(6).text == "我们去公园。"
    assert Script.of("今天天气很好。我们去公园。").after(2).text == "天气很好。我们去公园。"


def test_rest_keeps_markup_that_follows():
    """How the next words are to be spoken is part of the rest; the tag itself is no word."""
    script = Script.of('One <break time="1s"/> two [laughs] three.')

    assert [token.word for token in script.tokens] == ["one", "two", "three"]
    assert script.after(1).text == '<break time="1s"/> two [laughs] three.'


def test_rest_is_still_growing_if_the_text_is():
    """The language model writes on; what comes is added to the rest."""
    script = script_of("One two ", "three")

    rest = script.after(1)
    assert not rest.ended
    rest.push(" four")

    assert rest.text == "two three four"


def test_rest_is_flushed_where_the_text_was():
    """What was to be spoken at once still is; a flush of what was spoken already is none."""
    script = script_of("One ", "two ")
    script.flush()
    script.push("three four")
    script.flush()

    assert script.after(1).pieces == ["two ", None, "three four", None]
    assert script.after(2).pieces == ["three four", None]
    assert script.after(3).pieces == ["four", None]
    assert script.after(4).pieces == []


SPOKEN = st.lists(st.sampled_from([*WORDS, "7.5 ", "(", "“a” "]), max_size=30).map("".join)


@given(SPOKEN, st.data())
def test_first_words_and_the_rest_are_the_text(text, data):
    """However many words were spoken, those and the rest are all words: once each, in order."""
    script = script_of(*tokens(text))
    words = [token.word for token in script.tokens]
    spoken = data.draw(st.integers(0, len(words)))

    rest = script.after(spoken)

    assert words[:spoken] + [token.word for token in rest.tokens] == words
    assert text.endswith(rest.text)


@given(SPOKEN)
def test_every_word_is_in_one_sentence(text):
    """The lengths of the sentences are those of the text, and none is empty."""
    script = Script.of(text)
    lengths = script.sentence_lengths()

    assert sum(lengths) == len(script.tokens)
    assert all(lengths)


def test_sentences_end_at_marks_and_at_new_lines():
    """Where a voice pauses."""
    script = Script.of("One two. “Three!” Four\nfive… 3.5 six。七八。")
    assert script.sentence_lengths() == [2, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("word", "first"), [(0, 0), (1, 0), (2, 2), (8, 2), (9, 9), (10, 9), (11, 11), (99, 11)]
)
def test_sentence_of_a_word_begins_with_its_first(word, first):
    """A cut sentence can be spoken again from there; after the last there is nothing."""
    assert Script.of(THREE).sentence_of(word) == first


def test_nobody_suddenly_speaks_more_than_twice_as_fast():
    """For a voice whose pace is known, too little audio is told earlier."""
    script = script_of("A" * 120)

    assert not script.is_cut_short(4.0)
    assert script.is_cut_short(4.0, usual=12.0)
    assert not script.is_cut_short(5.1, usual=12.0)
    assert script.is_cut_short(2.9, usual=35.0)  # impossible for anybody


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], 0),
        (["Good evening. Ton"], 2),
        (["Good evening. Tonight "], 3),
        (["Good evening. "], 2),
        (["Good evening."], 2),
        (["Good evening.\u201d"], 2),
        (["It costs 4."], 2),  # it may become 4.50
        (["Good evening,"], 1),
        (["I <3 you so much. "], 5),
        (["It is < 5 dollars. "], 4),
        (["Good evening -"], 2),
        (["Good evening <emotion val"], 2),
        (["Good evening [laugh"], 2),
        (["Good evening <emotion/>"], 2),
        (["Good <b>evening"], 1),
        (["今天"], 2),  # each is whole
        (["Good even", None], 2),
        (["Good evening. ", None, "Ton"], 2),
    ],
)
def test_words_are_whole_when_something_stands_behind_them(pieces, words):
    """A language model hands over parts of words as well."""
    script = Script()
    for piece in pieces:
        if piece is None:
            script.flush()
        else:
            script.push(piece)

    assert script.whole_words == words


def test_all_words_of_a_text_that_has_ended_are_whole():
    """Nothing follows any more."""
    assert Script.of("Good evening").whole_words == 2


def test_nothing_moves_where_markup_is_taken_out():
    """Words are where they were."""
    assert without_markup("Oh <b>no</b> [sigh]!") == "Oh    no           !"
