# SPDX-License-Identifier: Apache-2.0
"""The phone call everybody here agrees on: what the caller says and what is answered.

The caller's lines are recorded in ``examples/speech``, the ears know their words, and the brain
finds its answers here. A line is changed in this file only, then recorded again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GREETING = "Harbor Kitchen, good evening. How can I help you?"
NOT_UNDERSTOOD = "I am sorry, could you say that again?"
NOTHING_FREE = "I am sorry, nothing is free then. Would another day suit you?"
TOOL = "find_table"
LOOKUP_FAILED = "I am sorry, I cannot look up our tables right now. Could you call again later?"


class Turn(NamedTuple):
    """One line of the caller, and the answer to it.

    ``keys`` is a pattern searched in what was heard. It names only a few telling words, so that
    a slip of recognition does not lose the turn. ``answer`` is None where the brain calls the tool.
    """

    line: str
    keys: str
    answer: str | None


TURNS = (
    Turn(
        "Hello, is this Harbor Kitchen?",
        r"harbor|kitchen",
        "Yes, this is Harbor Kitchen. What can I do for you?",
    ),
    Turn(
        "I would like to book a table please.",
        r"book|reserve|table please",
        "Gladly. For which day and what time?",
    ),
    Turn(
        "Tomorrow evening at seven o'clock.",
        r"tomorrow|o'clock|seven",
        "Tomorrow at seven, with pleasure. The terrace is open as well. "
        "How many people will be coming?",
    ),
    Turn(
        "There will be four of us, and one of us is allergic to nuts.",
        r"four|of us|people|allergic|nuts",
        None,
    ),
    Turn(
        "Yes, that sounds great.",
        r"sounds|great|yes",
        "Wonderful, the table is yours. May I have your name please?",
    ),
    Turn(
        "My name is Sam Miller.",
        r"name|miller|\bsam\b",
        "Thank you, Sam. Is there anything else you would like to know?",
    ),
    Turn(
        "Do you have vegetarian dishes?",
        r"vegetarian|dishes",
        "Of course we do. The mushroom risotto is very popular. "
        "The pumpkin curry has no milk in it either.",
    ),
    Turn(
        "Is there parking near the restaurant?",
        r"parking|near|restaurant",
        "There is a garage right across the street. After six it is free.",
    ),
    Turn(
        "How late are you open?",
        r"late|open",
        "We are open until eleven. The kitchen closes at ten.",
    ),
    Turn(
        "Thank you very much, goodbye.",
        r"goodbye|thank you",
        "You are welcome, Sam. See you tomorrow at seven.",
    ),
)
LINES = tuple(turn.line for turn in TURNS)

# Said by nobody in the recordings. They keep the ears from bending every sound into a line above.
OTHER_LINES = (
    "Could you repeat that please?",
    "No, thank you.",
    "What is on the menu today?",
    "There will be two of us.",
    "There will be six of us.",
    "Tonight at eight o'clock.",
)

DAYS = r"tomorrow|tonight|today|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_NAMES = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
NUMBERS = {name: number for number, name in enumerate(_NAMES.split("|"), start=1)}


def spoken(text: str) -> str:
    """Return ``text`` as a recogniser spells it: lower case words and blanks only."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


WRITTEN = {spoken(line): line for line in (*LINES, *OTHER_LINES)}


def written(words: str) -> str:
    """Return recognised ``words`` with the capitals and marks that a speech service adds.

    The number of words stays the same, so timings of words still fit.
    """
    return WRITTEN.get(words) or (words[:1].upper() + words[1:] + "." if words else "")
