# SPDX-License-Identifier: Apache-2.0
"""Vendor extras in a conversation, such as thought signatures: each only for who understands it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from livekit.agents.llm import ChatContext

# What the ``provider`` of LiveKit's classes, often the host that is asked, says of the vendor.
# The keys are those of extras; the last vendors attach nothing that LiveKit keeps.
_VENDORS = {
    "google": ("google", "gemini", "vertex"),
    "openai": ("openai", "azure"),
    "xai": ("xai", "x.ai"),
    "anthropic": ("anthropic",),
    "aws": ("aws", "bedrock", "amazon"),
    "": ("cerebras", "deepseek", "fireworks", "groq", "mistral", "perplexity", "together"),
}


class VendorExtras:
    """Knows which provider of a chain sends which extras.

    LiveKit keeps what a vendor attached to its answers under ``extra`` of the messages and tool
    calls, keyed by vendor, and sends it along with the next request. A backup of another vendor
    may reject what it does not know. An extra is foreign to a vendor that has never sent one
    of its key while another vendor of the chain has. Of keys that nobody here has sent, because
    the conversation began elsewhere, names decide: they are foreign to whoever is known to be
    another vendor. A gateway, or a host that nobody knows, is sent them all.
    """

    def __init__(self) -> None:
        self._senders: dict[str, set[str]] = {}  # key of the extra -> vendors
        self._foreign: dict[str, frozenset[str]] = {}  # vendor -> keys, by name

    def learn(self, vendor: str, *extras: dict[str, Any] | None) -> None:
        """Take note of what came with a vendor's answer."""
        for extra in extras:
            for key in extra or ():
                self._senders.setdefault(key, set()).add(vendor)

    def without_foreign(self, context: ChatContext, vendor: str) -> ChatContext:
        """Return the context, or a copy without what is foreign to the vendor."""
        foreign = self._foreign.get(vendor)
        if foreign is None:
            foreign = self._foreign[vendor] = _foreign_by_name(vendor)
        if self._senders:
            others = {key for key, senders in self._senders.items() if vendor not in senders}
            foreign = (foreign - self._senders.keys()) | others
        if not foreign:
            return context
        return ChatContext([_without(item, foreign) for item in context.items])


def _foreign_by_name(vendor: str) -> frozenset[str]:
    text = vendor.lower()
    named = {key for key, names in _VENDORS.items() if any(name in text for name in names)}
    return frozenset(_VENDORS.keys() - named) if named else frozenset()


def _without(item: Any, keys: Set[str]) -> Any:
    extra = getattr(item, "extra", None)
    if not extra or keys.isdisjoint(extra):
        return item
    kept = {key: value for key, value in extra.items() if key not in keys}
    return item.model_copy(update={"extra": kept})
