# SPDX-License-Identifier: Apache-2.0
"""Everything private of LiveKit that we touch, in one place.

================================  ==============================================================
what                              why
================================  ==============================================================
``_main_task``, ``_run``,         Overridden. The base classes retry in ``_main_task``
``_recognize_impl``               (``conn_options.max_retry`` times the whole chain), swallow a
                                  499, and count our failures against the session. The walk down
                                  the chain replaces all of it; the others are abstract.
``_metrics_monitor_task``         Overridden to do nothing: metrics are those of the provider
                                  that served.
``_task``, ``_synthesize_task``   The request's task: the stream ends, and is closed, with it.
``_input_ch``, ``_pushed_sr``,    What the base classes know of the input, and how they refuse
``_check_input_not_ended``,       more of it: kept as they keep it.
``_check_not_closed``
``_llm_request_span``,            The request's span: the provider that served is noted on it, a
``_tts_request_span``             probe is marked as one, and ``aclose`` ends it.
``_llm_request_span_name``,       How the base classes name our spans, and that they are not
``_llm_attempt_span_name``,       inference themselves: the provider's own spans are.
``_tts_request_span_name``,
``_tts_attempt_span_name``,
``_genai_operation_name``
``_record_genai_request``         Skipped when nothing is traced: it costs a tenth of a request.
``_llm_request_attributes``       Attributes of the turn, which a probe is no part of.
``_mark_started``,                Time of the first text handed to a provider; frames carry it.
``_started_time``
``_event_ch``                     Where a detector of our own puts its events: the base class offers
                                  no other way.
``_queue``                        The audio that a recogniser has not taken yet: the only sign of
                                  a connection that never comes up.
``_context``                      What a recogniser knows about the speaker.
``_markup``, ``_provider_key``,   Hooks of the session, forwarded to the providers.
``_set_expressive``,
``_update_session_keyterms``,
``_push_conversation_item``
================================  ==============================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import ceil
from typing import Any

from livekit.agents.telemetry import gen_ai, trace_types
from opentelemetry import context as otel_context, trace

from ..provider import Member

# LiveKit's own names, by value: they are newer than 1.8.0.
_FALLBACK_LABEL = "lk.fallback.label"
_FALLBACK_INDEX = "lk.fallback.index"
_FALLBACK_RECOVERY = "lk.fallback.recovery"


def leave_turn() -> None:
    """Take the running task out of the turn it was started in: a probe is no part of it."""
    otel_context.attach(otel_context.Context())
    attributes = getattr(gen_ai, "_llm_request_attributes", None)
    if attributes is not None:
        attributes.set(None)


def mark_probe(stream: object) -> None:
    """Say on the span of a provider's stream that it is a probe's, so that usage adds up."""
    for name in ("_llm_request_span", "_tts_request_span"):
        span = getattr(stream, name, None)
        if span is not None:
            span.set_attribute(_FALLBACK_RECOVERY, True)


def quick_listener(listen: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a listener that LiveKit's emitter calls at a third of the cost.

    The emitter works out the signature of each listener anew for each event, unless the
    listener brings it along. Metrics come with every request.
    """

    def listener(event: Any) -> None:
        listen(event)

    listener.__signature__ = inspect.signature(listener)  # type: ignore[attr-defined]
    return listener


def oldest_untaken(ears: Any) -> object | None:
    """Return the oldest input that a recogniser's stream has not taken yet, if there is any."""
    waiting = ears._input_ch._queue
    return waiting[0] if waiting else None


def usage_of(metrics: Any) -> int:
    """Return what a provider counted: tokens (LLM), characters (TTS), seconds of audio (STT)."""
    for name in ("characters_count", "audio_duration", "total_tokens"):
        count: float | None = getattr(metrics, name, None)
        if count is not None:
            return ceil(count)
    return 0


def end_span(span: trace.Span | None) -> None:
    """End a request's span, as the base classes do in their ``aclose``."""
    if span is not None:
        span.end()


def note_served(span: trace.Span | None, member: Member[Any]) -> None:
    """Say on a request's span which provider served it."""
    if span is None or not span.is_recording():
        return
    span.set_attribute(_FALLBACK_LABEL, member.instance.label)
    span.set_attribute(_FALLBACK_INDEX, member.index)
    span.set_attribute(trace_types.ATTR_GEN_AI_RESPONSE_MODEL, member.instance.model)
