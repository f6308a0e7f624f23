# SPDX-License-Identifier: Apache-2.0
"""The adapter for recognisers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

from livekit.agents import (
    NOT_GIVEN,
    AgentSession,
    APIConnectOptions,
    ConversationItemAddedEvent,
    NotGivenOr,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage
from livekit.agents.stt import (
    STT,
    RecognizeStream,
    SpeechEvent,
    STTCapabilities,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.utils import AudioBuffer
from livekit.agents.vad import VAD
from typing_extensions import Unpack

from .._validation import resolved
from ..events import EventName
from ..options import STT_DEFAULTS, STTOptions
from ..provider import Member, Provider, member_of, named_providers
from . import _clock
from ._assignment import Assignment
from ._attempt import Attempt
from ._base import ChainedAdapter
from ._batch import BatchAdapter
from ._capabilities import combined
from ._chain import Chain
from ._endpoint import bundled_detector, endpointing
from ._listen import (
    RecognizeAttempt,
    ping_with,
    recognize_with,
)
from ._request import Request
from ._speech import FallbackRecognizeStream
from ._timing import Timing


class FallbackSTT(ChainedAdapter[STT], STT[Literal["stt_availability_changed"] | EventName]):
    """A LiveKit ``STT`` that hears with the first of several recognisers that can.

    Args:
        stt: Providers in priority order: ``STT`` instances, or
            :class:`~livekit_fallback.Provider` entries with a name and own limits.
        vad: Voice activity detector for providers that cannot stream: they are wrapped with
            LiveKit's ``StreamAdapter``, which recognises utterance by utterance. Also hears when
            the caller speaks (``silence_timeout``, ``latency_threshold_ms``, ``turn_budget``); by
            default the one that livekit-agents bundles does.
        options: The keywords below as a mapping; keywords win.
        **keywords: See :class:`~livekit_fallback.options.STTOptions`.

    Raises:
        ValueError: The list or an option is wrong, or a provider cannot stream and there is no
            ``vad``; the text says what is allowed.

    Frames may have any sample rate and length, the same for a whole stream, 16 bit PCM. Any
    number of streams and recognitions may run concurrently. Events as those of
    :class:`~livekit_fallback.FallbackLLM`, with ``stt_availability_changed``.
    """

    def __init__(
        self,
        stt: Sequence[STT | Provider[STT]],
        *,
        vad: VAD | None = None,
        options: Mapping[str, Any] | None = None,
        **keywords: Unpack[STTOptions],
    ) -> None:
        opts = resolved(STTOptions, STT_DEFAULTS, options, keywords)
        named = named_providers(stt, STT, "stt")
        members = [
            _member(i, name, provider, vad, opts)
            for i, (name, provider) in enumerate(named.items())
        ]
        super().__init__(capabilities=combined(members))
        self._replay_buffer_sec = opts["replay_buffer_sec"]
        self._standby = opts["standby"]
        self._is_batch = False  # how it was used last
        self._adopt(Chain(self, "stt", members, opts, self._ping))
        self._given_vad = vad
        self._watches_silence = any(
            not member.is_wrapped and member.limits.silence_timeout is not None
            for member in members
        )
        self._session: AgentSession[Any] | None = None

    @property
    def capabilities(self) -> STTCapabilities:
        """What all providers can do (or any, where one that can is enough), as of now."""
        return combined(self._chain.members)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> RecognizeStream:
        """Hear a caller; see :meth:`livekit.agents.stt.STT.stream`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        self._is_batch = False
        return FallbackRecognizeStream(
            self,
            conn_options,
            self._chain,
            language,
            replay_buffer_sec=self._replay_buffer_sec,
            standby=self._standby,
            endpointing=partial(
                endpointing, self._detector, self._chain.tasks, self._timing, self._watches_silence
            ),
        )

    @property
    def _timing(self) -> Timing[Any] | None:
        """Who is told what a detector of ours hears of latencies, if anybody."""
        if self._session is not None and self._given_vad is None:
            return None  # what the session reports is enough
        timing = self._chain.timing
        return timing if timing.hears_endings else None

    @property
    def _detector(self) -> VAD | None:
        if not self._watches_silence and self._timing is None:
            return None
        return self._given_vad or self._bundled

    @cached_property
    def _bundled(self) -> VAD | None:
        return bundled_detector()

    async def recognize(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechEvent:
        """Recognise a recording; see :meth:`livekit.agents.stt.STT.recognize`.

        ``conn_options`` is ignored: deadlines and retries are the adapter's own options.

        Raises:
            AllProvidersFailedError: No provider recognised it within the budget.
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        self._is_batch = True
        make_attempt = partial(recognize_with, buffer, language)
        self._chain.remember(make_attempt)
        attempt = await Request(self._chain, make_attempt).run()
        assert isinstance(attempt, RecognizeAttempt)
        assert attempt.result is not None
        return attempt.result

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> SpeechEvent:
        return await self.recognize(buffer, language=language, conn_options=conn_options)

    def prewarm(self) -> None:
        """Prewarm the primary, and the backups that ``warm_backups`` says. Nobody twice."""
        self._chain.prewarm()

    def _ping(self, given: Assignment) -> Attempt[SpeechEvent]:
        return ping_with(given, is_batch=self._is_batch)

    def attach(self, session: AgentSession[Any]) -> None:
        """Time streaming recognisers by what a session reports, not by a detector of our own.

        With ``silence_timeout=None`` no detector runs then, which saves its processor time (under
        2 % of a core per stream), for less: the session reports an utterance at the end of the
        turn, and with ``turn_detection="stt"`` it reports no delay at all. Call it before
        ``session.start()``. A ``vad=`` passed to the adapter stays in use, and the session's
        reports are then left aside.

        Raises:
            ValueError: ``session`` is no ``AgentSession``.
        """
        if not isinstance(session, AgentSession):
            raise ValueError(f"session={session!r}: must be an AgentSession")
        self._detach()
        self._session = session
        session.on("conversation_item_added", self._hear_report)
        session.on("user_state_changed", self._hear_state)

    async def aclose(self) -> None:
        """Stop all streams, recognitions and probes. Idempotent."""
        self._detach()
        await super().aclose()

    def _detach(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.off("conversation_item_added", self._hear_report)
            session.off("user_state_changed", self._hear_state)

    def _hear_report(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if self._given_vad is not None or not isinstance(item, ChatMessage) or item.role != "user":
            return
        delay = item.metrics.get("transcription_delay", 0.0)
        if delay > 0.0:
            self._chain.timing.heard(self._chain.last_member, delay)

    def _hear_state(self, event: UserStateChangedEvent) -> None:
        turn = self._chain.timing.turn
        if self._given_vad is not None or turn is None:
            return
        if event.new_state == "speaking":
            turn.speech_began()
        elif event.old_state == "speaking":
            turn.speech_ended(_clock.now())

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        for member in self._chain.members:
            if member.instance.capabilities.keyterms:
                member.instance._update_session_keyterms(keyterms)

    def _push_conversation_item(self, ev: Any) -> None:
        for member in self._chain.members:
            if member.instance.capabilities.chat_context:
                member.instance._push_conversation_item(ev)


def _member(
    index: int, name: str, provider: Provider[STT], vad: VAD | None, options: Mapping[str, Any]
) -> Member[STT]:
    member = member_of(index, name, provider, options, "stt")
    if member.original.capabilities.streaming:
        return member
    if vad is None:
        raise ValueError(f"vad=None: must be a VAD, because the provider {name!r} cannot stream")
    wrapper = BatchAdapter(member.original, vad, member.limits.attempt_timeout)
    return dataclasses.replace(member, instance=wrapper)
