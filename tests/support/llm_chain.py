# SPDX-License-Identifier: Apache-2.0
"""A language model adapter over scripted providers a, b, c ..., ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit.agents import APIStatusError
from livekit_fallback import FallbackLLM, Provider

from tests.support.fakes import ScriptedLLM, ask, text_of
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.fake_llm import ScriptedLLMStream
    from tests.support.script import Call, Script


class ProviderGoneError(Exception):
    """Stands for whatever a provider may raise."""


def unavailable() -> APIStatusError:
    """A failure that may pass, and passes quickly."""
    return APIStatusError("unavailable", status_code=503)


def unauthorized() -> APIStatusError:
    """A failure that will not pass."""
    return APIStatusError("unauthorized", status_code=401)


def bad_request() -> APIStatusError:
    """A failure that is the request's own fault."""
    return APIStatusError("bad request", status_code=400)


class Model(ScriptedLLM):
    """A scripted model that also writes its name into its chain's journal when it is asked."""

    journal: list[str]

    def chat(self, **request: Any) -> ScriptedLLMStream:
        self.journal.append(self.name)
        return super().chat(**request)


@dataclass
class LLMChain:
    """An adapter, its providers, and what it emitted so far."""

    adapter: FallbackLLM
    models: dict[str, Model]
    events: EventRecorder
    journal: list[str] = field(default_factory=list)

    @property
    def asked(self) -> str:
        """The names of the providers in the order they were asked, probes included."""
        return "".join(self.journal)

    def call(self, name: str, number: int = 0) -> Call:
        """One request as the provider of that name saw it."""
        return self.models[name].calls[number]

    async def answer(self, text: str = "Hi") -> str:
        """Ask the adapter and return all it said."""
        return text_of(await ask(self.adapter, text))


def chain_of(census: Census, *given: Script | Model | Provider[Model], **options: Any) -> LLMChain:
    """An adapter over providers named a, b, c ..., in the census.

    Args:
        census: finds what is left open at the end of the test. Listeners of the adapter are
            expected to stay: most tests do not close it.
        given: a model, an entry with its own limits, or the script of all a model's requests.
        options: of the adapter. Failed providers come back with the next request unless the test
            says otherwise: most tests are about one request, and a probe would stand beside it.
    """
    entries = [_entry(g, name) for g, name in zip(given, "abcdefg", strict=False)]
    adapter = FallbackLLM(entries, **{"probe": "live", **options})
    models = {entry.instance.name: entry.instance for entry in entries}
    chain = LLMChain(adapter, models, EventRecorder(adapter))
    for model in models.values():
        model.journal = chain.journal
    census.watch(*models.values())
    return chain


def _entry(given: Script | Model | Provider[Model], name: str) -> Provider[Model]:
    match given:
        case Provider():
            model, overrides = given.instance, given.overrides
        case Model():
            model, overrides = given, {}
        case _:
            model, overrides = Model(given), {}
    model.name = model._label = name
    return Provider(model, name=name, **overrides)
