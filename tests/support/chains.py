# SPDX-License-Identifier: Apache-2.0
"""Adapters for voices and listeners over scripted providers a, b, c ..., ready to be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from livekit_fallback import FallbackSTT, FallbackTTS, Provider
from tests.support.fakes import ScriptedSTT, ScriptedTTS
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from livekit.agents import vad as lk_vad

    from tests.support.census import Census
    from tests.support.script import Call, ScriptSource

A = TypeVar("A", FallbackSTT, FallbackTTS)
P = TypeVar("P", ScriptedSTT, ScriptedTTS)


@dataclass
class Chain(Generic[A, P]):
    """An adapter, its providers, and what it emitted so far."""

    adapter: A
    providers: dict[str, P]
    events: EventRecorder

    @property
    def asked(self) -> str:
        """The names of the providers in the order they were asked, probes included."""
        calls = [(call.opened_at, name) for name, p in self.providers.items() for call in p.calls]
        return "".join(name for _, name in sorted(calls, key=lambda call: call[0]))

    @property
    def unavailable(self) -> list[str]:
        """The providers that were reported as unavailable, in that order."""
        changes = self.events.of(f"{self.adapter.component}_availability_changed")
        return [event.provider for event in changes if not event.available]

    @property
    def reasons(self) -> list[str]:
        """Why requests moved on, in order."""
        return [event.reason for event in self.events.of("failover")]

    @property
    def recoverable(self) -> list[bool]:
        """The `recoverable` of each error event, in order."""
        return [event.recoverable for event in self.events.of("error")]

    def call(self, name: str, number: int = 0) -> Call:
        """One request as the provider of that name saw it."""
        return self.providers[name].calls[number]

    def closed_at(self, name: str, number: int = 0) -> float:
        """When that request's stream was closed, in loop seconds."""
        closed_at = self.call(name, number).closed_at
        assert closed_at is not None, f"{name} was not closed"
        return closed_at


def voices(
    census: Census, *given: ScriptSource | ScriptedTTS | Provider[ScriptedTTS], **options: Any
) -> Chain[FallbackTTS, ScriptedTTS]:
    """An adapter over voices named a, b, c ..., in the census.

    Args:
        census: finds what is left open at the end of the test. Listeners of the adapter are
            expected to stay: most tests do not close it.
        given: a voice, an entry with its own limits, or the script of all a voice's requests.
        options: of the adapter. Failed voices come back with the next request unless the test
            says otherwise: most tests are about one request, and a probe would stand beside it.
            Nor is a broken reply continued: most tests are about what one voice says.
    """
    entries = [_entry(g, name, ScriptedTTS) for g, name in zip(given, "abcdefg", strict=False)]
    adapter = FallbackTTS(entries, **{"probe": "live", "on_partial": "stop", **options})
    return _chain(census, adapter, entries)


def listeners(
    census: Census,
    *given: ScriptSource | ScriptedSTT | Provider[ScriptedSTT],
    vad: lk_vad.VAD | None = None,
    **options: Any,
) -> Chain[FallbackSTT, ScriptedSTT]:
    """An adapter over listeners named a, b, c ..., in the census; as `voices`."""
    entries = [_entry(g, name, ScriptedSTT) for g, name in zip(given, "abcdefg", strict=False)]
    adapter = FallbackSTT(entries, vad=vad, **{"probe": "live", **options})
    return _chain(census, adapter, entries)


def _chain(census: Census, adapter: A, entries: list[Provider[P]]) -> Chain[A, P]:
    providers = {str(entry.name): entry.instance for entry in entries}
    census.watch(*providers.values())
    return Chain(adapter, providers, EventRecorder(adapter))


def _entry(given: Any, name: str, kind: type[P]) -> Provider[P]:
    match given:
        case Provider():
            provider, overrides = given.instance, given.overrides
        case ScriptedSTT() | ScriptedTTS():
            provider, overrides = given, {}
        case _:
            provider, overrides = kind(given), {}
    provider.name = provider._label = name
    return Provider(provider, name=name, **overrides)
