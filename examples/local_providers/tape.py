# SPDX-License-Identifier: Apache-2.0
"""What the voices made, kept so that it can be looked for in a recording of a call."""

from __future__ import annotations

import base64
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from . import audio
from .voice import RATE

if TYPE_CHECKING:
    from .voice import Speech, Voice

TAPE_RATE = 8_000
"""Samples per second on the tape: enough to tell words, a third of the data."""


class TapedVoice:
    """A voice, and a tape of all it said. Whether anybody was sent it, the tape does not know."""

    KEPT = 400  # a call of five minutes makes about fifty

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._tape: deque[tuple[float, str, str, Speech]] = deque(maxlen=self.KEPT)

    async def say(self, text: str, vendor: str) -> Speech:
        """Return ``text`` as speech in the voice of ``vendor``."""
        asked = time.time()
        speech = await self._voice.say(text, vendor)
        self._tape.append((asked, vendor, text, speech))
        return speech

    async def aclose(self) -> None:
        """Release the engine."""
        await self._voice.aclose()

    def entries(self) -> list[dict[str, Any]]:
        """All that was said, the oldest first.

        Each has the ``time`` it was asked for, ``vendor``, ``text``, ``words`` with start and end
        in seconds, and ``pcm``: 16 bit mono at ``TAPE_RATE`` in base64.
        """
        return [
            {
                "time": asked,
                "vendor": vendor,
                "text": text,
                "words": [[word.text, word.start, word.end] for word in speech.words],
                "pcm": base64.b64encode(audio.resample(speech.pcm, RATE, TAPE_RATE)).decode(),
            }
            for asked, vendor, text, speech in self._tape
        ]
