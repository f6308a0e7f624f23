# SPDX-License-Identifier: Apache-2.0
"""Failover for LiveKit Agents: STT, LLM, TTS and VAD that keep a call fluent while providers fail.

Importing this package registers it as a LiveKit plugin and has no other effect.
"""

from __future__ import annotations

from livekit.agents import Plugin

from .adapters.energy_vad import EnergyVAD
from .adapters.llm import FallbackLLM
from .adapters.stt import FallbackSTT
from .adapters.tts import FallbackTTS
from .adapters.vad import FallbackVAD
from .core.outcome import FailureKind
from .errors import AdapterClosedError, AllProvidersFailedError, AttemptReport
from .events import (
    ExhaustedEvent,
    FailoverEvent,
    FlappingEvent,
    HealthChangedEvent,
    HedgedEvent,
    LLMAvailabilityChangedEvent,
    OutputLostEvent,
    ProbedEvent,
    RecoveryEvent,
    STTAvailabilityChangedEvent,
    TTSAvailabilityChangedEvent,
    VADAvailabilityChangedEvent,
    default_observers,
)
from .fallback_adapter import FallbackAdapter
from .log import logger
from .observability import log_events
from .provider import Provider
from .service_health import ServiceHealth
from .turn_budget import TurnBudget
from .version import __version__

__all__ = [
    "AdapterClosedError",
    "AllProvidersFailedError",
    "AttemptReport",
    "EnergyVAD",
    "ExhaustedEvent",
    "FailoverEvent",
    "FailureKind",
    "FallbackAdapter",
    "FallbackLLM",
    "FallbackSTT",
    "FallbackTTS",
    "FallbackVAD",
    "FlappingEvent",
    "HealthChangedEvent",
    "HedgedEvent",
    "LLMAvailabilityChangedEvent",
    "OutputLostEvent",
    "ProbedEvent",
    "Provider",
    "RecoveryEvent",
    "STTAvailabilityChangedEvent",
    "ServiceHealth",
    "TTSAvailabilityChangedEvent",
    "TurnBudget",
    "VADAvailabilityChangedEvent",
    "__version__",
]


class FallbackPlugin(Plugin):
    """How LiveKit's workers know the package."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


default_observers.append(log_events)
Plugin.register_plugin(FallbackPlugin())
