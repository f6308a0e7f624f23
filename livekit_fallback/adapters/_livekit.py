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
``_event_ch``                     The output channel every plugin writes to.
``_event_aiter``                  Replaced by the channel itself: the tee in between serves the
                                  metrics task that we do not run, and costs each output
                                  several microseconds and a second copy.
``_task``, ``_synthesize_task``   To mark exceptions as seen when a session closes a stream
                                  without reading to its end.
``_llm_request_span``,            Set in ``_main_task`` as the base classes do, so that their
``_tts_request_span``             ``aclose`` ends the span; the provider that served is noted
                                  on it.
``_input_ch``                     Closed at the end of input, read nowhere else: ``aclose`` and
                                  the checks of the base classes look at it.
``_mark_started``                 Time of the first text handed to a provider.
``_set_expressive``,              Hooks of the session, forwarded to the providers.
``_update_session_keyterms``,
``_push_conversation_item``
================================  ==============================================================
"""

from __future__ import annotations

from typing import Any, Protocol

from livekit.agents.telemetry import trace_types
from opentelemetry import trace

from ..provider import Member
from ._tasks import retrieve

# LiveKit's own names for what served a request, by value: they are newer than 1.8.0.
_FALLBACK_LABEL = "lk.fallback.label"
_FALLBACK_INDEX = "lk.fallback.index"


class _HostStream(Protocol):
    _event_ch: Any
    _event_aiter: Any


def read_outputs_directly(stream: _HostStream, task: Any) -> None:
    """Let the session read from the stream's channel, and see to unread exceptions."""
    stream._event_aiter = stream._event_ch
    task.add_done_callback(retrieve)


def note_served(span: trace.Span | None, member: Member[Any]) -> None:
    """Say on a request's span which provider served it."""
    if span is None or not span.is_recording():
        return
    span.set_attribute(_FALLBACK_LABEL, member.instance.label)
    span.set_attribute(_FALLBACK_INDEX, member.index)
    span.set_attribute(trace_types.ATTR_GEN_AI_RESPONSE_MODEL, member.instance.model)
