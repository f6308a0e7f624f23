# SPDX-License-Identifier: Apache-2.0
"""The control port: set and lift faults, break connections, and read the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from .faults import Fault, FaultError, Target, parse
from .wire import json_object

if TYPE_CHECKING:
    from .server import LocalProviders


def application(providers: LocalProviders) -> web.Application:
    """Return the control API of ``providers``."""
    desk = Control(providers)
    app = web.Application()
    app.add_routes(
        [
            web.get("/", desk.show),
            web.post("/fault", desk.set_fault),
            web.delete("/fault", desk.clear_faults),
            web.delete("/fault/{id}", desk.clear_fault),
            web.post("/kill", desk.kill),
            web.get("/log", desk.log),
            web.get("/tape", desk.tape),
        ]
    )
    return app


def ready(providers: LocalProviders) -> dict[str, Any]:
    """Return what a client must know to use the providers."""
    return {"control": providers.control_url, "vendors": providers.urls}


class Control:
    """The handlers of the control port."""

    def __init__(self, providers: LocalProviders) -> None:
        self._providers = providers

    async def show(self, request: web.Request) -> web.Response:
        """Show the addresses and the faults in force."""
        faults = [fault.model_dump() for fault in self._providers.board]
        return web.json_response({**ready(self._providers), "faults": faults})

    async def set_fault(self, request: web.Request) -> web.Response:
        """Put a fault in force."""
        try:
            fault = parse(Fault, await json_object(request))
        except FaultError as error:
            return _bad(str(error))
        return web.json_response({"id": self._providers.put(fault)})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Lift all faults."""
        return await self._cleared(None)

    async def clear_fault(self, request: web.Request) -> web.Response:
        """Lift one fault; one that is spent already is no mistake."""
        fault_id = request.match_info["id"]
        if not fault_id.isdecimal():
            return _bad("id: must be a number")
        return await self._cleared(int(fault_id))

    async def _cleared(self, fault_id: int | None) -> web.Response:
        cleared = self._providers.clear_faults(fault_id)
        await self._providers.settled()
        return web.json_response({"cleared": cleared})

    async def kill(self, request: web.Request) -> web.Response:
        """Break open connections."""
        try:
            target = parse(Target, await json_object(request))
        except FaultError as error:
            return _bad(str(error))
        return web.json_response({"dropped": self._providers.kill(target.vendor, target.service)})

    async def log(self, request: web.Request) -> web.Response:
        """Return the journal from an entry on."""
        since = request.query.get("since", "0")
        if not since.isdecimal():
            return _bad("since: must be a number")
        entries = self._providers.journal.since(int(since))
        following = entries[-1]["seq"] + 1 if entries else int(since)
        return web.json_response({"entries": entries, "next": following})

    async def tape(self, request: web.Request) -> web.Response:
        """Return all that the voices said."""
        return web.json_response({"entries": self._providers.tape.entries()})


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
