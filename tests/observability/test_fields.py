# SPDX-License-Identifier: Apache-2.0
"""Events as plain fields: complete, and without a word that was said."""

from __future__ import annotations

from livekit.agents import APIStatusError

from livekit_fallback import LLMAvailabilityChangedEvent
from livekit_fallback.observability._fields import names_of, plain_fields
from tests.support.events import SECRET, failover
from tests.support.fakes import ScriptedLLM


def test_texts_and_numbers_are_kept_by_name():
    """Everything that a report needs is there under the event's own names."""
    assert plain_fields(failover()) == {
        "component": "llm",
        "request_id": "req_1",
        "from_provider": "openai",
        "to_provider": "groq",
        "reason": "http_503",
        "elapsed": 2.5,
        "attempt": 1,
        "error_type": "APIStatusError",
        "timestamp": 1_750_000_000.25,
    }


def test_exception_is_reduced_to_its_type():
    """The text of an exception may quote the caller."""
    fields = plain_fields(failover(error=APIStatusError(SECRET, status_code=503, body=SECRET)))

    assert fields["error_type"] == "APIStatusError"
    assert SECRET not in repr(fields)


def test_numbers_are_rounded_to_what_can_be_measured():
    """Nobody reads nanoseconds."""
    assert plain_fields(failover(elapsed=0.123456789))["elapsed"] == 0.123457


def test_objects_are_left_out():
    """The provider instance itself has no place in a line of text; its name is there."""
    event = LLMAvailabilityChangedEvent(ScriptedLLM(), False, provider="openai", state="probing")

    fields = plain_fields(event)

    assert "llm" not in fields
    assert (fields["provider"], fields["available"], fields["state"]) == (
        "openai",
        False,
        "probing",
    )


def test_all_own_events_are_subscribed_to():
    """LiveKit's `error` and `metrics_collected` are LiveKit's to log."""

    class Adapter:
        component = "tts"

    assert set(names_of(Adapter)) == {
        "failover",
        "recovery",
        "exhausted",
        "output_lost",
        "health_changed",
        "probed",
        "hedged",
        "flapping",
        "tts_availability_changed",
    }
