# SPDX-License-Identifier: Apache-2.0
"""Users' own code: hooks as attributes, hooks as events, and that none of them breaks a call."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from livekit_fallback import AllProvidersFailedError, FallbackLLM
from tests.support.census import Census
from tests.support.fakes import ScriptedLLM, ask
from tests.support.outage import ALL_EVENTS, DOWN, LLM, STT, TTS, Kind, breaks, line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.outage import Line

each_kind = pytest.mark.parametrize("kind", [LLM, STT, TTS], ids=repr)

MISTAKES: dict[str, Callable[[], BaseException]] = {
    "type": lambda: TypeError("mine"),
    "cancelled": asyncio.CancelledError,
    "group": lambda: ExceptionGroup("mine", [ValueError("x")]),
}
each_mistake = pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)


class Hooks:
    """Both hooks of an adapter, which note what they were called with.

    Args:
        adapter: whose.
        mistake: raised by both.
        asynchronous: both are coroutine functions.
    """

    def __init__(
        self,
        adapter: Any,
        *,
        mistake: Callable[[], BaseException] | None = None,
        asynchronous: bool = False,
    ) -> None:
        self.failovers: list[tuple[Any, ...]] = []
        self.recoveries: list[tuple[Any, ...]] = []
        self._mistake = mistake
        adapter.on_failover = self._hook(self.failovers, asynchronous=asynchronous)
        adapter.on_recovery = self._hook(self.recoveries, asynchronous=asynchronous)

    def _hook(self, calls: list[tuple[Any, ...]], *, asynchronous: bool) -> Callable[..., Any]:
        def note(*instances: Any) -> None:
            calls.append(instances)
            if self._mistake is not None:
                raise self._mistake()

        async def note_later(*instances: Any) -> None:
            await asyncio.sleep(0.1)
            note(*instances)

        return note_later if asynchronous else note


async def _there_and_back(chain: Line) -> list[str]:
    answers = [await chain.use()]
    await asyncio.sleep(6)
    answers.append(await chain.use())
    await asyncio.sleep(0.2)
    return answers


def outage(census: Census, kind: Kind, **options: Any) -> Line:
    return line(census, kind, breaks(kind), kind.answer("b"), temporary_disable_sec=5, **options)


# --- as attributes and as events ----------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_hooks_are_called_with_the_instances(kind: Kind, asynchronous: bool, census: Census):
    """`on_failover(old, new)` and `on_recovery(service)`: once each, with what was passed in."""
    chain = outage(census, kind)
    hooks = Hooks(chain.adapter, asynchronous=asynchronous)

    answers = await _there_and_back(chain)

    a, b = chain.providers["a"], chain.providers["b"]
    assert answers == ["b", "a"]
    assert hooks.failovers == [(a, b)]
    assert hooks.recoveries == [(a,)]


@each_kind
async def test_hooks_and_events_say_the_same(kind: Kind, census: Census):
    """Each failover and each recovery is both: a call of the attribute and an event."""
    chain = line(census, kind, DOWN, DOWN, kind.answer("c"), probe=None)
    hooks = Hooks(chain.adapter)

    for _ in range(3):
        await chain.use()
    chain.adapter.prefer("c")
    chain.adapter.enable("b")
    chain.providers["b"].play(kind.answer("b"))
    chain.adapter.prefer(None)
    await chain.use()

    events = chain.events.of("failover")
    names = {id(provider): name for name, provider in chain.providers.items()}
    called = [(names[id(old)], names[id(new)]) for old, new in hooks.failovers]
    assert called == [(e.from_provider, e.to_provider) for e in events] == [("a", "b"), ("b", "c")]
    recovered = [names[id(service)] for (service,) in hooks.recoveries]
    assert recovered == [e.provider for e in chain.events.of("recovery")] == ["b"]


async def test_batch_providers_are_given_as_they_were_passed_in(census: Census):
    """Not the wrapper that the adapter made, which means nothing to its user."""
    primary = TTS.make(DOWN, streaming=False)
    chain = line(census, TTS, primary, TTS.answer("b"))
    hooks = Hooks(chain.adapter)

    await chain.use()

    assert hooks.failovers == [(primary, chain.providers["b"])]


async def test_a_retry_is_no_failover(census: Census):
    """Traffic has not moved, so nobody is told that it has."""
    chain = line(census, LLM, breaks(LLM), LLM.answer("b"), max_retry_per_llm=1)
    hooks = Hooks(chain.adapter)

    await chain.use()

    assert (chain.asked, hooks.failovers) == ("aa", [])


async def test_hooks_can_be_changed_and_taken_away(census: Census):
    """They are read when something happens; `None` is nobody."""
    chain = line(census, LLM, DOWN, LLM.answer("b"), probe="live", temporary_disable_sec=0)
    hooks = Hooks(chain.adapter)

    await chain.use()
    chain.adapter.on_failover = None
    await asyncio.sleep(10)
    await chain.use()

    assert chain.asked == "abab"
    assert len(hooks.failovers) == 1


async def test_adapters_have_their_own_hooks(census: Census):
    """What is set on one is not set on the next."""
    chain, other = outage(census, LLM), outage(census, LLM)
    hooks = Hooks(chain.adapter)

    await other.use()

    assert hooks.failovers == []


async def test_a_slow_hook_delays_nobody(census: Census):
    """The caller's answer does not wait for somebody's pager."""
    chain = outage(census, LLM)
    done = []

    async def page(*_: Any) -> None:
        await asyncio.sleep(30)
        done.append(True)

    chain.adapter.on_failover = page
    started = asyncio.get_running_loop().time()
    await chain.use()

    assert asyncio.get_running_loop().time() - started < 0.1
    assert done == []
    await asyncio.sleep(31)
    assert done == [True]


async def test_a_hook_at_work_ends_with_the_adapter():
    """Nothing of an adapter outlives its closing."""
    a, b = ScriptedLLM(DOWN), ScriptedLLM()
    cancelled = []

    async def page(*_: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with Census(a, b):
        adapter = FallbackLLM([a, b])
        adapter.on_failover = page
        await ask(adapter)

        await adapter.aclose()

    assert cancelled == [True]


# --- mistakes -----------------------------------------------------------------------------------


@each_kind
@each_mistake
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_a_hook_that_raises_breaks_no_call(
    kind: Kind, mistake: Callable[[], BaseException], asynchronous: bool, census: Census
):
    """The caller is answered, events go on, and health is what it would have been."""
    chain = outage(census, kind)
    hooks = Hooks(chain.adapter, mistake=mistake, asynchronous=asynchronous)

    answers = await _there_and_back(chain)

    assert answers == ["b", "a"]
    assert (len(hooks.failovers), len(hooks.recoveries)) == (1, 1)
    assert chain.moves()[:3] == ["cooling_down", "probing", "probation"]


@pytest.mark.parametrize("not_callable", [5, "page", object()], ids=["number", "text", "object"])
async def test_a_hook_that_cannot_be_called_breaks_no_call(not_callable: Any, census: Census):
    """Attributes are not checked when they are set, so they are not trusted when used."""
    chain = outage(census, LLM)
    chain.adapter.on_failover = chain.adapter.on_recovery = not_callable

    assert await _there_and_back(chain) == ["b", "a"]


async def test_a_hook_with_other_arguments_breaks_no_call(census: Census):
    """The commonest mistake of all."""
    chain = outage(census, LLM)
    chain.adapter.on_failover = lambda: None

    assert await chain.use() == "b"


@each_kind
@each_mistake
async def test_a_subscriber_that_raises_breaks_no_call(
    kind: Kind, mistake: Callable[[], BaseException], census: Census
):
    """Whichever event it subscribed to, `health_changed`, `probed` and `flapping` included."""
    options = {"flapping_limit": 1, "temporary_disable_sec": 5}
    primary = kind.make(DOWN, kind.answer("a"), DOWN, kind.answer("a"))
    chain = line(census, kind, primary, kind.answer("b"), **options)
    met = set()

    def raising(name: str) -> Callable[[Any], None]:
        def subscriber(_: Any) -> None:
            met.add(name)
            raise mistake()

        return subscriber

    for name in ALL_EVENTS:
        chain.adapter.on(name, raising(name))

    answers = []
    for _ in range(3):
        answers.append(await chain.use())
        await asyncio.sleep(11)

    assert answers == ["b", "b", "a"]
    assert {"failover", "recovery", "error", "health_changed", "probed", "flapping"} <= met


@each_mistake
async def test_a_subscriber_that_raises_does_not_stop_exhaustion(
    mistake: Callable[[], BaseException], census: Census
):
    """The session is raised the adapter's own error, not the subscriber's."""
    chain = line(census, LLM, DOWN, DOWN, total_timeout=1.0)

    def subscriber(_: Any) -> None:
        raise mistake()

    for name in ("exhausted", "error", "health_changed", "llm_availability_changed"):
        chain.adapter.on(name, subscriber)

    with pytest.raises(AllProvidersFailedError):
        await chain.use()


@each_mistake
async def test_disabling_survives_its_subscribers(
    mistake: Callable[[], BaseException], census: Census
):
    """An operator's command works whatever listens to it."""
    chain = line(census, LLM, LLM.answer("a"), LLM.answer("b"))

    def subscriber(_: Any) -> None:
        raise mistake()

    chain.adapter.on("health_changed", subscriber)
    chain.adapter.disable("a")

    assert await chain.use() == "b"


@each_mistake
async def test_a_probe_that_raises_is_a_bad_probe(
    mistake: Callable[[], BaseException], census: Census
):
    """A callable probe may raise anything: the provider is not back, and that is all."""

    async def probe(_: Any) -> None:
        await asyncio.sleep(0.1)
        raise mistake()

    chain = outage(census, LLM, probe=probe)
    await chain.use()

    await asyncio.sleep(6)

    assert (chain.state(), chain.probes()) == ("cooling_down", [False])
    assert await chain.use() == "b"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_a_mistake_is_logged_without_what_it_says(
    asynchronous: bool, census: Census, caplog: pytest.LogCaptureFixture
):
    """Its author can find it; its text may quote the caller, and is marked as such."""
    caplog.set_level(logging.ERROR, logger="livekit_fallback")
    chain = outage(census, LLM)
    Hooks(chain.adapter, mistake=lambda: ValueError("4711"), asynchronous=asynchronous)

    await chain.use()
    await asyncio.sleep(0.2)

    (line_,) = caplog.records
    public = {k: v for k, v in vars(line_).items() if not k.startswith("lk.pii.")}
    assert "4711" not in repr(public)
    assert "4711" in vars(line_)["lk.pii.error"]
