# SPDX-License-Identifier: Apache-2.0
"""Record the caller: one WAV per line of the dialogue, spoken by flite.

Run from the top of the repository, with flite installed:

    python -m examples.speech.record
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from examples.local_providers import audio, dialogue

RATE = 16_000
VOICE = "slt"  # the voice of flite that pocketsphinx hears best
QUIET = 150 / 32768  # what is below this at either end is cut off
MARGIN = 0.2  # seconds of silence before and after
PEAK = 0.5  # of full scale, so that a line can be mixed with noise and still not clip
FOLDER = Path(__file__).parent


def record(line: str) -> bytes:
    """Return ``line`` as samples at ``RATE`` Hz, trimmed and levelled."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
        subprocess.run(["flite", "-voice", VOICE, "-t", line, "-o", spoken.name], check=True)
        pcm, rate = audio.read_wav(Path(spoken.name).read_bytes())
    samples = audio.samples(audio.resample(pcm, rate, RATE))
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    samples = samples[loud[0] : loud[-1] + 1]
    margin = np.zeros(int(MARGIN * RATE), np.float32)
    levelled = np.concatenate([margin, samples * PEAK / np.abs(samples).max(), margin])
    return (levelled * 32767).round().astype(np.int16).tobytes()


def save(path: Path, pcm: bytes) -> None:
    """Write ``pcm`` to ``path`` as a WAV file."""
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(audio.SAMPLE_BYTES)
        target.setframerate(RATE)
        target.writeframes(pcm)


def main() -> int:
    """Record all lines; return 2 if flite is missing."""
    if shutil.which("flite") is None:
        print("record: flite is missing (Debian: apt install flite)", file=sys.stderr)
        return 2
    for number, line in enumerate(dialogue.LINES, start=1):
        pcm = record(line)
        save(FOLDER / f"{number:02}.wav", pcm)
        print(f"{number:02}.wav  {audio.seconds(pcm, RATE):.2f} s  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
