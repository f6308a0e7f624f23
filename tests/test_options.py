# SPDX-License-Identifier: Apache-2.0
"""Every option: its defaults, its range, and its error."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS, Provider, TurnBudget
from livekit_fallback._validation import resolved, validated
from livekit_fallback.options import (
    LLM_DEFAULTS,
    STT_DEFAULTS,
    TTS_DEFAULTS,
    LLMOptions,
    ProviderOptions,
    STTOptions,
    TTSOptions,
)
from livekit_fallback.vad_options import VAD_DEFAULTS, VADOptions
from tests.support.audio import frames
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS

if TYPE_CHECKING:
    from collections.abc import Callable

DEFINITIONS: dict[type[Any], Any] = {
    LLMOptions: LLM_DEFAULTS,
    STTOptions: STT_DEFAULTS,
    TTSOptions: TTS_DEFAULTS,
    VADOptions: VAD_DEFAULTS,
    ProviderOptions: None,
}

NOT_NUMBERS = ["1", math.nan, -math.inf, True, [], (1,)]

#: what is allowed, in words -> (values that are, values that are not)
RANGES: dict[str, tuple[list[Any], list[Any]]] = {
    "a number of seconds greater than 0, 'auto', or None for no limit": (
        [None, "auto", 0.001, 1, 2.5, 1e6],
        [0, 0.0, -0.1, -1, "Auto", "", "p95", *NOT_NUMBERS],
    ),
    "a number of seconds greater than 0": ([0.001, 1, 2.5], [0, 0.0, -0.1, None, *NOT_NUMBERS]),
    "a number of seconds greater than 0, or None for no limit": (
        [None, 0.001, 1, 2.5, 1e6],
        [0, 0.0, -0.1, -1, *NOT_NUMBERS],
    ),
    "a number of seconds, 0 or more": ([0, 0.0, 0.5, 300], [-0.001, -1, None, *NOT_NUMBERS]),
    "a number of seconds greater than 0, or None for no checks": (
        [None, 0.001, 1, 30.0],
        [0, -1, *NOT_NUMBERS],
    ),
    "a number of milliseconds greater than 0, or None for no threshold": (
        [None, 0.5, 1, 800, 800.0],
        [0, 0.0, -1, "p95", *NOT_NUMBERS],
    ),
    "a number of milliseconds greater than 0, 'p50', 'p75', 'p90', 'p95', 'p99', or None for "
    "never": (
        [None, 0.5, 800, 800.0, "p50", "p75", "p90", "p95", "p99"],
        [0, 0.0, -1, "p100", "P95", "95", "", "auto", *NOT_NUMBERS],
    ),
    "a number greater than 0 and at most 1, or None": (
        [None, 1e-6, 0.5, 1, 1.0],
        [0, 0.0, -0.1, 1.001, 50, math.inf, *NOT_NUMBERS],
    ),
    "a number from 0 to 1": (
        [0, 0.0, 0.1, 1, 1.0],
        [-0.001, 1.001, 10, None, math.inf, *NOT_NUMBERS],
    ),
    "a TurnBudget, or None": (
        [None, TurnBudget(1.5)],
        [1.5, True, TurnBudget, "1.5", [], {"seconds": 1.5}],
    ),
    "a whole number, 0 or more": ([0, 1, 10], [-1, 1.0, 0.5, None, math.inf, *NOT_NUMBERS]),
    "a whole number, 1 or more": ([1, 3, 10], [0, -1, 1.0, None, math.inf, *NOT_NUMBERS]),
    "a whole number, 1 or more, or None for never": (
        [None, 1, 6],
        [0, -1, 1.0, math.inf, *NOT_NUMBERS],
    ),
    "'ping', 'replay', 'live', a callable, or None for never": (
        ["ping", "replay", "live", callable, None],
        ["Replay", "", b"ping", True, 1, []],
    ),
    "a list of shares, each greater than 0 and at most 1": (
        [[1.0], [0.1, 0.5, 1.0], (0.5,), (1,), [1e-6]],
        [[], [0.0], [0.5, 1.5], [-0.1], [True], [math.nan], ["1"], "1", 0.5, None, {0.5: 1}],
    ),
    "a callable, or None": ([callable, None], [True, 0, "yes", []]),
    "'next', 'all', or None": (["next", "all", None], ["none", "", True, 2, []]),
    "0 or 1": ([0, 1], [2, -1, 1.0, True, None]),
    "'reply' or 'call'": (["reply", "call"], ["Reply", "", None, True, 1]),
    "True or False": ([True, False], [0, 1, "true", None]),
    "True, False, or 'continue'": ([True, False, "continue"], [0, 1, "Continue", "", None]),
    "a text that is not blank, a callable, or None": (
        ["Sorry.", callable, None],
        ["", " \n", b"Sorry.", True, 1, []],
    ),
    "a text that is not blank, audio frames, the path of a WAV file, or None": (
        ["Sorry.", Path("sorry.wav"), frames(0.1), tuple(frames(0.1)), None],
        ["", " \n", b"Sorry.", True, 1, [], ["x"], callable],
    ),
    "'continue', 'stop' or 'restart_sentence'": (
        ["continue", "stop", "restart_sentence"],
        ["Continue", "", True, None, 1],
    ),
}

(
    DEADLINE,
    FLOOR,
    TIMEOUT,
    SECONDS,
    INTERVAL,
    THRESHOLD,
    HEDGE_AFTER,
    RATIO,
    SHARE,
    TURN,
    COUNT,
    POSITIVE,
    LIMIT,
    PROBE,
    SHARES,
    RULE,
    BACKUPS,
    ONE,
    STICKINESS,
    SWITCH,
    CONTINUATION,
    LAST_WORDS,
    PHRASE,
    PARTIAL,
) = RANGES
OPTIONS = {
    "attempt_timeout": DEADLINE,
    "attempt_timeout_floor": FLOOR,
    "attempt_timeout_ceiling": TIMEOUT,
    "stall_timeout": TIMEOUT,
    "total_timeout": TIMEOUT,
    "retry_interval": SECONDS,
    "temporary_disable_sec": SECONDS,
    "max_disable_sec": SECONDS,
    "replay_buffer_sec": SECONDS,
    "silence_timeout": TIMEOUT,
    "standby": ONE,
    "max_retry": COUNT,
    "max_retry_per_llm": COUNT,
    "max_retry_per_stt": COUNT,
    "max_retry_per_tts": COUNT,
    "max_retry_per_vad": COUNT,
    "permanent_disable_after_attempts": LIMIT,
    "probe": PROBE,
    "health_check_interval": INTERVAL,
    "probation_successes": POSITIVE,
    "reintroduction": SHARES,
    "sticky": SWITCH,
    "min_dwell_sec": SECONDS,
    "flapping_limit": LIMIT,
    "should_failover": RULE,
    "latency_threshold_ms": THRESHOLD,
    "consecutive_latency_hits": POSITIVE,
    "slow_ratio": RATIO,
    "latency_window": POSITIVE,
    "hedge_after_ms": HEDGE_AFTER,
    "hedge_budget": SHARE,
    "turn_budget": TURN,
    "warm_backups": BACKUPS,
    "voice_stickiness": STICKINESS,
    "stateful": SWITCH,
    "retry_on_chunk_sent": CONTINUATION,
    "last_resort": LAST_WORDS,
    "holding_phrase": PHRASE,
    "on_partial": PARTIAL,
}
EVERYWHERE = [
    (definition, name) for definition in DEFINITIONS for name in definition.__annotations__
]

each_option = pytest.mark.parametrize(("definition", "name"), EVERYWHERE)

ADAPTERS: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "llm": (FallbackLLM, ScriptedLLM),
    "stt": (FallbackSTT, ScriptedSTT),
    "tts": (FallbackTTS, ScriptedTTS),
}
ADAPTER_DEFAULTS: dict[str, Any] = {
    "llm": LLM_DEFAULTS,
    "stt": STT_DEFAULTS,
    "tts": TTS_DEFAULTS,
}
each_adapter = pytest.mark.parametrize("component", ADAPTERS)


def range_of(definition: type[Any], name: str) -> str:
    """What is allowed, in words."""
    return PHRASE if (definition, name) == (TTSOptions, "last_resort") else OPTIONS[name]


def new_adapter(component: str, **keywords: Any) -> Any:
    """An adapter over two fakes."""
    adapter, fake = ADAPTERS[component]
    return adapter([fake(), fake()], **keywords)


# --- values ------------------------------------------------------------------------------------


def test_no_option_is_left_untested():
    """An option that is added needs its range here."""
    assert {name for _, name in EVERYWHERE} == set(OPTIONS)


@each_option
def test_value_in_range_is_taken_as_it_is(definition, name):
    """What is allowed is kept, whole numbers of seconds included."""
    allowed, _ = RANGES[range_of(definition, name)]

    assert [validated(definition, {name: value})[name] for value in allowed] == allowed


@each_option
def test_wrong_value_names_the_option_the_value_and_what_is_allowed(definition, name):
    """The error can be acted upon without looking anything up."""
    allowed = range_of(definition, name)
    for value in RANGES[allowed][1]:
        with pytest.raises(ValueError, match=rf"^{name}=") as caught:
            validated(definition, {name: value})
        assert str(caught.value) == f"{name}={value!r}: must be {allowed}"


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("name", ["atempt_timeout", "timeout", "", 7])
def test_unknown_option_is_refused_with_the_known_ones(definition, name):
    """A typing mistake must not become a default."""
    with pytest.raises(ValueError, match=f"unknown option {name}=") as caught:
        validated(definition, {name: 5})

    for known in definition.__annotations__:
        assert known in str(caught.value)


@each_adapter
def test_options_of_another_component_are_refused(component):
    """`max_retry_per_tts` on a language model would silently do nothing."""
    others = set(ADAPTERS) - {component}

    for other in others:
        with pytest.raises(ValueError, match=f"unknown option max_retry_per_{other}=1"):
            new_adapter(component, **{f"max_retry_per_{other}": 1})


def test_error_does_not_drag_its_machinery_along():
    """Users see one ValueError, not the validation library's own behind it."""
    with pytest.raises(ValueError, match="sticky") as caught:
        validated(LLMOptions, {"sticky": 1})

    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@each_adapter
def test_adapter_validates_its_keywords_and_its_options_alike(component):
    """A wrong value fails at construction, however it was given."""
    with pytest.raises(ValueError, match=r"total_timeout=-1: must be"):
        new_adapter(component, total_timeout=-1)
    with pytest.raises(ValueError, match=r"total_timeout=-1: must be"):
        new_adapter(component, options={"total_timeout": -1})
    with pytest.raises(ValueError, match=r"options=3: must be a mapping of options, or None"):
        new_adapter(component, options=3)


@each_adapter
@pytest.mark.parametrize(
    "options",
    [
        {"attempt_timeout_floor": 2.0, "attempt_timeout_ceiling": 1.5},
        {"attempt_timeout_floor": 1.5001, "attempt_timeout_ceiling": 1.5},
        {"attempt_timeout_floor": 60.0},
        {"attempt_timeout_ceiling": 0.1},
    ],
    ids=["both", "barely", "floor", "ceiling"],
)
def test_a_floor_above_the_ceiling_is_refused(component, options):
    """Also where one of them is the default; the error names both, as they are."""
    values = {**ADAPTER_DEFAULTS[component], **options}
    floor, ceiling = values["attempt_timeout_floor"], values["attempt_timeout_ceiling"]

    with pytest.raises(ValueError, match="attempt_timeout_floor") as caught:
        new_adapter(component, **options)

    assert str(caught.value) == (
        f"attempt_timeout_floor={floor!r}: must not exceed attempt_timeout_ceiling={ceiling!r}"
    )


@each_adapter
@pytest.mark.parametrize(
    ("floor", "ceiling"), [(1.5, 1.5), (0.001, 1), (60.0, None)], ids=["same", "far", "open"]
)
def test_a_floor_below_the_ceiling_is_taken(component, floor, ceiling):
    """They may be the same, and below no ceiling is every floor."""
    options = {"attempt_timeout_floor": floor, "attempt_timeout_ceiling": ceiling}

    assert new_adapter(component, **options) is not None


@each_adapter
def test_turn_budget_is_shared_and_not_copied(component):
    """The adapters of a session count the same wait."""
    budget = TurnBudget(1.5)

    assert new_adapter(component, turn_budget=budget)._chain.options["turn_budget"] is budget


async def _async_rule(*_: Any) -> bool:
    return False


class AsyncRule:
    """An object that is called as if it were a coroutine function."""

    async def __call__(self, *_: Any) -> bool:
        return False


@each_adapter
@pytest.mark.parametrize(
    "rule",
    [_async_rule, partial(_async_rule, 1), AsyncRule()],
    ids=["function", "partial", "object"],
)
def test_an_async_rule_is_refused(component, rule):
    """It is asked in the middle of a move: a coroutine would be true, whatever it is to return."""
    with pytest.raises(ValueError, match=r"should_failover=.*: must not be async"):
        new_adapter(component, should_failover=rule)


def test_provider_validates_its_overrides():
    """A wrong override fails where it is written, not when the adapter is made."""
    with pytest.raises(ValueError, match=r"max_retry=-1: must be a whole number, 0 or more"):
        Provider(ScriptedLLM(), max_retry=-1)
    with pytest.raises(ValueError, match="unknown option total_timeout=3"):
        Provider(ScriptedLLM(), total_timeout=3)  # type: ignore[call-arg]


# --- defaults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", [LLMOptions, STTOptions, TTSOptions, VADOptions])
def test_every_option_has_a_default_within_its_range(definition):
    """An adapter without a single keyword is fully configured."""
    defaults = DEFINITIONS[definition]

    assert set(defaults) == set(definition.__annotations__)
    assert validated(definition, defaults) == defaults


@pytest.mark.parametrize("defaults", [LLM_DEFAULTS, STT_DEFAULTS, TTS_DEFAULTS, VAD_DEFAULTS])
def test_defaults_are_those_of_a_phone_call(defaults):
    """Seconds, not tens of seconds; and the budget leaves room for more than one attempt."""
    assert defaults["attempt_timeout"] <= 5.0
    assert defaults["total_timeout"] <= 15.0
    assert defaults["total_timeout"] >= 2 * defaults["attempt_timeout"]


@pytest.mark.parametrize("defaults", [LLM_DEFAULTS, STT_DEFAULTS, TTS_DEFAULTS])
def test_a_deadline_that_follows_is_never_longer_than_the_fixed_one(defaults):
    """Whoever says `"auto"` may be failed over sooner by it, and never later."""
    assert defaults["attempt_timeout_ceiling"] == defaults["attempt_timeout"]
    assert 0.5 <= defaults["attempt_timeout_floor"] < defaults["attempt_timeout_ceiling"]


@pytest.mark.parametrize("defaults", [LLM_DEFAULTS, STT_DEFAULTS, TTS_DEFAULTS])
def test_what_costs_or_moves_traffic_has_to_be_asked_for(defaults):
    """Nobody is left for being slow, and nobody is asked twice, unless somebody said so."""
    assert defaults["latency_threshold_ms"] is None
    assert defaults["hedge_after_ms"] is None
    assert defaults["turn_budget"] is None


def test_keywords_win_over_options_and_options_over_defaults():
    """`options=` is for what is shared, keywords for what is special."""
    result = resolved(
        LLMOptions, LLM_DEFAULTS, {"sticky": True, "total_timeout": 20.0}, {"total_timeout": 9.0}
    )

    assert result == {**LLM_DEFAULTS, "sticky": True, "total_timeout": 9.0}


def test_resolving_changes_neither_defaults_nor_what_was_given():
    """Adapters made one after the other do not configure each other."""
    before, given = dict(LLM_DEFAULTS), {"sticky": True}

    resolved(LLMOptions, LLM_DEFAULTS, given, {"total_timeout": 1.0})["probe"] = "live"

    assert dict(LLM_DEFAULTS) == before
    assert given == {"sticky": True}
    assert resolved(LLMOptions, LLM_DEFAULTS, None, {}) == before
