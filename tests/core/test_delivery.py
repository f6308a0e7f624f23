# SPDX-License-Identifier: Apache-2.0
"""How much of its text a voice has spoken: by its timings, its pauses, or its pace."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from livekit_fallback.core.delivery import Delivery, Pause, SpeakingRate, TimedText
from livekit_fallback.core.script import Script

TEXT = "One two three four. Five six seven eight. Nine ten eleven twelve."
WORDS = [token.word for token in Script.of(TEXT).tokens]
PACE = 10.0


def timed(*words: tuple[str, float, float | None]) -> Delivery:
    delivery = Delivery()
    for word in words:
        delivery.add(TimedText(*word))
    return delivery


def every_half_second(*texts: str, ends: bool = True) -> Delivery:
    spans = ((i / 2, (i + 1) / 2 if ends else None) for i in range(len(texts)))
    return timed(*((text, *span) for text, span in zip(texts, spans, strict=True)))


# --- word timings ------------------------------------------------------------------------------


def test_voice_that_said_nothing_of_its_words_is_not_timed():
    """Then there is only its audio to go by."""
    delivery = Delivery()

    assert not delivery.is_timed
    assert not delivery.ends_words
    assert delivery.untimed_letters(Script.of(TEXT)) is None
    assert delivery.last_end == 0.0
    assert delivery.last_end_by(9.0) == 0.0


@given(st.floats(0, 7, allow_nan=False))
@example(0.5)
@example(0.44)
def test_cut_at_any_second_splits_the_words_without_loss(seconds):
    """What was heard whole is spoken, what was not is left: no word is in both or in none."""
    script = Script.of(TEXT)
    spoken = every_half_second(*WORDS).spoken(script, seconds, [], PACE)

    rest = script.after(spoken)

    assert WORDS[:spoken] + [token.word for token in rest.tokens] == WORDS
    assert spoken == min(len(WORDS), int((seconds + 0.05) / 0.5 + 1e-9))


@pytest.mark.parametrize(
    ("seconds", "spoken"), [(0.0, 0), (0.94, 0), (0.96, 1), (1.0, 1), (1.83, 1), (1.95, 2)]
)
def test_word_counts_once_nobody_misses_its_end(seconds, spoken):
    """Fifty milliseconds of a short word's end, or a tenth of a long one's, are no loss."""
    delivery = timed(("One", 0.0, 1.06), ("two", 1.06, 2.0))
    assert delivery.spoken(Script.of("One two."), seconds, [], PACE) == spoken


def test_words_spelled_differently_are_found():
    """A voice that speaks a number as words has spoken the number."""
    delivery = every_half_second("It", "is", "twenty", "three", "degrees", "outside", "now")
    script = Script.of("It is 23 degrees outside now. Put on a coat.")

    assert delivery.spoken(script, 2.5, [], PACE) == 4
    assert script.after(4).text == "outside now. Put on a coat."


def test_letters_of_unsettled_words_are_what_the_voice_did_not_tell():
    """Not every voice tells about its last words."""
    assert every_half_second(*WORDS).untimed_letters(Script.of(TEXT)) == 0
    assert every_half_second(*WORDS[:-2]).untimed_letters(Script.of(TEXT)) == len("eleventwelve")


def test_voice_that_spells_its_last_words_otherwise_has_not_told_what_is_missing():
    """Then nothing is known of the end of the text."""
    delivery = every_half_second("dial", "five", "five", "five")
    assert delivery.untimed_letters(Script.of("Dial 555 now.")) is None


def test_voice_that_ends_in_a_number_has_not_told_what_is_behind_it():
    """The words that it told in its own way stand for the number, and not for all the others."""
    delivery = every_half_second("dial", "five", "five")
    script = Script.of("Dial 555 now and ask for our director of customer relations.")
    assert delivery.untimed_letters(script) == 42


@pytest.mark.parametrize(
    ("told", "text", "spoken"),
    [
        ("jin tian qi hen hao", "今天气很好。我们去公园。", 8),  # 25 letters of the text
        ("jin tian", "今天气很好。", 0),
        ("wu wu wu wu wu jin tian", "55555 今天气很好。", 0),
        ("um um um um um", "", 0),
    ],
)
def test_what_is_told_in_other_letters_goes_by_pace(told, text, spoken):
    """If no word is told as it is written, the timings do not help."""
    delivery = every_half_second(*told.split())
    assert delivery.spoken(Script.of(text), 2.5, [], PACE) == spoken


def test_text_that_is_told_in_other_letters_is_not_missing():
    """Each word of pinyin stands for a sign that takes as long, and so do its numbers."""
    delivery = every_half_second(
        *[
            "qing",
            "da",
            "dian",
            "hua",
            "wu",
            "wu",
            "wu",
            "gei",
            "wo",
            "men",
            "de",
            "ban",
            "gong",
            "shi",
        ]
    )
    script = Script.of("请打电话 555 给我们办公室")
    assert delivery.untimed_letters(script) is None


def test_words_of_a_number_are_not_the_words_behind_it():
    """However many it takes to say it."""
    delivery = every_half_second("That", "makes", "one", "thousand", "two", "hundred", "dollars")
    assert delivery.spoken(Script.of("That makes $1,200. Thank you."), 9.0, [], PACE) == 2


def test_tags_among_the_words_are_none():
    """Some voices tell the markup of the text as well."""
    delivery = every_half_second("One", "two", "[three]")
    assert delivery.spoken(Script.of(TEXT), 9.0, [], PACE) == 2


def test_last_end_is_of_the_last_whole_word():
    """What of the audio belongs to words that are complete in it."""
    delivery = every_half_second("One", "two", "three")

    assert delivery.ends_words
    assert delivery.last_end == 1.5
    assert [delivery.last_end_by(s) for s in (0.4, 0.49, 0.9, 1.0, 5.0)] == [0, 0.5, 0.5, 1.0, 1.5]


def test_pause_after_a_word_belongs_to_it():
    """The next voice does not fall into the word: the pause that was spoken is heard."""
    delivery = timed(("One.", 0.0, 0.5), ("Two", 0.9, 1.4), ("three", 1.4, 1.8))

    assert [delivery.last_end_by(s) for s in (0.3, 0.6, 1.0, 1.5, 2.0)] == [0, 0.9, 0.9, 1.4, 1.8]


# --- sentence timings --------------------------------------------------------------------------


SENTENCES = ("One two three four.", "Five six seven eight.", "Nine ten eleven twelve.")


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (0.0, 0),
        (0.8, 2),  # eight letters by its pace: "One two" are six, half of "three" is not reached
        (2.0, 4),
        (2.8, 6),  # of the second sentence, that began at two
        (4.0, 8),
    ],
)
def test_complete_sentences_count_and_the_last_goes_by_pace(seconds, spoken):
    """A wrapped voice says when each sentence begins: all before the last are complete."""
    delivery = timed(*((text, 2.0 * i, None) for i, text in enumerate(SENTENCES)))
    assert delivery.is_timed
    assert not delivery.ends_words
    assert delivery.spoken(Script.of(TEXT), seconds, [], PACE) == spoken


@pytest.mark.parametrize(("begun", "spoken"), [(1, 4), (2, 8)])
def test_pace_does_not_run_beyond_the_last_sentence_that_was_begun(begun, spoken):
    """A slow voice is still at it, or was lost before anything of the next was heard."""
    delivery = timed(*((text, 2.0 * i, None) for i, text in enumerate(SENTENCES[:begun])))
    assert delivery.spoken(Script.of(TEXT), 9.0, [], PACE) == spoken


def test_sentence_that_has_not_begun_does_not_count():
    """It was announced ahead of its audio."""
    delivery = timed(("One two three four.", 3.0, None))
    assert delivery.spoken(Script.of(TEXT), 0.7, [], PACE) == 2


# --- pauses and pace ---------------------------------------------------------------------------


def heard(seconds: float, *pauses: tuple[float, float]) -> int:
    return Delivery().spoken(Script.of(TEXT), seconds, [Pause(*p) for p in pauses], PACE)


def test_nothing_was_spoken_in_no_audio():
    """The next voice begins at the beginning."""
    assert heard(0.0) == 0


def test_pause_where_a_sentence_is_expected_to_end_is_its_end():
    """The first has 15 letters, so it ends at about 1.5 s, here at 1.8 s."""
    assert heard(2.1, (1.8, 2.1)) == 4


def test_what_follows_a_pause_goes_by_the_pace_until_then():
    """A slow voice goes on as slowly: 15 letters took 2.2 s, and eight letters take 1.2 s."""
    assert heard(2.5 + 1.2, (2.2, 2.5)) == 4 + 2


def test_pause_in_the_middle_of_a_sentence_is_none():
    """A breath after the first word is too early for the end of the sentence."""
    assert heard(0.8, (0.3, 0.5)) == 2


def test_longest_pause_is_the_end():
    """Between two that are near enough."""
    assert heard(2.2, (1.1, 1.2), (1.7, 2.2)) == 4


def test_of_two_pauses_alike_the_nearest_is_the_end():
    """The other one is a comma."""
    assert heard(2.2, (1.5, 1.7), (2.0, 2.2)) == 4 + 1  # half a second after the first: "five"


def test_sentence_without_a_pause_is_passed_over_when_it_must_be_over():
    """Some voices hardly pause; after 1.6 times its length, a sentence is over."""
    assert heard(1.5 * 1.7) > 4


def test_pause_at_the_very_beginning_teaches_no_pace():
    """A pause that begins where the sentence does says nothing about how fast it was spoken."""
    script = Script.of("A. One two three four.")
    spoken = Delivery().spoken(script, 1.0, [Pause(0.1, 0.2)], PACE)
    assert 1 <= spoken <= 4


@pytest.mark.parametrize(("seconds", "spoken"), [(1.8, 1), (2.7, 1), (2.9, 2)])
def test_number_counts_when_it_is_whole(seconds, spoken):
    """Half a telephone number is of no use: eight digits take as long as 24 letters."""
    assert Delivery().spoken(Script.of("Dial 48152367 now"), seconds, [], PACE) == spoken


@given(
    st.floats(0, 20, allow_nan=False),
    st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 1.0)), max_size=6),
    st.floats(5, 40),
)
def test_guess_is_always_in_the_text(seconds, pauses, pace):
    """Whatever the audio looks like, the place found is one in the text."""
    found = [Pause(start, start + length) for start, length in pauses]
    assert 0 <= Delivery().spoken(Script.of(TEXT), seconds, found, pace) <= len(WORDS)


@given(st.lists(st.floats(0, 9, allow_nan=False), min_size=2, max_size=2))
def test_more_audio_holds_no_fewer_words(seconds):
    """Without pauses the guess only ever grows."""
    assert heard(min(seconds)) <= heard(max(seconds))


# --- the pace ----------------------------------------------------------------------------------


def test_pace_is_ordinary_until_more_is_known():
    """A strange voice is taken for one like others."""
    rate = SpeakingRate()

    assert rate.letters_per_sec == pytest.approx(13.0)
    assert not rate.is_known


def test_pace_is_learnt_from_whole_texts():
    """After some seconds of speech the voice's own pace counts for more than the usual one."""
    rate = SpeakingRate()

    rate.learn(letters=80, seconds=8.0)
    assert not rate.is_known
    rate.learn(letters=20, seconds=2.0)

    assert rate.is_known
    assert rate.letters_per_sec == pytest.approx((13 * 2 + 100) / 12)


@pytest.mark.parametrize(("letters", "seconds"), [(100, 0.0), (100, -1.0), (49, 10.0), (401, 10.0)])
def test_impossible_pace_is_not_learnt(letters, seconds):
    """Text that was spoken in no time, or that hardly was, is a fault and no habit."""
    rate = SpeakingRate()
    rate.learn(letters, seconds)
    assert rate.letters_per_sec == pytest.approx(13.0)
    assert not rate.is_known


def test_pace_follows_a_voice_that_changes():
    """Only about the last minute counts, so a new speed is noticed within it."""
    rate = SpeakingRate()
    for _ in range(30):
        rate.learn(letters=100, seconds=10.0)
    for _ in range(30):
        rate.learn(letters=200, seconds=10.0)

    assert rate.letters_per_sec == pytest.approx(20.0, rel=0.05)


@pytest.mark.parametrize(
    ("sentence", "seconds", "is_hurried"),
    [
        ("One little sentence here. ", 0.5, True),  # 21 letters
        ("One little sentence here. ", 0.6, False),
        ("Yes. ", 0.01, False),  # single words are spoken at any speed
    ],
)
def test_a_sentence_may_be_too_short_for_its_words(sentence: str, seconds: float, is_hurried: bool):
    """Then the next one was not begun, as far as the text is concerned."""
    delivery = Delivery()
    delivery.add(TimedText(sentence, 0.0, None))
    assert not delivery.take_back_hurried(40.0)
    delivery.add(TimedText("The next. ", seconds, None))

    assert delivery.take_back_hurried(40.0) is is_hurried

    script = Script.of(f"{sentence}The next.")
    count = delivery.spoken(script, seconds, [], 13.0)
    assert count <= len(sentence.split()) - is_hurried


def test_words_with_ends_are_judged_by_those():
    """However fast they come."""
    delivery = Delivery()
    delivery.add(TimedText("incomprehensibilities", 0.0, 0.1))
    delivery.add(TimedText("are", 0.1, 0.2))

    assert not delivery.take_back_hurried(40.0)
