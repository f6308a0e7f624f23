# SPDX-License-Identifier: Apache-2.0
"""Recognisers that cannot stream, made to: LiveKit's wrapper, with a deadline of ours inside."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from livekit.agents import NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.stt import (
    STT,
    RecognizeStream,
    SpeechEvent,
    StreamAdapter,
    StreamAdapterWrapper,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.utils import AudioBuffer
from livekit.agents.vad import VAD

from ..errors import FirstOutputTimeoutError


class BatchAdapter(StreamAdapter):
    """Recognises utterance by utterance, as the VAD cuts them, each within a deadline.

    Args:
        stt: The recogniser.
        vad: Finds the utterances.
        deadline: Seconds for one utterance; ``None`` is no limit. Plugins allow up to 30 s, and
            nothing else would notice a request that is never answered.
    """

    def __init__(self, stt: STT, vad: VAD, deadline: float | None) -> None:
        super().__init__(stt=stt, vad=vad)
        self._bounded = _Bounded(stt, deadline)
        self._detector = vad

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> RecognizeStream:
        """Hear a caller."""
        return StreamAdapterWrapper(
            self,
            vad=self._detector,
            wrapped_stt=cast("STT", self._bounded),
            language=language,
            conn_options=conn_options,
        )


class _Bounded:
    def __init__(self, stt: STT, deadline: float | None) -> None:
        self._stt = stt
        self._deadline = deadline

    async def recognize(self, buffer: AudioBuffer, **options: Any) -> SpeechEvent:
        try:
            async with asyncio.timeout(self._deadline) as deadline:
                return await self._stt.recognize(buffer, **options)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise FirstOutputTimeoutError(self._deadline or 0.0) from None
