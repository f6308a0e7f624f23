# SPDX-License-Identifier: Apache-2.0
"""What loudness alone says about a line: speech stands out of the noise, and comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from livekit_fallback.core.loudness import SILENT_DB, Heard, NoiseFloor, Patience, SpeechGate

WINDOW = 0.03
PATIENCE = Patience(min_speech=0.06, min_silence=0.3)

NOISE = -60.0
SPEECH = [-20.0, -32.0, -17.0, -25.0]  # syllables: they come and go


def hear(*levels: float, patience: Patience = PATIENCE) -> list[Heard]:
    gate = SpeechGate(WINDOW, patience)
    return [gate.hear(level) for level in levels]


def starts(heard: list[Heard]) -> list[int]:
    return [i for i, h in enumerate(heard) if h.started]


def ends(heard: list[Heard]) -> list[int]:
    return [i for i, h in enumerate(heard) if h.ended]


def test_speech_begins_and_ends_once():
    """It begins when it has been loud for long enough, and ends after enough quiet."""
    heard = hear(*[NOISE] * 20, *SPEECH * 10, *[NOISE] * 20)

    assert starts(heard) == [21]
    assert ends(heard) == [60 + 9]


def test_durations_are_of_the_segment():
    """At the end: the speech without the silence that ended it, and that silence."""
    heard = hear(*[NOISE] * 20, *SPEECH * 10, *[NOISE] * 20)

    assert heard[21].speech == pytest.approx(2 * WINDOW)
    assert heard[21].silence == 0.0
    assert heard[69].speech == pytest.approx(40 * WINDOW)
    assert heard[69].silence == pytest.approx(0.3)
    assert heard[70].speech == 0.0
    assert heard[70].silence == pytest.approx(0.33)


def test_speech_that_goes_on_is_told_window_by_window():
    """What the session reads of every window: who speaks, for how long, since when it is quiet."""
    heard = hear(*[NOISE] * 20, *SPEECH, NOISE)

    assert heard[19].is_speaking is False
    assert heard[23].is_speaking is True
    assert heard[23].loud == pytest.approx(4 * WINDOW)
    assert heard[24].is_speaking is True
    assert heard[24].loud == 0.0
    assert heard[24].quiet == pytest.approx(WINDOW)
    assert heard[24].speech == pytest.approx(5 * WINDOW)


def test_a_click_is_not_speech():
    """One loud window is a key or a door."""
    assert starts(hear(*[NOISE] * 20, -10.0, *[NOISE] * 20)) == []


def test_a_short_pause_does_not_end_speech():
    """Closed consonants are silent."""
    heard = hear(*[NOISE] * 20, *SPEECH, *[NOISE] * 8, *SPEECH)

    assert len(starts(heard)) == 1
    assert ends(heard) == []


def test_soft_ends_of_words_belong_to_them():
    """What would be too soft to begin with is loud enough to go on."""
    heard = hear(*[NOISE] * 20, *SPEECH, *[-51.0, -53.5] * 10)
    alone = hear(*[NOISE] * 20, *[-51.0, -53.5] * 10)

    assert ends(heard) == []
    assert starts(alone) == []


@pytest.mark.parametrize("level", [SILENT_DB, -70.0, -50.0, -30.0, -10.0])
def test_a_steady_line_is_silent(level):
    """Silence, hiss and hum of any loudness."""
    assert starts(hear(*[level, level + 1.0] * 100)) == []


def test_noise_that_sets_in_is_noise_before_long():
    """It is taken for speech at first, and no longer than it takes to tell."""
    heard = hear(*[SILENT_DB] * 50, *[-30.0] * 100)

    assert len(starts(heard)) == len(ends(heard)) == 1
    assert (ends(heard)[0] - 50) * WINDOW <= 0.6 + 0.3 + WINDOW


def test_speech_above_loud_noise_is_heard():
    """What counts is how far it stands out."""
    heard = hear(*[-35.0] * 40, *[-15.0, -22.0] * 20, *[-35.0] * 20)

    assert len(starts(heard)) == len(ends(heard)) == 1


def test_a_line_that_grows_quieter_is_followed_at_once():
    """Soft speech after the noise has gone is heard."""
    heard = hear(*[-30.0] * 40, *[-60.0] * 5, *[-40.0, -44.0] * 4)

    assert starts(heard) == [46]


def test_speech_that_was_under_way_is_heard_from_its_first_gap():
    """A detector that comes in mid-word knows no noise yet."""
    heard = hear(*SPEECH, -55.0, *SPEECH, *[-55.0] * 10)

    assert len(starts(heard)) == len(ends(heard)) == 1


def test_no_patience_means_the_first_window_decides():
    """Zero is a number like any other."""
    heard = hear(*[NOISE] * 20, -20.0, NOISE, patience=Patience(0.0, 0.0))

    assert starts(heard) == [20]
    assert ends(heard) == [21]


def test_a_reset_begins_a_new_segment():
    """Whoever speaks on is heard to begin again."""
    gate = SpeechGate(WINDOW, PATIENCE)
    for level in [NOISE] * 20 + SPEECH:
        gate.hear(level)
    gate.reset()

    heard = [gate.hear(level) for level in SPEECH]

    assert starts(heard) == [1]
    assert heard[0].is_speaking is False


def test_probability_grows_with_loudness():
    """One half is where speech may begin."""
    floor = NoiseFloor(WINDOW)
    floor.compare(-60.0)

    assert floor.compare(-96.0).probability == 0.0
    assert floor.compare(-50.0).probability == 0.5
    assert floor.compare(-45.0).probability == 0.75
    assert floor.compare(-5.0).probability == 1.0


def test_a_window_longer_than_the_memory_is_no_error():
    """Odd windows are judged by what there is."""
    assert NoiseFloor(10.0).compare(-20.0).is_loud is False


@given(st.lists(st.floats(SILENT_DB, 0.0), max_size=300))
def test_starts_and_ends_take_turns(levels):
    """Whatever is heard: no end without a start, no second start before the end."""
    speaking = False
    for heard in hear(*levels):
        assert not (heard.started and heard.ended)
        assert not (heard.started and speaking)
        assert not (heard.ended and not speaking)
        speaking = (speaking or heard.started) and not heard.ended
        assert heard.is_speaking is speaking
        assert 0.0 <= heard.probability <= 1.0
        assert min(heard.speech, heard.silence, heard.loud, heard.quiet) >= 0.0
