# SPDX-License-Identifier: Apache-2.0
"""One reply, spoken by one voice after the other: who dies is continued by the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from livekit.agents.tts import SynthesizedAudio, SynthesizeStream

from ..core.script import Script
from ._assignment import Assignment
from ._format import Format
from ._handover import Playout
from ._voice import Habits, OnPartial, Part, VoiceAttempt


class Speech:
    """What an adapter's replies have in common.

    Args:
        audio_format: What sessions are promised.
        habits: Of each voice, in the order of the providers.
        on_partial: What follows a voice that dies in mid-reply.
    """

    def __init__(
        self, audio_format: Format, habits: Sequence[Habits], on_partial: OnPartial
    ) -> None:
        self.audio_format = audio_format
        self.habits = habits
        self.on_partial: OnPartial = on_partial


class Reply:
    """One reply: what is left to speak of it, and what the session has.

    Args:
        speech: What all replies have in common.
        script: The text, which may still be growing.
        deliver: Hands audio to the session.
    """

    def __init__(
        self, speech: Speech, script: Script, deliver: Callable[[SynthesizedAudio], None]
    ) -> None:
        self._speech = speech
        self.playout = Playout(deliver)
        self._part = Part(script, speech.audio_format, self.playout, on_partial=speech.on_partial)
        self._at_work: list[VoiceAttempt] = []

    @property
    def script(self) -> Script:
        """What is left to speak, as far as is known."""
        return self._part.script

    def attempt(
        self,
        given: Assignment,
        open_stream: Callable[[VoiceAttempt], Any],
        prime: Callable[[VoiceAttempt, SynthesizeStream], None] | None = None,
    ) -> VoiceAttempt:
        """Return an attempt to speak what is left, once the voices before have failed.

        Args:
            given: What to work with.
            open_stream: Opens the voice's stream for the attempt.
            prime: Hands the opened stream the text so far.
        """
        broken = next((a for a in self._at_work if a.is_decided and a.broke_off), None)
        if broken is not None:
            self._part = broken.rest()
        attempt: VoiceAttempt = VoiceAttempt(
            given,
            lambda: open_stream(attempt),
            self._part,
            self._speech.habits[given.member.index],
            None if prime is None else lambda stream: prime(attempt, stream),
        )
        # two are at work where one hedges the other
        self._at_work = [*(a for a in self._at_work if not a.is_decided), attempt]
        return attempt
