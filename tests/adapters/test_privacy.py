# SPDX-License-Identifier: Apache-2.0
"""What was said, asked or raised stays out of logs and event files, whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import APIStatusError, llm

from livekit_fallback import AllProvidersFailedError
from livekit_fallback.observability import EventLog
from tests.support.fakes import Fail, Hang, Say, Step, ToolCall
from tests.support.llm_chain import LLMChain, Model, chain_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.census import Census

SECRETS = ("prompt-4711", "answer-4711", "error-4711", "body-4711", "key-4711", "argument-4711")


def _quoting() -> APIStatusError:
    error = APIStatusError(
        "error-4711 prompt-4711", status_code=503, request_id="r", body={"echo": "body-4711"}
    )
    error.headers = {"Authorization": "Bearer key-4711"}  # type: ignore[attr-defined]
    return error


def _rejecting() -> Exception:
    return APIStatusError("error-4711", status_code=401, body="body-4711")


async def _ask(chain: LLMChain) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="prompt-4711")
    async with chain.adapter.chat(chat_ctx=context, extra_kwargs={"api": "key-4711"}) as stream:
        try:
            await stream.collect()
        except Exception:
            return


FATES: dict[str, list[list[Step]]] = {
    "failover": [[Fail(_quoting)], [Say("answer-4711")]],
    "any-exception": [[Fail(lambda: ValueError("error-4711"))], [Say("answer-4711")]],
    "deadline": [[Hang()], [Say("answer-4711")]],
    "exhausted": [[Fail(_rejecting)], [Fail(_rejecting)]],
    "lost": [[Say("answer-4711"), Fail(_quoting)], [Say("no")]],
    "lost-tool": [[ToolCall("book", '{"x": "argument-4711"}'), Hang()], [Say("no")]],
    "recovery": [[Fail(_quoting)], [Say("answer-4711")]],
}


def _public_texts(record: logging.LogRecord) -> list[str]:
    """Everything a log line says outside the keys that are redacted."""
    fields = {k: v for k, v in record.__dict__.items() if not k.startswith("lk.pii.")}
    return [record.getMessage(), record.exc_text or "", repr(fields)]


def _leaks(texts: list[str]) -> list[str]:
    return [text for text in texts if any(secret in text for secret in SECRETS)]


@pytest.mark.parametrize("probe", ["live", "replay"])
@pytest.mark.parametrize("scripts", FATES.values(), ids=FATES.keys())
async def test_nothing_said_gets_into_logs_or_event_files(
    scripts: list[list[Step]],
    probe: str,
    census: Census,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
):
    """Only keys that LiveKit redacts may quote a prompt, an answer, a tool call or an exception."""
    caplog.set_level(logging.DEBUG)
    primary = Model(scripts[0], [Say("answer-4711")])
    chain = chain_of(census, primary, scripts[1], probe=probe, temporary_disable_sec=1.0)
    log = EventLog(tmp_path / "events.jsonl")
    log.attach(chain.adapter)

    await _ask(chain)
    await asyncio.sleep(2)
    await _ask(chain)
    log.close()

    written = (tmp_path / "events.jsonl").read_text()
    assert caplog.records
    assert written
    assert _leaks([text for record in caplog.records for text in _public_texts(record)]) == []
    assert _leaks([written]) == []


async def test_the_error_s_text_stays_findable(census: Census, caplog: pytest.LogCaptureFixture):
    """Who debugs finds what the provider said under the key that is redacted elsewhere."""
    chain = chain_of(census, [Fail(_quoting)], [Say("b")])

    await _ask(chain)

    (record,) = [r for r in caplog.records if r.name == "livekit_fallback"]
    assert "error-4711" in record.__dict__["lk.pii.error"]


def _raise(error: Exception) -> Callable[[Any], None]:
    def listener(_: Any) -> None:
        raise error

    return listener


async def test_a_failing_subscriber_is_logged_without_its_words(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """Its exception may quote what it was given."""
    chain = chain_of(census, [Fail(_quoting)], [Say("b")])
    chain.adapter.on("failover", _raise(TypeError("error-4711")))

    await _ask(chain)

    ours = [record for record in caplog.records if record.name == "livekit_fallback"]
    messages = [record.getMessage() for record in ours]
    if isinstance(chain.adapter._events["failover"], dict):
        assert messages == ["failed over to the next provider", "a subscriber failed"]
    else:
        # the emitter of older releases calls in any order, and stops at a TypeError
        assert "a subscriber failed" in messages
    assert _leaks([text for record in ours for text in _public_texts(record)]) == []


async def test_the_final_error_s_own_words_quote_nobody(census: Census):
    """`AllProvidersFailedError` is logged by hosts: its message holds names and reasons only."""
    chain = chain_of(census, [Fail(_rejecting)])

    with pytest.raises(AllProvidersFailedError) as caught:
        await chain.answer("prompt-4711")

    assert _leaks([caught.value.message, caught.value.args[0]]) == []
