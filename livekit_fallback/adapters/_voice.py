# SPDX-License-Identifier: Apache-2.0
"""One voice speaking one text: the attempt of the adapter for voices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from livekit import rtc
from livekit.agents.tts import SynthesizedAudio, SynthesizeStream
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from ..core.delivery import SpeakingRate
from ..core.endmark import EndMark
from ..core.outcome import SERVED, Outcome
from ..core.script import Script, fastest
from ..errors import CutShortError, DigitalSilenceError, EndedEarlyError, NoOutputError
from ._assignment import Assignment
from ._attempt import Attempt
from ._format import Format, Resampling, is_silence
from ._handover import Handover, Playout
from ._pauses import pauses_in

# The shortest word, and what timings may be wrong by.
_UNTIMED_SEC = 0.1

# Longer pauses are made by voices that are asked for them, at most.
_LONGEST_PAUSE_SEC = 3.0

OnPartial = Literal["continue", "stop", "restart_sentence"]


@dataclass(frozen=True, slots=True)
class Part:
    """What of a reply one voice is to speak, and how.

    Args:
        script: The text, which may still be growing.
        audio_format: What the session was promised.
        playout: Where the audio goes.
        told: Words that the session was told of by the voice before, although it did not speak
            them whole.
        heard: Words that are spoken a second time, because their sentence is begun anew.
        on_partial: What follows if the voice dies in the middle of it; see
            :class:`~livekit_fallback.options.TTSOptions`.
    """

    script: Script
    audio_format: Format
    playout: Playout
    told: int = 0
    heard: int = 0
    on_partial: OnPartial = "stop"


@dataclass(slots=True)
class Habits:
    """What is known of one voice from its replies so far."""

    end_mark: EndMark = field(default_factory=EndMark)
    rate: SpeakingRate = field(default_factory=SpeakingRate)


class VoiceAttempt(Attempt[SynthesizedAudio]):
    """One voice speaking a text, or the rest of it.

    Useful is audio with sound in it. Digital silence is held back until sound follows, so that a
    voice which sends nothing else has sent nothing; after sound, for as long as the session has
    other audio in hand.

    Args:
        given: What to work with.
        open_stream: Opens the voice's stream.
        part: What to speak.
        habits: Of this voice.
        prime: Hands the opened stream the text so far.
    """

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], Any],
        part: Part,
        habits: Habits,
        prime: Callable[[SynthesizeStream], None] | None = None,
    ) -> None:
        super().__init__(given, open_stream, prime)
        self.part = part
        self._script = part.script
        self._habits = habits
        self._handover = Handover(part.playout, part.told, self._owes_more)
        self._resampling = Resampling(part.audio_format)
        self._held: list[SynthesizedAudio] = []  # silence that sound may follow
        self._silence = 0.0  # seconds of it
        self._paused = 0.0  # seconds of it that were handed over all the same
        self._final_seen = False
        self._owed_more = True  # text was left to speak at the last look
        self._received = 0.0  # seconds of audio with sound in it
        self._heard: list[rtc.AudioFrame] = []  # to find pauses in, where there are no timings
        self._spoken: int | None = None  # words, once the voice is gone

    @property
    def lost(self) -> float | None:
        """Letters of the text that the delivered audio leaves unspoken, estimated."""
        return self._script.unspoken(self.delivered)

    @property
    def has_served(self) -> bool:
        """Whether the caller has heard a word more: a voice that only stutters is no progress."""
        return self.committed and (self.error is None or self._words_spoken() > self.part.heard)

    @property
    def may_move_on(self) -> bool:
        """Whether the next voice may be asked for the rest."""
        return not self.broke_off or self.part.on_partial != "stop"

    @property
    def may_be_asked_again(self) -> bool:
        """Whether the same provider may be: for the rest, which is another text."""
        return self.may_move_on

    def start(self) -> None:
        """Begin to use the voice, unless nothing is left to speak."""
        if self._is_needless:
            self._succeed()
        else:
            super().start()

    @property
    def _is_needless(self) -> bool:
        """Whether the voices before have left nothing that is pronounced."""
        script, playout = self._script, self.part.playout
        return playout.seconds > 0.0 and script.ended and not script.has_words

    def owe_speakable(self) -> None:
        """Start the clock if the voice was handed text that it can speak; or go on with it."""
        if not self.committed and self._is_needless:
            self._succeed()
        if not self._script.is_speakable:
            return
        self.owe()
        if self.committed and not self._owed_more and self._owes_more():
            # it had spoken all it was given: the silence until now was not its own
            self._owed_more = True
            self._last_output = self._loop.time()
            self._watch.look()

    def rest(self) -> Part:
        """Return what is left to speak for the next voice, once this one is gone."""
        spoken = self._words_spoken()
        told = min(self._handover.told_of(self._script), self._script.whole_words)
        told = max(0, told - spoken, self.part.told - spoken)
        begin = spoken
        if self.part.on_partial == "restart_sentence":
            begin = self._script.sentence_of(spoken)
        again = spoken - begin
        heard = max(again, self.part.heard - begin)
        return replace(self.part, script=self._script.after(begin), told=told + again, heard=heard)

    def _words_spoken(self) -> int:
        if self._spoken is None:
            delivery, habits = self._handover.delivery, self._habits
            pauses = [] if delivery.is_timed else pauses_in(self._heard)
            spoken = delivery.spoken(
                self._script,
                self.delivered - self._paused,
                pauses,
                habits.rate.letters_per_sec,
            )
            self._spoken = min(spoken, self._script.whole_words)
            self._heard.clear()
        return self._spoken

    def _receive(self, audio: SynthesizedAudio) -> None:
        self.part.audio_format.check(audio.frame)
        self._final_seen = audio.is_final
        self._held.append(audio)
        # silence is the right way to speak a text without words, such as "..." or a break
        if is_silence(audio.frame) and self._script.has_words:
            self._wait_for_sound(audio.frame.duration)
            return
        self._silence = self._paused = 0.0
        self._output()
        self._received += audio.frame.duration
        self._take_held()
        self._owed_more = self._owes_more()

    def _wait_for_sound(self, seconds: float) -> None:
        # a voice that pauses goes on; one that broke down may send nothing else any more
        self._silence += seconds
        if self.committed and self._silence <= _LONGEST_PAUSE_SEC:
            self._output()
            if not self.part.playout.has_lead:
                # a pause of a voice in real time: to keep it back would make it twice as long
                self._take_held()
                self._paused = self._silence

    def _take_held(self) -> None:
        held, self._held = self._held, []
        for item in held:
            if not self.is_decided:  # what came before may have shown that it is lost
                self._take(item)

    def _take(self, audio: SynthesizedAudio) -> None:
        handover = self._handover
        timings = audio.frame.userdata.pop(USERDATA_TIMED_TRANSCRIPT, None)
        if timings:
            handover.time(timings)
            if handover.delivery.take_back_hurried(fastest(self._usual_pace)):
                self._fail(CutShortError())
                return
        for converted in self._resampling.convert(audio):
            handover.push(converted)
        self.delivered = handover.delivered
        if not handover.delivery.is_timed:
            self._heard.append(audio.frame)

    def _owes_more(self) -> bool:
        return self._script.is_owed(self._received)

    def _judge_end(self) -> BaseException | None:
        problem = self._problem_of_end()
        if problem is None:
            self._finish()
        return problem

    def _problem_of_end(self) -> BaseException | None:
        if not self._script.has_words:
            return None
        if not self.committed:
            return DigitalSilenceError() if self._held else NoOutputError("audio")
        if not self._script.ended:
            return EndedEarlyError("text was still coming")
        if self._is_cut_short():
            return CutShortError()
        end_mark = self._habits.end_mark
        if self._final_seen:
            end_mark.seen_at_end()
            return None
        was_expected = end_mark.is_expected
        end_mark.missed_at_end()
        return EndedEarlyError("the audio came without its final frame") if was_expected else None

    def _is_cut_short(self) -> bool:
        rate, handover = self._habits.rate, self._handover
        untimed = handover.delivery.untimed_letters(self._script)
        if untimed is not None:
            # not every voice tells about its last words, but they need their time
            room = handover.pushed - self._paused - handover.delivery.last_end + _UNTIMED_SEC
            return room < 0.0 or untimed > room * rate.letters_per_sec
        return self._script.is_cut_short(self._received, self._usual_pace)

    @property
    def _usual_pace(self) -> float | None:
        rate = self._habits.rate
        return rate.letters_per_sec if rate.is_known else None

    def _is_complete(self) -> bool:
        script = self._script
        if not script.ended or not script.has_words:
            return script.ended
        if not self.committed or self._is_cut_short():
            return False
        # an error after the last frame, or after all that was to be said, is no failure
        if self._final_seen or script.is_surely_spoken(self._received):
            return True
        handover = self._handover
        if handover.delivery.ends_words:
            spoken = handover.delivery.spoken(script, handover.pushed - self._paused, [], 0.0)
        else:
            spoken = self._words_spoken()  # of which the next voice would be asked for the rest
        return spoken == len(script.tokens)

    def _finish(self) -> None:
        """Hand over what is held: the text was spoken. Idempotent."""
        self._take_held()
        if self.is_decided:
            return
        self._handover.finish()
        self.delivered = self._handover.delivered
        if self._script.ended and self.committed:
            self._habits.rate.learn(self._script.letters, self.delivered)
        self._heard.clear()

    def let_go(self) -> None:
        """Cancel the voice, should it still be at work. Idempotent."""
        self._handover.drop_patience()
        super().let_go()

    def _decide(self, outcome: Outcome) -> None:
        if not self.is_decided and self.committed:
            if outcome is SERVED:
                self._finish()
            elif outcome.failure is not None:
                self._handover.cut()
                self.delivered = self._handover.delivered
        super()._decide(outcome)
