# SPDX-License-Identifier: Apache-2.0
"""The public names: all there, none missing, none by accident."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

import livekit_fallback
from livekit_fallback import errors, events, observability

PUBLIC = livekit_fallback.__all__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_exists(name):
    """`from livekit_fallback import *` never fails."""
    assert getattr(livekit_fallback, name) is not None


def test_public_names_are_sorted_and_unique():
    """The list is read by people."""
    assert len(set(PUBLIC)) == len(PUBLIC)
    assert sorted(PUBLIC) == list(PUBLIC)


def test_names_do_not_clash_with_submodules():
    """`livekit_fallback.options` is the module, not something that hides it."""
    modules = {"adapters", "classify", "core", "errors", "events", "observability", "options"}

    assert modules.isdisjoint(PUBLIC)


def test_every_event_that_users_receive_is_public():
    """Handlers are annotated with the event's class, so it can be imported."""
    classes = {n for n, _ in inspect.getmembers(events, inspect.isclass) if n.endswith("Event")}

    assert {name for name in classes if not name.startswith("_")} <= set(PUBLIC)


def test_what_the_session_is_raised_is_public():
    """What an `except` names needs no look into the package, nor do the entries of the error."""
    assert {"AllProvidersFailedError", "AdapterClosedError", "AttemptReport"} <= set(PUBLIC)
    assert livekit_fallback.AllProvidersFailedError is errors.AllProvidersFailedError


@pytest.mark.parametrize("name", observability.__all__)
def test_every_name_of_observability_exists(name):
    """The subpackage has a public face of its own."""
    assert callable(getattr(observability, name))


@pytest.mark.parametrize("name", [n for n in PUBLIC if n[0].isupper()])
def test_every_public_class_is_documented(name):
    """The editor's tooltip says what it is, in a sentence."""
    documentation = inspect.getdoc(getattr(livekit_fallback, name))

    assert documentation
    assert documentation.splitlines()[0].rstrip().endswith(".")


@pytest.mark.parametrize(
    "name", ["FallbackLLM", "FallbackSTT", "FallbackTTS", "FallbackVAD", "EnergyVAD", "Provider"]
)
def test_public_constructors_can_be_introspected(name):
    """Types are there at run time too, for tools that read them."""
    assert get_type_hints(getattr(livekit_fallback, name).__init__)


def test_one_name_for_all_adapters_can_be_introspected():
    """It looks like a class and is a function: its arguments are typed and documented as one's."""
    hints = get_type_hints(livekit_fallback.FallbackAdapter)

    assert {"primary", "backups", "timeout", "max_retries", "health_check_interval"} <= set(hints)


@pytest.mark.parametrize("adapter", ["FallbackLLM", "FallbackSTT", "FallbackTTS", "FallbackVAD"])
@pytest.mark.parametrize(
    "name",
    [
        "services",
        "active_service",
        "get_service_health",
        "disable",
        "enable",
        "prefer",
        "reset",
        "on_failover",
        "on_recovery",
    ],
)
def test_every_adapter_can_be_looked_into_and_controlled(adapter, name):
    """The same names on all four."""
    assert hasattr(getattr(livekit_fallback, adapter), name)
