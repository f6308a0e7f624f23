# SPDX-License-Identifier: Apache-2.0
"""What an outage leaves in the log: what a person has to act on, at its level, once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError
from tests.support.errors import status
from tests.support.events import SECRET, broken, health_changed
from tests.support.fakes import Fail
from tests.support.outage import DOWN, LLM, STT, TTS, Kind, line

if TYPE_CHECKING:
    from livekit_fallback import HealthChangedEvent
    from tests.support.census import Census
    from tests.support.outage import Line
    from tests.support.script import Script

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)

REJECTED = "a provider rejects its key, its quota or its configuration"
DISABLED = "a provider was disabled"
FLAPPING = "providers fail over too often"

OPTIONS: dict[str, Any] = {"temporary_disable_sec": 5, "max_disable_sec": 20}


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged on the package's logger is seen, at any level."""
    caplog.set_level(logging.DEBUG, logger="livekit_fallback")


def rejects(code: int = 401) -> Script:
    return [Fail(lambda: status(code))]


def levels_of(caplog: pytest.LogCaptureFixture, message: str) -> list[int]:
    return [record.levelno for record in caplog.records if record.getMessage() == message]


def lines_above(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > level]


async def _talk(chain: Line, seconds: int) -> None:
    for _ in range(seconds // 2):
        await chain.use()
        await asyncio.sleep(2)


# --- levels -------------------------------------------------------------------------------------

MOVES: dict[str, tuple[HealthChangedEvent, int]] = {
    "failed": (health_changed(), logging.DEBUG),
    "rejected": (health_changed(kind="auth"), logging.ERROR),
    "too-slow": (health_changed(reason="latency", latency=1.9), logging.DEBUG),
    "limited": (health_changed(kind="rate_limited"), logging.DEBUG),
    "probing": (health_changed(before="cooling_down", after="probing"), logging.DEBUG),
    "returned": (health_changed(before="probing", after="probation", kind=""), logging.DEBUG),
    "proven": (health_changed(before="probation", after="healthy", kind=""), logging.DEBUG),
    "disabled": (health_changed(after="disabled", kind="", error=None), logging.WARNING),
    "given-up": (health_changed(before="probing", after="disabled"), logging.WARNING),
    "enabled": (health_changed(before="disabled", after="probation", kind=""), logging.DEBUG),
}


@pytest.mark.parametrize(("event", "level"), MOVES.values(), ids=MOVES)
async def test_a_move_of_health_is_logged_by_what_it_asks_of_a_person(
    event: HealthChangedEvent, level: int, census: Census, caplog: pytest.LogCaptureFixture
):
    """A wrong key needs somebody, a disabled provider attention; the rest mends itself."""
    adapter: Any = line(census, LLM, DOWN).adapter

    adapter.emit("health_changed", event)

    assert [record.levelno for record in caplog.records] == [level]


async def test_a_blip_is_a_warning_and_a_return(census: Census, caplog: pytest.LogCaptureFixture):
    """No error for what the caller did not notice."""
    primary = LLM.make(DOWN, LLM.answer("a"))
    chain = line(census, LLM, primary, LLM.answer("b"), **OPTIONS)

    await _talk(chain, 20)

    assert lines_above(caplog, logging.DEBUG) == [
        "failed over to the next provider",
        "back on a provider of higher priority",
    ]


# --- rejections ---------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("probe", ["replay", "ping", "live", None])
async def test_a_lasting_rejection_is_one_error(
    kind: Kind, probe: str | None, census: Census, caplog: pytest.LogCaptureFixture
):
    """However often it is probed, and however long the call."""
    chain = line(census, kind, rejects(), kind.answer("b"), probe=probe, **OPTIONS)

    await _talk(chain, 190)

    assert chain.asked.count("a") >= (1 if probe is None else 5)
    assert levels_of(caplog, REJECTED) == [logging.ERROR]


COURSES: dict[str, tuple[Script, ...]] = {
    "then-down": (rejects(), DOWN, rejects(403), DOWN, rejects()),
    "down-first": (DOWN, rejects()),
    "limited-first": (rejects(429), DOWN, rejects()),
}


@pytest.mark.parametrize("probe", ["replay", "live"])
@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
async def test_an_outage_has_one_error_whatever_its_probes_meet(
    course: tuple[Script, ...], probe: str, census: Census, caplog: pytest.LogCaptureFixture
):
    """A rejection is said when it is first met, by whomever, and then no more."""
    chain = line(census, LLM, LLM.make(*course), LLM.answer("b"), probe=probe, **OPTIONS)

    await _talk(chain, 190)

    assert chain.asked.count("a") > len(course)
    assert levels_of(caplog, REJECTED) == [logging.ERROR]


async def test_probes_that_are_let_in_do_not_repeat_the_error(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """A status page may be green while the key is refused: the outage is still the same."""
    options = {"probe": lambda _: True, **OPTIONS}
    chain = line(census, LLM, rejects(), LLM.answer("b"), **options)

    await _talk(chain, 190)

    assert chain.moves().count("probation") > 3
    assert levels_of(caplog, REJECTED) == [logging.ERROR]


async def test_each_outage_has_its_error(census: Census, caplog: pytest.LogCaptureFixture):
    """After the provider has been trusted again, a rejection is news."""
    well = [LLM.answer("a")] * 5
    primary = LLM.make(rejects(), *well, rejects(), *well)
    chain = line(census, LLM, primary, LLM.answer("b"), **OPTIONS)

    await _talk(chain, 120)

    assert chain.moves().count("healthy") == 2
    assert levels_of(caplog, REJECTED) == [logging.ERROR] * 2


async def test_a_new_key_that_is_rejected_too_is_said(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """Whoever enables a provider by hand wants to know whether that has helped."""
    chain = line(census, LLM, rejects(), LLM.answer("b"), **OPTIONS)
    await chain.use()

    chain.adapter.disable("a")
    chain.adapter.enable("a")
    await chain.use()

    assert levels_of(caplog, REJECTED) == [logging.ERROR] * 2


async def test_every_provider_has_its_error(census: Census, caplog: pytest.LogCaptureFixture):
    """Two wrong keys are two things to mend."""
    chain = line(census, LLM, rejects(401), rejects(403), LLM.answer("c"), **OPTIONS)

    await _talk(chain, 60)

    said = [vars(r)["provider"] for r in caplog.records if r.getMessage() == REJECTED]
    assert sorted(said) == ["a", "b"]


async def test_a_request_that_all_reject_is_no_wrong_key(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """Nobody's key is blamed for an odd request; that nobody served it is an error."""
    chain = line(census, LLM, rejects(404), rejects(404))

    with pytest.raises(AllProvidersFailedError):
        await chain.use()

    assert levels_of(caplog, REJECTED) == []
    assert lines_above(caplog, logging.WARNING) == ["all providers failed"]


# --- disabled, flapping -------------------------------------------------------------------------


async def test_disabling_is_a_warning(census: Census, caplog: pytest.LogCaptureFixture):
    """With the reason that was given, for whoever reads the log the next morning."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"))

    chain.adapter.disable("a", reason="maintenance")
    chain.adapter.enable("a")

    assert levels_of(caplog, DISABLED) == [logging.WARNING]
    assert vars(caplog.records[0])["reason"] == "maintenance"
    assert lines_above(caplog, logging.DEBUG) == [DISABLED]


async def test_giving_up_is_a_warning_once(census: Census, caplog: pytest.LogCaptureFixture):
    """From then on only a person brings the provider back."""
    options = {**OPTIONS, "permanent_disable_after_attempts": 2}
    chain = line(census, LLM, DOWN, LLM.answer("b"), **options)

    await _talk(chain, 190)

    assert chain.state() == "disabled"
    assert levels_of(caplog, DISABLED) == [logging.WARNING]


async def test_flapping_is_a_warning_once_a_minute(
    census: Census, caplog: pytest.LogCaptureFixture
):
    """Enough to raise an alarm, not enough to fill a disk."""
    chain = line(census, LLM, rejects(400), LLM.answer("b"), flapping_limit=3)

    await _talk(chain, 118)

    assert levels_of(caplog, FLAPPING) == [logging.WARNING] * 2
    assert vars(caplog.records[-1])["component"] == "llm"


# --- secrets ------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("probe", ["replay", "live"])
async def test_no_line_of_an_outage_quotes_what_was_said(
    kind: Kind, probe: str, census: Census, caplog: pytest.LogCaptureFixture
):
    """Whatever providers write into their errors stands under `lk.pii.` keys only."""
    options = {**OPTIONS, "probe": probe, "flapping_limit": 1}
    chain = line(census, kind, [Fail(broken)], [Fail(broken)], kind.answer("c"), **options)

    await _talk(chain, 40)

    assert {"failed over to the next provider", FLAPPING} <= {
        r.getMessage() for r in caplog.records
    }
    for record in caplog.records:
        public = {k: v for k, v in vars(record).items() if not k.startswith("lk.pii.")}
        assert SECRET not in repr(public)
        assert SECRET not in record.getMessage()
    assert any(SECRET in repr(vars(record)) for record in caplog.records)
