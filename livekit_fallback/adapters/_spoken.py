# SPDX-License-Identifier: Apache-2.0
"""The streams of the adapter for voices: one complete text, or one that is still being written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

from livekit.agents import APIConnectOptions
from livekit.agents.tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream
from livekit.agents.types import USERDATA_TTS_STARTED_TIME
from livekit.agents.utils import shortuuid
from opentelemetry import trace

from ..core.script import Script
from ..errors import AllProvidersFailedError
from ._assignment import Assignment
from ._base import patient_options
from ._canned import Canned
from ._chain import Chain
from ._livekit import end_span, note_served
from ._outbox import OutboxStream
from ._probe import MakeProbe
from ._reply import Reply, Speech
from ._request import MakeAttempt, Request
from ._voice import VoiceAttempt


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an adapter's streams have in common.

    Args:
        chain: The adapter's voices.
        speech: How they speak.
        probe: Makes the probe that repeats the beginning of a text, for streams.
        probe_whole: Likewise, for complete texts.
        last_resort: Played when no voice speaks.
        holding_phrase: Played once, when none has spoken yet.
        hold_after: Seconds until then.
    """

    chain: Chain[TTS]
    speech: Speech
    probe: Callable[[Script], MakeProbe]
    probe_whole: Callable[[Script], MakeProbe]
    last_resort: Canned | None = None
    holding_phrase: Canned | None = None
    hold_after: float = 0.0

    def prepare(self) -> None:
        """Have phrases spoken that are texts."""
        for phrase in (self.last_resort, self.holding_phrase):
            if phrase is not None:
                phrase.prepare(self.chain)


class _SpokenStream(OutboxStream[SynthesizedAudio]):
    """What both ways to ask for speech have in common."""

    _tts_request_span_name: ClassVar[str] = "tts_fallback_adapter"
    _tts_attempt_span_name: ClassVar[str | None] = None
    _tts_request_span: trace.Span | None
    _started_time: float
    _spoken: Spoken
    _reply: Reply
    _exhaustion: AllProvidersFailedError | None = None

    @cached_property
    def _segment_id(self) -> str:
        return shortuuid()

    def _hand_over(self, audio: SynthesizedAudio) -> None:
        """Hand audio to the session under one segment id, whichever provider made it."""
        if self._started_time:
            audio.frame.userdata[USERDATA_TTS_STARTED_TIME] = self._started_time
        self._outbox.put(
            SynthesizedAudio(
                audio.frame, audio.request_id, audio.is_final, self._segment_id, audio.delta_text
            )
        )

    async def _speak(self, make_attempt: MakeAttempt) -> None:
        request = Request(self._spoken.chain, make_attempt)
        attempt = await request.run_or(self._last_resort if self._spoken.last_resort else None)
        if attempt is None:
            # heard, the phrase is not the reply: the session is to know that this was cut short
            assert self._exhaustion is not None
            raise self._exhaustion
        note_served(self._tts_request_span, attempt.member)
        self._spoken.prepare()

    @contextlib.contextmanager
    def _covered_wait(self) -> Iterator[None]:
        """Play the holding phrase, should nobody speak in time."""
        phrase = self._spoken.holding_phrase
        if phrase is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(self._spoken.hold_after, self._hold, phrase)
        try:
            yield
        finally:
            timer.cancel()

    def _hold(self, phrase: Canned) -> None:
        if not self._reply.playout.seconds:
            phrase.play(self._reply.playout.deliver)

    async def _last_resort(self, error: AllProvidersFailedError, has_begun: bool) -> bool:
        self._exhaustion = error
        phrase = self._spoken.last_resort
        return phrase is not None and phrase.play(self._reply.playout.deliver)

    def _end_span(self) -> None:
        end_span(self._tts_request_span)
        self._tts_request_span = None


class FallbackChunkedStream(_SpokenStream, ChunkedStream):
    """One :meth:`FallbackTTS.synthesize`."""

    def __init__(
        self,
        tts: TTS,
        text: str,
        conn_options: APIConnectOptions,
        spoken: Spoken,
    ) -> None:
        super().__init__(tts=tts, input_text=text, conn_options=conn_options)
        self._spoken = spoken
        self._reply = Reply(spoken.speech, Script.of(text), self._hand_over)
        self._read_from_outbox(self._synthesize_task)

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        script = self._reply.script
        if script.is_blank:
            return
        self._spoken.chain.remember(self._spoken.probe_whole(script))
        with self._covered_wait():
            await self._speak(partial(synthesize_with, self._reply))


class FallbackSynthesizeStream(_SpokenStream, SynthesizeStream):
    """One :meth:`FallbackTTS.stream`: text goes straight to the voice at work, and is kept.

    Nobody is asked before there is text: turns that only call tools cost nothing.
    """

    def __init__(
        self,
        tts: TTS,
        conn_options: APIConnectOptions,
        spoken: Spoken,
    ) -> None:
        super().__init__(tts=tts, conn_options=conn_options)
        self._spoken = spoken
        self._script = Script()  # all of the text
        self._reply = Reply(spoken.speech, self._script, self._hand_over)
        # done with the first words, or when there will never be any
        self._first_text = asyncio.get_running_loop().create_future()
        self._flushed = False
        # the attempts at work (two where one hedges the other), and their voices once those are
        # open and have been given the text so far
        self._speaking: dict[VoiceAttempt, SynthesizeStream | None] = {}
        self._read_from_outbox(self._task)

    def push_text(self, token: str) -> None:
        """Hand over the next piece of text; ignored after :meth:`end_input`, as in the base."""
        if not token or self._input_ch.closed:
            return
        if not self._flushed:  # else the voices refuse it: LiveKit's streams have one segment
            self._each_script(lambda script: script.push(token))
        if not self._script.is_blank and not self._first_text.done():
            self._mark_started()
            self._first_text.set_result(None)
        self._pass_on(lambda voice: voice.push_text(token))

    def flush(self) -> None:
        """Have what was handed over so far spoken without waiting for more."""
        if self._input_ch.closed or self._script.is_blank:
            return  # a flush of nothing would end the only segment that LiveKit's streams have
        self._flushed = True
        self._each_script(Script.flush)
        self._pass_on(lambda voice: voice.flush())

    def end_input(self) -> None:
        """Say that no more text comes. Idempotent."""
        if self._input_ch.closed:
            return
        self._input_ch.close()
        self._each_script(Script.end)
        if not self._first_text.done():
            self._first_text.set_result(None)
        self._pass_on(lambda voice: voice.end_input())

    def _each_script(self, do: Callable[[Script], None]) -> None:
        do(self._script)
        rest = self._reply.script
        if rest is not self._script:
            do(rest)

    def _pass_on(self, give: Callable[[SynthesizeStream], None]) -> None:
        for attempt, voice in tuple(self._speaking.items()):
            if voice is not None:
                attempt.feed(give, voice)
            attempt.owe_speakable()

    def _end_input(self) -> None:
        self._input_ch.close()

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        with self._covered_wait():
            await self._spoken.chain.tasks.wait_for(self._first_text)
            if self._script.is_blank:
                return
            self._spoken.chain.remember(self._spoken.probe(self._script))
            try:
                await self._speak(self._make_attempt)
            finally:
                self._speaking.clear()

    def _make_attempt(self, given: Assignment) -> VoiceAttempt:
        attempt = self._reply.attempt(given, open_voice, prime=self._begin)
        at_work = {a: voice for a, voice in self._speaking.items() if not a.is_decided}
        self._speaking = {**at_work, attempt: None}
        return attempt

    def _begin(self, attempt: VoiceAttempt, voice: SynthesizeStream) -> None:
        recite(attempt.part.script, voice)
        if attempt in self._speaking:
            self._speaking[attempt] = voice


def open_voice(attempt: VoiceAttempt) -> SynthesizeStream:
    """Open a voice's stream, to which the text is handed over piece by piece."""
    attempt.owe_speakable()  # before stream(), which may block or hang by itself
    tts: TTS = attempt.member.instance
    return tts.stream(conn_options=patient_options())


def recite(script: Script, voice: SynthesizeStream) -> None:
    """Hand a voice everything that was handed over so far."""
    for piece in script.pieces:
        if piece is None:
            voice.flush()
        else:
            voice.push_text(piece)
    if script.ended:
        voice.end_input()


def synthesize_with(reply: Reply, given: Assignment) -> VoiceAttempt:
    """Return an attempt to have what is left of a complete text spoken."""
    return reply.attempt(given, _synthesize)


def _synthesize(attempt: VoiceAttempt) -> Any:
    attempt.owe_speakable()
    tts: TTS = attempt.member.original
    return tts.synthesize(attempt.part.script.text, conn_options=patient_options())
