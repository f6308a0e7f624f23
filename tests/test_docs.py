# SPDX-License-Identifier: Apache-2.0
"""What the documentation says about options, names and commands is what the code has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import livekit_fallback
from livekit_fallback.options import LLM_DEFAULTS, STT_DEFAULTS, TTS_DEFAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _documented_defaults() -> dict[str, tuple[str, str, str]]:
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]*)\| ([^|]*)\| ([^|]*)\| [^|]* \|$", OPTIONS, re.MULTILINE
    )
    return {name: (llm.strip(), stt.strip(), tts.strip()) for name, llm, stt, tts in rows}


def test_every_option_and_default_is_documented():
    """The table of docs/options.md is the table of the code: nothing missing, nothing made up."""
    each = (LLM_DEFAULTS, STT_DEFAULTS, TTS_DEFAULTS)
    names = {name for defaults in each for name in defaults}

    documented = _documented_defaults()

    assert set(documented) == names
    for name, columns in documented.items():
        expected = tuple(repr(d.get(name)) if name in d else "" for d in each)
        assert columns == expected, name


def test_readme_leads_with_the_two_commands():
    """A newcomer types nothing else: one line runs the main job, one passes the tests."""
    first_block = README.split("```")[1].split()

    assert first_block[:2] == ["make", "demo"]
    assert README.split("```")[1].splitlines()[2].split()[:2] == ["make", "test"]


def test_readme_examples_use_names_that_exist():
    """The examples are Python, and import only what the package gives."""
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    imported = [
        alias.name
        for example in examples
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.ImportFrom) and node.module == "livekit_fallback"
        for alias in node.names
    ]

    assert imported
    assert set(imported) <= set(livekit_fallback.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_named_exist(page: Path):
    """Relative links lead somewhere, and so do the paths of source files in the tables."""
    text = page.read_text(encoding="utf-8")
    links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    sources = re.findall(r"`((?:adapters|core|observability)/\w+\.py)`", text)

    for link in links:
        assert (page.parent / link).exists(), link
    for source in sources:
        assert (ROOT / "livekit_fallback" / source).exists(), source
