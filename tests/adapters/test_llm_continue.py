# SPDX-License-Identifier: Apache-2.0
"""`retry_on_chunk_sent="continue"`: the next provider goes on where the last one broke off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import (
    Fail,
    Hang,
    RoleOnly,
    Say,
    ToolCall,
    UsageOnly,
    text_of,
)
from tests.support.llm_chain import Model, chain_of, listen, tools_of, unavailable

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Call, Script, Step

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


# --- killed after k of n -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 200])
@pytest.mark.parametrize("echo", ECHOES)
async def test_text_that_breaks_off_anywhere_is_said_once(echo: str, size: int, census: Census):
    """After every k of n chunks, whatever the next one repeats: each word is said exactly once."""
    tokens = pieces_of(SENTENCE, size)
    for k in range(len(tokens) + 1):
        how = BREAKS[k % len(BREAKS)]
        chain = chain_of(
            census, [RoleOnly(), *tokens[:k], how], Successor(ECHOES[echo]),
            retry_on_chunk_sent="continue",
        )  # fmt: skip

        chunks, error = await listen(chain.adapter)

        assert (text_of(chunks), error) == (SENTENCE, None), f"broken after {k}"
        assert chain.asked == "ab"
        assert chain.events.of("output_lost") == chain.events.of("exhausted") == []


def _killed(script: list[Step]) -> list[Any]:
    return [
        pytest.param(script[:k], how, mode, id=f"{k}-{n}-{mode}")
        for k in range(len(script) + 1)
        for n, how in enumerate(BREAKS)
        for mode in MODES
    ]


@pytest.mark.parametrize(("sent", "how", "mode"), _killed([*TOOLS]))
async def test_tools_are_called_once(sent: Script, how: Step, mode: Any, census: Census):
    """A provider that dies after k of n tool calls: none is called twice, in no mode."""
    chain = chain_of(census, [*sent, how], [*TOOLS, UsageOnly()], retry_on_chunk_sent=mode)

    chunks, error = await listen(chain.adapter)

    calls = [(tool.name, tool.call_id) for tool in tools_of(chunks)]
    wanted = [(tool.name, tool.call_id) for tool in TOOLS]
    assert calls == (wanted[: len(sent)] if sent else wanted)
    assert (error is None) == (not sent)
    assert chain.asked == ("a" if sent else "ab")


@pytest.mark.parametrize(
    ("sent", "how", "mode"), _killed([Say("Let me "), Say("look"), Say(" it up. "), *TOOLS])
)
async def test_text_and_tools_are_handed_over_once(
    sent: Script, how: Step, mode: Any, census: Census
):
    """Text, then tools: before the first tool call the mode decides, after it nothing moves on."""
    called = [step for step in sent if isinstance(step, ToolCall)]
    other = [Say("Let me look it up."), *TOOLS, UsageOnly()]
    chain = chain_of(census, [*sent, how], other, retry_on_chunk_sent=mode)

    chunks, error = await listen(chain.adapter)

    ids = [tool.call_id for tool in tools_of(chunks)]
    moved_on = not sent or (mode and not called)
    assert chain.asked == ("ab" if moved_on else "a")
    assert (error is None) == bool(moved_on)
    assert ids == [tool.call_id for tool in (TOOLS if moved_on else called)]
    if mode == "continue":
        whole = moved_on or called
        assert text_of(chunks).rstrip() == ("Let me look it up." if whole else "")
    assert len(chain.events.of("output_lost")) == (0 if moved_on else 1)


async def test_an_answer_may_pass_through_many_hands(census: Census):
    """Every provider breaks off, and each goes on with what all before it have said."""

    class Breaks(Successor):
        def chat(self, **request: Any) -> Any:
            stream = super().chat(**request)
            call = self.calls[-1]
            call.script = [*call.script[:6], Fail(unavailable)]
            return stream

    models = [Breaks(rest_after, 5) for _ in range(3)] + [Successor(rest_after)]
    models[0].play(pieces_of(SENTENCE, 3))
    chain = chain_of(census, *models, retry_on_chunk_sent="continue")

    chunks, error = await listen(chain.adapter)

    assert (text_of(chunks), error) == (SENTENCE, None)
    assert chain.asked == "abcd"
    told = [said_to(chain.call(name)) for name in "bcd"]
    assert told == sorted(set(told), key=len)
    assert all(SENTENCE.startswith(said + " ") for said in told)
    assert chain.events.of("output_lost") == []
