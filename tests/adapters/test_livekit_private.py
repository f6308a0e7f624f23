# SPDX-License-Identifier: Apache-2.0
"""What is private of LiveKit and touched by us is listed in one table, and is as it was.

LiveKit may change private names in any release without a word. These tests say which one, so
that the first sign of it is not a silent agent.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import llm, stt, tts, vad
from livekit.agents.llm import ChatContext
from livekit.agents.telemetry import gen_ai
from livekit.agents.tts import AudioEmitter
from livekit.agents.utils import aio

import livekit_fallback
from livekit_fallback.adapters import _livekit
from tests.support.fakes import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from tests.support.livekit_api import BASES, own_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(livekit_fallback.__file__).parent
TABLE = frozenset(re.findall(r"``(_\w+)``", inspect.getdoc(_livekit) or ""))
LIVEKIT = frozenset(
    name for cls in (*BASES, tts.TTS.Markup) for name in own_names(cls) if name.startswith("_")
)
STREAMS = (llm.LLMStream, stt.RecognizeStream, tts.ChunkedStream, tts.SynthesizeStream)
ALL_STREAMS = (*STREAMS, vad.VADStream)
Objects = dict[type, Any]


def _takes(*names: str, on: tuple[type, ...], coroutine: bool = False) -> Callable[..., Any]:
    def check(name: str, _: Objects) -> bool:
        functions = [inspect.getattr_static(cls, name) for cls in on]
        return all(
            list(inspect.signature(f).parameters) == ["self", *names]
            and inspect.iscoroutinefunction(f) is coroutine
            for f in functions
        )

    return check


def _is_a(kind: type | tuple[type, ...], *, on: tuple[type, ...]) -> Callable[..., Any]:
    def check(name: str, objects: Objects) -> bool:
        return all(isinstance(getattr(objects[cls], name), kind) for cls in on)

    return check


def _named(*, on: tuple[type, ...], since_1_8_0: bool = True) -> Callable[..., Any]:
    def check(name: str, _: Objects) -> bool:
        values = [getattr(cls, name, None if since_1_8_0 else "") for cls in on]
        return all(isinstance(value, str) for value in values)

    return check


VOICES = (tts.ChunkedStream, tts.SynthesizeStream)
SPAN = object  # of OpenTelemetry, or None before the request's task has run

SHAPES: dict[str, Callable[[str, Objects], bool]] = {
    "_main_task": _takes(on=ALL_STREAMS, coroutine=True),
    "_metrics_monitor_task": _takes("event_aiter", on=ALL_STREAMS, coroutine=True),
    "_task": _is_a(
        asyncio.Task, on=(llm.LLMStream, stt.RecognizeStream, tts.SynthesizeStream, vad.VADStream)
    ),
    "_synthesize_task": _is_a(asyncio.Task, on=(tts.ChunkedStream,)),
    "_llm_request_span": _is_a(SPAN, on=(llm.LLMStream,)),
    "_tts_request_span": _is_a(SPAN, on=VOICES),
    "_llm_request_span_name": _named(on=(llm.LLMStream,)),
    "_llm_attempt_span_name": _named(on=(llm.LLMStream,), since_1_8_0=False),
    "_genai_operation_name": _named(on=(llm.LLMStream,), since_1_8_0=False),
    "_tts_request_span_name": _named(on=VOICES),
    "_tts_attempt_span_name": _named(on=VOICES, since_1_8_0=False),
    "_record_genai_request": _takes("span", on=(llm.LLMStream,)),
    "_input_ch": _is_a(aio.Chan, on=(stt.RecognizeStream, tts.SynthesizeStream, vad.VADStream)),
    "_event_ch": _is_a(aio.Chan, on=(vad.VADStream,)),
    "_queue": _is_a(deque, on=(aio.Chan,)),
    "_check_input_not_ended": _takes(on=(stt.RecognizeStream, vad.VADStream)),
    "_check_not_closed": _takes(on=(stt.RecognizeStream, vad.VADStream)),
    "_pushed_sr": _is_a(int, on=(stt.RecognizeStream,)),
    "_context": _is_a(type(None), on=(stt.RecognizeStream,)),
    "_mark_started": _takes(on=(tts.SynthesizeStream,)),
    "_started_time": _is_a((int, float), on=VOICES),
    "_markup": _is_a(tts.TTS.Markup, on=(tts.TTS,)),
    "_provider_key": _takes(on=(tts.TTS.Markup,)),
    "_set_expressive": _takes("enabled", on=(tts.TTS,)),
    "_update_session_keyterms": _takes("keyterms", on=(stt.STT,)),
    "_push_conversation_item": _takes("ev", on=(stt.STT,)),
    "_recognize_impl": _takes("buffer", "language", "conn_options", on=(stt.STT,), coroutine=True),
}


def _run_shape(name: str, _: Objects) -> bool:
    return all(
        list(inspect.signature(getattr(cls, name)).parameters)
        == (["self", "output_emitter"] if cls in VOICES else ["self"])
        for cls in STREAMS
    )


def _turn_attributes_shape(name: str, _: Objects) -> bool:
    # newer than 1.8.0
    return isinstance(getattr(gen_ai, name, None), ContextVar | None)


SHAPES["_run"] = _run_shape
SHAPES["_llm_request_attributes"] = _turn_attributes_shape


@pytest.fixture
async def objects() -> Any:
    """One living object of each of LiveKit's classes."""
    model, ear, voice = ScriptedLLM(), ScriptedSTT(), ScriptedTTS()
    streams: list[Any] = [
        model.chat(chat_ctx=ChatContext.empty()),
        ear.stream(),
        voice.synthesize("Hello."),
        voice.stream(),
        ScriptedVAD().stream(),
    ]
    models = {llm.LLM: model, stt.STT: ear, tts.TTS: voice, aio.Chan: aio.Chan()}
    yield {**models, **dict(zip(ALL_STREAMS, streams, strict=True))}
    for stream in streams:
        await stream.aclose()


@pytest.mark.parametrize("name", sorted(TABLE))
async def test_what_the_table_lists_is_as_it_was(name: str, objects: Objects):
    """Every private name of the table exists on LiveKit's objects in the shape that we rely on."""
    advice = (
        f"LiveKit's private {name} has changed or gone. See why we touch it in the table of "
        "livekit_fallback/adapters/_livekit.py, look for it in livekit/agents/{llm/llm,stt/stt,"
        "tts/tts}.py of the new release, mend the adapter, then say here what it looks like now."
    )
    assert name in SHAPES, f"{name} is new in the table: say in SHAPES what it looks like"

    try:
        as_it_was = SHAPES[name](name, objects)
    except AttributeError:
        as_it_was = False

    assert as_it_was, advice


def test_the_table_was_read():
    """The table is found and holds what no adapter can do without."""
    assert {"_main_task", "_task", "_input_ch"} <= TABLE


def test_nothing_private_of_livekit_is_touched_outside_the_table():
    """Every use of a private LiveKit name in the package stands in the table, with its reason."""
    used = {name: where for name, where in _private_uses() if name in LIVEKIT}

    assert {name: where for name, where in used.items() if name not in TABLE} == {}


def test_nothing_stays_in_the_table_after_its_last_use():
    """A row about a name that nobody touches any more would mislead its reader."""
    used = {name for name, _ in _private_uses()}

    assert TABLE - used == set()


def test_no_private_module_of_livekit_is_imported():
    """Imports stay with the names that LiveKit publishes."""
    imported = [
        module
        for _, tree in _modules()
        for node in ast.walk(tree)
        for module in _imports(node)
        if module.startswith("livekit.") and any(p.startswith("_") for p in module.split("."))
    ]

    assert imported == []


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        # a package under its own name: as `package.__init__` it would be imported a second time
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield dotted, ast.parse(path.read_text())


def _private_uses() -> Iterator[tuple[str, str]]:
    """Private names that may be LiveKit's, with the module that uses them.

    In a class that has nothing to do with LiveKit's, `self._x` and a method `_x` are its own.
    """
    for module, tree in _modules():
        for node, owner in _with_owner(tree, None):
            own = owner is not None and not _is_host(module, owner)
            name = _touched(node, of_self=not own)
            if name is not None and name.startswith("_") and not name.startswith("__"):
                yield name, module


def _with_owner(node: ast.AST, owner: str | None) -> Iterator[tuple[ast.AST, str | None]]:
    for child in ast.iter_child_nodes(node):
        yield child, owner
        inner = child.name if isinstance(child, ast.ClassDef) else owner
        yield from _with_owner(child, inner)


def _touched(node: ast.AST, *, of_self: bool) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="self")):
            return node.attr if of_self else None
        case ast.Attribute():
            return node.attr
        case ast.Call(
            func=ast.Name(id="getattr" | "setattr"), args=[_, ast.Constant(str(name)), *_]
        ):
            return name
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return node.name if of_self else None
        case ast.Name(ctx=ast.Store()):
            return node.id if of_self else None
    return None


def _is_host(module: str, owner: str) -> bool:
    cls = getattr(importlib.import_module(module), owner, None)
    if cls is None:
        return True  # a class inside a function or a class: better looked at than not
    host = (*BASES, vad.VAD, AudioEmitter)
    ours = {base for stand_in in BASES.values() for base in stand_in.__mro__}
    return issubclass(cls, host) or cls in ours
