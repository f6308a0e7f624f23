# SPDX-License-Identifier: Apache-2.0
"""Who is given speech and gives nothing back is found out, and nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.silence import Moment, SilenceWatch

PATIENCE = 3.0


def at(seconds: float) -> Moment:
    """Time passes as audio comes."""
    return Moment(seconds, seconds)


def watching(*, gives_words_meanwhile: bool = True) -> SilenceWatch:
    watch = SilenceWatch(PATIENCE)
    watch.recogniser_changed(at(0.0), gives_words_meanwhile=gives_words_meanwhile)
    return watch


def first_overdue(watch: SilenceWatch, until: float = 60.0) -> float | None:
    """When it is found out, to a tenth of a second."""
    times = (n / 10 for n in range(round(until * 10)))
    return next((t for t in times if watch.overdue(at(t)) is not None), None)


def test_nobody_owes_anything_while_nobody_speaks():
    """A silent caller trips nothing."""
    watch = watching()

    assert not watch.is_owed
    assert first_overdue(watch) is None


def test_the_first_sign_is_owed_while_people_speak():
    """By recognisers that give words meanwhile."""
    watch = watching()
    watch.speech_began(at(1.0))

    assert watch.is_owed
    assert watch.overdue(at(3.9)) is None
    assert watch.overdue(at(4.0)) == PATIENCE


def test_others_owe_nothing_until_speech_has_ended():
    """A recogniser that takes whole utterances may be silent for a long one."""
    watch = watching(gives_words_meanwhile=False)
    watch.speech_began(at(1.0))
    assert first_overdue(watch) is None

    watch.speech_ended(at(20.0))

    assert first_overdue(watch) == 23.0


def test_who_gave_words_meanwhile_owes_more_of_them():
    """A recogniser that falls silent in a long utterance is found out in it."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.words_came(at(2.0))

    assert first_overdue(watch) == 5.0


def test_who_only_marked_the_beginning_owes_nothing_more_meanwhile():
    """Some say that speech has begun, and then nothing before its end."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.began(at(1.3))
    assert first_overdue(watch) is None

    watch.speech_ended(at(9.0))

    assert first_overdue(watch) == 12.0


def test_what_was_begun_has_to_be_ended():
    """Words that stay open are owed a final, however short the speech was."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.words_came(at(1.2))
    watch.speech_ended(at(1.3))

    assert first_overdue(watch) == 4.3


def test_late_words_begin_the_wait_anew():
    """Whoever still gives words lives."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.speech_ended(at(2.0))
    watch.words_came(at(4.0))

    assert first_overdue(watch) == 7.0


def test_a_final_settles_the_debt():
    """Before the end of speech or after it."""
    for settled_at in (1.9, 2.5):
        watch = watching()
        watch.speech_began(at(1.0))
        if settled_at < 2.0:
            watch.settled(at(settled_at))
        watch.speech_ended(at(2.0))
        watch.settled(at(settled_at))

        assert first_overdue(watch) is None


def test_speech_after_a_final_is_owed_again():
    """What was settled earlier is no sign of life for what came later."""
    watch = watching(gives_words_meanwhile=False)
    watch.speech_began(at(1.0))
    watch.settled(at(2.0))
    watch.speech_ended(at(4.0))

    assert first_overdue(watch) == 7.0


@pytest.mark.parametrize(("seconds", "found"), [(0.1, None), (0.19, None), (0.3, 4.3)])
def test_a_click_is_not_a_word(seconds: float, found: float | None):
    """What is shorter than the shortest word need not be answered."""
    watch = watching(gives_words_meanwhile=False)
    watch.speech_began(at(1.0))
    watch.speech_ended(at(1.0 + seconds))

    assert first_overdue(watch) == found


def test_clicks_do_not_add_up():
    """Each is forgotten when the next begins."""
    watch = watching(gives_words_meanwhile=False)
    for n in range(20):
        watch.speech_began(at(float(n)))
        watch.speech_ended(at(n + 0.15))

    assert first_overdue(watch) is None


def test_a_debt_is_not_put_off_by_speaking_again():
    """A caller who asks again and again is not made to wait for longer each time."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.speech_ended(at(2.0))
    watch.speech_began(at(3.0))
    watch.speech_ended(at(3.5))
    watch.speech_began(at(4.5))

    assert first_overdue(watch) == 5.0


def test_a_second_beginning_or_end_changes_nothing():
    """Detectors may stutter."""
    watch = watching()
    watch.speech_ended(at(0.5))
    watch.speech_began(at(1.0))
    watch.speech_began(at(2.0))

    assert first_overdue(watch) == 4.0


@pytest.mark.parametrize("clock", ["audio", "now"])
def test_both_clocks_have_to_pass(clock: str):
    """Audio in a burst cannot have been heard yet, and without audio nobody owes."""
    watch = watching()
    watch.speech_began(at(1.0))
    later: Callable[[float], Moment] = {
        "audio": lambda s: Moment(1.0 + s, 1.5),
        "now": lambda s: Moment(1.1, 1.0 + s),
    }[clock]

    assert watch.overdue(later(30.0)) is None


@pytest.mark.parametrize("is_speaking", [True, False])
def test_the_next_recogniser_owes_it_from_when_it_was_given_it(is_speaking: bool):
    """It hears what is not settled again, and cannot have answered before."""
    watch = watching()
    watch.speech_began(at(1.0))
    if not is_speaking:
        watch.speech_ended(at(2.0))

    watch.recogniser_changed(at(4.0), gives_words_meanwhile=True)

    assert first_overdue(watch) == 7.0


def test_the_next_recogniser_owes_speech_that_went_on_before_it():
    """One without partial transcripts owes it once the caller is silent."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.recogniser_changed(at(4.0), gives_words_meanwhile=False)
    assert first_overdue(watch) is None

    watch.speech_ended(at(4.05))

    assert first_overdue(watch) == pytest.approx(7.1)


def test_the_next_recogniser_owes_nothing_for_a_quiet_caller():
    """All was settled before the change."""
    watch = watching()
    watch.speech_began(at(1.0))
    watch.speech_ended(at(2.0))
    watch.settled(at(2.2))

    watch.recogniser_changed(at(4.0), gives_words_meanwhile=True)

    assert first_overdue(watch) is None


def test_what_nobody_understands_is_forgiven():
    """Noise that goes on is not held against anybody; the next speech is."""
    watch = watching()
    watch.speech_began(at(1.0))

    watch.forgive()
    assert first_overdue(watch) is None
    watch.speech_ended(at(9.0))
    assert first_overdue(watch) is None

    watch.speech_began(at(20.0))
    assert first_overdue(watch) == 23.0


STEP = st.sampled_from(["speak", "stop", "mark", "words", "final"])


@given(steps=st.lists(st.tuples(STEP, st.floats(0.01, 1.0)), max_size=30))
def test_whoever_answers_everything_within_patience_is_never_blamed(
    steps: list[tuple[str, float]],
):
    """Whatever the order of speech and signs, as long as a final follows in time."""
    watch, now = watching(), 0.0
    do: dict[str, Callable[[Moment], None]] = {
        "speak": watch.speech_began,
        "stop": watch.speech_ended,
        "mark": watch.began,
        "words": watch.words_came,
        "final": watch.settled,
    }
    answered = 0.0
    for step, gap in steps:
        now += gap
        do[step](at(now))
        if now - answered > PATIENCE - 1.0:
            watch.settled(at(now))
            answered = now
        assert watch.overdue(at(now)) is None
