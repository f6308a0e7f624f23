# SPDX-License-Identifier: Apache-2.0
"""What a request holds that only one vendor understands, left out for all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM, ChatContext, ProviderTool

from ._extras import VendorExtras

_GATEWAY = "livekit"  # ``provider`` of all classes of ``livekit.agents.inference``


def vendor_of(instance: Any) -> str:
    """Return the vendor of a provider; behind LiveKit's gateway, that of its model as of now."""
    vendor: str = instance.provider
    if vendor != _GATEWAY:
        return vendor
    return f"{vendor}/{instance.model.partition('/')[0]}"


def fit_for(llm: LLM, call: Mapping[str, Any], extras: VendorExtras) -> dict[str, Any]:
    """Return the arguments of a request, as a copy without what is foreign to a provider.

    Built-in tools belong to a plugin. A choice of tool that has lost its tool is left to the
    model. The caller's own tools always stay.
    """
    fit = dict(call)
    context: ChatContext = extras.without_foreign(call["chat_ctx"], vendor_of(llm))
    # a copy in any case: what a plugin adds to its list must not reach the next one
    fit["chat_ctx"] = ChatContext(list(context.items))
    tools = call["tools"]
    built_in = [tool for tool in tools or () if isinstance(tool, ProviderTool)]
    if built_in and (foreign := _foreign(built_in, _plugin_of(type(llm)))):
        fit["tools"] = kept = [tool for tool in tools if not any(tool is f for f in foreign)]
        if _needs(call["tool_choice"], foreign, kept):
            fit["tool_choice"] = NOT_GIVEN
    return fit


def _foreign(tools: list[ProviderTool], vendor: str | None) -> list[ProviderTool]:
    if vendor is None:
        return []  # nobody knows what it understands
    return [tool for tool in tools if _plugin_of(type(tool)) not in (None, vendor)]


def _plugin_of(kind: type) -> str | None:
    """Return the plugin package that a class, or what it extends, comes from."""
    for base in kind.__mro__:
        if base.__module__.startswith("livekit.plugins."):
            return base.__module__.split(".")[2]
    return None


def _needs(choice: Any, foreign: list[ProviderTool], kept: list[Any]) -> bool:
    """Whether a choice of tool cannot be met by the tools that are left."""
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        return any(tool.id == name for tool in foreign)
    return choice == "required" and not kept
