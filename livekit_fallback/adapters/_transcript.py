# SPDX-License-Identifier: Apache-2.0
"""Transcripts as another recogniser would have given them: other times, less text."""

from __future__ import annotations

import copy
from dataclasses import replace

from livekit.agents.stt import SpeechData, SpeechEvent
from livekit.agents.types import TimedString
from livekit.agents.utils import is_given


def untimed(event: SpeechEvent) -> SpeechEvent:
    """Return a transcript that does not say when its words were spoken."""
    return replace(
        event,
        alternatives=[
            replace(data, start_time=0.0, end_time=0.0, words=None) for data in event.alternatives
        ],
    )


def shifted(data: SpeechData, by: float) -> SpeechData:
    """Return a transcript with all its times later by so many seconds."""
    words = None if data.words is None else [_shifted_word(word, by) for word in data.words]
    start, end = data.start_time + by, data.end_time + by
    return replace(data, start_time=start, end_time=end, words=words)


def without_beginning(data: SpeechData, position: float) -> SpeechData:
    """Return a transcript without the words that were mostly spoken before a position."""
    words = data.words or []
    count = sum(_middle(word, position) < position for word in words)
    tokens = data.text.split()
    if count and len(tokens) == len(words):
        data = replace(data, text=" ".join(tokens[count:]), words=words[count:])
    return not_before(data, position)


def not_before(data: SpeechData, position: float) -> SpeechData:
    """Return a transcript that begins no earlier than a position, by its times."""
    if data.start_time >= position:
        return data
    return replace(data, start_time=position, end_time=max(position, data.end_time))


def ending_with(data: SpeechData, rest: str) -> SpeechData:
    """Return a transcript of which only the end of the text is left."""
    words = data.words
    if words is not None:
        count = len(rest.split())
        words = words[len(words) - count :] if len(words) == len(data.text.split()) else None
    start = data.start_time
    if words and is_given(words[0].start_time):
        start = max(start, words[0].start_time)
    return replace(data, text=rest, words=words, start_time=start)


def _shifted_word(word: TimedString, by: float) -> TimedString:
    moved = copy.copy(word)
    if is_given(word.start_time):
        moved.start_time = word.start_time + by
    if is_given(word.end_time):
        moved.end_time = word.end_time + by
    return moved


def _middle(word: TimedString, otherwise: float) -> float:
    if not is_given(word.start_time) or not is_given(word.end_time):
        return otherwise
    return (word.start_time + word.end_time) / 2
