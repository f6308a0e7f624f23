# SPDX-License-Identifier: Apache-2.0
"""What only one vendor understands is kept from the others: built-in tools and attached extras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import NOT_GIVEN, llm

from tests.support.fakes import Fail, Metadata, Say, UsageOnly, Wait
from tests.support.llm_chain import Model, chain_of, unavailable

if TYPE_CHECKING:
    from tests.support.census import Census

GOOD = [Say("Hello."), UsageOnly()]


class _AlphaSearch(llm.ProviderTool):
    __module__ = "livekit.plugins.alpha.tools"


class _BetaSearch(llm.ProviderTool):
    __module__ = "livekit.plugins.beta.tools"


class _OwnSearch(_AlphaSearch):
    """A user's variant of a plugin's tool."""


class _NobodysSearch(llm.ProviderTool):
    """A built-in tool of no plugin."""


class _Alpha(Model):
    __module__ = "livekit.plugins.alpha.llm"


class _Beta(Model):
    __module__ = "livekit.plugins.beta"


class _LikeAlpha(_Alpha):
    """A plugin's model, adapted by a user."""


@llm.function_tool
async def look() -> str:
    """Look."""
    return ""


ALPHA, BETA = _AlphaSearch(id="alpha_search"), _BetaSearch(id="beta_search")
OWN, NOBODYS = _OwnSearch(id="own"), _NobodysSearch(id="nobodys")
ALL = [ALPHA, look, BETA, OWN, NOBODYS]


async def _asked(chain: Any, **request: Any) -> dict[str, dict[str, Any]]:
    """What each provider was asked."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Hi")
    async with chain.adapter.chat(chat_ctx=context, **request) as stream:
        await stream.collect()
    return {name: model.calls[0].kwargs for name, model in chain.models.items() if model.calls}


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (_Alpha, [ALPHA, look, OWN, NOBODYS]),
        (_LikeAlpha, [ALPHA, look, OWN, NOBODYS]),
        (_Beta, [look, BETA, NOBODYS]),
        (Model, ALL),
    ],
)
async def test_built_in_tools_go_to_their_vendor_only(
    kind: type[Model], kept: list[Any], census: Census
):
    """A plugin's own tools are left out for other plugins; the caller's list stays whole."""
    tools = list(ALL)
    chain = chain_of(census, [Fail(unavailable)], kind(GOOD))

    asked = await _asked(chain, tools=tools)

    assert asked["b"]["tools"] == kept
    assert tools == ALL


@pytest.mark.parametrize(
    ("tools", "choice", "sent"),
    [
        ([ALPHA, look], {"type": "function", "function": {"name": "alpha_search"}}, NOT_GIVEN),
        ([ALPHA, look], {"type": "function", "function": {"name": "look"}}, "same"),
        ([ALPHA], "required", NOT_GIVEN),
        ([ALPHA, look], "required", "same"),
        ([ALPHA], "auto", "same"),
        ([look], "required", "same"),
    ],
)
async def test_a_choice_that_has_lost_its_tool_is_left_to_the_model(
    tools: list[Any], choice: Any, sent: Any, census: Census
):
    """A vendor that is told to use a tool it was not given rejects the request."""
    chain = chain_of(census, _Alpha([Fail(unavailable)]), _Beta(GOOD))

    asked = await _asked(chain, tools=tools, tool_choice=choice)

    assert asked["a"]["tool_choice"] == choice
    assert asked["b"]["tool_choice"] == (choice if sent == "same" else sent)


async def test_what_a_provider_does_to_its_context_is_not_seen_by_others(census: Census):
    """Each provider is given a context of its own."""

    class Greedy(Model):
        def chat(self, **request: Any) -> Any:
            request["chat_ctx"].items.clear()
            return super().chat(**request)

    chain = chain_of(census, Greedy([Fail(unavailable)]), GOOD)

    asked = await _asked(chain)

    assert [item.text_content for item in asked["b"]["chat_ctx"].items] == ["Hi"]


class _Hosted(Model):
    """A model of the vendor whose host is asked."""

    host = ""

    @property
    def provider(self) -> str:
        return self.host


EXTRAS = {"google": {"signature": "s"}, "openai": {"phase": "x"}, "livekit": {}, "own": 1}


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("api.openai.com", {"openai", "livekit", "own"}),
        ("my.openai.azure.com", {"openai", "livekit", "own"}),
        ("generativelanguage.googleapis.com", {"google", "livekit", "own"}),
        ("Gemini", {"google", "livekit", "own"}),
        ("api.cerebras.ai", {"livekit", "own"}),
        ("gateway.example", set(EXTRAS)),
        ("livekit", set(EXTRAS)),
        ("livekit google/gemini-3", {"google", "livekit", "own"}),
    ],
)
async def test_extras_of_a_conversation_that_began_elsewhere(
    host: str, kept: set[str], census: Census
):
    """Nobody here has sent them, so that names have to decide whose they are."""
    model = _Hosted(GOOD)
    chain = chain_of(census, model)
    model.host, _, model.name = host.partition(" ")
    context = llm.ChatContext.empty()
    context.add_message(role="assistant", content="Hello.", extra=dict(EXTRAS))
    call = llm.FunctionCall(call_id="c", name="look", arguments="{}", extra=dict(EXTRAS))
    output = llm.FunctionCallOutput(call_id="c", output="", is_error=False)
    context.items.extend([call, output])

    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    message, called, _ = chain.call("a").kwargs["chat_ctx"].items
    assert set(message.extra) == set(called.extra) == kept
    assert set(call.extra) == set(EXTRAS)


@pytest.mark.parametrize("sent", [[Metadata("own", "1"), Say("Hello.")], [Say("Hi.", {"own": 1})]])
async def test_what_came_beside_text_is_known_as_well_as_what_came_alone(
    sent: list[Any], census: Census
):
    """Signatures come both ways."""
    sender = _Hosted([*sent, UsageOnly()], [Fail(unavailable)])
    sender.host = "one.example"
    other = _Hosted(GOOD)
    other.host = "two.example"
    chain = chain_of(census, sender, other)
    await chain.answer()
    context = llm.ChatContext.empty()
    context.add_message(role="assistant", content="Hello.", extra={"own": 1, "any": 2})

    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    (message,) = chain.call("b").kwargs["chat_ctx"].items
    assert message.extra == {"any": 2}


async def test_a_request_is_what_it_was_when_it_was_made(census: Census):
    """Applications go on with their context while it is under way, and probes come later."""
    chain = chain_of(
        census, [Say("Hello. "), Wait(1.0), Fail(unavailable)], GOOD, retry_on_chunk_sent=True
    )
    context = llm.ChatContext.empty()
    tools: list[llm.Tool] = [look]
    context.add_message(role="user", content="Hi")

    async with chain.adapter.chat(chat_ctx=context, tools=tools) as stream:
        await anext(stream)
        context.add_message(role="assistant", content="Hello.")
        tools.clear()
        await stream.collect()

    asked = chain.call("b").kwargs
    assert [item.text_content for item in asked["chat_ctx"].items] == ["Hi"]
    assert asked["tools"] == [look]


async def test_what_a_vendor_sends_is_its_own_whatever_its_name(census: Census):
    """A host may speak for another vendor: what it has sent, it understands."""
    model = _Hosted([Metadata("google", "s"), *GOOD], GOOD)
    model.host = "proxy.openai.example"
    chain = chain_of(census, model)
    await chain.answer()
    context = llm.ChatContext.empty()
    context.add_message(role="assistant", content="Hello.", extra=dict(EXTRAS))

    async with chain.adapter.chat(chat_ctx=context) as stream:
        await stream.collect()

    (message,) = chain.call("a", 1).kwargs["chat_ctx"].items
    assert set(message.extra) == {"google", "openai", "livekit", "own"}
