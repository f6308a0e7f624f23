# SPDX-License-Identifier: Apache-2.0
"""Outages of a recogniser in the middle of calls: streams that go on for as long as callers talk.

A request is an utterance here. All calls lose their stream at once when the recogniser goes down,
and none of them may try it again on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from tests.simulations.outages import Figures, Outage, asked_at, rest_in_force
from tests.support.audio import numbered
from tests.support.caller import Caller, calling
from tests.support.errors import gone
from tests.support.fake_stt import ScriptedRecognizeStream
from tests.support.fakes import AfterFrames, Final, ScriptedSTT, finals_of
from tests.support.outage import STT, line
from tests.support.script import Call, now

if TYPE_CHECKING:
    from tests.simulations.outages import Table
    from tests.support.census import Census

PATIENCE = 2.5
QUIET_BEFORE = 3.0


def _a_word_a_frame(name: str, most: int) -> list[Any]:
    return [step for n in range(1, most) for step in (AfterFrames(n), Final(name))]


class MortalSTT(ScriptedSTT):
    """Hears a word in each frame, until its outage begins; then it refuses, or takes no audio."""

    outage: Outage
    refuses: bool

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _MortalStream(
            self, self.open_call("stream", language=language, conn_options=conn_options)
        )


class _MortalStream(ScriptedRecognizeStream):
    def __init__(self, provider: MortalSTT, call: Call) -> None:
        super().__init__(provider, call)
        self._mortal = provider

    async def _run(self) -> None:
        outage = self._mortal.outage
        if now() < outage.begins:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(outage.begins):
                    await super()._run()
        if not outage.is_on(now()):
            await super()._run()
        elif self._mortal.refuses:
            raise gone()
        else:
            await asyncio.get_running_loop().create_future()


async def _talk(caller: Caller, pause: float, until: float) -> int:
    said = 0
    while now() < until:
        caller.stream.push_frame(numbered(said))
        said += 1
        await asyncio.sleep(pause)
    return said


@pytest.mark.parametrize(
    ("length", "calls", "pause"),
    [
        (0.1, 1, 1.0),
        (0.1, 50, 1.0),
        (10.0, 20, 1.0),
        (60.0, 5, 1.0),
        (600.0, 3, 5.0),
        (3600.0, 10, 120.0),
    ],
)
@pytest.mark.parametrize("probe", ["replay", "live"])
@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "takes-no-audio"])
async def test_an_outage_of_a_recogniser(
    length: float,
    calls: int,
    pause: float,
    probe: str,
    refuses: bool,
    census: Census,
    table: Table,
):
    """Every word is heard, the dead recogniser is left in peace, and all calls go back to it."""
    patience = 0.0 if refuses else PATIENCE
    a, b = MortalSTT(_a_word_a_frame("a", 6000)), ScriptedSTT(_a_word_a_frame("b", 6000))
    a.outage, a.refuses = Outage(now() + QUIET_BEFORE, length), refuses
    chain = line(census, STT, a, b, probe=probe, attempt_timeout=PATIENCE)
    back_within = rest_in_force(length, patience) + 2 * pause + PATIENCE + 1.0

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(chain.adapter)) for _ in range(calls)]
        until = a.outage.ends + back_within + pause
        said = await asyncio.gather(*(_talk(caller, pause, until) for caller in callers))
        await asyncio.sleep(0.01)
        heard = [finals_of(caller.events) for caller in callers]
        still_on_b = len(b.open_calls)

    assert [len(words) for words in heard] == said
    noticed = [r.at for r in chain.events.records if r.name == "health_changed"]
    found_dead_at = min([*noticed, a.outage.ends])
    asked = sum(found_dead_at < call.opened_at < a.outage.ends for call in a.calls)
    allowed = len(asked_at(a.outage.ends - found_dead_at))
    back = [r.at for r in chain.events.records if r.name == "recovery"]
    table.rows.append(
        Figures(
            f"calls {'refused' if refuses else 'untaken'}, {probe}",
            outage=length,
            rate=calls / pause,
            requests=sum(said),
            calls=asked,
            allowed=allowed,
            back_after=max([0.0, *(at - a.outage.ends for at in back)]),
            back_within=back_within,
        )
    )
    assert asked <= allowed
    assert still_on_b == 0
    assert {words[-1] for words in heard} == {"a"}
