# SPDX-License-Identifier: Apache-2.0
"""The kinds of probe, for every kind of provider: what is sent, what is good, what is never sent.

When probes run is in test_probe.py and test_probe_times.py; which part of a caller's speech is
replayed, in test_stt_turns.py.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import Provider
from tests.support.audio import is_loud
from tests.support.errors import gone
from tests.support.fakes import (
    Audio,
    AudioUsage,
    End,
    Hang,
    Interim,
    Repeat,
    SpeechStart,
    Wait,
    ask,
    say,
)
from tests.support.ids import stable
from tests.support.outage import (
    BATCH_STT,
    BATCH_TTS,
    DOWN,
    KINDS,
    LLM,
    SILENT,
    STT,
    SYNTHESIZED,
    TTS,
    Kind,
    Line,
    breaks,
    line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.census import Census
    from tests.support.script import Script

every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
REST: dict[str, Any] = {"temporary_disable_sec": 5.0}


async def _broken_once(line: Line) -> None:
    """Have the primary fail a request, and wait until it was probed."""
    assert await line.use() == "b"
    await asyncio.sleep(5.1)


def _yes(_: Any) -> None:
    """The simplest probe of a user's own."""


@every_kind
@pytest.mark.parametrize("probe", ["ping", "replay", "live", _yes], ids=stable)
async def test_every_probe_brings_every_kind_of_provider_back(
    kind: Kind, probe: Any, census: Census
):
    """After one rest the next request is the primary's again, whatever has proved it."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe=probe, **REST)

    await _broken_once(chain)

    assert await chain.use() == "a"
    assert chain.moves()[:3] == ["cooling_down", "probing", "probation"]
    assert chain.probes() == ([] if probe == "live" else [True])


@every_kind
@pytest.mark.parametrize("probe", ["ping", "replay"])
@pytest.mark.parametrize("bad", [DOWN, SILENT], ids=["down", "hangs"])
async def test_what_would_be_a_failed_request_is_a_failed_probe(
    kind: Kind, probe: str, bad: Script, census: Census
):
    """A bad probe leaves the provider out, and is reported with its reason."""
    chain = line(census, kind, breaks(kind, then=bad), kind.answer("b"), probe=probe, **REST)

    await _broken_once(chain)
    await asyncio.sleep(3.1)

    (probed,) = chain.events.of("probed")
    assert (probed.provider, probed.good, probed.reason != "") == ("a", False, True)
    assert chain.rests() == [5.0, 10.0]
    assert chain.providers["a"].open_calls == []
    assert await chain.use() == "b"


async def test_a_ping_of_a_language_model_is_one_short_message(census: Census):
    """Nothing of the caller's is in it: no history, no tools."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe="ping", **REST)

    await _broken_once(chain)

    sent = chain.call("a", 1).kwargs
    (message,) = sent["chat_ctx"].messages()
    assert message.role == "user"
    assert 0 < len(message.text_content or "") < 40
    assert sent["tools"] is None


@pytest.mark.parametrize("kind", [STT, BATCH_STT], ids=repr)
async def test_a_ping_of_a_recogniser_is_a_second_of_silence(kind: Kind, census: Census):
    """It takes the way that requests take: a stream that is ended, or a recording."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe="ping", **REST)

    await _broken_once(chain)

    ping = chain.call("a", 1)
    assert ping.kind == ("stream" if kind is STT else "recognize")
    assert ping.audio_seconds == 1.0
    assert not any(is_loud(frame) for frame in ping.frames)
    assert ping.input_ended


@pytest.mark.parametrize("kind", [TTS, BATCH_TTS], ids=repr)
async def test_a_ping_of_a_voice_is_one_word(kind: Kind, census: Census):
    """Voices that stream are asked by a stream, the others for a whole text."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe="ping", **REST)

    await _broken_once(chain)

    ping = chain.call("a", 1)
    assert ping.kind == ("stream" if kind is TTS else "synthesize")
    assert len(ping.text.split()) == 1
    assert ping.input_ended


@every_kind
@pytest.mark.parametrize("probe", ["ping", "replay"])
async def test_a_probe_ends_at_its_first_useful_output(kind: Kind, probe: str, census: Census):
    """What nobody hears is not paid for: the stream is closed in mid-output."""
    endless = [Wait(0.5), kind.useful, Repeat([Wait(0.1), kind.useful])]
    if kind is BATCH_STT:
        endless = [Wait(0.5), kind.useful]  # a recording has one result
    chain = line(census, kind, breaks(kind, then=endless), kind.answer("b"), probe=probe, **REST)

    await _broken_once(chain)
    await asyncio.sleep(5.0)

    call = chain.call("a", 1)
    assert chain.probes() == [True]
    assert chain.closed_at("a", 1) == pytest.approx(call.opened_at + 0.5, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        (STT, [End()]),
        (STT, [SpeechStart(), Hang()]),
        (STT, [Interim(""), Hang()]),
        (BATCH_STT, [End()]),
    ],
    ids=["clean-end", "speech", "empty", "recording"],
)
async def test_a_recogniser_that_lets_a_ping_in_is_well(kind: Kind, script: Script, census: Census):
    """Silence has no words in it: any event or result will do, and so will a clean end."""
    chain = line(census, kind, breaks(kind, then=script), kind.answer("b"), probe="ping", **REST)

    await _broken_once(chain)

    assert chain.probes() == [True]


async def test_what_a_plugin_counts_by_itself_is_no_answer_to_a_ping(census: Census):
    """Usage is counted on this side of the wire, whether anybody is at the other or not."""
    script = [AudioUsage(), Hang()]
    chain = line(census, STT, breaks(STT, then=script), STT.answer("b"), probe="ping", **REST)

    await _broken_once(chain)
    await asyncio.sleep(5.0)

    assert chain.probes() == [False]


@pytest.mark.parametrize("kind", [TTS, BATCH_TTS, SYNTHESIZED], ids=repr)
async def test_a_replay_of_a_reply_is_its_beginning(kind: Kind, census: Census):
    """A voice is given little to say, however long the reply was, and no part of a word."""
    text = "Good evening, and welcome to the house by the sea. " * 5
    chain = line(census, kind, breaks(kind), [Audio(15.0)], probe="replay", **REST)

    if kind is SYNTHESIZED:
        async with chain.adapter.synthesize(text) as stream:
            await stream.collect()
    else:
        await say(chain.adapter, text)
    await asyncio.sleep(5.1)

    sent = chain.call("a", 1).text.strip()
    assert 0 < len(sent) <= 80
    assert text.startswith(sent)
    assert text[len(sent)].isspace()


@pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)
async def test_a_live_probe_is_one_request_at_a_time(kind: Kind, census: Census):
    """Of many requests after the rest one is the test, and the others do not wait for it."""
    slow = [Wait(0.5), *kind.answer("a")]
    chain = line(census, kind, breaks(kind, then=slow), kind.answer("b"), probe="live", **REST)
    await _broken_once(chain)

    answers = await asyncio.gather(*(chain.use() for _ in range(10)))

    assert sorted(answers) == ["a"] + ["b"] * 9
    assert len(chain.providers["a"].calls) == 2


async def _async_yes(_: Any) -> bool:
    await asyncio.sleep(0.5)
    return True


async def _async_nothing(_: Any) -> None:
    """Done without a word."""


@pytest.mark.parametrize("probe", [_yes, bool, _async_yes, _async_nothing, partial(_async_yes)])
async def test_a_callable_that_does_not_object_brings_it_back(probe: Any, census: Census):
    """Whatever it returns but `False`, at once or awaited, is good, and so is nothing."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe=probe, **REST)

    await _broken_once(chain)
    await asyncio.sleep(0.5)

    assert chain.probes() == [True]
    assert len(chain.providers["a"].calls) == 1


async def _async_no(_: Any) -> bool:
    await asyncio.sleep(0.1)
    return False


async def _async_raises(_: Any) -> None:
    raise gone()


def _raises(_: Any) -> None:
    raise ValueError("status page says no")


@pytest.mark.parametrize("probe", [lambda _: False, _async_no, _raises, _async_raises])
async def test_a_callable_that_refuses_or_raises_leaves_it_out(
    probe: Callable[[Any], Any], census: Census
):
    """`False` is no, and so is any exception; the next rest is longer."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe=probe, **REST)

    await _broken_once(chain)
    await asyncio.sleep(0.2)

    assert chain.probes() == [False]
    assert chain.rests() == [5.0, 10.0]
    assert await chain.use() == "b"


@pytest.mark.parametrize(("timeout", "bound"), [(2.5, 2.5), (None, 10.0)])
async def test_a_callable_that_hangs_is_bounded(
    timeout: float | None, bound: float, census: Census
):
    """It has the provider's own deadline, or ten seconds, and is then cancelled."""
    ended: list[float] = []

    async def hang(_: Any) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(asyncio.get_running_loop().time() - began)

    options: dict[str, Any] = {"attempt_timeout": timeout, **REST}
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), probe=hang, **options)
    await chain.use()

    await asyncio.sleep(5.0 + bound + 0.1)

    assert ended == [pytest.approx(bound, abs=0.05)]
    assert chain.probes() == [False]


@every_kind
async def test_a_callable_gets_the_users_own_instance(kind: Kind, census: Census):
    """Not the wrapper that the adapter may have put around it."""
    seen: list[Any] = []
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe=seen.append, **REST)

    await _broken_once(chain)

    assert seen == [chain.providers["a"]]


@every_kind
async def test_without_a_probe_nothing_is_ever_asked(kind: Kind, census: Census):
    """`probe=None`: an hour of traffic later the provider has still not been tried."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe=None, **REST)

    answers = set()
    for _ in range(60):
        answers.add(await chain.use())
        await asyncio.sleep(60.0)

    assert answers == {"b"}
    assert len(chain.providers["a"].calls) == 1
    assert chain.moves() == ["cooling_down"]


@every_kind
async def test_without_a_probe_it_is_back_when_it_is_enabled(kind: Kind, census: Census):
    """Whoever switched probing off says when."""
    chain = line(census, kind, breaks(kind), kind.answer("b"), probe=None, **REST)
    await chain.use()

    chain.adapter.enable("a")

    assert [await chain.use(), chain.state()] == ["a", "probation"]


@every_kind
async def test_without_a_probe_it_is_back_when_it_serves_as_the_last_resort(
    kind: Kind, census: Census
):
    """It is asked when all others have failed, and an answer is the best proof."""
    backup = kind.make(kind.answer("b"), DOWN)
    chain = line(census, kind, breaks(kind), backup, probe=None, **REST)
    await chain.use()

    assert [await chain.use(), chain.state()] == ["a", "healthy"]


async def test_each_provider_may_have_a_probe_of_its_own(census: Census):
    """An entry's `probe` wins over the adapter's."""
    pinged, replayed = Provider(breaks(LLM), probe="ping"), Provider(breaks(LLM), probe="replay")
    chain = line(census, LLM, pinged, replayed, LLM.answer("c"), probe=None, **REST)

    await ask(chain.adapter, "Where is it?")
    await asyncio.sleep(5.1)

    of_a, of_b = (
        [call.kwargs["chat_ctx"].messages()[0].text_content for call in chain.providers[name].calls]
        for name in "ab"
    )
    assert (len(of_a), of_b) == (2, ["Where is it?", "Where is it?"])
    assert of_a[1] != "Where is it?"
