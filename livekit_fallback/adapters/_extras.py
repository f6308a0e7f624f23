# SPDX-License-Identifier: Apache-2.0
"""Vendor extras in a conversation, such as thought signatures: each only for who understands it."""

from __future__ import annotations

from typing import Any

from livekit.agents.llm import ChatContext


class VendorExtras:
    """Knows which provider of a chain sends which extras, by watching their answers.

    LiveKit keeps what a vendor attached to its answers under ``extra`` of the messages and tool
    calls, keyed by vendor, and sends it along with the next request. A backup of another vendor
    may reject what it does not know. An extra is foreign to a vendor that has never sent one
    of its key while another vendor of the chain has. Vendors are told apart by the ``provider``
    of LiveKit's classes.
    """

    def __init__(self) -> None:
        self._senders: dict[str, set[str]] = {}  # key of the extra -> vendors

    def learn(self, vendor: str, *extras: dict[str, Any] | None) -> None:
        """Take note of what came with a vendor's answer."""
        for extra in extras:
            for key in extra or ():
                self._senders.setdefault(key, set()).add(vendor)

    def without_foreign(self, context: ChatContext, vendor: str) -> ChatContext:
        """Return the context, or a copy without what is foreign to the vendor."""
        foreign = {key for key, senders in self._senders.items() if vendor not in senders}
        if not foreign:
            return context
        return ChatContext([_without(item, foreign) for item in context.items])


def _without(item: Any, keys: set[str]) -> Any:
    extra = getattr(item, "extra", None)
    if not extra or keys.isdisjoint(extra):
        return item
    kept = {key: value for key, value in extra.items() if key not in keys}
    return item.model_copy(update={"extra": kept})
