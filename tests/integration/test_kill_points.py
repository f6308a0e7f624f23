# SPDX-License-Identifier: Apache-2.0
"""Real plugins lost in the middle of an utterance: no word is lost, and none comes twice.

A part of the matrix of `kill_points`: each pair and each loss, at points that move on.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.kill_points import LINE_WORDS, LOSSES, PAIRS, Loss, one, points, words

_POINTS = tuple(points())
_STRIDE = 7  # moves through all points, as it does not divide their number


def _losses_of(pair: tuple[str, str]) -> list[Loss]:
    first = PAIRS.index(pair) * len(LOSSES)
    return [
        Loss(pair, how, _POINTS[(first + i) * _STRIDE % len(_POINTS)])
        for i, how in enumerate(LOSSES)
    ]


def test_the_points_are_spread():
    """So that the part stands for the whole."""
    assert len(_POINTS) % _STRIDE
    assert len({loss.at for pair in PAIRS for loss in _losses_of(pair)}) == len(_POINTS)


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
async def test_every_word_is_heard_once(pair: tuple[str, str]):
    """However the first one is lost: dropped, closed, hanging, or deaf behind its keep-alive."""
    losses = _losses_of(pair)
    calls = await asyncio.gather(*(one(pair, loss) for loss in losses))

    for loss, caller in zip(losses, calls, strict=True):
        assert words(caller) == LINE_WORDS, loss
        assert caller.is_balanced, loss
