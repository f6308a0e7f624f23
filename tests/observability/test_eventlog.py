# SPDX-License-Identifier: Apache-2.0
"""The event log: one JSON object per event, written at once, harmless once closed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackLLM, FallbackTTS, LLMAvailabilityChangedEvent
from livekit_fallback.observability import EventLog
from tests.support.events import ALL, SECRET, failover, recovery
from tests.support.fakes import ScriptedLLM, ScriptedTTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_events_of_all_adapters_are_lines_in_order(path):
    """Each line says which event of which component it is, and holds the event's fields."""
    model, voice = FallbackLLM([ScriptedLLM()]), FallbackTTS([ScriptedTTS()])
    log = EventLog(path)
    log.attach(model, voice)

    model.emit("failover", failover())
    voice.emit("recovery", recovery())
    log.close()

    first, second = read(path)
    assert (first["event"], first["component"], first["to_provider"]) == ("failover", "llm", "groq")
    assert (second["event"], second["down_for"]) == ("recovery", 12.0)


def test_availability_is_written_too(path):
    """The log tells when a provider went down and came back."""
    model = FallbackLLM([ScriptedLLM()])
    log = EventLog(path)
    log.attach(model)

    event = LLMAvailabilityChangedEvent(ScriptedLLM(), False, provider="openai", reason="stall")
    model.emit("llm_availability_changed", event)
    log.close()

    (line,) = read(path)
    assert (line["event"], line["component"]) == ("llm_availability_changed", "llm")
    assert (line["provider"], line["available"], line["reason"]) == ("openai", False, "stall")


def test_no_line_quotes_what_was_said(path):
    """The file can be sent to somebody: exceptions are reduced to their type."""
    model: Any = FallbackLLM([ScriptedLLM()])
    log = EventLog(path)
    log.attach(model)

    for name, make in ALL.items():
        model.emit(name, make())
    log.close()

    assert len(read(path)) == len(ALL)
    assert SECRET not in path.read_text("utf-8")


def test_line_is_on_disk_before_the_next_event(path):
    """A process that crashes a moment later leaves a readable file."""
    model = FallbackLLM([ScriptedLLM()])
    log = EventLog(path)
    log.attach(model)

    model.emit("failover", failover())

    assert len(read(path)) == 1
    log.close()


def test_log_is_appended_to(path):
    """A worker that is restarted goes on in the same file."""
    for _ in range(2):
        model = FallbackLLM([ScriptedLLM()])
        log = EventLog(str(path))
        log.attach(model)
        model.emit("failover", failover())
        log.close()

    assert len(read(path)) == 2


def test_events_after_closing_are_dropped(path):
    """Closing the log before the adapters is no error, nor is closing it twice."""
    model = FallbackLLM([ScriptedLLM()])
    log = EventLog(path)
    log.attach(model)
    log.close()
    log.close()

    model.emit("failover", failover())

    assert read(path) == []


def test_file_that_cannot_be_written_is_said_at_once(tmp_path):
    """The mistake shows when the log is made, not at the first failover of a call."""
    with pytest.raises(OSError, match="missing"):
        EventLog(tmp_path / "missing" / "events.jsonl")
