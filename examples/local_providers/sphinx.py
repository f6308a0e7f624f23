# SPDX-License-Identifier: Apache-2.0
"""The ears of the demo: pocketsphinx with a small language model for the call's sentences.

The acoustic model and the pronunciations come with the wheel ``pocketsphinx``. The language model
is computed from the lines in ``dialogue`` at start, and the dictionary is the bundled one cut to
their words: 10 ms instead of seconds to load, and far fewer ways to mishear.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import dialogue
from .voice import EngineMissingError, Word

if TYPE_CHECKING:
    from .ears import Decoder

FRAMES_PER_SECOND = 100


class SphinxEars:
    """Makes recognisers that share one model on disk."""

    def __init__(self) -> None:
        """Write the language model and the dictionary to a temporary folder.

        Raises:
            EngineMissingError: the wheel ``pocketsphinx`` is not installed.
        """
        self._sphinx = _package()
        self._folder = tempfile.TemporaryDirectory(prefix="ears-")
        self._model = Path(self._folder.name)
        lines = list(dialogue.WRITTEN)
        self._write_language_model(lines)
        self._write_dictionary({word for line in lines for word in line.split()})

    def decoder(self) -> Decoder:
        """Return a recogniser of its own for one stream."""
        return _SphinxDecoder(
            self._sphinx.Decoder(
                hmm=self._sphinx.get_model_path("en-us/en-us"),
                lm=str(self._model / "call.lm"),
                dict=str(self._model / "call.dict"),
                # The second pass blocks for 40 ms at the end of a sentence and changes nothing
                # on so small a language.
                fwdflat=False,
                loglevel="FATAL",
            )
        )

    def close(self) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()

    def _write_language_model(self, lines: list[str]) -> None:
        from pocketsphinx.lm import ArpaBoLM

        model = ArpaBoLM(text="\n".join(lines) + "\n", add_start=True)
        model.compute()
        model.write_file(str(self._model / "call.lm"))

    def _write_dictionary(self, words: set[str]) -> None:
        bundled = Path(self._sphinx.get_model_path("en-us/cmudict-en-us.dict"))
        with bundled.open(encoding="utf-8") as source:
            # "the(2)" is a second way to say "the".
            kept = [line for line in source if line.split(" ", 1)[0].split("(")[0] in words]
        (self._model / "call.dict").write_text("".join(kept), encoding="utf-8")


class _SphinxDecoder:
    """One pocketsphinx decoder, without the silences and noises in what it returns."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def begin(self) -> None:
        self._decoder.start_utt()

    def hear(self, pcm: bytes) -> None:
        self._decoder.process_raw(pcm, no_search=False, full_utt=False)

    def words(self) -> tuple[Word, ...]:
        if self._decoder.hyp() is None:
            return ()
        return tuple(
            Word(
                segment.word.split("(")[0],
                segment.start_frame / FRAMES_PER_SECOND,
                (segment.end_frame + 1) / FRAMES_PER_SECOND,
            )
            for segment in self._decoder.seg()
            if not segment.word.startswith(("<", "["))
        )

    def finish(self) -> tuple[Word, ...]:
        self._decoder.end_utt()
        return self.words()


def _package() -> Any:
    try:
        import pocketsphinx
    except ImportError:
        raise EngineMissingError(
            "the ears pocketsphinx are missing: pip install pocketsphinx"
        ) from None
    return pocketsphinx
