# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.demo`: hold the call with one kind of adapter and report on it.

Exit codes: 0 every turn was answered, 1 one was not, 2 the demo cannot run here, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import preflight


def main() -> int:
    args = _arguments()
    return preflight.run(lambda: _call(args))


def _call(args: argparse.Namespace) -> int:
    from . import program

    return program.run(lambda: program.one_call(args.adapter, args.out, args.control_port))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--adapter", choices=("fallback", "livekit", "none"), default="fallback")
    parser.add_argument("--out", type=Path, default=Path("demo-report"), help="report folder")
    parser.add_argument(
        "--control-port", type=int, default=0, help="of the local providers; 0 takes a free one"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
