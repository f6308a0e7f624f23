# SPDX-License-Identifier: Apache-2.0
"""Every option, its default and why.

The typed dictionaries below are the one definition of the options: they type the adapters'
keywords, and pydantic validates against them. All durations are in seconds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from .core.walk import Limits
from .errors import AttemptReport

Timeout = Annotated[float, Gt(0)] | None
Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Seconds = Annotated[float, Ge(0)]
Shares = Annotated[Sequence[Annotated[float, Gt(0), Le(1)]], MinLen(1)]
Probe = Literal["ping", "replay", "live"] | Callable[[Any], Any] | None

_NO_OTHERS = ConfigDict(extra="forbid")


@with_config(_NO_OTHERS)
class ProviderOptions(TypedDict, total=False):
    """What can be set for one provider, through :class:`~livekit_fallback.Provider`.

    Args:
        attempt_timeout: How long the provider may owe its first useful output. ``None``: as
            long as the request's budget. A streaming recogniser may have nothing to say for
            minutes, but it owes taking the audio, silence too: one that leaves it lying for
            this long is not connected, or no longer.
        stall_timeout: How long it may owe the next output once output flows. ``None``: for
            ever. Streaming recognisers have none.
        max_retry: How often it is asked again, within the request, after a transient failure.
            Not after a deadline: the caller would wait twice. Not after a 429: it would be the
            same.
        probe: See :class:`AdapterOptions`.
        stateful: Whether each request changes something at the provider, such as a
            conversation it keeps. It is then never sent a request that nobody made: ``"live"``
            takes the place of ``"ping"`` and ``"replay"``.
    """

    attempt_timeout: Timeout
    stall_timeout: Timeout
    max_retry: Count
    probe: Probe
    stateful: bool


@with_config(_NO_OTHERS)
class AdapterOptions(TypedDict, total=False):
    """What every adapter takes.

    Args:
        attempt_timeout: See :class:`ProviderOptions`; for all providers of the adapter.
        stall_timeout: See :class:`ProviderOptions`; for all providers of the adapter.
        total_timeout: Budget in which a request must have found a provider that serves.
            ``None``: no limit. An answer that is flowing is never cut by it. The last usable
            provider gets what is left of it instead of its ``attempt_timeout``.
        retry_interval: Upper bound of the first wait before asking again; later waits double.
        temporary_disable_sec: How long a failed provider rests before it is probed. Repeated
            failures double it. Rests are shortened by up to a fifth at random, so that many
            workers do not probe as one. 0: the first probe starts at once.
        max_disable_sec: Longest rest; at least ``temporary_disable_sec``, whatever is given. A
            rejected key or a missing model rests this long at once.
        permanent_disable_after_attempts: After how many failed recoveries in a row (bad probes,
            and failures on probation) a provider is disabled until ``enable()``. ``None``:
            never. A disabled provider is still asked when all others have failed.
        probe: How a rested provider proves itself. ``"replay"``: the last request is repeated
            beside the traffic and stopped at its first useful output. ``"ping"``: a small
            request of the adapter's own, likewise. A callable: called with the provider; it is
            back unless that raises or returns ``False``; awaited if it returns an awaitable.
            ``"live"``: the next request is the test, under the usual deadlines. ``None``:
            never; it is back when ``enable()`` is called, or when it serves although it was
            asked last.
        health_check_interval: Seconds after which a provider that nobody has heard of is
            probed (up to a quarter later), healthy or not, whether there is traffic or not. A
            good check counts like a good request. ``None``: only failed providers are probed,
            and only while there is traffic.
        probation_successes: How many requests a provider has to serve well after its probe,
            before its failures are forgotten.
        reintroduction: What share of the requests a provider on probation gets, step by step;
            each step takes ``probation_successes``.
        sticky: Stay with the provider that served last until it fails, even when one of higher
            priority is back.
        min_dwell_sec: How long to stay with it at least.
        flapping_limit: How many failovers a minute are still normal; more are reported once a
            minute in a ``flapping`` event. ``None``: never reported.
        should_failover: Called with a provider's exception and its
            :class:`~livekit_fallback.AttemptReport`. ``False``: the request ends with that
            exception, no other provider is asked, and nobody's health is touched. Must be quick
            and not async. One that raises counts as ``True``.
        warm_backups: Whom ``prewarm()`` prepares beside the primary: the ``"next"`` provider,
            ``"all"``, or nobody. Nobody is prewarmed twice.
    """

    attempt_timeout: Timeout
    stall_timeout: Timeout
    total_timeout: Timeout
    retry_interval: Seconds
    temporary_disable_sec: Seconds
    max_disable_sec: Seconds
    permanent_disable_after_attempts: Positive | None
    probe: Probe
    health_check_interval: Timeout
    probation_successes: Positive
    reintroduction: Shares
    sticky: bool
    min_dwell_sec: Seconds
    flapping_limit: Positive | None
    should_failover: Callable[[Exception, AttemptReport], bool] | None
    warm_backups: Literal["next", "all"] | None


@with_config(_NO_OTHERS)
class LLMOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackLLM`.

    Args:
        max_retry_per_llm: ``max_retry`` of every provider.
        retry_on_chunk_sent: Whether an answer that broke off after its first text is restarted
            on the next provider (the caller hears the beginning twice). After a tool call was
            handed over nothing is ever repeated.
    """

    max_retry_per_llm: Count
    retry_on_chunk_sent: bool


@with_config(_NO_OTHERS)
class STTOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackSTT`.

    Args:
        max_retry_per_stt: ``max_retry`` of every provider.
        replay_buffer_sec: How much audio since the last final transcript is kept for the next
            provider. Memory: 32 kB per second at 16 kHz mono.
    """

    max_retry_per_stt: Count
    replay_buffer_sec: Seconds


@with_config(_NO_OTHERS)
class TTSOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackTTS`.

    Args:
        max_retry_per_tts: ``max_retry`` of every provider.
        voice_stickiness: For how long the voice that has taken over stays, once the one of
            higher priority is back: for the ``"reply"``, or for the ``"call"``, as ``sticky``.
            Inside a reply the voice never changes unless it fails.
    """

    max_retry_per_tts: Count
    voice_stickiness: Literal["reply", "call"]


_COMMON_DEFAULTS = AdapterOptions(
    # half a second is heard as hesitation; the second wait is already a pause
    retry_interval=0.5,
    # most blips are over after a few seconds, and a probe costs the caller nothing
    temporary_disable_sec=5.0,
    # one request in five minutes is no load on a dead provider, and no long absence for a call
    max_disable_sec=300.0,
    # outages end, and an agent that runs for weeks would be left without its best provider
    permanent_disable_after_attempts=None,
    # the most that can be learnt, and what is sent has been paid for with a real request already
    probe="replay",
    # providers bill for idle checks, and the next request notices as much
    health_check_interval=None,
    # a probe may be lucky: one that fails every second time rarely gets through three in a row
    probation_successes=3,
    # conversations are few enough for a provider to be given all of them again
    reintroduction=(1.0,),
    sticky=False,
    # growing rests keep a flapping provider away already
    min_dwell_sec=0.0,
    # one in ten seconds: every other turn of a conversation
    flapping_limit=6,
    should_failover=None,
    # a connection that is not used is closed by its server within minutes
    warm_backups=None,
)

LLM_DEFAULTS: LLMOptions = {
    **_COMMON_DEFAULTS,
    # voice models answer in 0.3-0.7 s (p95); past 2.5 s callers start to say "hello?". Models that
    # think first, or write long tool calls, need more
    "attempt_timeout": 2.5,
    # tokens come every few ms, but plugins hand over a tool call only when its arguments are
    # complete, and an answer that is given up here has already begun: patience costs less
    "stall_timeout": 4.0,
    # a slow answer is better than none for as long as a patient caller stays on the line
    "total_timeout": 12.0,
    # a second provider is a better use of the caller's time than a second try
    "max_retry_per_llm": 0,
    # a cut sentence is less confusing than a sentence heard one and a half times
    "retry_on_chunk_sent": False,
}

STT_DEFAULTS: STTOptions = {
    **_COMMON_DEFAULTS,
    # a handshake takes 0.1-0.6 s and a batch recognition of one utterance 0.2-2 s
    "attempt_timeout": 3.0,
    "stall_timeout": None,
    # audio is kept meanwhile, so waiting loses nothing but time
    "total_timeout": 12.0,
    "max_retry_per_stt": 0,
    # longer than any utterance without a pause
    "replay_buffer_sec": 30.0,
}

TTS_DEFAULTS: TTSOptions = {
    **_COMMON_DEFAULTS,
    # voices start in 0.1-0.6 s, and the caller has waited for the language model already
    "attempt_timeout": 2.0,
    # frames come faster than real time; one that is this late is heard as a hole
    "stall_timeout": 1.5,
    # the caller has heard nothing yet, but hangs up soon after
    "total_timeout": 8.0,
    "max_retry_per_tts": 0,
    # the same voice for a whole call is worth more to some than the better one: theirs to say
    "voice_stickiness": "reply",
}

_Options = TypeVar("_Options", LLMOptions, STTOptions, TTSOptions, ProviderOptions)

_RANGES = {
    "attempt_timeout": "a number of seconds greater than 0, or None for no limit",
    "stall_timeout": "a number of seconds greater than 0, or None for no limit",
    "total_timeout": "a number of seconds greater than 0, or None for no limit",
    "retry_interval": "a number of seconds, 0 or more",
    "temporary_disable_sec": "a number of seconds, 0 or more",
    "max_disable_sec": "a number of seconds, 0 or more",
    "replay_buffer_sec": "a number of seconds, 0 or more",
    "max_retry": "a whole number, 0 or more",
    "max_retry_per_llm": "a whole number, 0 or more",
    "max_retry_per_stt": "a whole number, 0 or more",
    "max_retry_per_tts": "a whole number, 0 or more",
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
    "retry_on_chunk_sent": "True or False",
}


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
    given = validated(definition, {**(options or {}), **keywords})
    rule = given.get("should_failover")
    if any(map(inspect.iscoroutinefunction, (rule, getattr(rule, "__call__", None)))):  # noqa: B004
        raise ValueError(f"should_failover={rule!r}: must not be async")
    return {**defaults, **given}


def limits(options: Mapping[str, Any], overrides: ProviderOptions, component: str) -> Limits:
    """Return what one provider is allowed: its own overrides before the adapter's options."""
    merged: dict[str, Any] = {**options, **overrides}
    return Limits(
        attempt_timeout=merged["attempt_timeout"],
        stall_timeout=merged["stall_timeout"],
        max_retry=overrides.get("max_retry", options[f"max_retry_per_{component}"]),
    )


def _explain(error: ValidationError, definition: type[Any], given: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if name not in _RANGES or first["type"] == "extra_forbidden":
        known = ", ".join(sorted(definition.__annotations__))
        return f"unknown option {name}={first['input']!r}: allowed are {known}"
    return f"{name}={given[name]!r}: must be {_RANGES[name]}"
