# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.demo.compare`: the same call three times, and the three side by side.

Exit codes are those of `python -m examples.demo`, by the call with livekit_fallback.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import preflight

ORDER = ("fallback", "livekit", "none")


def main() -> int:
    args = _arguments()
    return preflight.run(lambda: _calls(args.out))


def _calls(out: Path) -> int:
    from . import program

    return program.run(lambda: _compare(out))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo.compare", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-report"), help="report folder")
    return parser.parse_args()


async def _compare(out: Path) -> int:
    from rich.console import Console

    from . import comparison, program
    from .turns import verdict

    records = [await program.recorded_call(adapter, out / adapter) for adapter in ORDER]
    comparison.write(records, out)
    Console().print(comparison.terminal_table(records))
    print(f"The comparison: {out / 'compare.html'}")
    return 0 if verdict(records[0]).good else 1


if __name__ == "__main__":
    sys.exit(main())
