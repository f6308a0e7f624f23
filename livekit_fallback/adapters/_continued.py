# SPDX-License-Identifier: Apache-2.0
"""One answer by several language models: who breaks off is continued by the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livekit.agents.llm import ChatChunk, ChatContext, ChatMessage, ChoiceDelta

from ..core.echo import Echo
from ..core.outcome import SERVED, Outcome
from ..core.words import WholeWords
from ._chat import ChatAttempt

# From the user, because some vendors move what the system says to the beginning, and the
# conversation would then end with words of the assistant, which some vendors reject.
_INSTRUCTION = (
    "[This is a note from the system, not from the user. Your last message was cut off by a "
    "technical fault. The user has heard it up to its last word. Go on from exactly there with "
    "the very next word, in the same language and style, as if nothing had happened. Do not "
    "repeat any of it, do not start over, do not greet, apologise or comment. If your message was "
    "complete already, reply with a full stop only.]"
)


class Answer:
    """What the session has of one answer."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._words: WholeWords | None = None

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self._pieces)

    @property
    def is_inside_word(self) -> bool:
        """Whether the text ends inside a word."""
        return self._words is not None and self._words.is_inside_word

    def add(self, text: str, words: WholeWords) -> None:
        """Take note of text that is handed over, and of what it was part of."""
        self._pieces.append(text)
        self._words = words

    def begun(self, context: ChatContext) -> ChatContext:
        """Return the conversation; with what was said, if anything was, as a copy."""
        said = self.text.rstrip()
        if not said:
            return context
        return ChatContext([*context.items, ChatMessage(role="assistant", content=[said])])

    def continued(self, context: ChatContext) -> ChatContext:
        """Return the conversation, or a copy that asks for the rest of what was begun."""
        begun = self.begun(context)
        if begun is not context:
            begun.items.append(ChatMessage(role="user", content=[_INSTRUCTION]))
        return begun


class ContinuedChat(ChatAttempt):
    """An answer that the next provider can go on with, and that may go on with another's.

    Text is handed over up to the end of its last whole word, so that the answer never breaks
    off inside a word that was spoken. Of a provider that fails before its first whole word the
    session has nothing.

    Args:
        answer: What the session has of it so far. Kept up to date.
        given: See :class:`ChatAttempt`, as the others.
    """

    def __init__(self, answer: Answer, *given: Any) -> None:
        super().__init__(*given)
        self._send: Callable[[ChatChunk], None] = self._deliver
        self._deliver = self._hand_over
        self._answer = answer
        self._words = WholeWords()
        said = answer.text
        self._echo = Echo(said, is_inside_word=answer.is_inside_word) if said.strip() else None
        self._handed = 0.0  # characters
        self._waiting: list[ChatChunk] = []  # what belongs to the text, until there is any
        self._final: ChatChunk | None = None  # its usage
        self._last_id = ""

    @property
    def has_served(self) -> bool:
        """Whether the session has anything of this provider."""
        return self._handed > 0 or self._tool_called

    @property
    def broke_off(self) -> bool:
        """Whether, after a failure, the session is left with part of this provider's answer."""
        return self.has_served

    @property
    def was_in_vain(self) -> bool:
        """Whether it failed, or was given up, before the session had anything of it."""
        return (self.error is not None or self.was_overtaken) and not self.has_served

    def _hand_over(self, chunk: ChatChunk) -> None:
        delta = chunk.delta
        if delta is None or delta.tool_calls or delta.extra or chunk.usage is not None:
            self._hand_over_more(chunk)
        elif delta.content:
            self._say(self._new(delta.content), chunk.id)
        self.delivered = self._handed  # not what is held

    def _hand_over_more(self, chunk: ChatChunk) -> None:
        """Hand over a chunk that is more than text."""
        if chunk.usage is not None:
            # the last thing that the session gets, as of any answer
            self._final = ChatChunk(id=chunk.id, usage=chunk.usage)
        delta = chunk.delta
        if delta is None:
            if self._usage.is_plausible and (self._echo is None or self._handed):
                self._say(self._words.rest(), chunk.id)  # nothing follows, as far as is known
            return
        text = self._new(delta.content or "")
        if delta.tool_calls:
            text += self._rest()  # the text before a tool call is complete
        self._say(text, chunk.id)
        if delta.tool_calls or delta.extra:
            delta = delta.model_copy(update={"content": None})
            self._pass_on(ChatChunk(id=chunk.id, delta=delta))

    def _new(self, text: str) -> str:
        text = self._words.push(text)
        return self._echo.push(text) if text and self._echo is not None else text

    def _rest(self) -> str:
        text = self._words.rest()
        return text if self._echo is None else self._echo.push(text) + self._echo.end()

    def _say(self, text: str, chunk_id: str) -> None:
        if not text:
            return
        self._handed += len(text)
        self._answer.add(text, self._words)
        self._pass_on(ChatChunk(id=chunk_id, delta=ChoiceDelta(role="assistant", content=text)))
        self._last_id = chunk_id

    def _pass_on(self, chunk: ChatChunk) -> None:
        if not (self._handed or self._tool_called):
            self._waiting.append(chunk)
            return
        if self._waiting:
            self._release()
        self._send(chunk)

    def _release(self) -> None:
        for chunk in self._waiting:
            self._send(chunk)
        self._waiting.clear()

    def _finish(self) -> None:
        """Hand over what is held: the answer is complete. Idempotent."""
        self._say(self._rest(), self._last_id)
        self.delivered = self._handed
        self._release()
        if self._final is not None:
            self._send(self._final)
            self._final = None

    def _judge_end(self) -> BaseException | None:
        problem = super()._judge_end()
        if problem is None:
            self._finish()
        return problem

    def _decide(self, outcome: Outcome) -> None:
        if outcome is SERVED and not self.is_decided:
            self._finish()
        super()._decide(outcome)
