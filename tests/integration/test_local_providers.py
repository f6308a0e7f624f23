# SPDX-License-Identifier: Apache-2.0
"""The local providers themselves: the wire of every plugin, the faults and the control port."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from asyncio.subprocess import PIPE
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from livekit.agents import APIError, APIStatusError

from examples.local_providers import FaultError, LocalProviders
from examples.local_providers.dialogue import LINES
from examples.local_providers.tape import TAPE_RATE
from examples.local_providers.voice import RATE
from tests.integration.llm_client import ANSWER, Answer, ask, find_table
from tests.integration.speech import calling, line
from tests.integration.support import until
from tests.integration.voice import assert_whole, heard, said

if TYPE_CHECKING:
    from tests.integration.plugins import Plugins

EARS = "sphinx"


@pytest.mark.parametrize("vendor", ["openai", "cerebras"])
async def test_language_models_answer_and_call_the_tool(plugins: Plugins, vendor: str):
    """Both vendors of the OpenAI wire answer in words, or with a call once they know enough."""
    llm = plugins.openai_llm() if vendor == "openai" else plugins.cerebras_llm()

    answer = await ask(llm)
    wish = await ask(llm, *LINES[1:4], tools=[find_table])

    assert answer == Answer(ANSWER)
    [call] = wish.calls
    assert json.loads(call.arguments) == {"day": "tomorrow", "time": "19:00", "people": 4}


@pytest.mark.parametrize("how", ["stream", "synthesize"])
@pytest.mark.parametrize("vendor", ["cartesia", "deepgram"])
async def test_voices_speak_every_word(plugins: Plugins, vendor: str, how: str):
    """Streaming voices speak the same over a websocket and over HTTP."""
    tts = plugins.cartesia_tts() if vendor == "cartesia" else plugins.deepgram_tts()

    assert_whole(await heard(said(tts, how)), vendor)


@pytest.mark.parametrize("response_format", ["mp3", "pcm", "wav"])
async def test_a_voice_speaks_in_every_format(plugins: Plugins, response_format: str):
    """The formats of the speech API are really encoded: the plugin's decoders get the words."""
    tts = plugins.openai_tts(response_format=response_format)

    assert_whole(await heard(said(tts, "synthesize")), "openai")


@pytest.mark.parametrize("which", ["deepgram", "cartesia ink-2", "cartesia ink-whisper"])
async def test_recognisers_hear_what_is_said_on_a_stream(plugins: Plugins, which: str):
    """Utterances come out one by one, each with its start and its end."""
    vendor, *model = which.split()
    stt = plugins.deepgram_stt() if vendor == "deepgram" else plugins.cartesia_stt(*model)

    async with calling(stt) as caller:
        await caller.says([*line(1), *line(2)])
        await until(lambda: len(caller.finals) == 2, within=5.0)

    assert caller.finals == list(LINES[:2])
    assert caller.is_balanced


@pytest.mark.parametrize("vendor", ["deepgram", "openai"])
async def test_recognisers_understand_every_recording(plugins: Plugins, vendor: str):
    """The shipped recordings, the ears and the dialogue fit together."""
    stt = plugins.deepgram_stt() if vendor == "deepgram" else plugins.openai_stt()

    events = [await stt.recognize(list(line(number + 1))) for number in range(len(LINES))]

    assert [event.alternatives[0].text for event in events] == list(LINES)


BAD_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown mode": ({"mode": "explode"}, "mode"),
    "unknown field": ({"mode": "hang", "when": 1}, "when"),
    "unknown vendor": ({"mode": "hang", "vendor": "acme"}, "vendor"),
    "unknown service": ({"mode": "hang", "service": "video"}, "service"),
    "status that is none": ({"mode": "status", "status": 200}, "status"),
    "negative count": ({"mode": "stall", "after": -1}, "after"),
    "no times": ({"mode": "hang", "times": 0}, "times"),
    "service the vendor lacks": (
        {"mode": "hang", "vendor": "cartesia", "service": "llm"},
        "service",
    ),
    "mode for another service": ({"mode": "silence", "service": "llm"}, "service"),
    "refusals that are counted": ({"mode": "refuse", "times": 1}, "times"),
}


@pytest.mark.parametrize(("fault", "field"), BAD_FAULTS.values(), ids=BAD_FAULTS.keys())
async def test_a_fault_that_makes_no_sense_is_refused_by_name(
    providers: LocalProviders, fault: dict[str, Any], field: str
):
    """The complaint names the field, in process and over the control port, and nothing is set."""
    with pytest.raises(FaultError, match=f"^{field}: "):
        providers.set_fault(**fault)
    status, answer = await control(providers, "POST", "/fault", json=fault)

    assert (status, answer["error"].partition(":")[0]) == (400, field)
    assert list(providers.board) == []


async def control(
    providers: LocalProviders, method: str, path: str, **more: Any
) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, providers.control_url + path, **more) as answer,
    ):
        return answer.status, await answer.json()


async def test_faults_are_set_and_lifted_over_the_control_port(
    providers: LocalProviders, plugins: Plugins
):
    """A program of its own can run the faults of a call and read what happened."""
    fault = {"mode": "status", "vendor": "openai", "service": "llm", "status": 418}
    _, posted = await control(providers, "POST", "/fault", json=fault)
    spoiled = await ask(plugins.openai_llm())
    _, shown = await control(providers, "GET", "/")
    _, lifted = await control(providers, "DELETE", f"/fault/{posted['id']}")
    fine = await ask(plugins.openai_llm())
    _, log = await control(providers, "GET", "/log")
    _, rest = await control(providers, "GET", f"/log?since={log['next']}")

    assert isinstance(spoiled.error, APIStatusError)
    assert spoiled.error.status_code == 418
    assert [shown["faults"][0][name] for name in fault] == list(fault.values())
    assert shown["vendors"] == providers.urls
    assert lifted == {"cleared": True}
    assert fine == Answer(ANSWER)
    events = [(entry["event"], entry["request"]) for entry in log["entries"]]
    assert events == [
        ("request", 1),
        ("fault", 1),
        ("request", 2),
        ("first_output", 2),
        ("finished", 2),
    ]
    assert rest["entries"] == []


async def test_a_fault_strikes_as_often_as_it_was_told(providers: LocalProviders, plugins: Plugins):
    """``times`` counts requests, and the newest fault is the first to strike."""
    providers.set_fault("status", vendor="openai", status=500)
    providers.set_fault("status", vendor="openai", status=503, times=2)
    llm = plugins.openai_llm()

    errors = [(await ask(llm)).error for _ in range(3)]

    assert [getattr(error, "status_code", None) for error in errors] == [503, 503, 500]


async def test_a_refused_port_is_closed_and_comes_back_as_the_same(
    providers: LocalProviders, plugins: Plugins
):
    """An outage is a port that nobody listens on; afterwards clients find the vendor again."""
    llm, url = plugins.openai_llm(), providers.url("openai")

    refuse = providers.set_fault("refuse", vendor="openai")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    during = await ask(llm)
    providers.clear_faults(refuse)
    await providers.settled()
    after = await ask(llm)

    assert isinstance(during.error, APIError)
    assert after == Answer(ANSWER)
    assert providers.url("openai") == url


async def test_killing_breaks_what_is_open_and_nothing_else(
    providers: LocalProviders, plugins: Plugins
):
    """A kill is over at once: the next connection is as good as any."""
    async with calling(plugins.deepgram_stt()) as caller:
        await caller.says(line(1)[:30])
        _, killed = await control(providers, "POST", "/kill", json={"vendor": "deepgram"})
        _, again = await control(providers, "POST", "/kill", json={"vendor": "openai"})

    assert (killed, again) == ({"dropped": 1}, {"dropped": 0})


async def test_a_real_voice_says_each_word_at_its_time():
    """espeak's speech has sound at every word it reports, and each vendor a voice of its own."""
    pytest.importorskip("espeak_english")
    from examples.local_providers.espeak import EspeakVoice

    voice = EspeakVoice()
    speech, other = await voice.say(ANSWER, "cartesia"), await voice.say(ANSWER, "openai")
    await voice.aclose()

    assert [word.text for word in speech.words] == ANSWER.split()
    for word in speech.words:
        samples = speech.pcm[2 * int(word.start * RATE) : 2 * int(word.end * RATE)]
        assert max(memoryview(samples).cast("h")) > 500
    assert speech.pcm != other.pcm


async def test_as_a_program_they_say_when_they_are_ready_and_leave_when_told():
    """One JSON line on standard output tells where everything is; SIGTERM is a good end."""
    pytest.importorskip("espeak_english")
    command = [sys.executable, "-m", "examples.local_providers", "--control-port"]
    start = partial(asyncio.create_subprocess_exec, *command, stdout=PIPE, stderr=PIPE)

    program = await start("0")
    try:
        assert program.stdout is not None
        ready = json.loads(await asyncio.wait_for(program.stdout.readline(), 20))
        port = ready["control"].rpartition(":")[2]
        second = await start(port)
        _, complaint = await asyncio.wait_for(second.communicate(), 20)
    finally:
        program.terminate()
        _, banner = await asyncio.wait_for(program.communicate(), 20)

    assert set(ready["vendors"]) == {"openai", "cerebras", "together", "deepgram", "cartesia"}
    assert (program.returncode, second.returncode) == (0, 2)
    assert b"scripted" in banner
    assert complaint.count(b"\n") == 1
    assert port.encode() in complaint


async def test_the_tape_has_what_the_voices_said():
    """Every text with its words and its sound, whoever asked for it, and whether or not it was
    sent."""
    async with LocalProviders(ears="script", voice="tone") as providers:
        await providers.tape.say("Good evening", "cartesia")
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{providers.control_url}/tape") as answer,
        ):
            [entry] = (await answer.json())["entries"]

    assert (entry["vendor"], entry["text"]) == ("cartesia", "Good evening")
    assert entry["words"] == [["Good", 0.0, 0.2], ["evening", 0.25, 0.45]]
    assert len(base64.b64decode(entry["pcm"])) == pytest.approx(0.5 * TAPE_RATE * 2, rel=0.01)
