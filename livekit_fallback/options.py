# SPDX-License-Identifier: Apache-2.0
"""Every option, its default and why.

The typed dictionaries below are the one definition of the options: they type the adapters'
keywords, and pydantic validates against them. All durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen
from livekit.rtc import AudioFrame
from pydantic import ConfigDict, InstanceOf, StringConstraints, with_config
from typing_extensions import TypedDict

from .errors import AttemptReport
from .turn_budget import TurnBudget

Timeout = Annotated[float, Gt(0)] | None
Deadline = Timeout | Literal["auto"]
Milliseconds = Annotated[float, Gt(0)] | None
HedgeAfter = Milliseconds | Literal["p50", "p75", "p90", "p95", "p99"]
Ratio = Annotated[float, Gt(0), Le(1)]
Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Seconds = Annotated[float, Ge(0)]
Text = Annotated[str, StringConstraints(pattern=r"\S")]
Shares = Annotated[Sequence[Annotated[float, Gt(0), Le(1)]], MinLen(1)]
Frames = Annotated[Sequence[InstanceOf[AudioFrame]], MinLen(1)]
Probe = Literal["ping", "replay", "live"] | Callable[[Any], Any] | None

NO_OTHERS = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


@with_config(NO_OTHERS)
class ProviderOptions(TypedDict, total=False):
    """What can be set for one provider, through :class:`~livekit_fallback.Provider`.

    Args:
        attempt_timeout: How long the provider may owe its first useful output. ``None``: as
            long as the request's budget. A streaming recogniser may have nothing to say for
            minutes, but it owes taking the audio, silence too: one that leaves it lying for
            this long is not connected, or no longer. ``"auto"``: twice the live 95th percentile
            of the provider, between ``attempt_timeout_floor`` and ``attempt_timeout_ceiling``.
        stall_timeout: How long it may owe the next output once output flows. ``None``: for
            ever. Streaming recognisers have none.
        max_retry: How often it is asked again, within the request, after a transient failure.
            Not after a deadline: the caller would wait twice. Not after a 429: it would be the
            same.
        probe: See :class:`AdapterOptions`.
        latency_threshold_ms: See :class:`AdapterOptions`; vendors differ.
        hedge_after_ms: See :class:`AdapterOptions`: how long this provider may be silent alone.
        silence_timeout: See :class:`STTOptions`: a recogniser that waits for the end of the turn
            may need more.
        stateful: Whether each request changes something at the provider, such as a
            conversation it keeps. It is then never sent a request that nobody made: ``"live"``
            takes the place of ``"ping"`` and ``"replay"``, and it has no part in hedging.
    """

    attempt_timeout: Deadline
    stall_timeout: Timeout
    max_retry: Count
    probe: Probe
    latency_threshold_ms: Milliseconds
    hedge_after_ms: HedgeAfter
    silence_timeout: Timeout
    stateful: bool


@with_config(NO_OTHERS)
class AdapterOptions(TypedDict, total=False):
    """What every adapter takes.

    Args:
        attempt_timeout: See :class:`ProviderOptions`; for all providers of the adapter.
        attempt_timeout_floor: With ``attempt_timeout="auto"``: the shortest deadline.
        attempt_timeout_ceiling: Likewise the longest, which also holds until twenty outputs were
            timed, while timeouts hide the percentile, and for streaming recognisers.
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
        latency_threshold_ms: Milliseconds above which an output is slow: from the debt to the
            first useful output (LLM, TTS, batch recognition), from the end of speech to the
            transcript (streaming recognition). A provider that is slow too often is left as one
            that failed, unless everybody is slow, and its probes have to be fast, too. ``None``:
            no output is slow.
        consecutive_latency_hits: So many slow outputs in a row are too often.
        slow_ratio: Instead of that: this part of the newest outputs. ``None``: the rule above.
        latency_window: How many outputs those are; missing ones count as fast.
        hedge_after_ms: For how many milliseconds a provider may be silent before the next one is
            asked for the same, and the faster wins: a number, or a live percentile of its own such
            as ``"p95"`` (from twenty outputs on). Not for streaming recognition. ``None``: never.
        hedge_budget: Part of the requests that may be hedged; three can be saved up.
        turn_budget: Shared by the adapters of one session: when the wait for an answer has used
            it up, the fastest usable provider is asked first.
            See :class:`~livekit_fallback.TurnBudget`.
        warm_backups: Whom ``prewarm()`` prepares beside the primary: the ``"next"`` provider,
            ``"all"``, or nobody. Nobody is prewarmed twice.
    """

    attempt_timeout: Deadline
    attempt_timeout_floor: Annotated[float, Gt(0)]
    attempt_timeout_ceiling: Timeout
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
    latency_threshold_ms: Milliseconds
    consecutive_latency_hits: Positive
    slow_ratio: Ratio | None
    latency_window: Positive
    hedge_after_ms: HedgeAfter
    hedge_budget: Share
    turn_budget: TurnBudget | None
    warm_backups: Literal["next", "all"] | None


@with_config(NO_OTHERS)
class LLMOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackLLM`.

    Args:
        max_retry_per_llm: ``max_retry`` of every provider.
        retry_on_chunk_sent: What follows an answer that broke off after its first text.
            ``False``: its provider's error. ``True``: the whole answer of the next provider (the
            caller hears the beginning twice). ``"continue"``: its rest, by the next provider,
            without what that repeats; text is handed over by whole words. After a tool call was
            handed over it is always the error: nothing is done twice.
        last_resort: Answers when every provider has failed: a text, or a callable that is given
            a copy of the :class:`~livekit.agents.llm.ChatContext` and the
            :class:`~livekit_fallback.AllProvidersFailedError`, and returns a text or an async
            iterator of texts or ``ChatChunk``; awaited if it returns an awaitable. It may be
            silent for 2.5 s, and must not block. The request then ends well: ``exhausted`` is
            emitted, and the ``error`` is recoverable. If it says nothing, all is as without
            it. ``None``: the error is raised.
    """

    max_retry_per_llm: Count
    retry_on_chunk_sent: bool | Literal["continue"]
    last_resort: Text | Callable[..., Any] | None


@with_config(NO_OTHERS)
class STTOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackSTT`.

    Args:
        max_retry_per_stt: ``max_retry`` of every provider.
        replay_buffer_sec: How much audio since the last final transcript is kept for the next
            provider. Memory: 32 kB per second at 16 kHz mono.
        silence_timeout: For how long a streaming recogniser that is given speech may give nothing
            back. Speech is what a voice activity detector hears: ``vad``, or the one that
            livekit-agents bundles. If another recogniser makes nothing of the same audio either,
            nobody is blamed. ``None``: silence is not watched, and no detector runs for it.
        standby: How many providers listen along (0 or 1), to take over without a new connection
            when the one at work fails. What they hear is billed as well.
    """

    max_retry_per_stt: Count
    replay_buffer_sec: Seconds
    silence_timeout: Timeout
    standby: Annotated[int, Ge(0), Le(1)]


@with_config(NO_OTHERS)
class TTSOptions(AdapterOptions, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackTTS`.

    Args:
        max_retry_per_tts: ``max_retry`` of every provider.
        voice_stickiness: For how long the voice that has taken over stays, once the one of
            higher priority is back: for the ``"reply"``, or for the ``"call"``, as ``sticky``.
            Inside a reply the voice never changes unless it fails.
        on_partial: What follows when a voice dies in the middle of a reply. ``"continue"``: the
            next voice goes on with the first word that was not spoken. ``"restart_sentence"``:
            it begins with the sentence that was cut. ``"stop"``: the request ends with the
            voice's error.
        last_resort: What the caller hears when every voice has failed: a WAV file of 16 bit PCM
            (a path, or a text that ends with ``.wav``), audio frames, or a text, which a voice
            speaks once, in advance. The ``error`` is then recoverable, so that the session goes
            on; it is raised all the same behind the audio, so that the session takes the reply
            for cut short and not for heard. ``None``: silence.
        holding_phrase: What the caller hears, once, when half of ``total_timeout`` has passed
            since the stream was opened and nobody has spoken: likewise. It has no transcript and
            is not in the chat history, the reply follows it, and it can be interrupted. Sessions
            open the stream with the first text, so it does not cover a late language model.
            ``None``: silence.
    """

    max_retry_per_tts: Count
    on_partial: Literal["continue", "stop", "restart_sentence"]
    last_resort: Text | PathLike[str] | Frames | None
    holding_phrase: Text | PathLike[str] | Frames | None
    voice_stickiness: Literal["reply", "call"]


COMMON_DEFAULTS = AdapterOptions(
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
    # what is slow depends on the vendor, the model and the caller's patience: see docs/latency.md
    latency_threshold_ms=None,
    # one slow output is chance, and so may be two; VideoSDK's agents count to three as well
    consecutive_latency_hits=3,
    slow_ratio=None,
    # the turns of a conversation of a few minutes
    latency_window=20,
    # it costs a second request: theirs to say
    hedge_after_ms=None,
    # what the tail costs at the 95th percentile, twice: room for a bad minute, none for an outage
    hedge_budget=0.1,
    turn_budget=None,
    # a connection that is not used is closed by its server within minutes
    warm_backups=None,
)

LLM_DEFAULTS: LLMOptions = {
    **COMMON_DEFAULTS,
    # voice models answer in 0.3-0.7 s (p95); past 2.5 s callers start to say "hello?". Models that
    # think first, or write long tool calls, need more
    "attempt_timeout": 2.5,
    # below it, the jitter of a healthy provider would be taken for silence
    "attempt_timeout_floor": 0.8,
    "attempt_timeout_ceiling": 2.5,
    # tokens come every few ms, but plugins hand over a tool call only when its arguments are
    # complete, and an answer that is given up here has already begun: patience costs less
    "stall_timeout": 4.0,
    # a slow answer is better than none for as long as a patient caller stays on the line
    "total_timeout": 12.0,
    # a second provider is a better use of the caller's time than a second try
    "max_retry_per_llm": 0,
    # a cut sentence is less confusing than a sentence heard one and a half times
    "retry_on_chunk_sent": False,
    # what to say, and in which language, is the application's to know
    "last_resort": None,
}

STT_DEFAULTS: STTOptions = {
    **COMMON_DEFAULTS,
    # a handshake takes 0.1-0.6 s and a batch recognition of one utterance 0.2-2 s
    "attempt_timeout": 3.0,
    # long utterances take longer than short ones
    "attempt_timeout_floor": 1.0,
    "attempt_timeout_ceiling": 3.0,
    "stall_timeout": None,
    # audio is kept meanwhile, so waiting loses nothing but time
    "total_timeout": 12.0,
    "max_retry_per_stt": 0,
    # longer than any utterance without a pause
    "replay_buffer_sec": 30.0,
    # recognisers settle speech 0.1-1 s after its end, and give first words as early; a caller who
    # gets no answer for longer asks again
    "silence_timeout": 3.0,
    # it doubles the price of recognition, and a new connection takes less than half a second
    "standby": 0,
}

TTS_DEFAULTS: TTSOptions = {
    **COMMON_DEFAULTS,
    # voices start in 0.1-0.6 s, and the caller has waited for the language model already
    "attempt_timeout": 2.0,
    "attempt_timeout_floor": 0.6,
    "attempt_timeout_ceiling": 2.0,
    # frames come faster than real time; one that is this late is heard as a hole
    "stall_timeout": 1.5,
    # the caller has heard nothing yet, but hangs up soon after
    "total_timeout": 8.0,
    "max_retry_per_tts": 0,
    # a change of voice in mid-sentence is heard, and understood; half an answer is not
    "on_partial": "continue",
    # what to say, and in which language, is the application's to know
    "last_resort": None,
    "holding_phrase": None,
    # the same voice for a whole call is worth more to some than the better one: theirs to say
    "voice_stickiness": "reply",
}
