# SPDX-License-Identifier: Apache-2.0
"""The audio of a segment of speech, as recognisers that cannot stream are given it."""

from __future__ import annotations

import pytest

from livekit_fallback.adapters._segment import Segment
from tests.support.detectors import voice


def test_its_audio_is_one_frame():
    """With the beginning that its START brought along, and the newest part of each window."""
    segment = Segment()
    segment.begin(voice(0.4), began_at=1.0)
    segment.add(voice(0.2), newest=0.01)

    (frame,) = segment.frames

    assert frame.duration == pytest.approx(0.4 + 10 * 0.01)


def test_of_several_formats_the_newest_is_kept():
    """The input's rate may change; a segment without audio would be refused."""
    segment = Segment()
    segment.begin(voice(0.4), began_at=1.0)
    segment.add(voice(0.3, rate=48_000), newest=1.0)

    (frame,) = segment.frames

    assert frame.sample_rate == 48_000
    assert frame.duration == pytest.approx(0.3)


def test_nobody_told_any_audio():
    """There is none to be made up."""
    segment = Segment()
    segment.begin([], began_at=1.0)

    assert segment.frames == []
