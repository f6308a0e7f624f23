# SPDX-License-Identifier: Apache-2.0
"""How many words of a text a voice has spoken, from what it tells and how it sounds."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.delivery import Delivery, Pause, SpeakingRate, TimedText
from livekit_fallback.core.script import Script

TEXT = "One little sentence here. Another sentence comes after it. The last is short."
WORDS = TEXT.split()
PACE = 10.0  # letters a second


def timed(*words: str, each: float = 0.5, ends: bool = True) -> Delivery:
    """A voice that tells of these words, each of which takes half a second."""
    delivery = Delivery()
    for n, word in enumerate(words):
        delivery.add(TimedText(f"{word} ", n * each, (n + 1) * each if ends else None))
    return delivery


def spoken(delivery: Delivery, seconds: float, *pauses: Pause, text: str = TEXT) -> int:
    return delivery.spoken(Script.of(text), seconds, pauses, PACE)


# --- word timings -------------------------------------------------------------------------------


@given(cut=st.integers(0, 130))
def test_words_that_have_ended_were_spoken(cut: int):
    """And no others: wherever the audio is cut, each word is on one side of it."""
    count = spoken(timed(*WORDS), cut / 20)

    assert count == min(len(WORDS), (cut + 1) // 10)  # 50 ms are not missed


@pytest.mark.parametrize(("seconds", "count"), [(0.94, 1), (0.96, 2), (1.0, 2), (1.3, 2)])
def test_a_word_that_lacks_its_last_breath_was_spoken(seconds: float, count: int):
    """Nobody misses 50 ms of its end."""
    assert spoken(timed(*WORDS), seconds) == count


def test_spelled_otherwise_it_is_the_same_text():
    """Numbers, case and marks are the voice's own business."""
    text = "You owe us 21 dollars by Friday."
    delivery = timed("you", "owe", "us", "twenty", "one", "dollars", "by", "friday")

    assert spoken(delivery, 3.0, text=text) == 5  # up to dollars
    assert spoken(delivery, 4.0, text=text) == 7


def test_nothing_was_spoken_in_no_time():
    """However much the voice has announced."""
    assert spoken(timed(*WORDS), 0.0) == 0
    assert spoken(timed(*WORDS, ends=False), 0.0) == 0
    assert spoken(Delivery(), 0.0) == 0


def test_a_voice_says_whether_it_tells_words():
    """Some tell where sentences begin, some nothing."""
    assert [d.is_timed for d in (Delivery(), timed("a", ends=False), timed("a"))] == [
        False, True, True,
    ]  # fmt: skip
    assert [d.ends_words for d in (Delivery(), timed("a", ends=False), timed("a"))] == [
        False, False, True,
    ]  # fmt: skip


def test_the_end_of_the_last_whole_word():
    """Audio is cut there, never inside a word."""
    delivery = timed(*WORDS[:4])

    assert delivery.last_end == 2.0
    assert [delivery.last_end_by(s) for s in (0.0, 0.49, 0.51, 1.99, 9.0)] == [
        0.0, 0.5, 0.5, 2.0, 2.0,
    ]  # fmt: skip
    assert timed("a", ends=False).last_end_by(9.0) == 0.0


def test_letters_that_a_voice_told_nothing_about():
    """The last words may be missing from its timings, or from its audio."""
    script = Script.of(TEXT)

    assert timed(*WORDS).untimed_letters(script) == 0
    assert timed(*WORDS[:-2]).untimed_letters(script) == len("isshort")
    assert timed(*WORDS, ends=False).untimed_letters(script) is None
    assert Delivery().untimed_letters(script) is None


# --- sentences ----------------------------------------------------------------------------------


def test_sentences_before_the_one_that_is_cut_were_spoken():
    """LiveKit's wrapper tells where each begins; within it the pace has to do."""
    delivery = Delivery()
    for text, start in zip(TEXT.replace(". ", ".|").split("|"), (0.0, 2.0, 5.0), strict=True):
        delivery.add(TimedText(text, start, None))

    assert [spoken(delivery, s) for s in (0.01, 0.4, 2.0, 2.8, 5.0, 7.0)] == [0, 1, 4, 5, 9, 13]


# --- pace and pauses ----------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "count"), [(0.3, 1), (0.5, 1), (0.7, 2), (0.9, 2), (1.2, 2)])
def test_without_timings_the_pace_decides(seconds: float, count: int):
    """A word counts from its middle on: one, little (6 letters), sentence (8), here (4)."""
    assert spoken(Delivery(), seconds) == count


def test_a_pause_where_a_sentence_is_expected_to_end_is_its_end():
    """A voice twice as slow as is usual is not believed to have skipped words."""
    first, pause = 2.9, Pause(2.9, 3.3)  # 21 letters: at the usual pace 2.1 s

    assert spoken(Delivery(), 3.3, pause) == 4
    # in the next sentence the pace is that of the first: "another" takes 0.97 s
    assert [spoken(Delivery(), 3.3 + s, pause) for s in (0.3, 0.7, 1.4)] == [4, 5, 5]
    assert spoken(Delivery(), first, pause) == 4


def test_of_two_pauses_the_longer_one_ends_the_sentence():
    """Commas make pauses, too."""
    comma, end = Pause(1.5, 1.62), Pause(2.1, 2.5)

    assert spoken(Delivery(), 2.5, comma, end) == 4


def test_a_pause_far_from_any_end_means_nothing():
    """A voice may breathe in the middle of a sentence."""
    assert spoken(Delivery(), 0.9, Pause(0.4, 0.9)) == 2


def test_a_sentence_whose_pause_was_missed_still_ends():
    """The next one is not held back by it."""
    assert spoken(Delivery(), 6.0) > 9


@given(seconds=st.floats(0, 20), pauses=st.lists(st.floats(0, 20), max_size=5))
def test_there_are_no_more_words_than_in_the_text(seconds: float, pauses: list[float]):
    """Whatever the audio is like; and more audio is never fewer words."""
    found = [Pause(p, p + 0.3) for p in sorted(pauses)]

    count = spoken(Delivery(), seconds, *found)

    assert 0 <= count <= len(WORDS)
    assert spoken(Delivery(), 100.0, *found) == len(WORDS)


# --- the pace of a voice ------------------------------------------------------------------------


def test_a_voice_is_taken_for_an_ordinary_one_at_first():
    """13 letters a second, and nobody would swear to it."""
    rate = SpeakingRate()

    assert rate.letters_per_sec == pytest.approx(13.0)
    assert not rate.is_known


def test_its_pace_is_learnt_from_what_it_spoke():
    """After a few replies it is known, and the newest count."""
    rate = SpeakingRate()
    for _ in range(50):
        rate.learn(200, 10.0)
    assert rate.is_known
    assert rate.letters_per_sec == pytest.approx(20.0, rel=0.05)

    for _ in range(20):
        rate.learn(100, 10.0)

    assert rate.letters_per_sec == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(("letters", "seconds"), [(10, 0.0), (10, 0.01), (1, 30.0), (0, 1.0)])
def test_what_cannot_be_speech_teaches_nothing(letters: int, seconds: float):
    """A break, a truncated reply, a text of marks."""
    rate = SpeakingRate()

    rate.learn(letters, seconds)

    assert rate.letters_per_sec == pytest.approx(13.0)
