# SPDX-License-Identifier: Apache-2.0
"""All local providers in one place: a port per vendor, a control port, and their life cycle."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from . import cartesia, control, deepgram, openai
from .desk import Desk, Pace, Staff
from .ears import Ears, ScriptedEars
from .faults import SERVICES, Fault, FaultBoard, Target, parse
from .journal import Entry, Journal
from .port import Port, runner
from .tape import TapedVoice
from .voice import ToneVoice, Voice

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ROUTES = {
    "openai": openai.routes,
    "cerebras": openai.routes,
    "together": openai.routes,
    "deepgram": deepgram.routes,
    "cartesia": cartesia.routes,
}


class LocalProviders:
    """The vendors, as an async context manager.

    Usable from the event loop of a test. Entering and leaving it twice is an error.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        control_port: int = 0,
        ears: Literal["sphinx", "script"] | Ears = "sphinx",
        voice: Literal["espeak", "tone"] | Voice = "espeak",
        pace: Pace | None = None,
    ) -> None:
        """Prepare the engines; nothing listens before the context is entered.

        Args:
            host: address to listen on. Loopback, because there are no passwords here.
            control_port: port of the control API, 0 for any free one.
            ears: ``"sphinx"`` really recognises, ``"script"`` reads ``dialogue.LINES`` from the
                script at every utterance, whatever is said. Or ears of your own.
            voice: ``"espeak"`` really speaks, ``"tone"`` gives a tone per word. Or your own.
            pace: how fast answers come; by default like good services on a good day.

        Raises:
            EngineMissingError: a wheel for ``ears`` or ``voice`` is not installed.
        """
        self._host = host
        self._control_port = control_port
        self._ears = _ears(ears)
        self.tape = self._voice = TapedVoice(_voice(voice))
        self._pace = pace or Pace()
        self.board = FaultBoard()
        self.journal = Journal()
        self._ports: dict[str, Port] = {}
        self._stack = contextlib.AsyncExitStack()
        self.control_url = ""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        stack.push_async_callback(self._voice.aclose)
        stack.callback(self._ears.close)
        threads = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="ears"))
        staff = Staff(self._ears, self._voice, threads, self.board, self.journal, self._pace)
        await self._start_control(stack)
        for vendor in SERVICES:
            desk = Desk(vendor, staff)
            port = self._ports[vendor] = Port(self._host, desk, ROUTES[vendor](desk))
            stack.push_async_callback(port.aclose)
            await port.open()

    async def _start_control(self, stack: contextlib.AsyncExitStack) -> None:
        controls = runner(control.application(self))
        await controls.setup()
        stack.push_async_callback(controls.cleanup)
        await web.TCPSite(controls, self._host, self._control_port).start()
        self.control_url = "http://{}:{}".format(*controls.addresses[0][:2])

    def url(self, vendor: str) -> str:
        """Return where ``vendor`` listens, without a path."""
        return self._ports[vendor].url

    @property
    def urls(self) -> dict[str, str]:
        """Where every vendor listens."""
        return {vendor: port.url for vendor, port in self._ports.items()}

    @property
    def log(self) -> list[Entry]:
        """All entries of the journal, the oldest first."""
        return self.journal.since(0)

    def set_fault(self, mode: str, **values: object) -> int:
        """Put a fault in force and return its id; the values are those of ``Fault``.

        Raises:
            FaultError: a value is unknown; the text names the field and what is allowed.
        """
        return self.put(parse(Fault, {"mode": mode, **values}))

    def put(self, fault: Fault) -> int:
        """Put ``fault`` in force and return its id."""
        fault_id = self.board.add(fault)
        self._follow()
        return fault_id

    def clear_faults(self, fault_id: int | None = None) -> bool:
        """Lift one fault or all; return whether there was one."""
        found = self.board.clear() if fault_id is None else self.board.remove(fault_id)
        self._follow()
        return found

    async def settled(self) -> None:
        """Wait until ports that were closed by a fault listen again."""
        for port in self._ports.values():
            await port.settled()

    def kill(self, vendor: str = "*", service: str = "*") -> int:
        """Break the connections that are open right now and return how many there were.

        Raises:
            FaultError: there is no such vendor or service.
        """
        target = parse(Target, {"vendor": vendor, "service": service})
        dropped = 0
        for name, port in self._ports.items():
            if target.vendor in ("*", name) and (count := port.desk.drop(target.service)):
                self.journal.add(name, target.service, "fault", mode="kill")
                dropped += count
        return dropped

    def _follow(self) -> None:
        """Open and close ports as the board demands."""
        for vendor, port in self._ports.items():
            port.accept(not self.board.refuses(vendor))


def _ears(chosen: str | Ears) -> Ears:
    if chosen == "sphinx":
        from .sphinx import SphinxEars

        return SphinxEars()
    return ScriptedEars() if isinstance(chosen, str) else chosen


def _voice(chosen: str | Voice) -> Voice:
    if chosen == "espeak":
        from .espeak import EspeakVoice

        return EspeakVoice()
    return ToneVoice() if isinstance(chosen, str) else chosen
