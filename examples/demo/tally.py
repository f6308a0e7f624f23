# SPDX-License-Identifier: Apache-2.0
"""Words that should have arrived against words that did. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Words:
    """How a sentence arrived.

    Attributes:
        lost: words of it that did not arrive.
        repeated: words of it that arrived once more than they should.
        changed: words that arrived as others, and others that nobody said.
    """

    lost: int = 0
    repeated: int = 0
    changed: int = 0

    def __add__(self, other: Words) -> Words:
        return Words(
            self.lost + other.lost, self.repeated + other.repeated, self.changed + other.changed
        )

    @property
    def whole(self) -> bool:
        """Whether every word arrived, once."""
        return self == Words()


def words(text: str) -> list[str]:
    """The words of a text as they are compared: without capitals and marks."""
    return re.findall(r"[a-z0-9']+", text.lower())


def total(each: Iterable[Words | None]) -> Words:
    """The sum of several sentences; None is one that nobody could judge."""
    return sum((one for one in each if one is not None), Words())


def compare(expected: Sequence[str], arrived: Sequence[str]) -> Words:
    """Align both with as few differences as possible, and say what differs.

    A word too many counts as repeated if the sentence has it, and as changed if not. One of the
    sentence in the place of another means that one was lost and one repeated.
    """
    costs, known = _costs(expected, arrived), frozenset(expected)
    lost = repeated = changed = 0
    i, j = len(expected), len(arrived)
    while i or j:
        same = bool(i and j) and expected[i - 1] == arrived[j - 1]
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (0 if same else _CHANGE):
            if not same:
                again = arrived[j - 1] in known
                lost, repeated, changed = lost + again, repeated + again, changed + (not again)
            i, j = i - 1, j - 1
        elif i and costs[i][j] == costs[i - 1][j] + _GAP:
            lost += 1
            i -= 1
        else:
            again = arrived[j - 1] in known
            repeated, changed = repeated + again, changed + (not again)
            j -= 1
    return Words(lost, repeated, changed)


_GAP, _CHANGE = 2, 3
"""A word for another is nearer than one lost and one added, but no nearer than just one lost."""


def _costs(expected: Sequence[str], arrived: Sequence[str]) -> list[list[int]]:
    rows = [[j * _GAP for j in range(len(arrived) + 1)]]
    for word in expected:
        above, row = rows[-1], [rows[-1][0] + _GAP]
        for j, other in enumerate(arrived):
            changed = above[j] + (0 if word == other else _CHANGE)
            row.append(min(changed, above[j + 1] + _GAP, row[j] + _GAP))
        rows.append(row)
    return rows
