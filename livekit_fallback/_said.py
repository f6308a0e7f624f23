# SPDX-License-Identifier: Apache-2.0
"""What a provider says of its error: codes, statuses and sentences, in bodies and messages."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

# Where bodies keep codes, which are compared whole and without regard to case. A prompt that is
# quoted in a body is in none of these fields.
_CODE_FIELDS = ("code", "type", "status", "reason", "error_code", "status_code")
_NESTING_FIELDS = ("error", "detail", "details", "innererror")

# What is beyond is not looked at: providers do not nest more.
_MAX_NODES = 32
_MAX_TEXT = 16384


class Said(NamedTuple):
    """What a provider says of its error, in lower case; a body without fields is all words."""

    codes: set[str]
    statuses: list[int]
    sentences: list[str]
    words: set[str]


def attributes(chain: Iterable[BaseException], name: str, kind: type) -> Iterator[Any]:
    values = (attribute(error, name) for error in chain)
    return (value for value in values if value is not None and isinstance(value, kind))


def attribute(holder: object, name: str) -> object:
    try:
        return getattr(holder, name, None)
    except Exception:  # a property of somebody else's exception
        return None


def said_in(chain: Sequence[BaseException]) -> Said:
    sentences = [message[:_MAX_TEXT].lower() for message in attributes(chain, "message", str)]
    said = Said(set(), [], sentences, set())
    try:
        body = _parsed_body(chain)
        if isinstance(body, str):
            said.words.update(re.findall(r"\w+", body[:_MAX_TEXT].lower()))
        _take_fields(body, said)
    except Exception:  # a body that cannot be looked at says nothing
        pass
    return said


def _parsed_body(chain: Sequence[BaseException]) -> object:
    """Return the body; of Cartesia's "returned error: {...}" there is only the message."""
    body = next(attributes(chain, "body", object), None)
    try:
        if isinstance(body, str):
            return json.loads(body[:_MAX_TEXT])
        if body is None:
            message = next(attributes(chain, "message", str), "")
            return ast.literal_eval(message[message.index("{") : _MAX_TEXT])
    except Exception:  # a text like any other
        pass
    return body


def _take_fields(body: object, said: Said) -> None:
    nodes = [body]
    for node in islice(nodes, _MAX_NODES):  # grows while it is walked
        if isinstance(node, list):
            nodes.extend(node)
        if not isinstance(node, Mapping):
            continue
        for value in map(node.get, _CODE_FIELDS):
            if isinstance(value, str):
                said.codes.add(value.lower())
            elif isinstance(value, int) and 400 <= value < 600:
                said.statuses.append(value)
        if isinstance(message := node.get("message"), str):
            said.sentences.append(message.lower())
        nodes.extend(map(node.get, _NESTING_FIELDS))
