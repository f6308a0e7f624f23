# SPDX-License-Identifier: Apache-2.0
"""What an installed copy promises: a version, type information, and an import without surprises."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import livekit_fallback
from livekit_fallback.log import logger

ROOT = Path(__file__).parent.parent

# Runs in an interpreter of its own: what the import changes is the difference it makes.
PROBE = """
import json, logging, os, signal, sys, threading, warnings
import livekit.agents
from livekit.agents import Plugin
warnings.simplefilter("error")

def world():
    return {
        "handlers": [repr(h) for h in logging.getLogger().handlers],
        "levels": {n: logging.getLogger(n).level for n in ("", "livekit", "livekit.agents")},
        "threads": sorted(t.name for t in threading.enumerate()),
        "environment": dict(os.environ),
        "signals": repr(signal.getsignal(signal.SIGINT)) + repr(signal.getsignal(signal.SIGTERM)),
        "excepthook": repr(sys.excepthook),
        "path": list(sys.path),
        "warnings": repr(warnings.filters),
        "livekit": {n: repr(v) for n, v in vars(livekit.agents).items()},
    }

plugins, modules, before = list(Plugin.registered_plugins), set(sys.modules), world()
import livekit_fallback
after = world()
print(json.dumps({
    "changed": [key for key in before if before[key] != after[key]],
    "plugins": [(p.title, p.version, p.package, p.logger.name)
                for p in Plugin.registered_plugins if p not in plugins],
    "modules": sorted(set(sys.modules) - modules),
}))
"""


@pytest.fixture(scope="module")
def fresh_import() -> dict[str, Any]:
    """What `import livekit_fallback` did in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_import_registers_the_plugin_once(fresh_import):
    """LiveKit's workers list the package, its version and its logger."""
    version = livekit_fallback.__version__

    assert fresh_import["plugins"] == [
        ["livekit_fallback", version, "livekit_fallback", "livekit_fallback"]
    ]


def test_import_changes_nothing_else(fresh_import):
    """No handler, thread, signal, hook, environment variable or patch of LiveKit's."""
    assert fresh_import["changed"] == []


def test_import_is_cheap(fresh_import):
    """LiveKit has loaded all that is needed: no plugin, nothing of the demo comes on top."""
    others = [
        name
        for name in fresh_import["modules"]
        if name.split(".")[0] not in {"livekit_fallback", *sys.stdlib_module_names}
    ]

    assert others == []


def test_version_is_a_release_number():
    """The one place is version.py; the build reads it from there."""
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", livekit_fallback.__version__)


def test_installed_version_is_the_one_in_the_code():
    """Metadata and code never disagree."""
    try:
        installed = importlib.metadata.version("livekit-fallback")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("runs from a checkout that is not installed")

    assert installed == livekit_fallback.__version__


def test_type_information_is_shipped():
    """Without py.typed type checkers ignore every annotation of the package."""
    assert Path(livekit_fallback.__file__).with_name("py.typed").is_file()


def test_logger_is_the_packages_own():
    """Users silence or route the package's lines by its import name."""
    assert logger.name == "livekit_fallback"
    assert logger.handlers == []
