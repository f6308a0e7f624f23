# SPDX-License-Identifier: Apache-2.0
"""What LiveKit's base classes consist of, read from their source: for tests that keep watch."""

from __future__ import annotations

import ast
import inspect
import textwrap

from livekit.agents import llm, stt, tts

from livekit_fallback import FallbackLLM, FallbackSTT, FallbackTTS
from livekit_fallback.adapters import _speech as our_speech, _spoken as our_spoken, llm as our_llm

BASES: dict[type, type] = {
    llm.LLM: FallbackLLM,
    stt.STT: FallbackSTT,
    tts.TTS: FallbackTTS,
    llm.LLMStream: our_llm.FallbackLLMStream,
    stt.RecognizeStream: our_speech.FallbackRecognizeStream,
    tts.ChunkedStream: our_spoken.FallbackChunkedStream,
    tts.SynthesizeStream: our_spoken.FallbackSynthesizeStream,
}
"""LiveKit's classes and ours that stand in for them."""


def own_names(cls: type) -> set[str]:
    """Methods, properties, class attributes and instance attributes that a class defines itself."""
    names = {name for name in vars(cls) if not _is_dunder(name) and name != "_abc_impl"}
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    (body,) = tree.body
    assert isinstance(body, ast.ClassDef)
    inner = {id(n) for c in body.body if isinstance(c, ast.ClassDef) for n in ast.walk(c)}
    stored = (n for n in ast.walk(body) if isinstance(n, ast.Attribute) and id(n) not in inner)
    return names | {n.attr for n in stored if _is_store_to_self(n)}


def is_ours(cls: type, name: str) -> bool:
    """Whether a class of ours, and not LiveKit's, defines this name for `cls`."""
    for base in cls.__mro__:
        if name in vars(base):
            return base.__module__.startswith("livekit_fallback.")
    return False


def _is_dunder(name: str) -> bool:
    return name.startswith("__")


def _is_store_to_self(node: ast.Attribute) -> bool:
    to_self = isinstance(node.value, ast.Name) and node.value.id == "self"
    return to_self and isinstance(node.ctx, ast.Store)
