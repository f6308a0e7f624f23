# SPDX-License-Identifier: Apache-2.0
"""The adapter for voices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

from livekit.agents import APIConnectOptions
from livekit.agents.tts import (
    TTS,
    ChunkedStream,
    StreamAdapter,
    SynthesizedAudio,
    SynthesizeStream,
    TTSCapabilities,
)
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    USERDATA_TTS_STARTED_TIME,
)
from livekit.agents.utils import shortuuid
from opentelemetry import trace
from typing_extensions import Unpack

from .._validation import resolved
from ..core.endmark import EndMark
from ..core.script import Script
from ..events import EventName
from ..options import TTS_DEFAULTS, TTSOptions
from ..provider import Provider, member_of, named_providers
from ._assignment import Assignment
from ._base import ChainedAdapter, patient_options
from ._chain import Chain
from ._livekit import end_span, note_served
from ._outbox import OutboxStream
from ._request import Request
from ._voice import Deliver, Format, VoiceAttempt, check_audio

# A probe asks for little: enough for a voice to start speaking, little enough to cost nothing.
_PROBE_CHARS = 80
_PING = "Hello."


class FallbackTTS(ChainedAdapter[TTS], TTS[Literal["tts_availability_changed"] | EventName]):
    """A LiveKit ``TTS`` that speaks with the first of several voices that can.

    Args:
        tts: Providers in priority order: ``TTS`` instances, or
            :class:`~livekit_fallback.Provider` entries with a name and own limits. Those that
            cannot stream are wrapped with LiveKit's ``StreamAdapter`` for :meth:`stream`.
        sample_rate: Rate of the audio handed to the session, in Hz. Voices of another rate are
            resampled. Default: the highest of the providers' rates, so that none loses quality.
        options: The keywords below as a mapping; keywords win.
        **keywords: See :class:`~livekit_fallback.options.TTSOptions`.

    Raises:
        ValueError: The list or an option is wrong, or the providers' channel counts differ;
            the text says what is allowed.

    Audio is 16 bit PCM in frames as the provider cuts them (LiveKit's plugins: 200 ms, the last
    one 10 ms). Any number of requests may run concurrently. Events as those of
    :class:`~livekit_fallback.FallbackLLM`, with ``tts_availability_changed``.
    """

    def __init__(
        self,
        tts: Sequence[TTS | Provider[TTS]],
        *,
        sample_rate: int | None = None,
        options: Mapping[str, Any] | None = None,
        **keywords: Unpack[TTSOptions],
    ) -> None:
        opts = resolved(TTSOptions, TTS_DEFAULTS, options, keywords)
        named = named_providers(tts, TTS, "tts")
        voices = [provider.instance for provider in named.values()]
        check_audio(voices, sample_rate)
        super().__init__(
            capabilities=TTSCapabilities(
                streaming=any(voice.capabilities.streaming for voice in voices),
                aligned_transcript=all(voice.capabilities.aligned_transcript for voice in voices),
            ),
            sample_rate=sample_rate or max(voice.sample_rate for voice in voices),
            num_channels=voices[0].num_channels,
        )
        members = [
            member_of(i, name, p, opts, "tts", wrapper=_streaming(p.instance))
            for i, (name, p) in enumerate(named.items())
        ]
        self._format = Format(self.sample_rate, self.num_channels)
        self._end_marks = [EndMark() for _ in members]
        if opts["voice_stickiness"] == "call":
            opts = {**opts, "sticky": True}
        self._adopt(Chain(self, "tts", members, opts, self._ping))

    @property
    def markup(self) -> TTS.Markup:
        """The markup dialect of the voices if they share one; none otherwise.

        The language model is taught the dialect before it is known who will speak, and a voice
        of another dialect would read the tags aloud.
        """
        dialects = {member.original.markup._provider_key() for member in self._chain.members}
        return self._chain.next_member.original.markup if len(dialects) == 1 else self._markup

    def _set_expressive(self, enabled: bool) -> None:
        super()._set_expressive(enabled)
        for member in self._chain.members:
            for voice in {member.original, member.instance}:
                voice._set_expressive(enabled)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> ChunkedStream:
        """Speak a complete text; see :meth:`livekit.agents.tts.TTS.synthesize`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        return FallbackChunkedStream(self, text, conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> SynthesizeStream:
        """Speak a text while it is being written; see :meth:`livekit.agents.tts.TTS.stream`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        return FallbackSynthesizeStream(self, conn_options)

    def prewarm(self) -> None:
        """Prewarm the primary, and the backups that ``warm_backups`` says. Nobody twice."""
        self._chain.prewarm()

    def _attempt(
        self,
        given: Assignment,
        open_stream: Callable[[], Any],
        script: Script,
        deliver: Deliver,
        prime: Callable[[SynthesizeStream], None] | None = None,
    ) -> VoiceAttempt:
        end_mark = self._end_marks[given.member.index]
        return VoiceAttempt(
            given, open_stream, script, self._format, end_mark, deliver, prime=prime
        )

    def _synthesize_with(self, script: Script, deliver: Deliver, given: Assignment) -> VoiceAttempt:
        def open_stream() -> ChunkedStream:
            attempt.owe_speakable()
            tts: TTS = given.member.original
            return tts.synthesize(script.text, conn_options=patient_options())

        attempt = self._attempt(given, open_stream, script, deliver)
        return attempt

    def _ping(self, given: Assignment) -> VoiceAttempt | None:
        word = Script.of(_PING)
        if given.member.is_wrapped:
            return self._probe_synthesize(word, given)
        return self._probe_stream(word, given)

    def _probe_synthesize(self, script: Script, given: Assignment) -> VoiceAttempt | None:
        sample = script.beginning(_PROBE_CHARS)
        return None if sample is None else self._synthesize_with(sample, _discard, given)

    def _probe_stream(self, script: Script, given: Assignment) -> VoiceAttempt | None:
        def open_stream() -> SynthesizeStream:
            attempt.owe_speakable()
            return _open(given)

        sample = script.beginning(_PROBE_CHARS)
        if sample is None:
            return None
        attempt = self._attempt(
            given, open_stream, sample, _discard, prime=partial(_recite, sample)
        )
        return attempt


class _SpokenStream(OutboxStream[SynthesizedAudio]):
    """What both ways to ask for speech have in common."""

    _tts_request_span_name: ClassVar[str] = "tts_fallback_adapter"
    _tts_attempt_span_name: ClassVar[str | None] = None
    _tts_request_span: trace.Span | None
    _started_time: float

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

    def _end_span(self) -> None:
        end_span(self._tts_request_span)
        self._tts_request_span = None


class FallbackChunkedStream(_SpokenStream, ChunkedStream):
    """One :meth:`FallbackTTS.synthesize`."""

    def __init__(self, tts: FallbackTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts, input_text=text, conn_options=conn_options)
        self._adapter = tts
        self._script = Script.of(text)
        self._read_from_outbox(self._synthesize_task)

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        if self._script.is_blank:
            return
        adapter, script = self._adapter, self._script
        adapter._chain.remember(partial(adapter._probe_synthesize, script))
        attempts = partial(adapter._synthesize_with, script, self._hand_over)
        attempt = await Request(adapter._chain, attempts).run()
        note_served(self._tts_request_span, attempt.member)


class FallbackSynthesizeStream(_SpokenStream, SynthesizeStream):
    """One :meth:`FallbackTTS.stream`: text goes straight to the voice at work, and is kept.

    Nobody is asked before there is text: turns that only call tools cost nothing.
    """

    def __init__(self, tts: FallbackTTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts, conn_options=conn_options)
        self._adapter = tts
        self._script = Script()
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
            self._script.push(token)
        if not self._script.is_blank and not self._first_text.done():
            self._mark_started()
            self._first_text.set_result(None)
        self._pass_on(lambda voice: voice.push_text(token))

    def flush(self) -> None:
        """Have what was handed over so far spoken without waiting for more."""
        if self._input_ch.closed or self._script.is_blank:
            return  # a flush of nothing would end the only segment that LiveKit's streams have
        self._flushed = True
        self._script.flush()
        self._pass_on(lambda voice: voice.flush())

    def end_input(self) -> None:
        """Say that no more text comes. Idempotent."""
        if self._input_ch.closed:
            return
        self._input_ch.close()
        self._script.end()
        if not self._first_text.done():
            self._first_text.set_result(None)
        self._pass_on(lambda voice: voice.end_input())

    def _pass_on(self, give: Callable[[SynthesizeStream], None]) -> None:
        for attempt, voice in tuple(self._speaking.items()):
            if voice is not None:
                attempt.feed(give, voice)
            attempt.owe_speakable()

    def _end_input(self) -> None:
        self._input_ch.close()

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        await self._adapter._chain.tasks.wait_for(self._first_text)
        if self._script.is_blank:
            return
        chain = self._adapter._chain
        chain.remember(partial(self._adapter._probe_stream, self._script))
        try:
            attempt = await Request(chain, self._make_attempt).run()
        finally:
            self._speaking.clear()
        note_served(self._tts_request_span, attempt.member)

    def _make_attempt(self, given: Assignment) -> VoiceAttempt:
        def open_stream() -> SynthesizeStream:
            attempt.owe_speakable()  # before stream(), which may block or hang by itself
            return _open(given)

        def begin(voice: SynthesizeStream) -> None:
            _recite(self._script, voice)
            if attempt in self._speaking:
                self._speaking[attempt] = voice

        attempt = self._adapter._attempt(
            given, open_stream, self._script, self._hand_over, prime=begin
        )
        at_work = {a: voice for a, voice in self._speaking.items() if not a.is_decided}
        self._speaking = {**at_work, attempt: None}
        return attempt


def _open(given: Assignment) -> SynthesizeStream:
    tts: TTS = given.member.instance
    return tts.stream(conn_options=patient_options())


def _recite(script: Script, voice: SynthesizeStream) -> None:
    """Hand a voice everything that was handed over so far."""
    for piece in script.pieces:
        if piece is None:
            voice.flush()
        else:
            voice.push_text(piece)
    if script.ended:
        voice.end_input()


def _discard(_: SynthesizedAudio) -> None:
    """Drop the audio of a probe."""


def _streaming(voice: TTS) -> TTS:
    return voice if voice.capabilities.streaming else StreamAdapter(tts=voice)
