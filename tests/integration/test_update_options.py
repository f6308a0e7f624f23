# SPDX-License-Identifier: Apache-2.0
"""Settings of the vendors' real plugins, changed in a running call."""

from __future__ import annotations

import pytest
from livekit.plugins import cartesia, deepgram, openai

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS


def test_the_plugins_take_what_they_say():
    """Signatures of real plugins are read as they are meant."""
    ears = FallbackSTT([deepgram.STT(api_key="x"), openai.STT(api_key="x", use_realtime=True)])
    sonic, whisper = cartesia.TTS(api_key="x"), openai.TTS(api_key="x")
    voices = FallbackTTS([sonic, whisper])
    brains = FallbackLLM([openai.LLM(api_key="x")])

    ears.update_options(language="de")
    voices.update_options(speed=1.2)
    voices.update_options({"cartesia": {"voice": "v1"}, "openai": {"voice": "coral"}})

    assert ears.services[0]._opts.language == "de"  # type: ignore[attr-defined]
    assert ears.services[1]._opts.languages == ["de"]  # type: ignore[attr-defined]
    assert (sonic._opts.voice, whisper._opts.voice) == ("v1", "coral")
    assert (sonic._opts.speed, whisper._opts.speed) == (1.2, 1.2)
    with pytest.raises(ValueError, match="voice='v2': must be given for one provider"):
        voices.update_options(voice="v2")
    with pytest.raises(ValueError, match=r"temperature=0.2: must be an option .*takes none"):
        brains.update_options(temperature=0.2)
