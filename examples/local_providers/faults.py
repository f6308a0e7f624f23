# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a provider: the fault model and the board that hands faults out.

How a fault shows on the wire is in ``exchange``, once for all vendors.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterator

Service = Literal["llm", "stt", "tts"]
Mode = Literal[
    "status",
    "refuse",
    "hang_connect",
    "hang",
    "keepalive",
    "role_only",
    "usage_only",
    "slow",
    "stall",
    "drop",
    "truncate",
    "empty",
    "silence",
    "no_audio",
    "error_frame",
    "close",
    "garbage",
    "drip",
]

SERVICES: dict[str, frozenset[str]] = {
    "openai": frozenset({"llm", "stt", "tts"}),
    "cerebras": frozenset({"llm", "stt", "tts"}),
    "together": frozenset({"llm", "stt", "tts"}),
    "deepgram": frozenset({"stt", "tts"}),
    "cartesia": frozenset({"stt", "tts"}),
}
# A mode that is not named here fits every service.
ONLY_FOR: dict[str, frozenset[str]] = {
    "role_only": frozenset({"llm"}),
    "usage_only": frozenset({"llm"}),
    "silence": frozenset({"tts"}),
    "no_audio": frozenset({"tts"}),
    "close": frozenset({"stt"}),
}
AT_THE_DOOR = frozenset({"status", "hang_connect"})
"""Modes that strike before a handshake or a header is answered."""
INSIDE = frozenset(get_args(Mode)) - AT_THE_DOOR
"""Modes that can strike on a connection that is open already."""


Request = TypeVar("Request", bound="Target")


class FaultError(ValueError):
    """A fault that makes no sense; the text names the field and what is allowed."""


class Target(BaseModel):
    """Whose requests are meant; ``"*"`` means all."""

    model_config = ConfigDict(extra="forbid")

    vendor: Literal["openai", "cerebras", "together", "deepgram", "cartesia", "*"] = "*"
    service: Literal["llm", "stt", "tts", "*"] = "*"


class Fault(Target):
    """One fault, lasting (``times=None``) or striking the next ``times`` requests."""

    mode: Mode
    status: int = Field(503, ge=400, le=599, description="answer of `status` and `error_frame`")
    after: int = Field(0, ge=0, description="useful outputs that still come through")
    delay: float = Field(2.0, ge=0, le=600, description="seconds of `slow`, and Retry-After")
    gap: float = Field(0.5, gt=0, le=600, description="seconds between beats or drips")
    times: int | None = Field(None, ge=1, description="requests to strike, None for all")

    @model_validator(mode="after")
    def _fits(self) -> Fault:
        allowed = ONLY_FOR.get(self.mode)
        if allowed and self.service != "*" and self.service not in allowed:
            raise ValueError(f"service: {self.mode!r} is for {' or '.join(sorted(allowed))} only")
        if self.vendor != "*" and self.service != "*":
            offered = SERVICES[self.vendor]
            if self.service not in offered:
                raise ValueError(f"service: {self.vendor} offers {', '.join(sorted(offered))} only")
        if self.mode == "refuse" and self.times is not None:
            # A connection that the system refuses is never seen, so it cannot be counted.
            raise ValueError("times: 'refuse' lasts until it is cleared, leave times out")
        return self

    def strikes(self, vendor: str, service: str) -> bool:
        """Return whether this fault is meant for a request to ``service`` of ``vendor``."""
        return (
            self.vendor in ("*", vendor)
            and self.service in ("*", service)
            and service in ONLY_FOR.get(self.mode, get_args(Service))
        )


class PostedFault(Fault):
    """A fault in force, with the number it can be lifted by."""

    id: int


def parse(model: type[Request], values: object) -> Request:
    """Return the fault or the target that ``values`` describe.

    Raises:
        FaultError: a value is unknown; the text names the field and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fields = ", ".join(model.model_fields)
        raise FaultError("; ".join(_complaint(fields, **one) for one in error.errors())) from None


def _complaint(fields: str, *, loc: tuple[int | str, ...], msg: str, type: str, **_: object) -> str:
    if type == "extra_forbidden":
        return f"{loc[0]}: unknown field, allowed are {fields}"
    text = msg.removeprefix("Value error, ")
    return f"{loc[0]}: {text}" if loc else text


class FaultBoard:
    """The faults in force. Whoever serves a request takes the one meant for it, if any."""

    def __init__(self) -> None:
        self._faults: dict[int, PostedFault] = {}
        self._ids = itertools.count(1)

    def __iter__(self) -> Iterator[PostedFault]:
        """Iterate over the faults in force, the oldest first."""
        return iter(list(self._faults.values()))

    def add(self, fault: Fault) -> int:
        """Put ``fault`` in force and return its id."""
        posted = PostedFault(id=next(self._ids), **fault.model_dump())
        self._faults[posted.id] = posted
        return posted.id

    def remove(self, fault_id: int) -> bool:
        """Lift one fault; return whether it was in force."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> bool:
        """Lift all faults; return whether any was in force."""
        found = bool(self._faults)
        self._faults.clear()
        return found

    def lasting(self, fault: PostedFault) -> bool:
        """Return whether ``fault``, once taken, still holds for later outputs."""
        return fault.times is not None or fault.id in self._faults

    def refuses(self, vendor: str) -> bool:
        """Return whether the port of ``vendor`` must be closed; all its services share it."""
        return any(f.mode == "refuse" and f.vendor in ("*", vendor) for f in self)

    def take(
        self, vendor: str, service: str, *, modes: frozenset[str] | None = None
    ) -> PostedFault | None:
        """Return the newest fault for a request, and count it.

        Args:
            vendor: whose port the request came to.
            service: what was asked for.
            modes: consider only these modes, all of them by default.
        """
        for fault in reversed(self._faults.values()):
            wanted = fault.mode != "refuse" and (modes is None or fault.mode in modes)
            if wanted and fault.strikes(vendor, service):
                return self._count(fault)
        return None

    def _count(self, fault: PostedFault) -> PostedFault:
        if fault.times is not None:
            left = fault.times - 1
            if left:
                self._faults[fault.id] = fault.model_copy(update={"times": left})
            else:
                self.remove(fault.id)
        return fault
