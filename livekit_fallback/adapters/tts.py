# SPDX-License-Identifier: Apache-2.0
"""The adapter for voices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

from livekit import rtc
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
    USERDATA_TIMED_TRANSCRIPT,
    USERDATA_TTS_STARTED_TIME,
)
from livekit.agents.utils import shortuuid
from opentelemetry import trace
from typing_extensions import Unpack

from ..core.script import Script
from ..errors import EndedEarlyError, NoOutputError
from ..events import EventName
from ..options import TTS_DEFAULTS, TTSOptions, limits, resolved
from ..provider import Member, Provider, named_providers
from ._attempt import Assignment, Attempt
from ._base import ChainedAdapter, patient_options
from ._chain import Chain
from ._livekit import end_span, note_served
from ._outbox import OutboxStream
from ._request import Request

# A probe asks for little: enough for a voice to start speaking, little enough to cost nothing.
_PROBE_CHARS = 80

Deliver = Callable[[SynthesizedAudio], None]


class FallbackTTS(ChainedAdapter, TTS[Literal["tts_availability_changed"] | EventName]):
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
        _check_audio(voices, sample_rate)
        super().__init__(
            capabilities=TTSCapabilities(
                streaming=any(voice.capabilities.streaming for voice in voices),
                aligned_transcript=all(voice.capabilities.aligned_transcript for voice in voices),
            ),
            sample_rate=sample_rate or max(voice.sample_rate for voice in voices),
            num_channels=voices[0].num_channels,
        )
        members = [
            Member(i, name, _streaming(p.instance), p.instance, limits(opts, p.overrides, "tts"))
            for i, (name, p) in enumerate(named.items())
        ]
        self._chain: Chain[TTS] = Chain(self, "tts", members, opts)

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
            member.instance._set_expressive(enabled)

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
        """Prewarm the primary, which is expected to serve."""
        self._chain.members[0].instance.prewarm()

    async def aclose(self) -> None:
        """Stop all requests and probes. Idempotent."""
        await self._chain.aclose()

    def _chunked_attempt(self, script: Script, deliver: Deliver, given: Assignment) -> VoiceAttempt:
        def open_stream() -> ChunkedStream:
            attempt.owe_speakable()
            tts: TTS = given.member.original
            return tts.synthesize(script.text, conn_options=patient_options())

        attempt = VoiceAttempt(given, open_stream, self, script, deliver)
        return attempt

    def _remember(self, script: Script) -> None:
        def make_probe(given: Assignment) -> VoiceAttempt | None:
            if script.is_blank:
                return None
            sample = Script()
            sample.push(script.text[:_PROBE_CHARS])
            sample.end()
            return self._chunked_attempt(sample, lambda _: None, given)

        self._chain.remember(make_probe)


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
        self._script = Script()
        self._script.push(text)
        self._script.end()
        self._read_from_outbox(self._synthesize_task)

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        adapter = self._adapter
        adapter._remember(self._script)
        attempts = partial(adapter._chunked_attempt, self._script, self._hand_over)
        attempt = await Request(adapter._chain, attempts).run()
        note_served(self._tts_request_span, attempt.member)


class FallbackSynthesizeStream(_SpokenStream, SynthesizeStream):
    """One :meth:`FallbackTTS.stream`: text goes straight to the voice at work, and is kept."""

    def __init__(self, tts: FallbackTTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts, conn_options=conn_options)
        self._adapter = tts
        self._script = Script()
        self._attempt: VoiceAttempt | None = None
        self._voice: SynthesizeStream | None = None  # of the attempt at work
        self._read_from_outbox(self._task)

    def push_text(self, token: str) -> None:
        """Hand over the next piece of text; ignored after :meth:`end_input`, as in the base."""
        if not token or self._input_ch.closed:
            return
        if self._script.is_blank and token.strip():
            self._mark_started()
        self._script.push(token)
        if self._voice is not None and self._attempt is not None:
            self._attempt.feed(self._voice.push_text, token)
        self._owe()

    def flush(self) -> None:
        """Have what was handed over so far spoken without waiting for more."""
        if self._input_ch.closed:
            return
        self._script.flush()
        if self._voice is not None:
            self._voice.flush()
        self._owe()

    def end_input(self) -> None:
        """Say that no more text comes. Idempotent."""
        if self._input_ch.closed:
            return
        self._input_ch.close()
        self._script.end()
        if self._voice is not None:
            self._voice.end_input()
        self._owe()

    def _end_input(self) -> None:
        self._input_ch.close()

    async def _main_task(self) -> None:
        self._tts_request_span = trace.get_current_span()
        adapter = self._adapter
        adapter._remember(self._script)
        try:
            attempt = await Request(adapter._chain, self._make_attempt).run()
        finally:
            self._attempt = self._voice = None
        note_served(self._tts_request_span, attempt.member)

    def _make_attempt(self, given: Assignment) -> VoiceAttempt:
        self._voice = None
        open_stream = partial(self._open_voice, given.member)
        self._attempt = VoiceAttempt(
            given, open_stream, self._adapter, self._script, self._hand_over
        )
        return self._attempt

    def _open_voice(self, member: Member[TTS]) -> SynthesizeStream:
        self._owe()  # before stream(), which may block or hang by itself
        voice = member.instance.stream(conn_options=patient_options())
        for piece in self._script.pieces:
            if piece is None:
                voice.flush()
            else:
                voice.push_text(piece)
        if self._script.ended:
            voice.end_input()
        self._voice = voice
        return voice

    def _owe(self) -> None:
        if self._attempt is not None:
            self._attempt.owe_speakable()


class VoiceAttempt(Attempt[SynthesizedAudio]):
    """One voice speaking one text.

    Useful is audio with sound in it. Digital silence before the first sound is held back, so
    that a voice which sends nothing else has sent nothing.
    """

    def __init__(
        self,
        given: Assignment,
        open_stream: Callable[[], Any],
        adapter: FallbackTTS,
        script: Script,
        deliver: Deliver,
    ) -> None:
        super().__init__(given, open_stream)
        self._rate = adapter.sample_rate
        self._channels = adapter.num_channels
        self._script = script
        self._deliver = deliver
        self._held: list[SynthesizedAudio] = []
        self._resampler: rtc.AudioResampler | None = None
        self._transcripts: list[Any] = []  # of audio that the resampler has not given back yet
        self._final_seen = False
        self._owed_more = True  # text was left to speak at the last look

    @property
    def lost(self) -> float | None:
        """Characters of the text that the delivered audio leaves unspoken, estimated."""
        return self._script.unspoken(self.delivered)

    def owe_speakable(self) -> None:
        """Start the clock if the voice has been handed text that it can speak; or go on with it."""
        if not self._script.is_speakable:
            return
        self.owe()
        if self.committed and not self._owed_more and self._owes_more():
            # it had spoken all it was given: the silence until now was not its own
            self._owed_more = True
            self._last_output = self._loop.time()
            self._watch.look()

    def _receive(self, audio: SynthesizedAudio) -> None:
        self._final_seen = audio.is_final
        if not self.committed:
            self._held.append(audio)
            if not bytes(audio.frame.data).strip(b"\0"):
                return
            held, self._held = self._held, []
        else:
            held = [audio]
        self.delivered += audio.frame.duration
        self._output()
        self._owed_more = self._owes_more()
        for item in held:
            self._hand_on(item)

    def _owes_more(self) -> bool:
        return self._script.is_owed(self.delivered)

    def _judge_end(self) -> BaseException | None:
        if self._script.is_blank and self._script.ended:
            return None
        if not self.committed:
            return NoOutputError("sound" if self._held else "audio")
        return None if self._script.ended else EndedEarlyError("text was still coming")

    def _is_complete(self) -> bool:
        # the last frame was marked as such: an error after it is no failure of the request
        return self.committed and self._final_seen and self._script.ended

    def _hand_on(self, audio: SynthesizedAudio) -> None:
        frame = audio.frame
        if frame.num_channels != self._channels:
            raise ValueError(
                f"{frame.num_channels} channels of audio where {self._channels} were declared"
            )
        if frame.sample_rate == self._rate:
            self._deliver(audio)
            return
        self._transcripts += frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        frames = self._resample(audio)
        if frames:
            frames[0].userdata[USERDATA_TIMED_TRANSCRIPT] = self._transcripts
            self._transcripts = []
        for i, resampled in enumerate(frames):
            is_final = audio.is_final and i == len(frames) - 1
            self._deliver(SynthesizedAudio(resampled, audio.request_id, is_final, audio.segment_id))

    def _resample(self, audio: SynthesizedAudio) -> list[rtc.AudioFrame]:
        if self._resampler is None:
            # by the frame's own rate: what a voice declares may be out of date
            self._resampler = rtc.AudioResampler(
                audio.frame.sample_rate, self._rate, num_channels=self._channels
            )
        frames = self._resampler.push(audio.frame)
        if audio.is_final:
            frames += self._resampler.flush()
        return frames


def _streaming(voice: TTS) -> TTS:
    return voice if voice.capabilities.streaming else StreamAdapter(tts=voice)


def _check_audio(voices: Sequence[TTS], sample_rate: int | None) -> None:
    channels = sorted({voice.num_channels for voice in voices})
    if len(channels) > 1:
        raise ValueError(f"tts: num_channels={channels}: must be the same for all providers")
    if sample_rate is not None and (isinstance(sample_rate, bool) or sample_rate <= 0):
        raise ValueError(f"sample_rate={sample_rate!r}: must be a number of Hz greater than 0")
