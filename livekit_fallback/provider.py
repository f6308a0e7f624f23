# SPDX-License-Identifier: Apache-2.0
"""One wrapped provider: an instance, its name, and what is special about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from typing_extensions import Unpack

from ._policies import hedge_delay, latency_policy, limits
from ._validation import validated
from .core.hedging import HedgeDelay
from .core.latency import LatencyPolicy
from .core.walk import Limits
from .options import Probe, ProviderOptions

_REMOTE = ("llm", "stt", "tts")

# overrides that mean nothing to the other components
_ONLY_FOR = {
    "latency_threshold_ms": _REMOTE,
    "hedge_after_ms": _REMOTE,
    "stateful": _REMOTE,
    "silence_timeout": ("stt",),
}

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Provider(Generic[T_co]):
    """An entry of an adapter's list: a LiveKit LLM, STT, TTS or VAD with a name and own limits.

    Args:
        instance: The LiveKit object to wrap. The adapter does not close it.
        name: Stable name in events, logs and metrics. Default: the plugin's name, such as
            ``"openai"``; numbered from the second of the same name on.
        **overrides: See :class:`~livekit_fallback.options.ProviderOptions`.

    Raises:
        ValueError: An override is unknown or out of range, or the name is empty.
    """

    def __init__(
        self, instance: T_co, *, name: str | None = None, **overrides: Unpack[ProviderOptions]
    ) -> None:
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise ValueError(f"name={name!r}: must be a text that is not blank, or None")
        self.instance = instance
        self.name = name
        self.overrides = validated(ProviderOptions, overrides)

    def __repr__(self) -> str:
        return f"Provider({self.instance!r}, name={self.name!r})"


@dataclass(frozen=True, slots=True)
class Member(Generic[T]):
    """One provider's place in an adapter.

    Args:
        index: Place in the chain; 0 is the primary.
        name: Name in events, logs and metrics.
        instance: What the adapter calls: the user's object, or a wrapper the adapter made.
        original: The user's object.
        limits: Deadlines and retries.
        probe: How it proves itself after a failure.
        latency: When it is too slow.
        hedge_delay: For how long it may be silent alone; ``None``: it is never hedged.
        is_stateful: Whether each request changes something there.
    """

    index: int
    name: str
    instance: T
    original: T
    limits: Limits
    probe: Probe
    latency: LatencyPolicy
    hedge_delay: HedgeDelay | None
    is_stateful: bool

    @property
    def is_wrapped(self) -> bool:
        """Whether ``instance`` is a wrapper that the adapter made, and so has to close."""
        return self.instance is not self.original


def member_of(
    index: int,
    name: str,
    provider: Provider[T],
    options: Mapping[str, Any],
    component: str,
    wrapper: T | None = None,
) -> Member[T]:
    """Return a provider's place in an adapter: its own overrides before the adapter's options.

    Raises:
        ValueError: An override would do nothing for a provider of this component.
    """
    own = provider.overrides
    for option, value in own.items():
        if component not in _ONLY_FOR.get(option, (component,)):
            raise ValueError(f"{option}={value!r}: must not be given for a provider of {component}")
    probe = own.get("probe", options["probe"])
    is_stateful = own.get("stateful", False)
    if is_stateful and probe in ("ping", "replay"):
        probe = "live"
    return Member(
        index=index,
        name=name,
        instance=provider.instance if wrapper is None else wrapper,
        original=provider.instance,
        limits=limits(options, own, component),
        probe=probe,
        latency=latency_policy(options, own),
        hedge_delay=hedge_delay(options, own),
        is_stateful=is_stateful,
    )


def named_providers(given: Any, expected: type[Any], component: str) -> dict[str, Provider[Any]]:
    """Return the providers of an adapter's list by name, in the list's order.

    Raises:
        ValueError: The list is empty, holds something that is not a provider of this
            component, holds an instance twice, or two entries share a name.
    """
    if not isinstance(given, list | tuple):
        raise ValueError(f"{component}={given!r}: must be a list of providers, best first")
    if not given:
        raise ValueError(f"{component}={given!r}: must hold at least one provider")
    providers = [item if isinstance(item, Provider) else Provider(item) for item in given]
    for provider in providers:
        if not isinstance(provider.instance, expected):
            raise ValueError(
                f"{component}: {provider.instance!r} must be a {expected.__module__}"
                f".{expected.__name__}"
            )
    _reject_duplicates(providers, component)
    return _by_name(providers)


def _reject_duplicates(providers: Sequence[Provider[Any]], component: str) -> None:
    names: set[str] = set()
    instances: set[int] = set()
    for provider in providers:
        if id(provider.instance) in instances:
            raise ValueError(f"{component}: {provider.instance!r} must not be in the list twice")
        if provider.name in names:
            raise ValueError(f"name={provider.name!r}: must belong to one provider of {component}")
        instances.add(id(provider.instance))
        if provider.name is not None:
            names.add(provider.name)


def _by_name(providers: Sequence[Provider[Any]]) -> dict[str, Provider[Any]]:
    taken = {provider.name for provider in providers if provider.name is not None}
    named: dict[str, Provider[Any]] = {}
    for provider in providers:
        name = provider.name or _free_name(_default_name(provider.instance), taken)
        taken.add(name)
        named[name] = provider
    return named


def _default_name(instance: object) -> str:
    module = type(instance).__module__.split(".")
    if module[:2] == ["livekit", "plugins"] and len(module) > 2:
        return module[2]
    return type(instance).__name__.lower()


def _free_name(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
