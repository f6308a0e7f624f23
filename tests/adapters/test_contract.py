# SPDX-License-Identifier: Apache-2.0
"""Nothing that LiveKit's base classes offer goes by without a decision of ours.

When this fails after an update of LiveKit: look at what the new name does there and who reads
it (the voice pipeline: `livekit/agents/voice`), let the adapter forward, combine or inherit it,
and write the decision into the table below.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass

import pytest
from livekit.agents import llm, stt, tts, vad

from tests.support.livekit_api import BASES, is_ours, own_names


@dataclass(frozen=True)
class Decision:
    """What we do about one name, and why."""

    ours: bool
    why: str


def overridden(why: str) -> Decision:
    """The adapter has its own."""
    return Decision(True, why)


def inherited(why: str) -> Decision:
    """LiveKit's own serves."""
    return Decision(False, why)


_LABEL = inherited("names the adapter itself in logs and errors; providers keep their own")
_METRICS_STATE = inherited("read by the metrics task that we do not run")
_NAMED_BY_PROVIDER = overridden("of the provider at work: turn metrics name who really serves")
_OPTIONS = inherited("kept for readers; deadlines and retries are the adapter's own")
_BELONGS = inherited("the adapter that the stream belongs to")
_OUR_WALK = overridden("the walk down the chain takes the place of retries and of `_run`")
_OUR_METRICS = overridden("metrics are those of the provider that served")
_OUR_ERRORS = inherited("not called: errors are emitted by the chain, which knows what is left")
_CHANNEL = inherited("the way of LiveKit's own streams; ours hand outputs over in one hop")
_TASK = inherited("the request's task")
_SPAN = inherited("the request's span, ended in `aclose`")
_SPAN_NAME = overridden("the adapter's span is told from its providers' spans")
_NO_ATTEMPT_SPAN = overridden("providers trace their own attempts")
_TRACING = inherited("tracing of a request that the provider's own stream records")

DECISIONS: dict[type, dict[str, Decision]] = {
    llm.LLM: {
        "_label": _LABEL,
        "label": _LABEL,
        "_prewarm_impl": inherited("not called: prewarm is handed to the primary"),
        "_prewarm_task": inherited("never set, for the same reason"),
        "prewarm": overridden("of the primary, which is expected to serve"),
        "chat": overridden("the adapter's work"),
        "aclose": overridden("ends requests and probes"),
        "model": _NAMED_BY_PROVIDER,
        "provider": _NAMED_BY_PROVIDER,
        "metrics_metadata": _NAMED_BY_PROVIDER,
    },
    stt.STT: {
        "_label": _LABEL,
        "label": _LABEL,
        "_capabilities": inherited("as of the making; `capabilities` is what counts"),
        "capabilities": overridden("combined from all providers, as of now"),
        "_emit_error": _OUR_ERRORS,
        "_recognize_impl": overridden("abstract; leads into the walk"),
        "_recognize_metrics_needed": inherited("read by LiveKit's `recognize`, which is replaced"),
        "recognize": overridden("the walk takes the place of LiveKit's retries"),
        "stream": overridden("the adapter's work"),
        "aclose": overridden("ends requests and probes"),
        "prewarm": overridden("of the primary, which is expected to serve"),
        "model": _NAMED_BY_PROVIDER,
        "provider": _NAMED_BY_PROVIDER,
        "metrics_metadata": _NAMED_BY_PROVIDER,
        "_update_session_keyterms": overridden("to every provider that takes keyterms"),
        "_push_conversation_item": overridden("to every provider that takes the conversation"),
        "_keyterms_unsupported_warned": inherited("the hook is overridden, nothing warns"),
        "_chat_context_unsupported_warned": inherited("the hook is overridden, nothing warns"),
    },
    tts.TTS: {
        "_label": _LABEL,
        "label": _LABEL,
        "Markup": inherited("the adapter's own speaks no dialect; `markup` is what counts"),
        "_markup": inherited("used when the voices have no dialect in common"),
        "markup": overridden("the voices' dialect if they share one"),
        "_expressive": inherited("set by `_set_expressive`"),
        "_set_expressive": overridden("to every voice: nobody knows who will speak"),
        "_capabilities": inherited("combined from all voices"),
        "capabilities": inherited("combined from all voices"),
        "_sample_rate": inherited("the rate that is handed to the session"),
        "sample_rate": inherited("the rate that is handed to the session"),
        "_num_channels": inherited("the same for all voices"),
        "num_channels": inherited("the same for all voices"),
        "_synthesize_with_stream": inherited("not needed: `synthesize` is the adapter's"),
        "synthesize": overridden("the adapter's work"),
        "stream": overridden("the adapter's work"),
        "aclose": overridden("ends requests and probes"),
        "prewarm": overridden("of the primary, which is expected to serve"),
        "model": _NAMED_BY_PROVIDER,
        "provider": _NAMED_BY_PROVIDER,
        "metrics_metadata": _NAMED_BY_PROVIDER,
    },
    llm.LLMStream: {
        "_llm": _BELONGS,
        "_conn_options": _OPTIONS,
        "_chat_ctx": inherited("the caller's, never changed"),
        "chat_ctx": inherited("the caller's, never changed"),
        "_tools": inherited("the caller's"),
        "tools": inherited("the caller's"),
        "_event_ch": _CHANNEL,
        "_event_aiter": _CHANNEL,
        "_tee_aiter": _CHANNEL,
        "_task": _TASK,
        "_metrics_task": _METRICS_STATE,
        "_metrics_monitor_task": _OUR_METRICS,
        "_current_attempt_has_error": _METRICS_STATE,
        "_provider_request_ids": _METRICS_STATE,
        "_retry_on_chunk_sent": inherited("read by LiveKit's retries, which are replaced"),
        "_main_task": _OUR_WALK,
        "_run": _OUR_WALK,
        "_emit_error": _OUR_ERRORS,
        "_attempt_span": _TRACING,
        "_record_content": _TRACING,
        "_record_genai_request": overridden("skipped when nothing is traced: it is not cheap"),
        "_llm_request_span": _SPAN,
        "_llm_request_span_name": _SPAN_NAME,
        "_llm_attempt_span_name": _NO_ATTEMPT_SPAN,
        "_genai_operation_name": overridden("the provider's span describes the inference"),
        "aclose": overridden("ends the request at once"),
        "collect": inherited("reads the stream to its end"),
        "to_str_iterable": inherited("reads the stream to its end"),
    },
    stt.RecognizeStream: {
        "_FlushSentinel": inherited("a flush is handed on at once"),
        "_stt": _BELONGS,
        "_conn_options": _OPTIONS,
        "_input_ch": inherited("only says whether input has ended; audio takes a shorter way"),
        "_event_ch": _CHANNEL,
        "_event_aiter": _CHANNEL,
        "_tee": _CHANNEL,
        "_task": _TASK,
        "_metrics_task": _METRICS_STATE,
        "_metrics_monitor_task": _OUR_METRICS,
        "_main_task": _OUR_WALK,
        "_run": _OUR_WALK,
        "_emit_error": _OUR_ERRORS,
        "_num_retries": inherited("read by LiveKit's retries, which are replaced"),
        "_needed_sr": inherited("no rate is needed: each provider resamples for itself"),
        "_resampler": inherited("no rate is needed: each provider resamples for itself"),
        "_pushed_sr": inherited("to refuse a change of rate, as LiveKit does"),
        "push_frame": overridden("straight to the recogniser at work, and kept"),
        "flush": overridden("straight to the recogniser at work, and kept"),
        "end_input": overridden("straight to the recogniser at work, and kept"),
        "_check_input_not_ended": inherited("input is refused as LiveKit refuses it"),
        "_check_not_closed": inherited("input is refused as LiveKit refuses it"),
        "_context": inherited("until a recogniser is at work"),
        "context": overridden("of the recogniser at work"),
        "_start_time": inherited("the session's clock for the whole stream"),
        "start_time": inherited("the session's clock for the whole stream"),
        "_start_time_offset": inherited("set by the session; recognisers get theirs from it"),
        "start_time_offset": inherited("set by the session; recognisers get theirs from it"),
        "_report_connection_acquired": inherited("called by providers on their own streams"),
        "aclose": overridden("ends the request at once"),
    },
    vad.VAD: {
        "_label": _LABEL,
        "_capabilities": inherited("of the primary, and read by nobody: see capabilities"),
        "capabilities": overridden("the longest interval: no detector reports more rarely"),
        "model": _NAMED_BY_PROVIDER,
        "provider": _NAMED_BY_PROVIDER,
        "stream": overridden("one stream over the whole chain"),
    },
    vad.VADStream: {
        "_FlushSentinel": inherited("a flush is handed on at once"),
        "_vad": _BELONGS,
        "_last_activity_time": _METRICS_STATE,
        "_input_ch": inherited("only says whether input has ended; audio takes a shorter way"),
        "_event_ch": _CHANNEL,
        "_event_aiter": _CHANNEL,
        "_tee_aiter": _CHANNEL,
        "_task": _TASK,
        "_metrics_task": _METRICS_STATE,
        "_metrics_monitor_task": _OUR_METRICS,
        "_main_task": _OUR_WALK,
        "push_frame": overridden("straight to the detector at work, and kept"),
        "flush": overridden("straight to the detector at work; what was kept is of no use"),
        "end_input": overridden("straight to the detector at work"),
        "_check_input_not_ended": inherited("input is refused as LiveKit refuses it"),
        "_check_not_closed": inherited("input is refused as LiveKit refuses it"),
        "aclose": overridden("ends the request at once"),
    },
    tts.ChunkedStream: {
        "_tts": _BELONGS,
        "_conn_options": _OPTIONS,
        "_input_text": inherited("the caller's"),
        "input_text": inherited("the caller's"),
        "_started_time": inherited("set when the text was given; frames carry it"),
        "_event_ch": _CHANNEL,
        "_event_aiter": _CHANNEL,
        "_tee": _CHANNEL,
        "_synthesize_task": _TASK,
        "done": inherited("of the request's task"),
        "exception": inherited("of the request's task"),
        "_metrics_task": _METRICS_STATE,
        "_metrics_monitor_task": _OUR_METRICS,
        "_current_attempt_has_error": _METRICS_STATE,
        "_input_tokens": _METRICS_STATE,
        "_output_tokens": _METRICS_STATE,
        "_acquire_time": _METRICS_STATE,
        "_connection_reused": _METRICS_STATE,
        "_set_token_usage": inherited("called by providers on their own streams"),
        "_main_task": _OUR_WALK,
        "_run": _OUR_WALK,
        "_emit_error": _OUR_ERRORS,
        "_tts_request_span": _SPAN,
        "_tts_request_span_name": _SPAN_NAME,
        "_tts_attempt_span_name": _NO_ATTEMPT_SPAN,
        "aclose": overridden("ends the request at once"),
        "collect": inherited("reads the stream to its end"),
    },
    tts.SynthesizeStream: {
        "_FlushSentinel": inherited("a flush is handed on at once"),
        "_tts": _BELONGS,
        "_conn_options": _OPTIONS,
        "_input_ch": inherited("only says whether input has ended; text takes a shorter way"),
        "_input_buffer": inherited("text is kept in the script"),
        "_input_ended": inherited("read by LiveKit's retries, which are replaced"),
        "_pushed_text": inherited("text is kept in the script"),
        "_event_ch": _CHANNEL,
        "_event_aiter": _CHANNEL,
        "_monitor_aiter": _CHANNEL,
        "_tee": _CHANNEL,
        "_task": _TASK,
        "_started_time": inherited("set by `_mark_started`; frames carry it"),
        "_mark_started": inherited("called at the first text"),
        "_metrics_task": _METRICS_STATE,
        "_metrics_monitor_task": _OUR_METRICS,
        "_current_attempt_has_error": _METRICS_STATE,
        "_mtc_pending_texts": _METRICS_STATE,
        "_mtc_text": _METRICS_STATE,
        "_num_segments": _METRICS_STATE,
        "_input_tokens": _METRICS_STATE,
        "_output_tokens": _METRICS_STATE,
        "_acquire_time": _METRICS_STATE,
        "_connection_reused": _METRICS_STATE,
        "_set_token_usage": inherited("called by providers on their own streams"),
        "_main_task": _OUR_WALK,
        "_run": _OUR_WALK,
        "_emit_error": _OUR_ERRORS,
        "_tts_request_span": _SPAN,
        "_tts_request_span_name": _SPAN_NAME,
        "_tts_attempt_span_name": _NO_ATTEMPT_SPAN,
        "push_text": overridden("straight to the voice at work, and kept"),
        "flush": overridden("straight to the voice at work, and kept"),
        "end_input": overridden("straight to the voice at work, and kept"),
        "aclose": overridden("ends the request at once"),
    },
}

# Newer than 1.8.0, so an older LiveKit may lack them.
NEWER = {"_attempt_span", "_genai_operation_name", "_llm_attempt_span_name", "_record_content",
         "_retry_on_chunk_sent", "_tts_attempt_span_name"}  # fmt: skip

FIELDS: dict[type, set[str]] = {
    # combined in the adapters' `capabilities`, field by field: tested in test_hooks.py
    stt.STTCapabilities: {
        "streaming", "interim_results", "diarization", "aligned_transcript", "offline_recognize",
        "keyterms", "chat_context", "manual_flush",
    },
    tts.TTSCapabilities: {"streaming", "aligned_transcript"},
    vad.VADCapabilities: {"update_interval"},
    # made anew for each frame by FallbackTTS, so a new field would be lost
    tts.SynthesizedAudio: {"frame", "request_id", "is_final", "segment_id", "delta_text"},
    # extended by our own events
    llm.AvailabilityChangedEvent: {"llm", "available"},
    stt.AvailabilityChangedEvent: {"stt", "available"},
    tts.AvailabilityChangedEvent: {"tts", "available"},
}  # fmt: skip


@pytest.mark.parametrize("base", BASES, ids=lambda cls: cls.__name__)
def test_every_name_of_livekits_base_class_is_decided_about(base: type):
    """A name that LiveKit has and the table has not is new: decide about it."""
    undecided = own_names(base) - DECISIONS[base].keys()

    assert undecided == set(), f"new in {base.__qualname__}: override, combine or inherit?"


@pytest.mark.parametrize("base", BASES, ids=lambda cls: cls.__name__)
def test_no_decision_is_about_something_that_is_gone(base: type):
    """A name that the table has and LiveKit has not any more takes our reason with it."""
    gone = DECISIONS[base].keys() - own_names(base) - NEWER

    assert gone == set(), f"gone from {base.__qualname__}: what did we use it for?"


@pytest.mark.parametrize(("base", "ours"), BASES.items(), ids=lambda cls: cls.__name__)
def test_the_decisions_are_carried_out(base: type, ours: type):
    """What is decided to be overridden is ours, and what is inherited is LiveKit's."""
    decided = {name: decision.ours for name, decision in DECISIONS[base].items()}

    assert {name: is_ours(ours, name) for name in decided} == decided


@pytest.mark.parametrize(("base", "ours"), BASES.items(), ids=lambda cls: cls.__name__)
def test_whatever_livekit_passes_is_taken(base: type, ours: type):
    """Overriding methods take every parameter that LiveKit's own methods take."""
    missing = {}
    for name, decision in DECISIONS[base].items():
        theirs = inspect.getattr_static(base, name, None)
        if decision.ours and inspect.isfunction(theirs):
            takes = inspect.signature(inspect.getattr_static(ours, name)).parameters
            lacking = inspect.signature(theirs).parameters.keys() - takes.keys()
            if lacking and not any(p.kind is p.VAR_POSITIONAL for p in takes.values()):
                missing[name] = lacking

    assert missing == {}


@pytest.mark.parametrize("cls", FIELDS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_field_is_decided_about(cls: type):
    """A field that LiveKit adds to what we combine, copy or extend must be looked at."""
    new = {field.name for field in dataclasses.fields(cls)} - FIELDS[cls]

    assert new == set(), f"new field of {cls.__qualname__}: combine, copy or extend it"
