# SPDX-License-Identifier: Apache-2.0
"""The voice of the demo: libespeak-ng, called through ctypes.

The library comes from the wheel ``espeak-english`` and is GPL-3. It is therefore optional, loaded
here and nowhere else, and only ever lives in the process of the local providers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import audio
from .voice import RATE, EngineMissingError, Speech, Word

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: return when all is spoken
UTF8 = 1
EVENT_END_OF_LIST, EVENT_WORD = 0, 1
PARAMETER_RATE, PARAMETER_PITCH = 1, 3
# espeak keeps the data path in a buffer of 160 bytes and cuts what does not fit.
LONGEST_PATH = 130


class Sound(NamedTuple):
    """How a vendor sounds: an accent, a pitch (0 to 100) and the size of the speaker.

    ``size`` scales every formant: above 1 a smaller head, below 1 a bigger one.
    """

    accent: str
    pitch: int
    size: float


SOUNDS = {
    "cartesia": Sound("en-us", 62, 1.14),
    "openai": Sound("en", 28, 0.92),
    "deepgram": Sound("en-us", 45, 1.0),
    "cerebras": Sound("en", 60, 1.1),
    "together": Sound("en-us", 30, 0.96),
}
WORDS_PER_MINUTE = 185  # brisk, as at a busy counter; espeak's own default is 175


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_int64),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class EspeakVoice:
    """Speaks with espeak-ng, on one thread of its own because the library has global state."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            EngineMissingError: the wheel ``espeak-english`` is not installed.
        """
        self._pcm = bytearray()
        self._marks: list[tuple[int, float]] = []
        self._cleanup = contextlib.ExitStack()
        self._library = _load()
        self._rate = self._initialize()
        # ctypes does not keep the callback alive, this attribute does.
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak")

    async def say(self, text: str, vendor: str) -> Speech:
        """Return ``text`` in the voice of ``vendor``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._say, text, SOUNDS[vendor])

    async def aclose(self) -> None:
        """Stop the thread and remove temporary files."""
        self._thread.shutdown()
        self._cleanup.close()

    def _initialize(self) -> int:
        root = self._short(_data_path())
        rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, str(root).encode(), 0)
        if rate <= 0:
            raise EngineMissingError(f"espeak-ng cannot read its data in {root}")
        return rate

    def _short(self, root: Path) -> Path:
        """Return ``root`` or a link to it that espeak's path buffer can hold."""
        if len(str(root)) <= LONGEST_PATH:
            return root
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="espeak-")))
        (folder / "espeak-ng-data").symlink_to(root / "espeak-ng-data", target_is_directory=True)
        return folder

    def _say(self, text: str, sound: Sound) -> Speech:
        self._pcm.clear()
        self._marks.clear()
        library, encoded = self._library, text.encode() + b"\0"
        library.espeak_SetVoiceByName(sound.accent.encode())
        library.espeak_SetParameter(PARAMETER_PITCH, sound.pitch, 0)
        library.espeak_SetParameter(PARAMETER_RATE, int(WORDS_PER_MINUTE / sound.size), 0)
        library.espeak_Synth(encoded, len(encoded), 0, 0, 0, UTF8, None, None)
        # Playing the samples faster moves every formant up; the slower rate above pays for it.
        pcm = audio.resample(bytes(self._pcm), int(self._rate * sound.size), RATE)
        marks = [(place, at / sound.size) for place, at in self._marks]
        return Speech(pcm, words_at(text, marks, audio.seconds(pcm, RATE)))

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._pcm += ctypes.string_at(samples, count * audio.SAMPLE_BYTES)
        index = 0
        while events[index].type != EVENT_END_OF_LIST:
            if events[index].type == EVENT_WORD:
                place = events[index].text_position - 1
                self._marks.append((place, events[index].audio_position / 1000))
            index += 1
        return 0


def words_at(text: str, marks: list[tuple[int, float]], duration: float) -> tuple[Word, ...]:
    """Return the words of ``text`` with times.

    ``marks`` holds (character, second) pairs. espeak runs some words together ("of the") and
    splits others ("two-part"); words without a mark share the time between their neighbours.
    """
    tokens = list(re.finditer(r"\S+", text))
    # Before the first mark and after the last one, the edges of the speech serve as marks.
    known = {0: 0.0, len(tokens): duration}
    for index, token in enumerate(tokens):
        if inside := [at for place, at in marks if token.start() <= place < token.end()]:
            known[index] = min(inside)
    indices = sorted(known)
    times = np.interp(range(len(tokens) + 1), indices, [known[index] for index in indices])
    return tuple(
        Word(token.group(), float(start), float(end))
        for token, start, end in zip(tokens, times, times[1:], strict=False)
    )


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_package().library_path()))
    library.espeak_Initialize.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library


def _data_path() -> Path:
    return Path(_package().data_path()).parent


def _package() -> Any:
    try:
        import espeak_english
    except ImportError:
        raise EngineMissingError(
            "the voice espeak-ng is missing: pip install espeak-english (GPL-3)"
        ) from None
    return espeak_english
