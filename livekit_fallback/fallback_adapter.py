# SPDX-License-Identifier: Apache-2.0
"""One name for all adapters: looks at the primary and returns the adapter of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD

from .adapters.llm import FallbackLLM
from .adapters.stt import FallbackSTT
from .adapters.tts import FallbackTTS
from .adapters.vad import FallbackVAD
from .provider import Provider

_ADAPTERS: tuple[tuple[type[Any], type[Any], str], ...] = (
    (LLM, FallbackLLM, "llm"),
    (STT, FallbackSTT, "stt"),
    (TTS, FallbackTTS, "tts"),
    (VAD, FallbackVAD, "vad"),
)


@overload
def FallbackAdapter(
    primary: LLM | Provider[LLM] | Sequence[LLM | Provider[LLM]],
    backups: Sequence[LLM | Provider[LLM]] = ...,
    *,
    timeout: float | None = ...,
    max_retries: int | None = ...,
    health_check_interval: float | None = ...,
    **options: Any,
) -> FallbackLLM: ...
@overload
def FallbackAdapter(
    primary: STT | Provider[STT] | Sequence[STT | Provider[STT]],
    backups: Sequence[STT | Provider[STT]] = ...,
    *,
    timeout: float | None = ...,
    max_retries: int | None = ...,
    health_check_interval: float | None = ...,
    **options: Any,
) -> FallbackSTT: ...
@overload
def FallbackAdapter(
    primary: TTS | Provider[TTS] | Sequence[TTS | Provider[TTS]],
    backups: Sequence[TTS | Provider[TTS]] = ...,
    *,
    timeout: float | None = ...,
    max_retries: int | None = ...,
    health_check_interval: float | None = ...,
    **options: Any,
) -> FallbackTTS: ...
@overload
def FallbackAdapter(
    primary: VAD | Provider[VAD] | Sequence[VAD | Provider[VAD]],
    backups: Sequence[VAD | Provider[VAD]] = ...,
    *,
    timeout: float | None = ...,
    max_retries: int | None = ...,
    health_check_interval: float | None = ...,
    **options: Any,
) -> FallbackVAD: ...
def FallbackAdapter(  # named as LiveKit's classes are
    primary: Any,
    backups: Sequence[Any] = (),
    *,
    timeout: float | None = None,
    max_retries: int | None = None,
    health_check_interval: float | None = None,
    **options: Any,
) -> Any:
    """Return the adapter for the primary's kind.

    Args:
        primary: The best provider, or a list of all of them, best first.
        backups: The others, in the order to ask them.
        timeout: ``attempt_timeout`` in seconds; ``None``: the adapter's default.
        max_retries: How often each provider is asked again before the next one after a
            transient failure (not a deadline, not a 429), with exponential back-off and full
            jitter; ``None``: the adapter's default, 0.
        health_check_interval: See :class:`~livekit_fallback.options.AdapterOptions`.
        **options: All other keywords of :class:`~livekit_fallback.FallbackLLM`,
            :class:`~livekit_fallback.FallbackSTT`, :class:`~livekit_fallback.FallbackTTS` or
            :class:`~livekit_fallback.FallbackVAD`.

    Raises:
        ValueError: The primary is of no kind that there is an adapter for, or what the
            adapter's constructor raises.
    """
    if not isinstance(backups, list | tuple):
        raise ValueError(f"backups={backups!r}: must be a list of providers, best first")
    first = primary if isinstance(primary, list | tuple) else [primary]
    providers = [*first, *backups]
    adapter, component = _adapter_for(providers)
    given = {
        "attempt_timeout": timeout,
        f"max_retry_per_{component}": max_retries,
        "health_check_interval": health_check_interval,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen.keys() & options.keys():
        raise ValueError(f"{name}={options[name]!r}: must not be given twice")
    return adapter(providers, **chosen, **options)


def _adapter_for(providers: list[Any]) -> tuple[type[Any], str]:
    primary = providers[0] if providers else None
    instance = primary.instance if isinstance(primary, Provider) else primary
    for kind, adapter, component in _ADAPTERS:
        if isinstance(instance, kind):
            return adapter, component
    raise ValueError(f"primary={instance!r}: must be a LiveKit LLM, STT, TTS or VAD")
