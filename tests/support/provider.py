# SPDX-License-Identifier: Apache-2.0
"""What every scripted provider has in common: its scripts, its manners, and its notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tests.support.script import (
    Call,
    Fail,
    FailInCall,
    Hang,
    Script,
    ScriptSource,
    Step,
    Wait,
    do_common,
    now,
    raise_error,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Scripted:
    """A fake provider: plays one script per request and notes everything that was asked of it.

    It ignores every timeout it is given. Its requests are in `calls`, in the order they came.

    Args:
        scripts: the script of the first request, of the second ...; the last is used again for
            all later ones. A function stands for as many as it is asked for. None given: the
            service's happy path.
        name: also its label, provider name and, with "-model", model name.
        stubborn: seconds for which a running request swallows cancellation.
        on_close: what a stream does when it is closed, before (`Hang`, `Wait`) or after (`Fail`)
            it really closes. Cancelling a hanging close closes the stream.
    """

    happy_path: ClassVar[Script] = ()
    _events: dict[Any, Any]  # of LiveKit's event emitter: the listeners by event

    def _script_as(
        self, scripts: Sequence[ScriptSource], name: str, stubborn: float, on_close: Step | None
    ) -> None:
        self.name = name
        self.stubborn = stubborn
        self.on_close = on_close
        self.calls: list[Call] = []
        self.prewarmed = 0
        self.closed = False
        self._label = name
        self.play(*scripts)

    def play(self, *scripts: ScriptSource) -> None:
        """Use these scripts from the next request on, as if it were the first."""
        self._sources = scripts or (self.happy_path,)
        self._first_call = len(self.calls)

    @property
    def model(self) -> str:
        return f"{self.name}-model"

    @property
    def provider(self) -> str:
        return self.name

    @property
    def listeners(self) -> int:
        """How many callbacks are registered on this provider."""
        return sum(len(callbacks) for callbacks in self._events.values())

    @property
    def open_calls(self) -> list[Call]:
        """Requests whose stream was not closed, or, without a stream, has not ended."""
        return [call for call in self.calls if call.closed_at is None]

    async def aclose(self) -> None:
        self.closed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self.calls)} calls>"

    def open_call(self, kind: str, **kwargs: Any) -> Call:
        """Note a new request and choose its script; a script may refuse the request here."""
        number = len(self.calls)
        call = Call(number, kind, self._next_script(), kwargs, opened_at=now())
        self.calls.append(call)
        if call.script and isinstance(call.script[0], FailInCall):
            call.closed_at = call.ended_at = now()
            raise_error(call.script[0].error)
        return call

    async def close_call(self, call: Call, really_close: Callable[[], Awaitable[None]]) -> None:
        """Close a request's stream with this provider's manners; a second time without them."""
        on_close = None if call.closed_at is not None else self.on_close
        try:
            if isinstance(on_close, Wait | Hang):
                await do_common(on_close)
        finally:
            await really_close()
            call.closed_at = now() if call.closed_at is None else call.closed_at
        if isinstance(on_close, Fail):
            raise_error(on_close.error)

    def _next_script(self) -> Script:
        index = len(self.calls) - self._first_call
        source = self._sources[min(index, len(self._sources) - 1)]
        return source(index) if callable(source) else source
