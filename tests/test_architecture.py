# SPDX-License-Identifier: Apache-2.0
"""The shape of the code: what may know what, what is done in one place only, how long files are.

The import contracts in pyproject.toml say which layer may import which; ruff bans single names.
Here is what neither can say.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import livekit_fallback

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(livekit_fallback.__file__).parent
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

MAX_LINES = 350

#: what is done -> the one file that does it
ONE_PLACE = {
    "starts tasks": ("adapters/_tasks.py", {"create_task", "ensure_future", "TaskGroup"}),
    "leaves the loop": (
        None,
        {"Thread", "run_in_executor", "to_thread", "run_coroutine_threadsafe"},
    ),
    "reads LiveKit's statuses": ("classify.py", {"APIStatusError", "ClientResponseError"}),
}
#: modules that only one file may import
ONE_IMPORTER = {
    "time": "adapters/_clock.py",
    "random": "adapters/_clock.py",
    "pydantic.TypeAdapter": "_validation.py",
    "datetime": None,
    "secrets": None,
    "threading": None,
    "socket": None,
}

each_file = pytest.mark.parametrize("name", TREES)


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name and attribute that is used, or imported, in a file."""
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.alias():
                yield node.name.rpartition(".")[2]


def imports_in(tree: ast.AST) -> Iterator[str]:
    """Every absolute import, as a dotted name; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def docstring_of(node: ast.AST) -> ast.Expr | None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    match node.body[:1]:
        case [ast.Expr(ast.Constant(str())) as first]:
            return first
    return None


# --- the core ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("core/")])
def test_core_imports_only_itself_and_what_is_pure(name):
    """Decisions need no I/O, no clock, no randomness, no logging, and nothing of LiveKit."""
    pure = {"__future__", "bisect", "collections", "dataclasses", "enum", "itertools", "math"}
    pure |= {"re", "typing"}

    for module in imports_in(TREES[name]):
        assert module.split(".")[0] in pure
        assert module.split(".")[0] in sys.stdlib_module_names
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{name} reaches out of the core: {ast.unparse(node)}"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await)


def test_health_changes_in_one_method():
    """Where health changes can be said in one word: `Circuit._move`."""
    writers = [
        (name, function.name)
        for name, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and node.attr == "_state"
        and isinstance(node.ctx, ast.Store)
    ]

    assert writers == [("core/circuit.py", "__init__"), ("core/circuit.py", "_move")]


# --- one place each ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ONE_PLACE)
def test_done_in_one_place(what):
    """What everybody would do slightly differently is done once, or not at all."""
    place, names = ONE_PLACE[what]

    doers = {name for name, tree in TREES.items() if names & set(names_in(tree))}

    assert doers == ({place} if place else set())


@pytest.mark.parametrize("module", ONE_IMPORTER)
def test_imported_in_one_place(module):
    """Time and randomness come in through one door, so tests can hold it."""
    importers = {
        name
        for name, tree in TREES.items()
        if any(found == module or found.startswith(f"{module}.") for found in imports_in(tree))
    }

    assert importers == ({ONE_IMPORTER[module]} if ONE_IMPORTER[module] else set())


def test_adapters_are_called_by_nobody_inside():
    """The four adapters are the top: what they share does not know them."""
    tops = {"llm", "stt", "tts", "vad"}
    knowing = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        if (node.module or "").rpartition(".")[2] in tops
    }

    assert knowing == {"__init__.py", "fallback_adapter.py"}


# --- for readers -------------------------------------------------------------------------------


@each_file
def test_file_can_be_read_in_one_go(name):
    """A module that grows past its limit holds a second idea and is split."""
    lines = len((PACKAGE / name).read_text("utf-8").splitlines())

    assert lines <= MAX_LINES


@each_file
def test_functions_are_short(name):
    """A function that does not fit a screen is several functions."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documentation = docstring_of(node)
            body = (node.end_lineno or 0) - node.lineno + 1
            if documentation is not None:
                body -= (documentation.end_lineno or 0) - documentation.lineno + 1
            assert body <= 40, f"{name}:{node.lineno} {node.name} has {body} lines"


@each_file
def test_file_says_its_licence_and_its_idea(name):
    """The first two things in a file: under which licence it is, and what it is about."""
    first_line = (PACKAGE / name).read_text("utf-8").split("\n", 1)[0]

    assert first_line == "# SPDX-License-Identifier: Apache-2.0"
    assert ast.get_docstring(TREES[name])
