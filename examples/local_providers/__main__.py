# SPDX-License-Identifier: Apache-2.0
"""Run the local providers until they are told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from . import EngineMissingError, LocalProviders
from .control import ready

BANNER = """\
Local providers, on {host} only. Nothing here is the real service:
  brain  scripted, there is no language model inside
  ears   pocketsphinx, with the words of one phone call
  voice  espeak-ng (GPL-3, for demonstration only, in this process of its own)
  {control}  faults and journal
{vendors}
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_providers", description=__doc__)
    parser.add_argument("--control-port", type=int, default=8700, help="0 for any free port")
    parser.add_argument("--host", default="127.0.0.1", help="there are no passwords: loopback")
    return parser.parse_args()


async def _serve(host: str, control_port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with LocalProviders(host=host, control_port=control_port) as providers:
        vendors = "\n".join(f"  {url}  {vendor}" for vendor, url in providers.urls.items())
        banner = BANNER.format(host=host, control=providers.control_url, vendors=vendors)
        print(banner, file=sys.stderr)
        print(json.dumps(ready(providers)), flush=True)
        await stop.wait()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def main() -> int:
    """Serve until SIGINT or SIGTERM; return 2 if that is not possible here."""
    arguments = _arguments()
    try:
        asyncio.run(_serve(arguments.host, arguments.control_port))
    except EngineMissingError as error:
        print(f"local_providers: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{arguments.host}:{arguments.control_port}"
        print(f"local_providers: cannot listen on {where}: {_reason(error)}", file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
