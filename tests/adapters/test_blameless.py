# SPDX-License-Identifier: Apache-2.0
"""What is nobody's fault leaves health and events as they are: one test for each such cause.

Some are tested where they belong:

==========================  =======================================================================
cause                       test
==========================  =======================================================================
barge-in                    test_llm_health.py ``test_interruptions_blame_nobody``, test_tts.py
                            ``test_barge_in_ends_everything_and_blames_nobody``; on probation:
                            test_probation.py ``test_an_interrupted_request_proves_nothing``
hand-off, late transcript   test_stt.py ``test_hang_up_blames_nobody``, regressions/
                            test_livekit_bugs_stt.py ``test_js_2381_what_comes_after_closing...``
idle voice                  test_tts_stream.py ``test_a_voice_that_waits_for_text_is_not_late``
silent or muted caller      test_stt_audio.py ``test_a_silent_caller_trips_nothing...``,
                            test_stt_connect.py ``test_a_muted_caller_trips_nothing``
late error after all        test_tts.py ``test_a_fault_after_the_last_frame_harms_nobody``,
                            test_attempt.py ``test_what_follows_the_usage_cannot_spoil_an_answer``
the same 4xx by everybody   test_rejections.py
==========================  =======================================================================
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIStatusError
from livekit.agents.llm import LLMError
from livekit.agents.stt import STTError
from livekit.agents.tts import TTSError

from livekit_fallback import AllProvidersFailedError
from tests.support.audio import frames
from tests.support.caller import calling
from tests.support.errors import gone, status
from tests.support.fakes import End, Fail, ToolCall, UsageOnly, Wait, ask
from tests.support.outage import BATCH_STT, DOWN, LLM, STT, TTS, Kind, Line, line

if TYPE_CHECKING:
    from tests.support.census import Census
    from tests.support.script import Script

THREE = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
SAID_OF_HEALTH = {"health_changed", "probed", "flapping", "failover", "recovery"}
SILENCE = frames(0.02, pitch=0.0)[0]


def _assert_untouched(chain: Line) -> None:
    """Nobody is less healthy than before, nothing is held against anybody, nothing was said."""
    assert SAID_OF_HEALTH.isdisjoint(chain.events.names)
    assert chain.unavailable == []
    for service in chain.adapter.services:
        health = chain.adapter.get_service_health(service)
        assert (health.state, health.consecutive_failures) == ("healthy", 0)


async def test_tool_only_turn(census: Census):
    """An answer of tool calls alone is one; the voice that got no text for it is not even asked."""
    model = line(census, LLM, [ToolCall("find_table"), UsageOnly()], LLM.answer("b"))
    voice = line(census, TTS, DOWN, DOWN)

    for _ in range(5):
        await ask(model.adapter)
        async with voice.adapter.stream() as reply:
            await asyncio.sleep(30.0)
            reply.end_input()
            assert [audio async for audio in reply] == []

    for chain in (model, voice):
        _assert_untouched(chain)
    assert (model.asked, voice.asked) == ("aaaaa", "")


@pytest.mark.parametrize("recycled", [[Fail(gone)], [End()]], ids=["reset", "clean-end"])
@pytest.mark.parametrize("probe", ["replay", "ping", "live"])
async def test_idle_sockets(recycled: Script, probe: str, census: Census):
    """Servers that recycle idle streams do not talk anybody out of the chain, whoever is silent."""
    idle = [Wait(300.0), *recycled]
    chain = line(census, STT, idle, idle, probe=probe, permanent_disable_after_attempts=3)

    async with calling(chain.adapter) as caller:
        for _ in range(240):
            caller.stream.push_frame(SILENCE)
            await asyncio.sleep(30.0)

        assert caller.error is None
    await asyncio.sleep(3.0)
    assert "disabled" not in chain.moves("a") + chain.moves("b")
    assert False not in chain.recoverable


@pytest.mark.parametrize("kind", [LLM, BATCH_STT, TTS], ids=repr)
@pytest.mark.parametrize("code", [400, 413, 422])
async def test_callers_bad_request(kind: Kind, code: int, census: Census):
    """A request that everybody rejects fails, and the next one is asked of the primary."""
    rejecting = [kind.make([Fail(status(code))], kind.answer(name)) for name in "abc"]
    chain = line(census, kind, *rejecting)

    with pytest.raises(AllProvidersFailedError):
        await chain.use()

    assert not {"health_changed", "recovery", "probed"} & set(chain.events.names)
    assert [chain.state(name) for name in "abc"] == ["healthy"] * 3
    assert await chain.use() == "a"


async def test_callers_conversation_is_too_long(census: Census):
    """A context that fits nobody is no outage, whatever status a vendor gives it."""

    def too_long() -> APIStatusError:
        body = {"error": {"code": "context_length_exceeded", "message": "maximum context length"}}
        return APIStatusError("too long", status_code=400, body=body)

    chain = line(census, LLM, [Fail(too_long)], [Fail(too_long)])

    for _ in range(3):
        with pytest.raises(AllProvidersFailedError):
            await chain.use()

    assert "health_changed" not in chain.events.names
    assert [chain.state(name) for name in "ab"] == ["healthy", "healthy"]


@THREE
async def test_error_of_another_request(kind: Kind, census: Census):
    """What fails in another adapter over the same provider is that adapter's to judge."""
    shared = kind.make([Wait(1.0), *kind.answer("a")], DOWN, kind.answer("a"))
    other = line(None, kind, shared, kind.answer("b"))
    mine = line(census, kind, shared)

    answer = asyncio.create_task(mine.use())
    await asyncio.sleep(0.5)
    assert await other.use() == "b"

    assert await answer == "a"
    assert other.state() == "cooling_down"
    _assert_untouched(mine)
    assert await mine.use() == "a"


ERROR_EVENTS: Any = {"llm": LLMError, "stt": STTError, "tts": TTSError}


@THREE
async def test_error_of_another_component(kind: Kind, census: Census):
    """An error event of a provider, of any sort, is about something else: failures are raised."""
    slow = [Wait(0.5), *kind.answer("a")]
    chain = line(census, kind, slow, kind.answer("b"))
    loop = asyncio.get_running_loop()

    for n, make in enumerate(ERROR_EVENTS.values()):
        alien = make(timestamp=0.0, label="x", error=gone(), recoverable=False)
        loop.call_later(0.1 * n, chain.providers["a"].emit, "error", alien)
    answer = await chain.use()

    assert answer == "a"
    assert chain.events.of("error") == []
    _assert_untouched(chain)
