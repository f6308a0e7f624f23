# SPDX-License-Identifier: Apache-2.0
"""What docs/vad.md says about options and numbers is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from livekit_fallback.core import activity, loudness
from livekit_fallback.vad_options import VAD_DEFAULTS

PAGE = (Path(__file__).parents[1] / "docs" / "vad.md").read_text("utf-8")


def test_every_option_and_default_is_documented():
    """Nothing missing, nothing made up."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \| [^|]* \|$", PAGE, re.MULTILINE))

    assert rows == {name: repr(value) for name, value in VAD_DEFAULTS.items()}


@pytest.mark.parametrize(
    "text",
    [
        f"{loudness._ONSET_DB:g} dB above the quietest window",
        f"of the last {loudness._FLOOR_SEC:g} s",
        f"at least {loudness._SOFTEST_ONSET_DB:g} dBFS",
        f"keeps its level for {loudness._STEADY_SEC:g} s",
        f"has heard {activity._SURE_SEC:g} s",
        f"{VAD_DEFAULTS['total_timeout']:g} s, there",
    ],
)
def test_numbers_are_those_of_the_code(text: str):
    """A rule that is tuned is told."""
    assert text in " ".join(PAGE.split())
