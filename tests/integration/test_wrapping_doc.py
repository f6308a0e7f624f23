# SPDX-License-Identifier: Apache-2.0
"""What docs/wrapping.md says in code, and of combined capabilities, is what the package does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from livekit.plugins import cartesia, deepgram, openai

from livekit_fallback import FallbackSTT, FallbackTTS
from livekit_fallback.adapters import _settings
from tests.adapters.test_hooks import STT_ALL, STT_ANY

PAGE = (Path(__file__).parents[2] / "docs" / "wrapping.md").read_text(encoding="utf-8")


def test_the_example_runs_with_the_real_plugins():
    """Names, options and values are such that the plugins take them."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    sonic, coral = cartesia.TTS(api_key="x"), openai.TTS(api_key="x")
    names: dict[str, Any] = {
        "stt": FallbackSTT([deepgram.STT(api_key="x")]),
        "tts": FallbackTTS([sonic, coral]),
    }

    exec(compile(block, "docs/wrapping.md", "exec"), names)

    assert (sonic._opts.voice, coral._opts.voice) == ("5ee9feff", "coral")
    assert sonic._opts.speed == 1.1
    assert coral._opts.speed != 1.1


def test_the_lists_are_those_of_the_code():
    """Which capabilities all must have, which one is enough for, and what is one vendor's own."""
    rows = {
        row.split("|")[2].strip(): re.findall(r"`(\w+)`", row.split("|")[1])
        for row in PAGE.splitlines()
        if row.startswith("| STT") and "**" in row
    }

    assert rows == {"if **all** can": list(STT_ALL), "if **any** can": list(STT_ANY)}
    assert all(f"`{name}`" in PAGE for name in _settings._VENDORS_OWN)
