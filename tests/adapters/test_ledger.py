# SPDX-License-Identifier: Apache-2.0
"""Which audio is kept for words that are not settled, and what of them the next one is told."""

from __future__ import annotations

import pytest
from livekit.agents import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType
from livekit.agents.types import TimedString

from livekit_fallback.adapters._ledger import Ledger
from livekit_fallback.adapters._replay import ReplayBuffer
from tests.support.audio import AMPLITUDE, frames, numbered

TIMED = pytest.approx


def final(text: str, start: float = 0.0, end: float = 0.0, *, words: bool = True) -> SpeechEvent:
    """A final transcript; its words are evenly spread over its time."""
    tokens = text.split()
    each = (end - start) / max(1, len(tokens))
    timed = [
        TimedString(word, start_time=start + i * each, end_time=start + (i + 1) * each)
        for i, word in enumerate(tokens)
    ]
    data = SpeechData(
        LanguageCode("en"),
        text,
        start_time=start,
        end_time=end,
        words=timed if end and words else None,
    )
    return SpeechEvent(SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])


class Line:
    """A caller's audio in frames of 20 ms, and its ledger."""

    def __init__(self, capacity: float = 60.0) -> None:
        self.kept = ReplayBuffer(capacity)
        self.ledger = Ledger(self.kept)
        self.begun_at = self.ledger.begin(0.0)

    def speak(self, seconds: float) -> None:
        """So much speech."""
        for _ in range(round(seconds * 50)):
            self.kept.push(numbered(AMPLITUDE))

    def pause(self, seconds: float) -> None:
        """So much silence."""
        for frame in frames(seconds, pitch=0):
            self.kept.push(frame)

    def another(self, elapsed: float | None = None) -> float:
        """Another recogniser takes over; returns where its timeline begins."""
        return self.ledger.begin(self.kept.end if elapsed is None else elapsed)

    def final(self, event: SpeechEvent) -> SpeechData | None:
        """A final comes; what is new in it."""
        new = self.ledger.new_in(event, is_final=True)
        self.ledger.settle(new)
        return None if new is None else new.alternatives[0]

    def hears(self, text: str, start: float = 0.0, end: float = 0.0) -> str:
        """A final comes; its text as the session is told it."""
        new = self.final(final(text, start, end))
        return "" if new is None else new.text

    def shows(self, text: str, start: float = 0.0, end: float = 0.0) -> str:
        """An interim comes, likewise."""
        new = self.ledger.new_in(final(text, start, end), is_final=False)
        return "" if new is None else new.alternatives[0].text


# --- audio -------------------------------------------------------------------------------------


def test_a_final_with_times_settles_the_audio_up_to_its_end():
    """And not what was said since: it comes late."""
    line = Line()
    line.speak(3.0)

    line.hears("one two", 0.2, 1.8)

    assert line.kept.start == TIMED(1.8)


def test_a_final_without_times_settles_nothing_at_once():
    """Its recogniser may be dying, and have meant something else."""
    line = Line()
    line.speak(1.0)
    line.pause(0.5)

    line.hears("one two")

    assert line.kept.start == 0.0
    assert line.ledger.unconfirmed_at == TIMED(1.5)


def test_it_is_meant_if_its_recogniser_lives_on():
    """After a second of audio the pause before it is what is settled."""
    line = Line()
    line.speak(1.0)
    line.pause(0.5)
    line.speak(0.2)
    line.hears("one two")

    line.speak(0.9)
    assert not line.ledger.confirm_by(line.kept.end)
    line.speak(0.2)
    assert line.ledger.confirm_by(line.kept.end)

    assert line.kept.start == TIMED(1.4, abs=0.021)
    assert line.ledger.unconfirmed_at is None


def test_a_late_final_settles_nothing_of_the_next_sentence():
    """Words that come while the caller goes on speaking may be from before the last pause."""
    line = Line()
    line.speak(0.5)
    line.pause(0.7)
    line.speak(0.8)
    line.pause(0.24)
    line.speak(0.3)

    line.hears("yes")
    line.ledger.confirm()

    assert line.kept.start == TIMED(1.1, abs=0.021)
    line.speak(0.3)
    line.another()
    assert line.hears("I want to go") == "I want to go"


def test_the_words_of_a_final_that_was_not_late_are_known():
    """Their audio stays, as nobody knows."""
    line = Line()
    line.speak(0.5)
    line.pause(1.0)
    line.speak(0.4)
    line.pause(0.24)
    line.speak(0.3)
    line.hears("one two")
    line.ledger.confirm()
    line.speak(0.3)
    line.another()

    assert line.hears("one two three") == "three"


def test_words_in_long_speech_after_a_pause_are_known():
    """They are not so late that they could be from before it; all of its audio stays."""
    line = Line()
    line.pause(1.0)
    line.speak(3.0)
    line.hears("one two three four five six")
    line.ledger.confirm()
    line.speak(0.5)
    line.another()

    assert line.kept.start < 1.0
    assert line.hears("one two three four five six seven") == "seven"


def test_speech_without_a_pause_keeps_what_a_late_recogniser_may_have_missed():
    """A second of it."""
    line = Line()
    line.speak(6.0)
    line.hears("one two three four five six seven eight")

    line.ledger.confirm()

    assert line.kept.start == TIMED(5.0, abs=0.021)


def test_what_comes_while_a_recogniser_catches_up_settles_no_audio():
    """Nobody knows how much of the replay it has heard."""
    line = Line()
    line.speak(2.0)
    line.pause(0.5)
    line.another()
    line.speak(0.1)

    line.hears("one")
    line.ledger.confirm()

    assert line.kept.start == 0.0


def test_silence_takes_no_time_to_be_heard():
    """Words long after a silence that was kept are from the audio that they came after."""
    line = Line()
    line.pause(30.0)
    line.another()
    line.speak(1.0)
    line.pause(0.5)

    line.hears("one")
    line.ledger.confirm()

    assert line.kept.start == TIMED(31.4, abs=0.021)


def test_a_final_with_times_in_between_takes_its_place():
    """What is timed needs no confirmation."""
    line = Line()
    line.speak(1.0)
    line.hears("one")

    line.hears("two", 0.5, 0.9)

    assert line.ledger.unconfirmed_at is None
    assert line.kept.start == TIMED(0.9)


@pytest.mark.parametrize("end", [-1.0, 0.0, 7.0, 3600.0])
def test_times_that_cannot_be_are_no_times(end: float):
    """Some plugins give wall clock times, or count from elsewhere: no audio goes for them."""
    line = Line()
    line.speak(3.0)

    line.final(final("one", 0.0, end))

    assert line.kept.start == 0.0
    assert line.ledger.unconfirmed_at == TIMED(3.0)


def test_a_final_without_new_words_settles_like_any_other():
    """It too says that there was nothing else before it."""
    line = Line()
    line.speak(1.0)

    line.ledger.settle(None)

    assert line.ledger.unconfirmed_at == TIMED(1.0)


def test_silence_after_what_is_settled():
    """Whether its audio was dropped or not."""
    line = Line()
    line.speak(1.0)
    assert not line.ledger.is_silent
    line.pause(0.5)
    line.hears("one")
    assert line.ledger.is_silent

    line.speak(0.1)
    assert not line.ledger.is_silent


def test_speech_that_goes_on_over_a_final_is_not_settled():
    """It may be of the words before the pause."""
    line = Line()
    line.speak(1.0)
    line.pause(0.5)
    line.speak(0.1)

    line.hears("one")

    assert not line.ledger.is_silent


def test_a_final_while_a_recogniser_catches_up_settles_no_speech():
    """Nobody knows which."""
    line = Line()
    line.speak(2.0)
    line.pause(0.5)
    line.another()

    line.hears("one")

    assert not line.ledger.is_silent


def test_the_last_final_settles_everything():
    """No more audio comes that it could not have heard."""
    line = Line()
    line.speak(1.0)

    line.ledger.settle(final("one"), is_last=True)

    assert line.ledger.is_silent


# --- words -------------------------------------------------------------------------------------


def test_audio_that_is_too_old_is_lost_once():
    """Whoever hears the rest, and however often that changes."""
    line = Line(capacity=2.0)
    line.speak(5.0)
    line.kept.trim()
    assert line.ledger.lost_since(None) == 0.0
    assert line.ledger.lost_since(4.0) == 0.0

    assert line.ledger.lost_since(1.0) == pytest.approx(2.0)
    assert line.ledger.lost_since(1.0) == 0.0
    line.speak(1.0)
    line.kept.trim()
    assert line.ledger.lost_since(1.0) == pytest.approx(1.0)


def test_silence_that_is_too_old_is_no_loss():
    """Only speech is told to be lost."""
    line = Line(capacity=2.0)
    line.speak(0.5)
    line.pause(9.5)
    line.kept.trim()

    assert line.ledger.lost_since(0.0) == pytest.approx(0.5)


def test_the_next_one_is_told_what_was_said_already():
    """Its first words are those that were settled, spelt as it likes."""
    line = Line()
    line.speak(1.0)
    line.hears("one two")
    line.another()

    assert line.shows("One, two thr") == "thr"
    assert line.hears("One, two three.") == "three."
    assert line.hears("One, two.") == "One, two."


def test_the_third_one_is_told_what_the_second_gave():
    """However often recognisers are lost, each word comes once."""
    line = Line()
    line.speak(1.0)
    assert line.hears("one two") == "one two"
    line.another()
    line.speak(0.5)
    assert line.hears("one two three") == "three"
    line.another()
    line.speak(0.5)
    assert line.hears("one two three four") == "four"


def test_a_second_that_is_lost_in_the_replay_leaves_everything_to_the_third():
    """It gave no more than was known."""
    line = Line()
    line.speak(1.0)
    line.hears("one two three")
    line.another()
    assert line.hears("one") == ""
    line.another()

    assert line.hears("one two three four") == "four"


def test_confirmed_words_before_a_pause_are_not_expected_again():
    """Their audio is gone: who says them again says them anew."""
    line = Line()
    line.speak(1.0)
    line.pause(0.5)
    line.hears("yes")
    line.ledger.confirm()
    line.speak(0.5)
    line.another()

    assert line.hears("yes") == "yes"


def test_the_last_words_are_known_where_nobody_paused():
    """Their audio may hold a late word, which is told from those known."""
    line = Line()
    line.speak(6.0)
    line.hears("one two three four five six")
    line.ledger.confirm()
    line.speak(0.5)
    line.another()

    assert line.hears("six seven") == "seven"


def test_words_whose_audio_was_too_old_to_keep():
    """Only the very same words are taken for known then."""
    line = Line(capacity=1.0)
    line.speak(0.5)
    line.hears("one two")
    line.speak(2.0)
    line.kept.trim()
    line.another()

    assert line.hears("nine ten") == "nine ten"


def test_words_that_are_spelt_differently_swallow_no_later_ones():
    """What a recogniser gives once it has heard all that was kept holds what was expected."""
    line = Line()
    line.speak(2.0)
    line.hears("the number is five five five one two three four")
    line.another()

    assert line.hears("The number is 5551234") == ""
    line.speak(2.5)
    assert line.hears("yes please") == "yes please"
    assert line.hears("four") == "four"


def test_interims_do_not_show_that_everything_was_heard():
    """The final that holds the same words is still to come."""
    line = Line()
    line.speak(1.0)
    line.hears("one two three")
    line.another()
    line.speak(1.5)

    assert line.shows("one two three four") == "four"
    assert line.hears("one two three four five") == "four five"


def test_silence_that_was_too_old_to_keep_held_no_words():
    """All words are expected again, however they are spelt."""
    line = Line(capacity=10.0)
    line.pause(9.0)
    line.speak(3.0)
    line.hears("my name is John Miller")
    line.kept.trim()
    line.another()

    assert line.hears("My name is Jon Miller.") == ""


def test_of_words_that_are_partly_too_old_any_may_be_heard_again():
    """However many the audio kept holds."""
    line = Line(capacity=3.0)
    line.speak(5.0)
    line.hears("one two three four five six seven eight nine ten")
    line.kept.trim()
    line.another()

    assert line.hears("four five six seven eight nine ten eleven") == "eleven"


# --- times -------------------------------------------------------------------------------------


def test_times_on_the_timeline_are_left_as_they_are():
    """Events are handed on as they came, unless something in them is not new."""
    line = Line()
    line.speak(2.0)
    event = final("one two", 0.5, 1.5)

    assert line.ledger.new_in(event, is_final=True) is event


def test_times_of_who_counts_from_its_own_start_are_moved():
    """Some plugins do not add the offset they are given."""
    line = Line()
    line.speak(3.0)
    line.hears("one", 0.5, 2.0)
    assert line.another() == TIMED(2.0)

    new = line.final(final("two three", 0.2, 0.8))

    assert new is not None
    assert new.start_time == TIMED(2.2)
    assert new.end_time == TIMED(2.8)
    assert new.words is not None
    assert [w.start_time for w in new.words] == [TIMED(2.2), TIMED(2.5)]


def test_times_that_would_be_of_long_ago_count_from_its_own_start():
    """Its first words came so late that its clock shows more than the offset."""
    line = Line()
    line.speak(12.0)
    line.hears("one", 0.5, 11.0)
    line.another()
    line.pause(20.0)

    new = line.final(final("two three", 19.0, 20.0))

    assert new is not None
    assert new.start_time == TIMED(30.0)
    assert new.end_time == TIMED(31.0)


def test_times_of_who_still_catches_up_may_be_of_long_ago():
    """It is given the replay at once."""
    line = Line()
    line.speak(1.0)
    line.hears("one", 0.1, 0.5)
    line.speak(20.0)
    line.another()

    new = line.final(final("two three", 1.0, 2.0))

    assert new is not None
    assert (new.start_time, new.end_time) == (1.0, 2.0)


def test_once_known_the_offset_stays():
    """A later transcript of the same stream would look as if it had it."""
    line = Line()
    line.speak(3.0)
    line.hears("one", 0.5, 2.0)
    line.another()
    line.hears("two", 0.2, 0.6)
    line.speak(5.0)

    new = line.final(final("three", 3.0, 4.0))

    assert new is not None
    assert new.start_time == TIMED(5.0)
    assert new.end_time == TIMED(6.0)


def test_words_before_the_settled_end_are_cut_off():
    """Frames are kept whole, so a next recogniser may hear the end of a word again."""
    line = Line()
    line.speak(4.0)
    line.hears("one two", 0.0, 2.01)
    line.another()

    new = line.final(final("two three four", 1.9, 3.6))

    assert new is not None
    assert new.text == "two three four" if new.start_time < 2.01 else new.start_time >= 2.01


def test_a_word_mostly_before_the_settled_end_was_said():
    """Where its times say so."""
    line = Line()
    line.speak(4.0)
    line.hears("one two", 0.0, 2.0)
    line.another()

    new = line.final(final("o three", 1.76, 2.3))

    assert new is not None
    assert new.text == "three"
    assert new.start_time >= 2.0


def test_times_begin_with_the_sessions():
    """LiveKit's own offset of the stream is where ours begins."""
    line = Line()
    line.ledger.zero = 100.0
    assert line.another(0.0) == TIMED(100.0)
    line.speak(2.0)

    new = line.final(final("one", 100.5, 101.5))

    assert new is not None
    assert (new.start_time, new.end_time) == (100.5, 101.5)
    assert line.kept.start == TIMED(1.5)


def test_where_audio_stopped_coming_the_timeline_goes_on():
    """The next recogniser begins where the clock is, less what it is given again."""
    line = Line()
    line.speak(2.0)

    assert line.another(10.0) == TIMED(8.0)


@pytest.mark.parametrize("words", [True, False])
def test_what_is_left_begins_where_its_words_do(words: bool):
    """As far as the recogniser has said."""
    line = Line()
    line.speak(2.0)
    line.hears("one two")
    line.another()

    new = line.final(final("one two three four", 0.4, 2.0, words=words))

    assert new is not None
    assert new.text == "three four"
    assert new.start_time == TIMED(1.2 if words else 0.4)
    assert new.words is None or [str(w) for w in new.words] == ["three", "four"]
