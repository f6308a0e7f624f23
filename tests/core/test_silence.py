# SPDX-License-Identifier: Apache-2.0
"""Who is given speech and gives nothing back is found out, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.silence import Moment, SilenceWatch

PATIENCE = 2.0


class Line:
    """A watched recogniser on one clock: audio comes as time goes on."""

    def __init__(self, *, interims: bool = True) -> None:
        self.watch = SilenceWatch()
        self.change(0, interims=interims)

    def change(
        self, seconds: float, *, interims: bool = True, patience: float | None = PATIENCE
    ) -> None:
        """Another recogniser is watched from then on."""
        self.watch.recogniser_changed(
            at(seconds), patience=patience, gives_words_meanwhile=interims
        )

    def overdue(self, seconds: float) -> float | None:
        """What is owed for too long, as of then."""
        return self.watch.overdue(at(seconds))


def at(seconds: float) -> Moment:
    """A time at which both clocks agree."""
    return Moment(1000.0 + seconds, seconds)


def test_a_quiet_line_owes_nothing():
    """Whatever the recogniser does, nobody spoke."""
    line = Line()

    assert not line.watch.is_owed
    assert line.overdue(1000) is None


# --- while the caller speaks -------------------------------------------------------------------


def test_a_first_sign_is_owed_while_the_caller_speaks():
    """By a recogniser that gives words meanwhile, by its own account."""
    line = Line()
    line.watch.speech_began(at(1))

    assert line.watch.is_owed
    assert line.overdue(2.9) is None
    assert line.overdue(3.0) == 2.0


def test_who_gives_no_words_meanwhile_may_wait_for_the_end():
    """It owes them once the caller is silent."""
    line = Line(interims=False)
    line.watch.speech_began(at(1))
    assert line.overdue(100) is None

    line.watch.speech_ended(at(100))

    assert line.overdue(101.9) is None
    assert line.overdue(102) == 2.0


def test_a_sign_of_life_that_is_no_text_is_one():
    """Whoever says that speech has begun is there."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.began(at(1.5))

    assert line.overdue(60) is None


def test_who_was_seen_to_give_words_owes_the_next():
    """The connection may be lost in the middle of speech."""
    line = Line(interims=False)
    line.watch.speech_began(at(1))
    line.watch.words_came(at(2))

    assert line.overdue(3.9) is None
    assert line.overdue(4) == 2.0


def test_each_word_renews_its_patience():
    """As long as words come, it is there."""
    line = Line()
    line.watch.speech_began(at(0))
    for i in range(1, 20):
        line.watch.words_came(at(1.5 * i))
        assert line.overdue(1.5 * i + 1.9) is None


def test_who_was_seen_to_owes_words_after_a_final_too():
    """Long speech is settled piece by piece."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.words_came(at(1))
    line.watch.settled(at(2))

    assert line.overdue(4) == 2.0


def test_speech_begins_once():
    """A detector that says so twice does not move what is owed."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.speech_began(at(2.5))

    assert line.overdue(3) == 2.0


# --- once the caller is silent -----------------------------------------------------------------


def test_an_end_is_owed_of_what_was_begun():
    """However short the speech was."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.began(at(1.1))
    line.watch.speech_ended(at(1.15))

    assert line.overdue(3.1) is None
    assert line.overdue(3.2) is not None


@pytest.mark.parametrize(("length", "is_owed"), [(0.1, False), (0.19, False), (0.25, True)])
def test_a_click_is_no_word(length: float, *, is_owed: bool):
    """Recognisers make nothing of it, and owe nothing for it."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.speech_ended(at(1 + length))

    assert line.watch.is_owed is is_owed


def test_settled_words_settle_the_debt():
    """Whatever comes after the end of speech."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.speech_ended(at(2))
    line.watch.settled(at(2.5))

    assert not line.watch.is_owed
    assert line.overdue(60) is None


def test_words_that_may_change_still_owe_their_end():
    """Their recogniser may be lost in between."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.speech_ended(at(2))
    line.watch.words_came(at(2.5))

    assert line.overdue(4.4) is None
    assert line.overdue(4.5) == 2.0


def test_speech_settled_before_its_end_owes_no_more():
    """A quick final comes before the detector is sure that speech has ended."""
    line = Line()
    line.watch.speech_began(at(1))
    line.watch.settled(at(2.1))
    line.watch.speech_ended(at(2.0))

    assert not line.watch.is_owed


def test_speech_that_goes_on_after_a_final_is_owed_too():
    """Half a second of it holds a word."""
    line = Line(interims=False)
    line.watch.speech_began(at(1))
    line.watch.settled(at(2.0))
    line.watch.speech_ended(at(2.5))

    assert line.overdue(4.5) == 2.0


def test_silence_that_nobody_broke_does_not_end():
    """A detector that says so is left aside."""
    line = Line()
    line.watch.speech_ended(at(1))

    assert not line.watch.is_owed


# --- a caller who goes on ----------------------------------------------------------------------


def test_going_on_to_speak_does_not_renew_the_debt():
    """A caller who asks "hello?" again and again is not kept waiting for ever."""
    line = Line()
    for second in (0, 1):
        line.watch.speech_began(at(second))
        line.watch.speech_ended(at(second + 0.5))
    line.watch.speech_began(at(2))

    assert line.overdue(2.4) is None
    assert line.overdue(2.5) == 2.0


def test_a_debt_of_earlier_speech_outlives_the_end_of_later():
    """As above, where the later speech is over."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.speech_ended(at(0.5))
    line.watch.speech_began(at(1))
    line.watch.speech_ended(at(2))

    assert line.overdue(2.5) == 2.0


def test_a_sign_of_life_settles_the_debt_of_all_before():
    """What it says stands for everything it was given."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.speech_ended(at(0.5))
    line.watch.speech_began(at(1))
    line.watch.settled(at(1.1))

    assert line.overdue(60) is None


def test_short_noises_do_not_add_up_once_they_are_answered():
    """Each speech is looked at by itself, unless something is owed."""
    line = Line()
    for second in range(10):
        line.watch.speech_began(at(second))
        line.watch.speech_ended(at(second + 0.15))

    assert not line.watch.is_owed


# --- another recogniser ------------------------------------------------------------------------


def test_the_next_one_owes_what_was_not_settled():
    """It is given the same audio, and has the same patience, from now on."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.speech_ended(at(1))
    line.change(3)

    assert line.overdue(4.9) is None
    assert line.overdue(5) == 2.0


def test_the_next_one_owes_words_while_the_caller_speaks():
    """As far as it gives any before the end."""
    line = Line()
    line.watch.speech_began(at(0))
    line.change(2)
    assert line.overdue(4) == 2.0

    line.change(4, interims=False)
    assert line.overdue(60) is None

    line.watch.speech_ended(at(60))
    assert line.overdue(62) == 2.0


def test_the_next_one_owes_what_may_still_have_changed():
    """However much of the speech the one before had answered."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.words_came(at(0.95))
    line.watch.speech_ended(at(1))
    line.change(3)

    assert line.overdue(5) == 2.0


def test_the_next_one_owes_no_end_of_what_it_did_not_begin():
    """The one before took a click for the beginning of speech; there is nothing to end."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.began(at(0.05))
    line.watch.speech_ended(at(0.1))
    line.change(1)

    assert not line.watch.is_owed


def test_speech_that_was_settled_is_not_owed_by_the_next_one():
    """Only what was said since."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.words_came(at(0.5))
    line.watch.settled(at(0.9))
    line.watch.speech_ended(at(1))
    line.change(3)

    assert not line.watch.is_owed


def test_the_next_one_is_not_measured_by_the_one_before():
    """That words came early was seen of somebody else."""
    line = Line(interims=False)
    line.watch.speech_began(at(0))
    line.watch.words_came(at(1))
    line.change(2, interims=False)

    assert line.overdue(60) is None


def test_after_a_quiet_line_the_next_one_owes_nothing():
    """A connection may be recycled while nobody speaks."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.settled(at(1.1))
    line.watch.speech_ended(at(1))
    line.change(3)

    assert not line.watch.is_owed


def test_what_nobody_makes_anything_of_is_forgiven():
    """It was no speech: nobody owes anything until somebody speaks again."""
    line = Line()
    line.watch.speech_began(at(0))
    line.watch.began(at(0.5))
    line.watch.speech_ended(at(1))

    line.watch.forgive()

    assert not line.watch.is_owed
    line.change(3)
    assert not line.watch.is_owed
    line.watch.speech_began(at(10))
    assert line.overdue(14) == 4.0


def _noise_until_forgiven(line: Line, seconds: float) -> float:
    """Noise begins then; how long it takes until somebody is asked about it."""
    line.watch.speech_began(at(seconds))
    waits = next(n for n in range(1, 1000) if line.overdue(seconds + n) is not None)
    line.watch.forgive()
    return waits


def test_noise_is_asked_about_ever_less():
    """Up to once in a minute, until there are words."""
    line = Line()

    assert [_noise_until_forgiven(line, 1000 * n) for n in range(7)] == [2, 4, 8, 16, 32, 60, 60]

    line.watch.settled(at(8000), has_words=False)
    assert _noise_until_forgiven(line, 9000) == 60

    line.watch.settled(at(10_000))
    assert _noise_until_forgiven(line, 11_000) == 2

    line.watch.words_came(at(12_000))
    line.watch.settled(at(12_001), has_words=False)
    assert _noise_until_forgiven(line, 13_000) == 2


def test_a_patience_of_more_than_a_minute_stays_as_it_is():
    """Whoever gives so much of it knows why."""
    line = Line()
    line.change(0, patience=90.0)

    assert [_noise_until_forgiven(line, 1000 * n) for n in range(2)] == [90, 90]


def test_each_recogniser_has_a_patience_of_its_own():
    """Some wait for the end of the turn, and some are not to be watched."""
    line = Line()
    line.change(0, patience=7.0)
    line.watch.speech_began(at(0))
    assert line.overdue(6.9) is None
    assert line.overdue(7) == 7.0

    line.change(7, patience=None)
    assert line.overdue(1000) is None

    line.change(1000)
    assert line.overdue(1002) == 2.0


def test_noise_stretches_the_patience_with_everybody():
    """It is no less noise for the next one."""
    line = Line()
    assert _noise_until_forgiven(line, 0) == 2
    line.change(10, patience=7.0)

    assert _noise_until_forgiven(line, 100) == 14


# --- two clocks --------------------------------------------------------------------------------


def test_a_burst_of_audio_takes_time_to_be_heard():
    """The loop was blocked, or a replay is given at once: nobody can have answered yet."""
    line = Line()
    line.watch.speech_began(Moment(1000.0, 0.0))

    assert line.watch.overdue(Moment(1000.1, 30.0)) is None
    assert line.watch.overdue(Moment(1002.0, 30.0)) == 2.0


def test_nobody_owes_anything_while_no_audio_comes():
    """A muted caller, or an agent that speaks: recognisers cannot end what they hear no end of."""
    line = Line()
    line.watch.speech_began(Moment(1000.0, 0.0))
    line.watch.speech_ended(Moment(1001.0, 1.0))

    assert line.watch.overdue(Moment(1060.0, 2.9)) is None
    assert line.watch.overdue(Moment(1060.2, 3.1)) == pytest.approx(2.1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["speak", "stop", "begin", "words", "settle", "change", "forgive"]),
        st.floats(0.0, 3.0),
    ),
    max_size=40,
)


def _take(watch: SilenceWatch, step: str, now: Moment) -> None:
    calls = {
        "speak": watch.speech_began,
        "stop": watch.speech_ended,
        "begin": watch.began,
        "words": watch.words_came,
        "settle": watch.settled,
        "change": lambda at: watch.recogniser_changed(
            at, patience=PATIENCE, gives_words_meanwhile=True
        ),
    }
    watch.forgive() if step == "forgive" else calls[step](now)


@given(steps=STEPS)
def test_nobody_is_overdue_within_their_patience(steps: list[tuple[str, float]]):
    """Whatever happens: not before they had their patience since they last gave anything."""
    line = Line()
    now = last = 0.0
    for step, wait in steps:
        now += wait
        _take(line.watch, step, at(now))
        if step in ("begin", "words", "settle", "change", "forgive"):
            last = now

        assert line.overdue(last + PATIENCE - 0.01) is None


@given(steps=STEPS)
def test_who_stays_dumb_is_found_out(steps: list[tuple[str, float]]):
    """Whatever went before: speech long enough for a word, and then nothing, is noticed."""
    line = Line()
    now = 0.0
    for step, wait in steps:
        now += wait
        _take(line.watch, step, at(now))
    line.watch.speech_ended(at(now))
    line.watch.settled(at(now))
    line.watch.speech_began(at(now))
    line.watch.speech_ended(at(now + 1))

    assert line.overdue(now + 1.01 + PATIENCE) is not None


@given(steps=STEPS)
def test_who_settles_everything_owes_nothing(steps: list[tuple[str, float]]):
    """After the caller has stopped and the words have come, the line may stay quiet for ever."""
    line = Line()
    now = 0.0
    for step, wait in steps:
        now += wait
        _take(line.watch, step, at(now))
    line.watch.speech_ended(at(now))
    line.watch.settled(at(now))

    assert line.overdue(now + 1000) is None
