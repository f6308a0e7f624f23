# SPDX-License-Identifier: Apache-2.0
"""One log line per event: a static message, structured fields, and private text marked."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from livekit.rtc import EventEmitter

from livekit_fallback import FallbackLLM
from livekit_fallback.observability import log_events
from tests.support.events import ALL, SECRET, failover
from tests.support.fakes import ScriptedLLM

LEVELS = {
    "failover": logging.WARNING,
    "recovery": logging.INFO,
    "exhausted": logging.ERROR,
    "output_lost": logging.WARNING,
    "health_changed": logging.DEBUG,
    "probed": logging.DEBUG,
    "hedged": logging.INFO,
    "flapping": logging.WARNING,
}
# Of a record as the logging module makes it; what is more was put there by us.
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged on the package's logger is seen, at any level."""
    caplog.set_level(logging.DEBUG, logger="livekit_fallback")


def logged_adapter() -> EventEmitter[Any]:
    adapter: EventEmitter[Any] = EventEmitter()
    log_events(adapter)
    return adapter


@pytest.mark.parametrize("name", ALL)
def test_each_event_is_one_line_of_its_level(name, caplog):
    """A failover warns, a recovery informs, exhaustion is an error."""
    logged_adapter().emit(name, ALL[name]())

    assert [(line.name, line.levelno) for line in caplog.records] == [
        ("livekit_fallback", LEVELS[name])
    ]


@pytest.mark.parametrize("name", ALL)
def test_message_is_static(name, caplog):
    """Lines of one event can be counted by their message: what varies is in the fields."""
    adapter = logged_adapter()
    adapter.emit(name, ALL[name]())

    assert caplog.records[0].args in ((), None)
    assert not any(char.isdigit() for char in caplog.records[0].getMessage())
    assert "openai" not in caplog.records[0].getMessage()


@pytest.mark.parametrize("name", ALL)
def test_private_text_is_only_under_its_mark(name, caplog):
    """LiveKit redacts `lk.pii.` keys, so what may quote the caller is there and nowhere else."""
    logged_adapter().emit(name, ALL[name]())

    ours = {key: value for key, value in vars(caplog.records[0]).items() if key not in STANDARD}
    public = {key: value for key, value in ours.items() if not key.startswith("lk.pii.")}
    assert SECRET not in repr(public)
    assert SECRET not in caplog.records[0].getMessage()


def test_fields_of_the_event_are_fields_of_the_line(caplog):
    """A structured handler can filter by provider and reason."""
    logged_adapter().emit("failover", failover())

    fields = vars(caplog.records[0])
    assert (fields["from_provider"], fields["to_provider"]) == ("openai", "groq")
    assert (fields["reason"], fields["elapsed"]) == ("http_503", 2.5)
    assert fields["error_type"] == "APIStatusError"
    assert SECRET in fields["lk.pii.error"]


def test_nothing_is_prepared_for_a_level_that_is_off(caplog):
    """Silenced lines cost nothing, not even the text of the exception."""

    class NeverShown(Exception):
        def __str__(self) -> str:
            raise AssertionError("was formatted")

    caplog.set_level(logging.CRITICAL, logger="livekit_fallback")
    logged_adapter().emit("failover", failover(error=NeverShown()))

    assert caplog.records == []


def test_every_new_adapter_is_logged(caplog):
    """Logging is on without asking for it."""
    FallbackLLM([ScriptedLLM()]).emit("failover", failover())

    assert len(caplog.records) == 1
