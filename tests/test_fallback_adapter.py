# SPDX-License-Identifier: Apache-2.0
"""One name for all adapters: which kind it returns, and what becomes of its arguments."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any, assert_type

import pytest
from livekit.agents import llm as lk_llm

from livekit_fallback import (
    FallbackAdapter,
    FallbackLLM,
    FallbackSTT,
    FallbackTTS,
    Provider,
)
from tests.support.audio import frames
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from tests.support.ids import stable
from tests.support.outage import DOWN, LLM, SILENT, STT, TTS, Kind
from tests.support.virtual_time import Stopwatch

if TYPE_CHECKING:
    from tests.support.census import Census

KINDS: dict[str, tuple[Any, Any]] = {
    "llm": (ScriptedLLM, FallbackLLM),
    "stt": (ScriptedSTT, FallbackSTT),
    "tts": (ScriptedTTS, FallbackTTS),
}
each_kind = pytest.mark.parametrize(("fake", "adapter"), KINDS.values(), ids=KINDS)
each_line = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)


# --- what it returns ----------------------------------------------------------------------------


def test_types_are_known_to_type_checkers():
    """The editor knows which adapter it is, from the primary alone; mypy checks these lines."""
    model, ears, voice = ScriptedLLM(), ScriptedSTT(), ScriptedTTS()

    assert_type(FallbackAdapter(model), FallbackLLM)
    assert_type(FallbackAdapter(ears, [ScriptedSTT()], timeout=2.0), FallbackSTT)
    assert_type(FallbackAdapter(voice, [ScriptedTTS()], max_retries=1), FallbackTTS)
    assert_type(FallbackAdapter(Provider(model, name="m"), [ScriptedLLM()]), FallbackLLM)
    assert_type(FallbackAdapter(ears, [Provider(ScriptedSTT())]), FallbackSTT)
    assert_type(FallbackAdapter([voice, ScriptedTTS()]), FallbackTTS)
    assert_type(FallbackAdapter([Provider(model), ScriptedLLM()]), FallbackLLM)
    assert_type(FallbackAdapter(model, sticky=True).services, list[lk_llm.LLM])


@each_kind
def test_the_adapter_is_of_the_primary_s_kind(fake: Any, adapter: Any):
    """Not a kind of its own: everything that is said of the adapter holds."""
    a, b, c = fake(), fake(), fake()

    made = FallbackAdapter(a, [b, c])

    assert type(made) is adapter
    assert made.services == [a, b, c]


@each_kind
def test_backups_may_be_omitted(fake: Any, adapter: Any):
    """A lone provider gets deadlines and retries, too."""
    lone = fake()

    assert FallbackAdapter(lone).services == FallbackAdapter(lone, []).services == [lone]


@each_kind
@pytest.mark.parametrize("kind_of_list", [list, tuple])
def test_livekits_list_form_is_taken(fake: Any, adapter: Any, kind_of_list: Any):
    """`FallbackAdapter([a, b])` is what users of LiveKit's own adapters have in their fingers."""
    a, b = fake(), fake()

    made = FallbackAdapter(kind_of_list([a, b]))

    assert type(made) is adapter
    assert made.services == [a, b]


@each_kind
def test_a_list_may_be_followed_by_more(fake: Any, adapter: Any):
    """Both forms at once have only one sensible meaning."""
    a, b, c = fake(), fake(), fake()

    assert FallbackAdapter([a, b], (c,)).services == [a, b, c]


@each_kind
def test_entries_keep_their_names_and_limits(fake: Any, adapter: Any):
    """`Provider(...)` may stand for the primary as for any backup."""
    a, b = fake(), fake()

    made = FallbackAdapter(Provider(a, name="first"), [Provider(b, name="second")])

    assert type(made) is adapter
    assert [made.get_service_health(s).name for s in made.services] == ["first", "second"]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [None, "openai/gpt-4.1", 5, object(), ScriptedLLM, Provider(None), []], ids=stable
)
def test_a_primary_of_no_known_kind_is_refused(wrong: Any):
    """The error says what was given and what there are adapters for."""
    with pytest.raises(ValueError, match=r"primary=.*: must be a LiveKit LLM, STT, TTS or VAD"):
        FallbackAdapter(wrong, [ScriptedLLM()] if wrong != [] else [])


def test_backups_of_another_kind_are_refused():
    """A voice cannot stand in for a language model."""
    with pytest.raises(ValueError, match=r"must be a livekit\.agents\..*LLM$"):
        FallbackAdapter(ScriptedLLM(), [ScriptedTTS()])  # type: ignore[list-item]


@each_kind
def test_a_backup_that_is_not_in_a_list_is_refused(fake: Any, adapter: Any):
    """Forgetting the brackets is a mistake of the caller's, and is said to be one."""
    with pytest.raises(ValueError, match=r"backups=.*: must be a list"):
        FallbackAdapter(fake(), fake())


@each_kind
def test_a_provider_twice_is_refused(fake: Any, adapter: Any):
    """The primary protects nobody from itself."""
    a = fake()

    with pytest.raises(ValueError, match="must not be in the list twice"):
        FallbackAdapter(a, [a])


@each_kind
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "attempt_timeout=0: must be a number of seconds greater than 0"),
        ({"max_retries": -1}, r"max_retry_per_...=-1: must be a whole number, 0 or more"),
        ({"max_retries": 1.5}, r"max_retry_per_...=1\.5: must be a whole number, 0 or more"),
        ({"health_check_interval": 0}, "health_check_interval=0: must be a number of seconds"),
        ({"sticky": 1}, "sticky=1: must be True or False"),
        ({"unheard_of": 1}, "unknown option unheard_of=1"),
    ],
    ids=["timeout", "retries", "retries-kind", "interval", "sticky", "unknown"],
)
def test_wrong_options_are_refused(fake: Any, adapter: Any, options: Any, message: str):
    """As by the adapter itself: by name, value, and what is allowed."""
    with pytest.raises(ValueError, match=message):
        FallbackAdapter(fake(), [fake()], **options)


@each_kind
def test_an_option_under_two_names_is_refused(fake: Any, adapter: Any):
    """`timeout=` is `attempt_timeout=`: which of the two was meant cannot be guessed."""
    retries: dict[str, Any] = {f"max_retry_per_{fake().name}": 1}

    with pytest.raises(ValueError, match="attempt_timeout=2: must not be given twice"):
        FallbackAdapter(fake(), [fake()], timeout=1, attempt_timeout=2)
    with pytest.raises(ValueError, match=r"max_retry_per_\w+=1: must not be given twice"):
        FallbackAdapter(fake(), [fake()], max_retries=2, **retries)


# --- what the arguments mean --------------------------------------------------------------------


def adapted(census: Census, kind: Kind, *scripts: Any, **options: Any) -> Any:
    """The adapter over a primary and its backups, in the census."""
    primary, *backups = (kind.make(script) for script in scripts)
    adapter: Any = FallbackAdapter(primary, backups, probe=None, **options)
    census.watch(primary, *backups)
    return adapter


@each_line
async def test_timeout_is_how_long_each_provider_may_take(kind: Kind, census: Census):
    """`timeout=0.7`: the next one is asked after that long."""
    adapter = adapted(census, kind, SILENT, kind.answer("b"), timeout=0.7)

    with Stopwatch() as watch:
        answer = await (adapter.recognize(frames(0.2)) if kind is STT else kind.use(adapter))

    assert watch.elapsed == pytest.approx(0.7, abs=0.05)
    assert answer


@each_line
async def test_without_arguments_the_defaults_hold(kind: Kind, census: Census):
    """`None` is not "no limit": it is what the adapter would do anyway."""
    options = {"timeout": None, "max_retries": None, "health_check_interval": None}
    adapter = adapted(census, kind, DOWN, kind.answer("b"), **options)
    bare = type(adapter)([kind.make()])

    assert await kind.use(adapter) == "b"
    assert len(adapter.services[0].calls) == 1
    assert adapter._chain.options == {**bare._chain.options, "probe": None}
    await bare.aclose()


@each_line
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
async def test_retries_are_on_the_same_provider_with_back_off_and_jitter(
    kind: Kind, draw: float, census: Census, monkeypatch: pytest.MonkeyPatch
):
    """`max_retries=3`: four tries, the waits drawn from 0 up to 0.5 s, 1 s, 2 s."""
    monkeypatch.setattr("livekit_fallback.adapters._clock.jitter", lambda: draw)
    adapter = adapted(census, kind, DOWN, kind.answer("b"), max_retries=3)

    answer = await kind.use(adapter)

    primary = adapter.services[0]
    gaps = [b.opened_at - a.opened_at for a, b in pairwise(primary.calls)]
    assert answer == "b"
    assert gaps == pytest.approx([0.5 * draw, 1.0 * draw, 2.0 * draw], abs=0.01)


async def test_waits_are_drawn_anew_each_time(census: Census):
    """Full jitter: many workers that fail together do not come back together."""
    adapter = adapted(census, LLM, DOWN, LLM.answer("b"), max_retries=6, total_timeout=None)

    await LLM.use(adapter)

    gaps = [b.opened_at - a.opened_at for a, b in pairwise(adapter.services[0].calls)]
    assert len({round(gap, 3) for gap in gaps}) == 6
    assert all(gap <= min(2.0, 0.5 * 2**n) + 0.01 for n, gap in enumerate(gaps))


@each_line
async def test_a_retry_that_succeeds_is_no_failover(kind: Kind, census: Census):
    """The backup is for what retrying does not mend."""
    primary, backup = kind.make(DOWN, kind.answer("a")), kind.make(kind.answer("b"))
    adapter: Any = FallbackAdapter(primary, [backup], max_retries=1, probe=None)
    census.watch(primary, backup)

    assert await kind.use(adapter) == "a"
    assert backup.calls == []


@each_line
async def test_health_check_interval_checks_without_traffic(kind: Kind):
    """`health_check_interval=30.0`: a provider nobody has heard of is probed."""
    primary, backup = kind.make(kind.answer("a")), kind.make(kind.answer("b"))
    adapter: Any = FallbackAdapter(primary, [backup], health_check_interval=30.0, probe="ping")

    await asyncio.sleep(31)

    assert (len(primary.calls), len(backup.calls)) == (1, 1)
    await adapter.aclose()


@each_line
async def test_other_options_are_passed_through(kind: Kind, census: Census):
    """Everything that the adapter takes, its own and `options=` included."""
    adapter = adapted(
        census, kind, DOWN, kind.answer("b"), sticky=True, options={"total_timeout": 3.0}
    )

    assert adapter._chain.options["sticky"] is True
    assert adapter._chain.options["total_timeout"] == 3.0


def test_a_vad_and_a_sample_rate_are_passed_through():
    """What only one of the adapters takes, too."""
    recogniser = FallbackAdapter(ScriptedSTT(streaming=False), vad=ScriptedVAD())
    voice = FallbackAdapter(ScriptedTTS(), sample_rate=16_000)

    assert recogniser.capabilities.streaming
    assert voice.sample_rate == 16_000
