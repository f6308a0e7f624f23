# SPDX-License-Identifier: Apache-2.0
"""Hedges and those who come after them: nobody who could serve is left out, nobody is spared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.errors import status
from tests.support.fakes import Fail, Hang, Wait
from tests.support.outage import LLM, SILENT
from tests.support.paces import hedged_line

if TYPE_CHECKING:
    from tests.support.census import Census


async def test_a_hedge_that_hangs_leaves_time_for_one_that_rests(census: Census):
    """It is not the last that could be asked, so it has its deadline, and not the whole budget."""
    c = LLM.make([Fail(lambda: status(503))], LLM.answer("c"))
    chain = hedged_line(census, LLM, LLM.answer("a"), SILENT, c, temporary_disable_sec=60.0)
    chain.adapter.prefer("c")
    assert await chain.use() == "a"  # and c rests
    chain.adapter.prefer(None)
    chain.providers["a"].play([Hang()])

    assert await chain.use() == "c"


async def test_a_hedge_that_times_out_has_failed_though_the_first_is_to_be_asked_again(
    census: Census,
):
    """The retry is the first's: nothing that comes of it makes the hedge's silence good."""
    a = LLM.make([Wait(1.0), Fail(lambda: status(503))], LLM.answer("a"))
    chain = hedged_line(
        census, LLM, a, SILENT, LLM.answer("c"),
        max_retry_per_llm=1, retry_interval=0.0, temporary_disable_sec=60.0,
    )  # fmt: skip

    assert await chain.use() == "a"
    assert chain.state("b") == "cooling_down"
