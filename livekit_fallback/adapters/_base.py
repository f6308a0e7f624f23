# SPDX-License-Identifier: Apache-2.0
"""What the session reads from an adapter of any component, answered for the provider at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from livekit.agents import APIConnectOptions

from ..events import Component
from ..provider import Member
from . import _settings
from ._assignment import Assignment
from ._chain import Chain
from ._control import Controls

T = TypeVar("T")

# Plugins time their connection and each read by one value. Deadlines are the adapter's, so this
# only has to be long enough not to fire while nothing is owed, such as a voice waiting for text.
_PATIENT_SEC = 60.0


class ChainedAdapter(Controls[T]):
    """Mixin of the adapters. ``_chain`` is set by their constructors."""

    def _adopt(self, chain: Chain[T]) -> None:
        """End the construction of the adapter: all that is written once lies in its chain."""
        self._chain = chain
        chain.begin(self)

    async def aclose(self) -> None:
        """Stop all requests and probes. Idempotent."""
        await self._chain.aclose()
        await super().aclose()  # type: ignore[misc]  # LiveKit's class, which stands behind

    def update_options(
        self,
        service: T | str | Mapping[T | str, Mapping[str, Any]] | None = None,
        /,
        **options: Any,
    ) -> None:
        """Change settings of the providers; see each plugin's own ``update_options``.

        ``update_options(speed=1.1)`` tells every provider that takes the option.
        ``update_options("cartesia", voice="...")`` tells one, and
        ``update_options({"cartesia": {"voice": "..."}, "openai": {"voice": "..."}})`` several.
        Whoever serves later, in a failover or a probe, has the new settings: they are kept by
        the providers. Providers apply them to streams under way, or to the next, as they always do.

        Args:
            service: Instance or name of the only provider that is meant, or options by provider;
                ``None``: all. Positional, so that it is in the way of no plugin's option.
            **options: For ``service``. Those that are ``NOT_GIVEN`` are left out.

        Raises:
            ValueError: A provider is not one of this adapter's, or nobody takes an option, or an
                option for all is a voice, a model, a key or an address that several vendors take
                (an id of one vendor must not reach another). Nobody has been told anything then.
            Exception: What a provider raised. All others have been told.
            ExceptionGroup: The same of several providers.
        """
        members = self._chain.members
        if service is None:
            plan = _settings.for_all(members, _settings.given(options))
        elif isinstance(service, Mapping):
            if options:
                raise ValueError(f"{next(iter(options))}: must be inside the mapping of providers")
            asked = [(self._member(one), _settings.given_to(one, service[one])) for one in service]
            plan = [step for member, own in asked for step in _settings.for_one(member, own)]
        else:
            plan = _settings.for_one(self._member(service), _settings.given(options))
        _settings.tell(plan)

    @property
    def component(self) -> Component:
        """Which adapter this is: ``"llm"``, ``"stt"``, ``"tts"`` or ``"vad"``."""
        return self._chain.component

    @property
    def model(self) -> str:
        """Model of the provider that the next request goes to."""
        model: str = self._chain.next_member.instance.model  # type: ignore[attr-defined]
        return model

    @property
    def provider(self) -> str:
        """Vendor of the provider that the next request goes to."""
        provider: str = self._chain.next_member.instance.provider  # type: ignore[attr-defined]
        return provider

    @property
    def metrics_metadata(self) -> Any:
        """Model and vendor of the provider that served last."""
        return self._chain.last_member.instance.metrics_metadata  # type: ignore[attr-defined]


def patient_options() -> APIConnectOptions:
    """Return options for a provider whose clock is entirely ours."""
    return APIConnectOptions(max_retry=0, retry_interval=0.0, timeout=_PATIENT_SEC)


def connect_options(assignment: Assignment) -> APIConnectOptions:
    """Return options for a provider that has to connect within its attempt's deadline."""
    return member_options(assignment.member)


def member_options(member: Member[Any]) -> APIConnectOptions:
    """Return options for a provider that has to connect within its own deadline."""
    timeout = member.limits.attempt_timeout
    return APIConnectOptions(
        max_retry=0, retry_interval=0.0, timeout=_PATIENT_SEC if timeout is None else timeout
    )
