# SPDX-License-Identifier: Apache-2.0
"""Options as they were given: completed with their defaults, or refused with a clear text."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from .options import LLMOptions, ProviderOptions, STTOptions, TTSOptions
from .vad_options import VADOptions

_Options = TypeVar("_Options", LLMOptions, STTOptions, TTSOptions, VADOptions, ProviderOptions)

_PHRASE = "a text that is not blank, audio frames, the path of a WAV file, or None"

_RANGES = {
    "attempt_timeout": "a number of seconds greater than 0, 'auto', or None for no limit",
    "attempt_timeout_floor": "a number of seconds greater than 0",
    "attempt_timeout_ceiling": "a number of seconds greater than 0, or None for no limit",
    "latency_threshold_ms": "a number of milliseconds greater than 0, or None for no threshold",
    "consecutive_latency_hits": "a whole number, 1 or more",
    "slow_ratio": "a number greater than 0 and at most 1, or None",
    "latency_window": "a whole number, 1 or more",
    "hedge_after_ms": "a number of milliseconds greater than 0, 'p50', 'p75', 'p90', 'p95', "
    "'p99', or None for never",
    "hedge_budget": "a number from 0 to 1",
    "turn_budget": "a TurnBudget, or None",
    "stall_timeout": "a number of seconds greater than 0, or None for no limit",
    "total_timeout": "a number of seconds greater than 0, or None for no limit",
    "retry_interval": "a number of seconds, 0 or more",
    "temporary_disable_sec": "a number of seconds, 0 or more",
    "max_disable_sec": "a number of seconds, 0 or more",
    "replay_buffer_sec": "a number of seconds, 0 or more",
    "standby": "0 or 1",
    "silence_timeout": "a number of seconds greater than 0, or None for no limit",
    "max_retry": "a whole number, 0 or more",
    "max_retry_per_llm": "a whole number, 0 or more",
    "max_retry_per_stt": "a whole number, 0 or more",
    "max_retry_per_tts": "a whole number, 0 or more",
    "max_retry_per_vad": "a whole number, 0 or more",
    "permanent_disable_after_attempts": "a whole number, 1 or more, or None for never",
    "probe": "'ping', 'replay', 'live', a callable, or None for never",
    "health_check_interval": "a number of seconds greater than 0, or None for no checks",
    "probation_successes": "a whole number, 1 or more",
    "reintroduction": "a list of shares, each greater than 0 and at most 1",
    "sticky": "True or False",
    "min_dwell_sec": "a number of seconds, 0 or more",
    "flapping_limit": "a whole number, 1 or more, or None for never",
    "should_failover": "a callable, or None",
    "warm_backups": "'next', 'all', or None",
    "voice_stickiness": "'reply' or 'call'",
    "stateful": "True or False",
    "on_partial": "'continue', 'stop' or 'restart_sentence'",
    "last_resort": "a text that is not blank, a callable, or None",
    "holding_phrase": _PHRASE,
    "retry_on_chunk_sent": "True, False, or 'continue'",
}

#: where an option of the same name takes something else
_OTHER_RANGES = {(TTSOptions, "last_resort"): _PHRASE}


def validated(definition: type[_Options], given: Mapping[str, Any]) -> _Options:
    """Return ``given`` if it fits ``definition``.

    Raises:
        ValueError: An option is unknown or out of range; the text names the option, the value
            and what is allowed.
    """
    try:
        checked = TypeAdapter(definition).validate_python(dict(given), strict=True)
    except ValidationError as error:
        raise ValueError(_explain(error, definition, given)) from None
    return checked


def resolved(
    definition: type[_Options],
    defaults: _Options,
    options: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
) -> _Options:
    """Return defaults, overlaid by ``options=``, overlaid by keywords, all validated."""
    if not isinstance(options, Mapping | None):
        raise ValueError(f"options={options!r}: must be a mapping of options, or None")
    given = validated(definition, {**(options or {}), **keywords})
    merged: _Options = {**defaults, **given}
    _check_range(merged)
    rule = given.get("should_failover")
    if any(map(inspect.iscoroutinefunction, (rule, getattr(rule, "__call__", None)))):  # noqa: B004
        raise ValueError(f"should_failover={rule!r}: must not be async")
    return merged


def _check_range(options: Mapping[str, Any]) -> None:
    floor, ceiling = (
        options.get("attempt_timeout_floor", 0.0),
        options.get("attempt_timeout_ceiling"),
    )
    if ceiling is not None and floor > ceiling:
        raise ValueError(
            f"attempt_timeout_floor={floor!r}: must not exceed attempt_timeout_ceiling={ceiling!r}"
        )


def _explain(error: ValidationError, definition: type[Any], given: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if name not in _RANGES or first["type"] == "extra_forbidden":
        known = ", ".join(sorted(definition.__annotations__))
        return f"unknown option {name}={first['input']!r}: allowed are {known}"
    allowed = _OTHER_RANGES.get((definition, name), _RANGES[name])
    return f"{name}={given[name]!r}: must be {allowed}"
