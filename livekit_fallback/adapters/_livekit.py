# SPDX-License-Identifier: Apache-2.0
"""Everything private of LiveKit that we touch, in one place.

================================  ==============================================================
what                              why
================================  ==============================================================
``_main_task`` (overridden)       The base classes retry there (``conn_options.max_retry`` times
                                  the whole chain), swallow a 499, and count our failures against
                                  the session. The walk down the chain replaces all of it.
``_metrics_monitor_task``         Overridden to do nothing: metrics are those of the provider
(overridden)                      that served.
``_run`` (overridden)             Abstract in the base classes, but called only by what we override.
``_task``, ``_synthesize_task``   The request's task: the stream ends, and is closed, with it.
``_llm_request_span``,            Set in ``_main_task`` as the base classes do: the provider that
``_tts_request_span``             served is noted on it. Ended in ``aclose``.
``_input_ch``                     Closed at the end of input, read nowhere else: ``aclose`` and
                                  the checks of the base classes look at it.
``_record_genai_request``         Skipped when nothing is traced: it costs a tenth of a request.
(overridden)
``_mark_started``,                Time of the first text handed to a provider; frames carry it.
``_started_time``
``_set_expressive``,              Hooks of the session, forwarded to the providers.
``_update_session_keyterms``,
``_push_conversation_item``
================================  ==============================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from livekit.agents.telemetry import trace_types
from opentelemetry import trace

from ..provider import Member

# LiveKit's own names for what served a request, by value: they are newer than 1.8.0.
_FALLBACK_LABEL = "lk.fallback.label"
_FALLBACK_INDEX = "lk.fallback.index"


def quick_listener(listen: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a listener that LiveKit's emitter calls at a third of the cost.

    The emitter works out the signature of each listener anew for each event, unless the
    listener brings it along. Metrics come with every request.
    """

    def listener(event: Any) -> None:
        listen(event)

    listener.__signature__ = inspect.signature(listener)  # type: ignore[attr-defined]
    return listener


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
