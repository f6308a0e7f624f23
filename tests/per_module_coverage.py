# SPDX-License-Identifier: Apache-2.0
"""Each core module is covered whole by its own test module alone: 100 % of lines and branches.

    python -m tests.per_module_coverage

Coverage of the whole suite hides a rule that only happens to be executed by somebody else's tests.
Every `core/x.py` therefore needs a `tests/core/test_x.py`. Tests that go on about the same module
are named `test_x_*.py` and do not count here. All are run once; coverage notes for each line whose
test was running, so that each module can be looked at through its own tests' eyes.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "livekit_fallback" / "core"
TESTS = ROOT / "tests" / "core"


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text)  # noqa: T201  this is a program


def modules() -> list[str]:
    """The names of all core modules that hold code."""
    return sorted(path.stem for path in CORE.glob("*.py") if path.stem != "__init__")


def mapping_problems(known: list[str]) -> list[str]:
    """Core modules without a test module, and test modules of nothing."""
    problems = [
        f"no tests/core/test_{module}.py"
        for module in known
        if not (TESTS / f"test_{module}.py").exists()
    ]
    for path in sorted(TESTS.glob("test_*.py")):
        subject = path.stem.removeprefix("test_")
        if not any(subject == module or subject.startswith(f"{module}_") for module in known):
            problems.append(f"tests/core/{path.name} tests no module of the core")
    return problems


class ContextPerModule:
    """A pytest plugin that tells coverage whose tests are running: `test_walk.py` is "walk"."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        path = Path(nodeid.partition("::")[0])
        self._measured.switch_context(path.stem.removeprefix("test_"))


def measure(known: list[str]) -> coverage.Coverage:
    """Run the test modules that count and return what was executed, by test module."""
    measured = coverage.Coverage(
        data_file=None, branch=True, include=[f"{CORE}/*"], config_file=False
    )
    counting = [str(TESTS / f"test_{module}.py") for module in known]
    with measured.collect():
        code = pytest.main(
            ["-q", "-p", "no:cacheprovider", *counting], [ContextPerModule(measured)]
        )
    if code:
        sys.exit(f"the tests of the core fail (pytest: {code})")
    return measured


def is_covered(measured: coverage.Coverage, module: str) -> bool:
    """Look at one module through its own tests; print what they leave out, if anything."""
    table = io.StringIO()
    percent = measured.report(
        include=[str(CORE / f"{module}.py")],
        # what runs on import belongs to no test
        contexts=["^$", f"^{module}$"],
        show_missing=True,
        file=table,
    )
    say(f"core/{module}.py: {percent:g} %")
    if percent < 100:
        say(table.getvalue())
    return percent == 100


def main() -> int:
    """Check all modules; 0 if every one is covered by its own tests."""
    known = modules()
    problems = mapping_problems(known)
    if problems:
        say("\n".join(problems))
        return 1
    measured = measure(known)
    left_out = [module for module in known if not is_covered(measured, module)]
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
