# SPDX-License-Identifier: Apache-2.0
"""A real session whose voices are silent: the caller hears a phrase, and the call goes on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from livekit import rtc

from examples.local_providers.dialogue import LINES, TURNS
from livekit_fallback import FallbackTTS, Provider
from tests.integration.phone import calling_agent
from tests.integration.support import until
from tests.support.audio import tone

if TYPE_CHECKING:
    from examples.local_providers import LocalProviders
    from tests.integration.plugins import Plugins

EARS = "sphinx"
RATE = 24_000
PHRASE_SEC = 0.6
PHRASE = [rtc.AudioFrame(tone(PHRASE_SEC, rate=RATE), RATE, 1, int(PHRASE_SEC * RATE))]
ANSWERS = [turn.answer for turn in TURNS]


async def test_a_last_resort_is_heard_and_the_call_goes_on(
    providers: LocalProviders, plugins: Plugins
):
    """The reply that nobody spoke is marked as cut short, and the next one is spoken."""
    down = providers.set_fault("hang", service="tts")
    voices = [Provider(plugins.cartesia_tts(), attempt_timeout=0.3)]
    tts = FallbackTTS(voices, last_resort=PHRASE, total_timeout=0.6, temporary_disable_sec=0)

    async with (
        contextlib.aclosing(tts),
        calling_agent(plugins.deepgram_stt(), plugins.openai_llm(), tts) as call,
    ):
        await call.says(1)
        await until(lambda: call.errors, within=10.0)
        await until(lambda: call.session.agent_state == "listening", within=10.0)
        assert call.played[-1] >= PHRASE_SEC - 0.05
        providers.clear_faults(down)
        await call.turn(2)

        replies = [i for i in call.session.history.items if i.type == "message"][1::2]
        assert [reply.interrupted for reply in replies] == [True, False]
        assert call.history[-2:] == [("user", LINES[1]), ("assistant", ANSWERS[1])]
        assert all(call.recoverable)
        assert call.closed == []


async def test_a_holding_phrase_is_heard_once_and_is_not_in_the_history(
    providers: LocalProviders, plugins: Plugins
):
    """It fills the wait for a slow voice; the reply is whole, and nobody has failed."""
    slow = providers.set_fault("slow", vendor="cartesia", service="tts", delay=1.5)
    tts = FallbackTTS([plugins.cartesia_tts()], holding_phrase=PHRASE, total_timeout=2.0)

    async with (
        contextlib.aclosing(tts),
        calling_agent(plugins.deepgram_stt(), plugins.openai_llm(), tts) as call,
    ):
        await call.turn(1)

        assert call.history == [("user", LINES[0]), ("assistant", ANSWERS[0])]
        [message] = [i for i in call.session.history.items if i.type == "message"][1:]
        assert message.type == "message"
        assert not message.interrupted
        providers.clear_faults(slow)
        bare = await plugins.cartesia_tts().synthesize(str(ANSWERS[0])).collect()
        assert abs(call.played[-1] - PHRASE_SEC - bare.duration) < 0.3
        assert call.errors == []
