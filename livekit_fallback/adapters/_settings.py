# SPDX-License-Identifier: Apache-2.0
"""Settings of the providers, changed while the adapter is at work: who is told what."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from livekit.agents.utils import is_given

from ..provider import Member
from ._vendors import vendor_of

Plan = Sequence[tuple[Member[Any], Mapping[str, Any]]]
"""Who is told which options, in priority order."""

_VENDORS_OWN = ("model", "voice", "api_key", "base_url", "endpoint_url", "extra")
"""How the options begin whose values mean something at one vendor only."""


def for_all(members: Sequence[Member[Any]], options: Mapping[str, Any]) -> Plan:
    """Return who takes which of ``options``, which are meant for everybody.

    Raises:
        ValueError: Nobody takes an option, or providers of several vendors take one whose values
            belong to one vendor: a voice id of one is at best unknown to another.
    """
    for name in options:
        takers = [member for member in members if name in _taken_by(member)]
        if not takers:
            raise _unknown(name, options[name], members)
        vendors = {vendor_of(member.original) for member in takers}
        if name.startswith(_VENDORS_OWN) and len(vendors) > 1:
            names = ", ".join(repr(member.name) for member in takers)
            raise ValueError(
                f"{name}={options[name]!r}: must be given for one provider at a time, because it "
                f"means something else to each vendor of {names}"
            )
    plan = [
        (member, {name: options[name] for name in options if name in _taken_by(member)})
        for member in members
    ]
    return [(member, told) for member, told in plan if told]


def for_one(member: Member[Any], options: Mapping[str, Any]) -> Plan:
    """Return that a provider is told all of ``options``.

    Raises:
        ValueError: It does not take one of them.
    """
    for name in options:
        if name not in _taken_by(member):
            raise _unknown(name, options[name], [member])
    return [(member, options)] if options else []


def tell(plan: Plan) -> None:
    """Tell everybody in ``plan``; one that refuses does not keep the others from being told.

    Raises:
        Exception: What a provider raised, with its name as a note.
        ExceptionGroup: The same for several.
    """
    errors: list[Exception] = []
    for member, options in plan:
        try:
            member.original.update_options(**options)
        except Exception as error:
            error.add_note(f"raised by update_options of the provider {member.name!r}")
            errors.append(error)
    if len(errors) > 1:
        raise ExceptionGroup("several providers refused their new options", errors)
    if errors:
        raise errors[0]


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` without those that are ``NOT_GIVEN``, as plugins read them."""
    return {name: value for name, value in options.items() if is_given(value)}


def given_to(service: object, options: object) -> dict[str, Any]:
    """As :func:`given`, for one entry of a mapping of providers.

    Raises:
        ValueError: What is there for the provider is no mapping.
    """
    if not isinstance(options, Mapping):
        raise ValueError(f"{service!r}: {options!r}: must be a mapping of its options")
    return given(options)


class _AnyName(frozenset[str]):
    """The names of a method that takes every keyword."""

    def __contains__(self, name: object) -> bool:
        return True


def _taken_by(member: Member[Any]) -> frozenset[str]:
    method = getattr(member.original, "update_options", None)
    if method is None:
        return frozenset()
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return _AnyName()
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, _BY_NAME))


_BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD


def _unknown(name: str, value: object, members: Sequence[Member[Any]]) -> ValueError:
    allowed = "; ".join(f"{m.name!r} takes {_listed(_taken_by(m))}" for m in members)
    return ValueError(f"{name}={value!r}: must be an option that a provider takes: {allowed}")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
