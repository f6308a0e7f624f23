# SPDX-License-Identifier: Apache-2.0
"""A recording is recognised by the first listener that can, within one budget."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.agents import NOT_GIVEN, APIConnectOptions, APIError
from livekit.agents.stt import StreamAdapter

from livekit_fallback import AllProvidersFailedError, FallbackSTT
from tests.support.audio import frames
from tests.support.chains import listeners
from tests.support.errors import ERRORS, STATUSES, gone, status
from tests.support.fakes import (
    Fail,
    Final,
    Hang,
    ScriptedSTT,
    ScriptedVAD,
    Wait,
    finals_of,
    hear,
)
from tests.support.virtual_time import Stopwatch, turns

if TYPE_CHECKING:
    from livekit.agents.stt import SpeechEvent

    from tests.support.census import Census

RECORDING = frames(1.0)
GOOD = [Final("well heard")]


def _text(event: SpeechEvent) -> str:
    return event.alternatives[0].text


@pytest.mark.parametrize("code", STATUSES)
async def test_every_status_moves_on_at_once(code: int, census: Census):
    """No status of one listener keeps the recording from the next."""
    chain = listeners(census, [Fail(status(code))], GOOD)

    with Stopwatch() as watch:
        event = await chain.adapter.recognize(RECORDING)

    assert _text(event) == "well heard"
    assert watch.elapsed < 0.05
    assert chain.recoverable == [True]


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
async def test_every_exception_moves_on_at_once(error, census: Census):
    """Whatever a listener raises is its failure alone."""
    chain = listeners(census, [Fail(error)], GOOD)

    event = await chain.adapter.recognize(RECORDING)

    assert _text(event) == "well heard"
    assert chain.unavailable == ["a"]


async def test_a_hang_costs_the_deadline_and_fifty_milliseconds(census: Census):
    """A listener that ignores its timeout is left at ours, and its request is cancelled."""
    chain = listeners(census, [Hang()], GOOD, attempt_timeout=1.0)

    with Stopwatch() as watch:
        event = await chain.adapter.recognize(RECORDING)

    assert _text(event) == "well heard"
    assert 1.0 <= watch.elapsed <= 1.05
    assert chain.closed_at("a") - chain.call("b").opened_at <= 0.05
    assert chain.reasons == ["first_output_timeout"]


async def test_a_recording_without_words_is_a_success(census: Census):
    """An empty transcript is an answer: nobody is asked again and nobody is blamed."""
    chain = listeners(census, [], GOOD)

    event = await chain.adapter.recognize(RECORDING)

    assert event.alternatives == []
    assert chain.asked == "a"
    assert set(chain.events.names) <= {"metrics_collected"}


async def test_a_listener_without_recordings_is_skipped_and_not_blamed(census: Census):
    """What a provider says it cannot do is not asked of it, and is not its failure."""
    stream_only = ScriptedSTT(offline_recognize=False)
    chain = listeners(census, stream_only, GOOD)

    event = await chain.adapter.recognize(RECORDING)

    assert _text(event) == "well heard"
    assert chain.asked == "b"
    assert chain.unavailable == []
    assert finals_of(await hear(chain.adapter, RECORDING)) == ["hello"]


async def test_if_nobody_takes_recordings_the_error_says_so(census: Census):
    """The attempts of the final error tell why, and nobody's health is touched."""
    chain = listeners(census, ScriptedSTT(offline_recognize=False))

    with pytest.raises(AllProvidersFailedError) as raised:
        await chain.adapter.recognize(RECORDING)

    assert [a.reason for a in raised.value.attempts] == ["not_supported"]
    assert chain.unavailable == []
    assert not chain.adapter.capabilities.offline_recognize


async def test_all_down_raises_one_error_within_the_budget(census: Census):
    """The search ends at `total_timeout`, with every attempt and one unrecoverable error."""
    chain = listeners(census, [Hang()], [Hang()], attempt_timeout=1.0, total_timeout=3.0)

    with Stopwatch() as watch, pytest.raises(AllProvidersFailedError) as raised:
        await chain.adapter.recognize(RECORDING)

    assert watch.elapsed == pytest.approx(3.0, abs=0.05)
    assert [a.provider for a in raised.value.attempts] == ["a", "b"]
    assert chain.recoverable == [True, False]


async def test_the_sessions_retries_do_not_multiply_the_search(census: Census):
    """Each listener is asked with no retries of its own and within its own deadline."""
    chain = listeners(census, [Fail(status(503))], GOOD, attempt_timeout=1.5)

    await chain.adapter.recognize(RECORDING, conn_options=APIConnectOptions(max_retry=9))

    given = [chain.call(name).kwargs["conn_options"] for name in "ab"]
    assert [(options.max_retry, options.timeout) for options in given] == [(0, 1.5)] * 2
    assert chain.call("a").runs == 1


@pytest.mark.parametrize("language", [NOT_GIVEN, "de"])
async def test_recording_and_language_are_handed_on_as_they_are(language, census: Census):
    """The next listener gets the same recording, and a language only if one was given."""
    chain = listeners(census, [Fail(gone())], GOOD)

    await chain.adapter.recognize(RECORDING, language=language)

    assert [chain.call(name).kwargs["language"] for name in "ab"] == [language, language]
    assert chain.call("b").frames == RECORDING


async def test_metrics_are_those_of_the_listener_that_served(census: Census):
    """One recognition, one metrics event, with the served one's names."""
    chain = listeners(census, [Fail(gone())], GOOD)

    await chain.adapter.recognize(RECORDING)

    (metrics,) = chain.events.of("metrics_collected")
    assert metrics.label == "b"
    assert metrics.metadata.model_name == "b-model"
    assert metrics.audio_duration == pytest.approx(1.0)


async def test_a_failed_listener_is_probed_with_the_recording(census: Census):
    """A probe repeats the last recording beside the traffic; the result is not the caller's."""
    ear = ScriptedSTT([Fail(gone())], [Final("probe heard")])
    chain = listeners(census, ear, GOOD, probe="replay", temporary_disable_sec=1.0)

    await chain.adapter.recognize(RECORDING)
    await asyncio.sleep(1.5)

    assert chain.call("a", 1).frames == RECORDING
    changes = chain.events.of("stt_availability_changed")
    assert [event.available for event in changes] == [False, True]
    assert len(chain.events.of("metrics_collected")) == 1


async def test_a_cancelled_recognition_blames_nobody(census: Census):
    """A caller who no longer wants the result ends the request at once."""
    chain = listeners(census, [Hang()], GOOD)

    task = asyncio.create_task(chain.adapter.recognize(RECORDING))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert chain.providers["a"].open_calls == []
    assert chain.events.names == []


async def test_recognitions_at_once_each_get_their_own_result(census: Census):
    """Concurrent requests of one adapter do not mix."""
    chain = listeners(
        census,
        ScriptedSTT(lambda n: [Wait(0.1 * n), Final(str(n))] if n % 2 else [Fail(gone())]),
        [Final("b")],
        temporary_disable_sec=0,
    )

    events = await asyncio.gather(*(chain.adapter.recognize(RECORDING) for _ in range(20)))

    assert sorted(_text(event) for event in events) == sorted(
        [str(n) for n in range(1, 20, 2)] + ["b"] * 10
    )


async def test_wrapped_listeners_are_asked_directly(census: Census):
    """A recogniser of recordings needs no detour through its own wrapper."""
    vad = ScriptedVAD()
    chain = listeners(census, ScriptedSTT(GOOD, streaming=False), vad=vad)

    assert _text(await chain.adapter.recognize(RECORDING)) == "well heard"
    assert vad.streams == []


async def test_the_adapter_itself_can_be_wrapped(census: Census):
    """LiveKit's `StreamAdapter` around the adapter recognises through the whole chain."""
    vad = ScriptedVAD()
    census.watch(vad)
    chain = listeners(census, [Fail(gone())], GOOD)
    wrapped = StreamAdapter(stt=chain.adapter, vad=vad)

    async with wrapped.stream() as stream:
        for frame in frames(0.5) + frames(0.5, pitch=0):
            stream.push_frame(frame)
        stream.end_input()
        events = [event async for event in stream]
    await wrapped.aclose()

    assert finals_of(events) == ["well heard"]


async def test_nothing_is_recognised_after_closing(census: Census):
    """A closed adapter refuses, and what was under way ends."""
    ear = ScriptedSTT([Hang()])
    census.watch(ear)
    adapter = FallbackSTT([ear])
    task = asyncio.create_task(adapter.recognize(RECORDING))
    await turns(5)

    await adapter.aclose()
    await asyncio.wait({task})

    assert ear.open_calls == []
    assert isinstance(task.exception(), APIError)
    with pytest.raises(RuntimeError, match="closed"):
        await adapter.recognize(RECORDING)
