# SPDX-License-Identifier: Apache-2.0
"""The event objects that users receive from the adapters' ``on(...)``.

None of them holds a transcript, a prompt or a key. ``error`` is the original exception, whose
text may quote what was said: log its type, or its text under a ``lk.pii.`` key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from livekit.agents import llm as lk_llm, stt as lk_stt, tts as lk_tts, vad as lk_vad

Component = Literal["llm", "stt", "tts", "vad"]

EventName = Literal[
    "failover",
    "recovery",
    "exhausted",
    "output_lost",
    "health_changed",
    "probed",
    "hedged",
    "flapping",
]
"""Events of every adapter, next to LiveKit's own and ``<component>_availability_changed``."""


@dataclass(frozen=True, slots=True)
class FailoverEvent:
    """Traffic moves on from a provider: it failed a request, or was slow once too often.

    Args:
        component: Which adapter.
        request_id: The adapter's id of the request.
        from_provider: The provider that failed.
        to_provider: The provider that is asked next.
        reason: Short machine-readable word, such as ``"http_503"`` or ``"first_output_timeout"``;
            ``"latency"`` if it was slow: then later requests move on, and not this one.
        elapsed: Seconds from the beginning of the failed attempt to its failure; of a slow one
            to its first useful output.
        attempt: Number of the failed attempt within the request, from 1; 0 if none failed.
        error: The original exception.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    request_id: str
    from_provider: str
    to_provider: str
    reason: str
    elapsed: float
    attempt: int
    error: Exception
    timestamp: float


@dataclass(frozen=True, slots=True)
class RecoveryEvent:
    """Traffic is back on a provider of higher priority.

    Args:
        component: Which adapter.
        request_id: The request that was served by it.
        provider: The provider that serves again.
        from_provider: The one that served in its place.
        down_for: Seconds since traffic left it.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    request_id: str
    provider: str
    from_provider: str
    down_for: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class ExhaustedEvent:
    """Every provider was asked and none served the request.

    Args:
        component: Which adapter.
        request_id: The adapter's id of the request.
        elapsed: Seconds from the first failure or debt to giving up.
        attempts: How many attempts were made.
        error: The :class:`~livekit_fallback.AllProvidersFailedError` that is raised.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    request_id: str
    elapsed: float
    attempts: int
    error: Exception
    timestamp: float


@dataclass(frozen=True, slots=True)
class OutputLostEvent:
    """Something was lost that the adapter could not make good.

    Args:
        component: Which adapter.
        request_id: The adapter's id of the request.
        provider: The provider that broke off.
        reason: Why it did, as in :class:`FailoverEvent`.
        delivered: What had been handed to the session before: characters of text (LLM),
            seconds of audio (TTS).
        lost: How much is missing: characters of text, estimated from the audio's length (TTS),
            seconds of audio that no provider will hear (STT); ``None`` when it cannot be known.
        error: The original exception.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    request_id: str
    provider: str
    reason: str
    delivered: float
    lost: float | None
    error: Exception
    timestamp: float


@dataclass(frozen=True, slots=True)
class HealthChangedEvent:
    """A provider's health moved from one state to another.

    Args:
        component: Which adapter.
        provider: The provider's name.
        before: Its state so far: ``"healthy"``, ``"cooling_down"``, ``"probing"``,
            ``"probation"`` or ``"disabled"``.
        after: Its state from now on.
        reason: What caused it, where something did: as in :class:`FailoverEvent`, or what
            ``disable()`` was told.
        kind: What the failure that caused it means, such as ``"transient"`` or ``"auth"``;
            empty if none did.
        down_for: Seconds since it stopped being usable; 0.0 if it just did, or is usable.
        rest: Seconds until it may be probed; 0.0 if it is not cooling down.
        error: The exception that caused it; ``None`` if none did.
        latency: With ``reason="latency"``: seconds that the first useful output took, at least.
        latency_p50: Median latency of its newest outputs, as in
            :class:`~livekit_fallback.ServiceHealth`.
        latency_p95: 95th percentile of the same.
        latency_p99: 99th percentile of the same.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    provider: str
    before: str
    after: str
    reason: str
    kind: str
    down_for: float
    rest: float
    error: Exception | None
    latency: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    timestamp: float


@dataclass(frozen=True, slots=True)
class ProbedEvent:
    """A provider was probed: asked something only to learn whether it is well.

    Args:
        component: Which adapter.
        provider: The provider's name.
        good: Whether it gave useful output in time.
        reason: Why not, as in :class:`FailoverEvent`; empty if it did.
        elapsed: Seconds the probe took.
        latency: Seconds from the debt to its first useful output; ``None`` if there was none, or
            none that could be timed.
        error: Its exception; ``None`` if it is well.
        timestamp: Wall-clock time of the end of the probe, Unix seconds.
    """

    component: Component
    provider: str
    good: bool
    reason: str
    elapsed: float
    latency: float | None
    error: Exception | None
    timestamp: float


@dataclass(frozen=True, slots=True)
class HedgedEvent:
    """Two providers were asked for the same, because the first was silent, and one answered.

    Args:
        component: Which adapter.
        request_id: The adapter's id of the request.
        provider: The provider that was silent.
        hedge: The one that was asked as well.
        winner: Which of them answered first. The other was cancelled, and has failed nobody.
        hedged_after: Seconds for which the first had owed its output by then.
        elapsed: Seconds for which it had owed it when the winner answered.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    request_id: str
    provider: str
    hedge: str
    winner: str
    hedged_after: float
    elapsed: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class FlappingEvent:
    """Traffic moves between providers more often than ``flapping_limit`` allows.

    Args:
        component: Which adapter.
        failovers: How many there were within the window.
        window: Its length in seconds.
        timestamp: Wall-clock time, Unix seconds.
    """

    component: Component
    failovers: int
    window: float
    timestamp: float


@dataclass
class _AvailabilityDetails:
    """What the availability events say beyond LiveKit's two fields.

    Args:
        provider: The provider's name.
        state: Its health: ``"probation"``, ``"cooling_down"`` ...
        reason: Why it became unavailable; empty on return.
        down_for: Seconds it was unavailable; 0.0 when it has just become so.
        error: The exception that caused it; ``None`` on return.
        timestamp: Wall-clock time, Unix seconds.
    """

    provider: str = ""
    state: str = ""
    reason: str = ""
    down_for: float = 0.0
    error: Exception | None = None
    timestamp: float = 0.0


# LiveKit's classes are plain dataclasses, and a frozen one cannot extend them.


@dataclass
class LLMAvailabilityChangedEvent(_AvailabilityDetails, lk_llm.AvailabilityChangedEvent):
    """``llm_availability_changed``: ``.llm`` is the wrapped instance, ``.available`` its health."""


@dataclass
class STTAvailabilityChangedEvent(_AvailabilityDetails, lk_stt.AvailabilityChangedEvent):
    """``stt_availability_changed``: ``.stt`` is the wrapped instance, ``.available`` its health."""


@dataclass
class TTSAvailabilityChangedEvent(_AvailabilityDetails, lk_tts.AvailabilityChangedEvent):
    """``tts_availability_changed``: ``.tts`` is the wrapped instance, ``.available`` its health."""


@dataclass
class _VADAvailability:
    """LiveKit has no event for detectors: these are the two fields that its others have."""

    vad: lk_vad.VAD
    available: bool


@dataclass
class VADAvailabilityChangedEvent(_AvailabilityDetails, _VADAvailability):
    """``vad_availability_changed``: ``.vad`` is the wrapped instance, ``.available`` its health."""


Observer = Callable[[Any], None]

default_observers: list[Observer] = []
"""Called with every new adapter, to subscribe to its events. The package puts its logging here."""
