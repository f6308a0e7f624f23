# SPDX-License-Identifier: Apache-2.0
"""A sentence that some break off and others go on with, repeating what they like of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.support.fakes import Fail, Hang, RoleOnly, Say, Step, ToolCall, UsageOnly
from tests.support.llm_chain import Model, unavailable

if TYPE_CHECKING:
    from tests.support.script import Call

GOOD = [RoleOnly(), Say("Hello "), Say("there."), UsageOnly()]
SENTENCE = "Of course we do. The mushroom risotto is very popular, and it's vegan."
WORDS = SENTENCE.split()
TOOLS = [ToolCall("look", call_id="call_1"), ToolCall("book", call_id="call_2")]
BREAKS: list[Step] = [Fail(unavailable), Fail(asyncio.IncompleteReadError(b"", 1)), Hang()]
MODES: list[Any] = [False, True, "continue"]


def pieces_of(text: str, size: int) -> list[Say]:
    """The text as tokens of so many letters, which end anywhere."""
    return [Say(text[i : i + size]) for i in range(0, len(text), size)]


def said_to(call: Call) -> str:
    """What a provider was told that was said, the last message but one."""
    *_, begun, instruction = call.kwargs["chat_ctx"].items
    assert (begun.role, instruction.role) == ("assistant", "user")
    return str(begun.text_content)


def rest_after(said: str) -> str:
    """The words of the sentence that come after those."""
    return " ".join(WORDS[len(said.split()) :])


ECHOES: dict[str, Any] = {
    "none": rest_after,
    "a blank": lambda said: " " + rest_after(said),
    "an ellipsis": lambda said: "... " + rest_after(said),
    "the last word": lambda said: f"{said.split()[-1]} {rest_after(said)}",
    "the last two words": lambda said: " ".join([*said.split()[-2:], rest_after(said)]),
    "all": lambda said: f"{said} {rest_after(said)}",
    "all in capitals": lambda said: f"{said.upper()} {rest_after(said)}",
    "all in quotes": lambda said: f'"{said}" {rest_after(said)}',
    "all in bold": lambda said: f"**{said}** {rest_after(said)}",
    "ellipsis and all": lambda said: f"\u2026 {said} {rest_after(said)}",
}


class Successor(Model):
    """Goes on with the sentence, after an echo of what it was told that was said."""

    def __init__(self, echo: Any, size: int = 4) -> None:
        self._echo, self._size = echo, size
        super().__init__([Say(SENTENCE), UsageOnly()])

    def chat(self, **request: Any) -> Any:
        items = request["chat_ctx"].items
        if items[-1].role == "user" and len(items) > 1:
            text = self._echo(items[-2].text_content)
            self.play([RoleOnly(), *pieces_of(text, self._size), UsageOnly()])
        return super().chat(**request)
