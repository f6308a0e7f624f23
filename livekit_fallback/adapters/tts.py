# SPDX-License-Identifier: Apache-2.0
"""The adapter for voices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from livekit.agents import APIConnectOptions
from livekit.agents.tts import (
    TTS,
    ChunkedStream,
    StreamAdapter,
    SynthesizedAudio,
    SynthesizeStream,
    TTSCapabilities,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from typing_extensions import Unpack

from .._validation import resolved
from ..core.script import Script
from ..events import EventName
from ..options import TTS_DEFAULTS, TTSOptions
from ..provider import Provider, member_of, named_providers
from . import _clock
from ._assignment import Assignment
from ._base import ChainedAdapter
from ._canned import Canned
from ._chain import Chain
from ._format import Format, check_audio
from ._reply import Reply, Speech
from ._spoken import (
    FallbackChunkedStream,
    FallbackSynthesizeStream,
    Spoken,
    open_voice,
    recite,
    synthesize_with,
)
from ._voice import Habits, VoiceAttempt

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
        self._speech = Speech(
            Format(self.sample_rate, self.num_channels),
            [Habits() for _ in members],
            opts["on_partial"],
        )
        if opts["voice_stickiness"] == "call":
            opts = {**opts, "sticky": True}
        self._adopt(Chain(self, "tts", members, opts, self._ping))
        self._spoken = self._equipped(opts)

    def _equipped(self, opts: TTSOptions) -> Spoken:
        budget, audio_format = opts["total_timeout"], self._speech.audio_format
        phrases = {
            name: Canned(name, source, audio_format)
            for name in ("last_resort", "holding_phrase")
            if (source := opts[name]) is not None
        }
        if "holding_phrase" in phrases and budget is None:
            raise ValueError(
                "total_timeout=None: must be a number of seconds where there is a holding_phrase, "
                "which is spoken when half of it is used up"
            )
        return Spoken(
            self._chain,
            self._speech,
            probe=partial(partial, self._probe_stream),
            probe_whole=partial(partial, self._probe_synthesize),
            hold_after=0.0 if budget is None else budget / 2,
            **phrases,
        )

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
        return FallbackChunkedStream(self, text, conn_options, self._spoken)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> SynthesizeStream:
        """Speak a text while it is being written; see :meth:`livekit.agents.tts.TTS.stream`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        return FallbackSynthesizeStream(self, conn_options, self._spoken)

    def prewarm(self) -> None:
        """Prewarm the primary, and the backups that ``warm_backups`` says. Nobody twice.

        Within a running event loop it also has phrases spoken that are texts
        (``last_resort``, ``holding_phrase``); else the first reply does.
        """
        self._chain.prewarm()
        if _clock.is_running():
            self._spoken.prepare()

    def _ping(self, given: Assignment) -> VoiceAttempt | None:
        return self._probe(Script.of(_PING), given)

    def _probe(self, script: Script, given: Assignment) -> VoiceAttempt | None:
        if given.member.is_wrapped:
            return self._probe_synthesize(script, given)
        return self._probe_stream(script, given)

    def _probe_synthesize(self, script: Script, given: Assignment) -> VoiceAttempt | None:
        sample = script.beginning(_PROBE_CHARS)
        return None if sample is None else synthesize_with(self._sampled(sample), given)

    def _probe_stream(self, script: Script, given: Assignment) -> VoiceAttempt | None:
        sample = script.beginning(_PROBE_CHARS)
        if sample is None:
            return None
        return self._sampled(sample).attempt(
            given, open_voice, prime=lambda _, voice: recite(sample, voice)
        )

    def _sampled(self, sample: Script) -> Reply:
        return Reply(self._speech, sample, _discard)


def _discard(_: SynthesizedAudio) -> None:
    """Drop the audio of a probe."""


def _streaming(voice: TTS) -> TTS:
    return voice if voice.capabilities.streaming else StreamAdapter(tts=voice)
