# SPDX-License-Identifier: Apache-2.0
"""A scripted replier: from a chat history to the next thing the agent says or calls.

No language model is inside. It looks for telling words in the last thing the caller said, calls
the tool once it knows day, time and party, and answers from whatever the tool returned.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from . import dialogue

Message = dict[str, Any]
"""One message in the wire format of chat completions."""


@dataclass(frozen=True)
class Reply:
    """What the brain decided: ``text`` to say, or a ``tool`` to call with ``arguments``."""

    text: str = ""
    tool: str = ""
    arguments: str = ""

    @property
    def pieces(self) -> list[str]:
        """The text cut before every word, the way tokens arrive."""
        return re.findall(r"\S+\s*", self.text)


def think(messages: list[Message], tools: set[str]) -> Reply:
    """Return the reply to ``messages``; ``tools`` holds the names of the tools on offer."""
    last = messages[-1] if messages else {}
    if _is_note(last) and len(messages) > 1 and messages[-2].get("role") == "assistant":
        return _rest(think(messages[:-2], tools), _text(messages[-2]))
    if last.get("role") == "tool":
        return Reply(_answer_from_tool(_text(last)))
    said = last_said(messages)
    if said is None:
        return Reply(dialogue.GREETING)
    return _answer(said, messages, tools)


def _is_note(message: Message) -> bool:
    """Whether a message in the caller's place is not from the caller."""
    return message.get("role") == "user" and _text(message).startswith("[")


def _rest(reply: Reply, begun: str) -> Reply:
    """Return what is left of a reply that was begun, after its last two words, as models do."""
    said, words = begun.split(), reply.text.split()
    if words[: len(said)] != said:
        return reply
    return Reply(" ".join(words[max(0, len(said) - 2) :]), reply.tool, reply.arguments)


def last_said(messages: list[Message]) -> str | None:
    """Return the last thing the caller said, None before the caller spoke."""
    lines = [_text(message) for message in messages if message.get("role") == "user"]
    return lines[-1] if lines else None


def _answer(said: str, messages: list[Message], tools: set[str]) -> Reply:
    turn = _matching_turn(dialogue.spoken(said))
    if turn is None:
        return Reply(dialogue.NOT_UNDERSTOOD)
    if turn.answer is not None:
        return Reply(turn.answer)
    if dialogue.TOOL not in tools:
        return Reply(dialogue.LOOKUP_FAILED)
    return Reply(tool=dialogue.TOOL, arguments=json.dumps(_party(messages)))


def _matching_turn(said: str) -> dialogue.Turn | None:
    """Return the turn whose keys are found most often; the later one on a draw.

    Several keys may match ("thank you" and "no thank you"), hence the count.
    """
    scored = [(len(re.findall(turn.keys, said)), turn) for turn in reversed(dialogue.TURNS)]
    best, turn = max(scored, key=lambda pair: pair[0])
    return turn if best else None


def _party(messages: list[Message]) -> dict[str, Any]:
    """Collect day, time and people from all that the caller said, the latest mention winning."""
    said = [dialogue.spoken(_text(m)) for m in messages if m.get("role") == "user"]
    day = time = "any"
    people = 2
    names = "|".join(dialogue.NUMBERS)
    for line in said:
        if found := re.search(dialogue.DAYS, line):
            day = found[0]
        if found := re.search(rf"\bat ({names})\b|\b({names}) o'clock", line):
            hour = dialogue.NUMBERS[found[1] or found[2]]
            # A restaurant's "seven" is in the evening, eleven and twelve are noon.
            time = f"{hour + 12 if hour < 11 else hour}:00"
        elif found := re.search(rf"\b({names})\b", line):
            people = dialogue.NUMBERS[found[1]]
    return {"day": day, "time": time, "people": people}


def _answer_from_tool(result: str) -> str:
    """Say what the tool found: a JSON object with ``available`` and ``table``, or plain text."""
    try:
        found = json.loads(result)
    except ValueError:
        found = result
    if isinstance(found, dict):
        table = str(found.get("table") or "a table for you")
        return _offer(f"I have {table}.") if found.get("available", True) else dialogue.NOTHING_FREE
    text = str(found).strip()
    if not text or re.search(r"\b(error|failed|exception)\b", text, re.IGNORECASE):
        return dialogue.LOOKUP_FAILED
    if re.search(r"\b(no|none|nothing|not|full)\b", text, re.IGNORECASE):
        return dialogue.NOTHING_FREE
    return _offer(text[:1].upper() + text[1:].rstrip(".") + ".")


def _offer(sentence: str) -> str:
    return f"Good news. {sentence} Shall I book it for you?"


def _text(message: Message) -> str:
    """Return the text of a message whose content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
