# SPDX-License-Identifier: Apache-2.0
"""The adapter for voice activity detectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from livekit.agents.vad import VAD, VADCapabilities, VADStream
from typing_extensions import Unpack

from .._validation import resolved
from ..provider import Provider, member_of, named_providers
from ..vad_options import VAD_DEFAULTS, VAD_UNUSED, VADOptions
from ._activity import FallbackVADStream
from ._base import ChainedAdapter
from ._chain import Chain
from ._detect import ping_with


class FallbackVAD(ChainedAdapter[VAD], VAD):
    """A LiveKit ``VAD`` that hears with the first of several detectors that keeps up.

    A detector that raises, ends, stands still or falls behind the caller is left for the next
    one, which is given the newest second of audio again. What was told already is not told twice,
    ``samples_index`` and ``timestamp`` go on, and every START_OF_SPEECH gets its END_OF_SPEECH.

    Args:
        vad: Detectors in priority order: ``VAD`` instances, or
            :class:`~livekit_fallback.Provider` entries with a name and own limits. Put an
            :class:`~livekit_fallback.EnergyVAD` last, and there is always one that works.
        options: The keywords below as a mapping; keywords win.
        **keywords: See :class:`~livekit_fallback.vad_options.VADOptions`.

    Raises:
        ValueError: The list or an option is wrong; the text says what is allowed.

    Any number of streams may run concurrently. Events as those of
    :class:`~livekit_fallback.FallbackLLM`, with ``vad_availability_changed`` and without
    ``error``, which LiveKit's detectors do not have.
    """

    def __init__(
        self,
        vad: Sequence[VAD | Provider[VAD]],
        *,
        options: Mapping[str, Any] | None = None,
        **keywords: Unpack[VADOptions],
    ) -> None:
        own = resolved(VADOptions, VAD_DEFAULTS, options, keywords)
        opts: dict[str, Any] = {**VAD_UNUSED, **own}
        named = named_providers(vad, VAD, "vad")
        members = [
            member_of(i, name, provider, opts, "vad")
            for i, (name, provider) in enumerate(named.items())
        ]
        super().__init__(capabilities=members[0].instance.capabilities)
        self._replay_buffer_sec = opts["replay_buffer_sec"]
        self._adopt(Chain(self, "vad", members, opts, ping_with))

    @property
    def capabilities(self) -> VADCapabilities:
        """The longest update interval of all detectors, as of now: none reports more rarely."""
        return VADCapabilities(
            update_interval=max(
                member.instance.capabilities.update_interval for member in self._chain.members
            )
        )

    @property
    def min_silence_duration(self) -> float | None:
        """The shortest of all detectors that say so; ``None`` if none does.

        LiveKit's turn detectors need some silence before the end of speech, and refuse a
        detector that would not leave it to them.
        """
        each = [getattr(m.instance, "min_silence_duration", None) for m in self._chain.members]
        return min((seconds for seconds in each if seconds is not None), default=None)

    def stream(self) -> VADStream:
        """Hear a caller; see :meth:`livekit.agents.vad.VAD.stream`.

        Raises:
            RuntimeError: The adapter has been closed.
        """
        self._chain.check_open()
        return FallbackVADStream(self, self._chain, replay_buffer_sec=self._replay_buffer_sec)

    async def aclose(self) -> None:
        """Stop all streams and probes. Idempotent."""
        await self._chain.aclose()

    def on(self, event: str, callback: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Subscribe to an event, LiveKit's or one of the adapter's own."""
        return super().on(event, callback)  # type: ignore[arg-type]

    def once(self, event: str, callback: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Subscribe to the next event of a name."""
        return super().once(event, callback)  # type: ignore[arg-type]

    def off(self, event: str, callback: Callable[..., Any]) -> None:
        """End a subscription."""
        super().off(event, callback)  # type: ignore[arg-type]
