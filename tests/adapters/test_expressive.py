# SPDX-License-Identifier: Apache-2.0
"""What LiveKit's expressive mode makes of the adapter, and the ways in: see docs/wrapping.md.

The session lets a voice be expressive if it does not stream, or is one of two classes of LiveKit's.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import tts
from livekit.agents.voice.agent_activity import AgentActivity

from livekit_fallback import FallbackTTS
from tests.support.errors import gone
from tests.support.fakes import Fail, ScriptedTTS, Speak

if TYPE_CHECKING:
    from tests.support.census import Census

pytestmark = pytest.mark.skipif(
    not hasattr(tts.StreamAdapter, "_tokenizer_for"), reason="newer than this LiveKit"
)


class Inworld(ScriptedTTS):
    """Speaks Inworld's dialect of the markup."""

    class Markup(tts.TTS.Markup):
        def _provider_key(self) -> str:
            return "inworld"


def _is_expressive(voice: tts.TTS) -> bool:
    agent, session = SimpleNamespace(expressive=True), SimpleNamespace(_expressive=True)
    activity: Any = SimpleNamespace(tts=voice, _agent=agent, _session=session)
    return AgentActivity._resolve_expressive_options(activity) is not None


def test_a_streaming_adapter_is_refused_as_the_plugin_would_be():
    """LiveKit asks for its own classes; if this changes, docs/wrapping.md must."""
    voices = [Inworld(name="a"), Inworld(name="b")]

    assert not _is_expressive(voices[0])
    assert not _is_expressive(FallbackTTS(voices))


def test_voices_that_do_not_stream_are_expressive_behind_the_adapter_as_alone():
    """The session wraps them itself, and lowers the markup there."""
    voices = [Inworld(name="a", streaming=False), Inworld(name="b", streaming=False)]

    assert _is_expressive(FallbackTTS(voices))
    assert not _is_expressive(FallbackTTS([*voices, ScriptedTTS(streaming=False)]))


def test_livekits_stream_adapter_around_the_adapter_is_expressive():
    """Nothing else may stream, speak a dialect and be let in."""
    voices = [Inworld(name="a"), Inworld(name="b")]

    assert _is_expressive(tts.StreamAdapter(tts=FallbackTTS(voices)))
    assert not _is_expressive(tts.StreamAdapter(tts=FallbackTTS([*voices, ScriptedTTS()])))


async def test_markup_reaches_whoever_speaks_in_its_own_dialect(census: Census):
    """The backup too is handed what its vendor understands, for exactly what was not spoken."""
    first, second = Inworld([Fail(gone())], name="a"), Inworld([Speak()], name="b")
    adapter = FallbackTTS([first, second], probe="live")
    census.watch(first, second)
    wrapped = tts.StreamAdapter(tts=adapter)
    wrapped._set_expressive(True)

    async with wrapped.stream() as stream:
        stream.push_text('<expression value="happy"/> Good evening, and welcome to the house.')
        stream.end_input()
        spoken = [audio async for audio in stream]

    assert spoken
    assert [call.tokens for call in second.calls] == [
        ["[happy] Good evening, and welcome to the house."]
    ]
    assert [call.tokens for call in first.calls] == [call.tokens for call in second.calls]
    assert (first._expressive, second._expressive) == (True, True)
