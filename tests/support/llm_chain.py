# SPDX-License-Identifier: Apache-2.0
"""A language model adapter over scripted providers a, b, c ..., ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from livekit.agents import llm

from livekit_fallback import FallbackLLM, Provider
from tests.support.errors import status
from tests.support.fakes import ScriptedLLM, ask, text_of
from tests.support.recorder import EventRecorder

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.fake_llm import ScriptedLLMStream
    from tests.support.script import Call, Script


# Failures that may pass, that will not, and that are the request's own fault.
unavailable = partial(status, 503)
unauthorized = partial(status, 401)
forbidden = partial(status, 403)
bad_request = partial(status, 400)


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


async def listen(
    adapter: llm.LLM, text: str = "Hi", **options: Any
) -> tuple[list[llm.ChatChunk], BaseException | None]:
    """One request, read to its end: all that came, and what it ended with."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=text)
    chunks: list[llm.ChatChunk] = []
    async with adapter.chat(chat_ctx=context, **options) as stream:
        try:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401  what came before the failure counts
        except Exception as error:
            return chunks, error
    return chunks, None


def tools_of(chunks: list[llm.ChatChunk]) -> list[llm.FunctionToolCall]:
    """All tools that were called in these chunks."""
    return [call for chunk in chunks if chunk.delta for call in chunk.delta.tool_calls]
