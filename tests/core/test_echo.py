# SPDX-License-Identifier: Apache-2.0
"""A continuation is trimmed to what is new, and joined to what was said at a word boundary."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.echo import Echo

SAID = "Of course we do. The mushroom risotto"


def heard(said: str, continuation: str, *, is_inside_word: bool = False) -> str:
    """What is heard in all if a continuation comes by single words."""
    echo = Echo(said, is_inside_word=is_inside_word)
    pieces = re.findall(r"\s*\S+|\s+\Z", continuation)
    return said + "".join(map(echo.push, pieces)) + echo.end()


# --- echoes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "continuation",
    [
        "is popular.",
        " is popular.",
        "   is popular.",
        "... is popular.",
        "\u2026is popular.",
        "risotto is popular.",
        "mushroom risotto is popular.",
        f"{SAID} is popular.",
        f"{SAID.upper()} is popular.",
        f"{SAID.replace('.', '')} is popular.",
        f'"{SAID}" is popular.',
        f"\u201c{SAID}\u201d is popular.",
        f"**{SAID}** is popular.",
        f"...{SAID} is popular.",
        f"<b/>{SAID} is popular.",
        "The mushroom risotto is popular.",
        "the 'mushroom' risotto is popular.",
    ],
)
def test_each_word_is_heard_once(continuation: str):
    """Whatever is repeated of what was said, and however it is written."""
    assert heard(SAID, continuation) == f"{SAID} is popular."


@pytest.mark.parametrize(
    ("said", "continuation", "whole"),
    [
        # punctuation belongs to the word before, and stands there once
        ("Hello there", ", how are you?", "Hello there, how are you?"),
        ("Hello there,", "Hello there, how are you?", "Hello there, how are you?"),
        ("Hello there,", "there how are you?", "Hello there, there how are you?"),
        ("Hello there.", "Hello there! How are you?", "Hello there. Hello there! How are you?"),
        ("Well hello there.", "Well hello there! How?", "Well hello there. How?"),
        ("Hello there", "there. How are you?", "Hello there. How are you?"),
        ("He said \u201cyes", "yes\u201d and left", "He said \u201cyes\u201d and left"),
        ('He said "yes', '"yes" and left', 'He said "yes" and left'),
        ("The price (", "net) is ten", "The price (net) is ten"),
        # the longest repetition counts
        ("a cat, a dog, a cat,", "a cat, a dog, a cat, a bird", "a cat, a dog, a cat, a bird"),
        ("to and fro to and", "to and fro", "to and fro to and fro"),
        # a word that is repeated may be meant twice, where the punctuation tells so
        ("No,", "no problem", "No, no problem"),
        ("No,", "No, I cannot", "No, I cannot"),
        ("It is very", "very good", "It is very good"),
        ("Well, I", "I think", "Well, I think"),
        # numbers and letters may be meant twice, and one too many is better than one too few
        ("It is five", "five one", "It is five five one"),
        ("Es ist f\u00fcnf", "f\u00fcnf eins", "Es ist f\u00fcnf f\u00fcnf eins"),
        ("null drei zwanzig", "zwanzig elf", "null drei zwanzig zwanzig elf"),
        ("\u0664", "\u0664 \u0665", "\u0664 \u0664 \u0665"),
        ("It is 5 5", "5 5 1", "It is 5 5 5 5 1"),
        ("That is A B", "B C", "That is A B B C"),
        ("Call 030", "Call 030 1234", "Call 030 1234"),
        # what only begins like something that was said is new
        ("We have soup. We like", "We have bread.", "We have soup. We like We have bread."),
        ("We do like soup.", "We do like bread.", "We do like soup. We do like bread."),
        # nothing new
        (SAID, SAID, SAID),
        (SAID, "Of course we do.", SAID),
        (SAID, "Of course", f"{SAID} Of course"),
        ("Thank you.", "Thank you", "Thank you."),
        ("Thank you.", ".", "Thank you."),
        ("Thank you", ".", "Thank you."),
        ("Thank you.", "...", "Thank you."),
        ("Thank you", "", "Thank you"),
        ("Thank you", "  ", "Thank you"),
        # a stop stands there once, whoever has set it
        ("It is nice,", ", we think", "It is nice, we think"),
        ("It costs", ".8 % more", "It costs .8 % more"),
        ("It costs 2", ".8 % more", "It costs 2.8 % more"),
        # lines
        ("We have:\n- soup", "\n- bread", "We have:\n- soup\n- bread"),
        ("We have: ", "soup", "We have: soup"),
        ("...", "and so on", "... and so on"),
    ],
)  # fmt: skip
def test_what_is_heard_in_all(said: str, continuation: str, whole: str):
    """By example."""
    assert heard(said, continuation) == whole


@pytest.mark.parametrize(
    ("said", "continuation", "new"),
    [
        ("\u4eca\u5929\u7684\u5929\u6c14", "\u5929\u6c14\u5f88\u597d", "\u5f88\u597d"),
        # one ideograph is often doubled, and so are numbers
        ("\u8bf7\u6162", "\u6162\u8bf4", "\u6162\u8bf4"),
        ("\u662f\u4e00\u4e00", "\u4e00\u4e00\u4e8c", "\u4e00\u4e00\u4e8c"),
        ("\u662f\u5e7a\u5e7a", "\u5e7a\u5e7a\u4e94", "\u5e7a\u5e7a\u4e94"),
        # two kana may be a digit (zero, three)
        ("\u756a\u53f7\u306f\u30bc\u30ed", "\u30bc\u30ed\u4e09", "\u30bc\u30ed\u4e09"),
        ("\u756a\u53f7\u306f\u3055\u3093", "\u3055\u3093\u3054", "\u3055\u3093\u3054"),
        # five make a word
        ("\u304a\u306f\u3088\u3046\u3054", "\u304a\u306f\u3088\u3046\u3054\u3056", "\u3056"),
        # spaces are not put between ideographs, and elsewhere left to the speaker
        ("\u4eca\u5929", " \u5929\u6c14", "\u5929\u6c14"),
        ("\u6211\u7528", "iPhone", "iPhone"),
        ("\u6211\u7528", " iPhone", " iPhone"),
        ("\u0e2a\u0e27\u0e31\u0e2a", "\u0e14\u0e35", "\u0e14\u0e35"),
        # a few letters of Thai are no word
        ("\u0e2a\u0e27\u0e31\u0e2a", "\u0e2a\u0e14\u0e35", "\u0e2a\u0e14\u0e35"),
        # the marks of Hindi are part of its words
        ("\u0939\u092e\u0947\u0902", "\u0939\u092e\u0947\u0902 \u0916\u0941", " \u0916\u0941"),
    ],
)
def test_scripts_without_spaces_or_with_marks(said: str, continuation: str, new: str):
    """Words are found, and joined, as their script does it."""
    assert heard(said, continuation) == said + new


@pytest.mark.parametrize(
    ("continuation", "whole"),
    [
        ("ple.com/menu is it", "See https://example.com/menu is it"),
        (" and so on", "See https://exam and so on"),
        ("https://example.com is it", "See https://example.com is it"),
        ("https://exam and so on", "See https://exam and so on"),
        ("See https://example.com", "See https://example.com"),
        ("...", "See https://exam..."),
    ],
)
def test_a_word_that_was_split_is_put_together(continuation: str, whole: str):
    """The next speaker goes on inside the word, or says it in full."""
    assert heard("See https://exam", continuation, is_inside_word=True) == whole


@pytest.mark.parametrize(
    ("said", "before", "after", "whole"),
    [
        ("Let me check.", "Let me check.", " Done.", "Let me check. Done."),
        ("Let me check. One", "Let me check.", " Done.", "Let me check. One Done."),
        ("The mushroom", "", "I looked it up", "The mushroom I looked it up"),
        ("The mushroom", "mushroom", "I looked it up", "The mushroom I looked it up"),
        ("The mushroom.", ".", "I looked it up", "The mushroom. I looked it up"),
        ("The mushroom", "risotto", " is good", "The mushroom risotto is good"),
        ("Let me check.", "", "Let me check. Done.", "Let me check. Done."),
        # what was new has been joined: what follows is as the speaker has it
        ("Let me", "check", "Let me check", "Let me checkLet me check"),
    ],
)
def test_what_follows_a_pause_is_compared_and_joined_too(
    said: str, before: str, after: str, whole: str
):
    """Speakers pause for tool calls, and may have brought nothing new before one."""
    echo = Echo(said)
    texts = [echo.push(before), echo.end(), echo.push(after), echo.end()]

    assert said + "".join(texts) == whole


# --- when text is let go -----------------------------------------------------------------------


def test_what_is_new_is_let_go_at_once():
    """The first word that does not repeat anything ends all doubt."""
    echo = Echo(SAID)

    assert [echo.push(piece) for piece in ("is", " very", " popular")] == [
        " is",
        " very",
        " popular",
    ]
    assert echo.end() == ""


def test_text_is_held_while_it_may_be_a_repetition():
    """And comes in one piece when it turns out to be none."""
    echo = Echo("We have soup. We like")

    assert [echo.push(piece) for piece in ("We", " have", " bread")] == ["", "", " We have bread"]


def test_white_space_alone_is_held():
    """It is not known yet what belongs before the first word."""
    echo = Echo(SAID)

    assert [echo.push(piece) for piece in (" ", "\u2026", " ", "is")] == ["", "", "", " is"]


def test_what_follows_ideographs_may_come_later():
    """Their punctuation is a piece of its own."""
    echo = Echo("\u4f60\u597d\uff0c\u4f60\u597d\uff0c")

    through = [echo.push(piece) for piece in ("\u4f60", "\u597d", "\uff0c", "\u6211")]

    assert through == ["", "", "", "\u6211"]


# --- for any text ------------------------------------------------------------------------------

WORD = st.text("abcde", min_size=2, max_size=4)
TEXT = st.lists(WORD, min_size=1, max_size=12)


def cut_into(text: str, data: st.DataObject) -> list[str]:
    """The text in pieces that end at the end of a word."""
    pieces = re.findall(r"\s*\S+", text)
    joined = [""]
    for piece in pieces:
        joined[-1] += piece
        if data.draw(st.booleans()):
            joined.append("")
    return joined


@given(TEXT, st.data())
def test_any_suffix_may_be_repeated(words: list[str], data: st.DataObject):
    """Each word is heard exactly once, if what is new begins with a word that was never said."""
    said = data.draw(st.integers(1, len(words)))
    first = data.draw(st.integers(0, said))
    rest = ["new", *words[said:]]
    stops = data.draw(st.sampled_from(["", ",", ".", "?"]))
    begun = " ".join(words[:said]) + stops
    repeated = " ".join(words[first:said]) + (stops if first < said else "")
    continuation = " ".join(filter(None, [repeated, *rest]))
    shout = data.draw(st.booleans())

    echo = Echo(begun)
    pieces = cut_into(continuation.upper() if shout else continuation, data)
    whole = begun + "".join(map(echo.push, pieces)) + echo.end()

    assert whole.casefold() == " ".join([begun, *rest]).casefold()


@given(TEXT, TEXT, st.data())
def test_only_what_was_said_is_left_out(words: list[str], more: list[str], data: st.DataObject):
    """Whatever the continuation is: what is missing of it in the end was said last before it."""
    begun, continuation = " ".join(words), " ".join(more)

    echo = Echo(begun)
    through = "".join(map(echo.push, cut_into(continuation, data))) + echo.end()

    kept = through.split()
    left_out = more[: len(more) - len(kept)]
    assert more[len(left_out) :] == kept
    assert words[: len(left_out)] == left_out or words[len(words) - len(left_out) :] == left_out


@given(st.text(), st.text(min_size=1), st.booleans())
def test_no_text_breaks_it(continuation: str, said: str, is_inside_word: bool):
    """Nor does it ever add more than a space."""
    echo = Echo(said, is_inside_word=is_inside_word)

    through = echo.push(continuation) + echo.end()

    assert through.lstrip() in continuation or through == ""
    assert len(through) <= len(continuation) + 1
