# SPDX-License-Identifier: Apache-2.0
"""The fault switchboard: a client of the local providers' control port."""

from __future__ import annotations

from typing import Any

import aiohttp


class Control:
    """Switches faults on and off and reads what the providers saw.

    Args:
        url: the control URL from the providers' ready line.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3))
        self._next = 0

    async def inject(self, fault: dict[str, Any]) -> int:
        """Add a fault that lasts until `heal`, and return its number."""
        return int((await self._ask("POST", "/fault", fault))["id"])

    async def drop(self, vendor: str, service: str) -> None:
        """Cut the open connections of one service now."""
        await self._ask("POST", "/kill", {"vendor": vendor, "service": service})

    async def heal(self, fault: int) -> None:
        """Remove a fault."""
        await self._ask("DELETE", f"/fault/{fault}")

    async def new_entries(self) -> list[dict[str, Any]]:
        """What happened at the providers since the last call."""
        answer = await self._ask("GET", f"/log?since={self._next}")
        self._next = answer["next"]
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    async def tape(self) -> list[dict[str, Any]]:
        """All that the voices said, with its sound."""
        entries: list[dict[str, Any]] = (await self._ask("GET", "/tape"))["entries"]
        return entries

    async def close(self) -> None:
        await self._http.close()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        async with self._http.request(method, self._url + path, json=body) as response:
            response.raise_for_status()
            return await response.json() if response.content_length != 0 else None
