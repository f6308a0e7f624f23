# SPDX-License-Identifier: Apache-2.0
"""What docs/health.md says about states, rests, failures, probes and the API is what happens."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from docs import state_diagram
from livekit_fallback import FallbackLLM
from livekit_fallback.adapters import _probe, _speech as speech, llm as llm_adapter, tts
from livekit_fallback.classify import classify
from livekit_fallback.core.backoff import cool_down
from livekit_fallback.core.circuit import TRANSITIONS, Circuit, HealthPolicy, Signal, State
from livekit_fallback.core.outcome import FailureKind
from livekit_fallback.options import LLM_DEFAULTS, TTS_DEFAULTS
from tests.support.errors import status
from tests.support.fakes import Fail, ask
from tests.support.llm_chain import Model, bad_request, unavailable
from tests.support.outcomes import failed

if TYPE_CHECKING:
    from tests.support.census import Census

PAGE = state_diagram.PAGE.read_text(encoding="utf-8")
BASE = LLM_DEFAULTS["temporary_disable_sec"]
CAP = LLM_DEFAULTS["max_disable_sec"]


def _table(head: str) -> list[list[str]]:
    """The cells of the rows below the head that begins with these words."""
    found = re.search(rf"^\| {re.escape(head)} .*\n\|[ :|-]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found, head
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[1].splitlines()]


def _drawn() -> set[tuple[str, str, str]]:
    arrows = re.findall(r"^ +(\w+) --> (\w+): (.+)$", PAGE, re.MULTILINE)
    return {
        (before, label, after) for before, after, labels in arrows for label in labels.split(" / ")
    }


def _listed() -> set[tuple[str, str, str]]:
    return {
        (before, label, after)
        for label, _, moves in _table("arrow")
        for befores, after in re.findall(r"([\w, ]+) → (\w+)", moves)
        for before in befores.split(", ")
    }


def _moves(*, without: tuple[Signal, ...] = ()) -> set[tuple[str, str, str]]:
    return {
        (before.value, state_diagram.SIGNS[signal].label, after.value)
        for before, moves in TRANSITIONS.items()
        for signal, after in moves.items()
        if signal not in without
    }


def test_the_generated_blocks_are_up_to_date():
    """`python -m docs.state_diagram` has nothing to do."""
    blocks = re.findall(r"<!-- generated: (\w+) -->", PAGE)

    assert sorted(blocks) == sorted(state_diagram.BLOCKS)
    assert state_diagram.rewritten(PAGE) == PAGE


def test_a_block_that_is_out_of_date_is_rewritten():
    """Writing a block anew leaves what stands around it as it was."""
    page = "a\n<!-- generated: rests -->\nold\n<!-- end -->\nb\n"

    written = state_diagram.rewritten(page)

    assert written == page.replace("old", state_diagram.rest_table())


def test_every_move_is_listed_and_those_without_a_hand_are_drawn():
    """The table has the moves of the circuit, all of them; the drawing leaves out the manual."""
    assert _listed() == _moves()
    assert _drawn() == _moves(without=state_diagram.BY_HAND)


def test_every_signal_has_a_name_and_a_meaning_of_its_own():
    """No arrow has to be guessed at."""
    signs = state_diagram.SIGNS

    assert set(signs) == set(Signal)
    assert len({sign.label for sign in signs.values()}) == len(signs)
    assert all(sign.meaning for sign in signs.values())


def test_every_state_says_whether_it_is_available():
    """Available is who gets requests while there is a choice."""
    documented = {name.strip("`"): available for name, available, *_ in _table("state")}

    assert documented == {s.value: "yes" if s.is_usable else "no" for s in State}


def test_rests_are_those_of_the_cool_down():
    """The table of rests is what a provider gets, the default among them."""
    rows = {first: rests for first, *rests in _table("`temporary_disable_sec`")}
    jittered = rows.pop(f"{BASE:g}, with jitter")

    assert f"{BASE:g}" in rows
    for base, rests in rows.items():
        expected = [cool_down(n, base=float(base), cap=CAP) for n in range(1, len(rests) + 1)]
        assert [float(rest) for rest in rests] == expected
    for rest, around in zip(rows[f"{BASE:g}"], jittered, strict=True):
        assert around == f"{float(rest) * 0.8:g} to {rest}"


def test_giving_up_takes_as_long_as_it_says():
    """The page's example of `permanent_disable_after_attempts` is that of a dead provider."""
    found = re.search(r"with the default rests, (\d+) gives up after (\d+) s", PAGE)
    assert found
    circuit = Circuit(0, HealthPolicy(BASE, CAP, give_up_after=int(found[1])), lambda: 0.0)
    now = 0.0

    circuit.record(circuit.permit(), failed(), now)
    while circuit.state is not State.DISABLED:
        now = circuit.due
        probe = circuit.probe_permit(now)
        assert probe is not None
        circuit.record(probe, failed(), now)

    assert now == float(found[2])


def _documented_kinds() -> dict[int, str]:
    """What the page says of every status from 400 to 599; what it does not name is transient."""
    named = {
        int(number): kind.strip("`")
        for kind, which, *_ in _table("kind")
        for number in re.findall(r"\b[45]\d\d\b", which)
    }
    return {code: named.get(code, FailureKind.TRANSIENT.value) for code in range(400, 600)}


def test_statuses_are_of_the_kind_they_are_listed_under():
    """The table of failure kinds and the classification agree on every status."""
    kinds = {code: classify(status(code)).failure.kind.value for code in range(400, 600)}

    assert _documented_kinds() == kinds


def test_the_first_rest_is_that_of_the_kind():
    """Each kind of failure leads to the rest that its row gives."""
    rows = {kind.strip("`"): rest for kind, _, rest, _ in _table("kind")}

    assert set(rows) == {kind.value for kind in FailureKind}
    for kind in FailureKind:
        circuit = Circuit(0, HealthPolicy(BASE, CAP), lambda: 0.0)
        change = circuit.record(circuit.permit(), failed(kind), 0.0)
        rest = "none" if change is None else f"{change.rest:g} s"
        assert rows[kind.value].partition(",")[0] == rest


def test_defaults_are_those_of_the_options():
    """The table of defaults is that of the code."""
    defaults: dict[str, Any] = {**LLM_DEFAULTS, **TTS_DEFAULTS}

    rows = {name.strip("`"): value.strip("`") for name, value, _ in _table("option")}

    assert rows == {name: repr(defaults[name]) for name in rows}


def test_probes_send_what_the_page_says():
    """The table of probes names what is sent, and how much of it at most."""
    (ping,) = llm_adapter._PING.messages()
    rows = {row[0]: row[1:4] for row in _table("`probe=`")}

    assert rows['`"ping"` sends'][:2] == [f'"{ping.text_content}"', f'"{tts._PING}"']
    assert f"first {tts._PROBE_CHARS} characters" in rows['`"replay"` sends'][1]
    assert f"{speech._PROBE_SEC:g} s at most" in rows['`"replay"` sends'][2]
    assert f"({_probe._MAX_PROBE_SEC:g} s if there is none)" in PAGE


async def _run(names: dict[str, Any]) -> None:
    """Run the page's code from top to bottom; where a chain is first made, it is used once."""
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        is_new = "llm" not in names
        exec(compile(block, "docs/health.md", "exec"), names)
        if is_new and "llm" in names:
            await ask(names["llm"])
        names["expected"] += re.findall(r"^# (.+)$", block, re.MULTILINE)


async def _close(names: dict[str, Any]) -> None:
    for adapter in [value for value in names.values() if isinstance(value, FallbackLLM)]:
        await adapter.aclose()


@pytest.fixture
def names(census: Census) -> dict[str, Any]:
    """What the page's code takes for granted."""
    models = {
        "gpt": Model([Fail(unavailable)], [Fail(unavailable)], [Fail(bad_request)]),
        "llama": Model(),
        "workflow": Model(),
    }
    for name, model in models.items():
        model.name = model._label = name
        model.journal = []
    census.watch(*models.values())
    return {**models, "status_page": SimpleNamespace(), "expected": []}


async def test_the_code_runs_and_prints_what_it_says(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    """Every block of code works, in the order of the page."""
    await _run(names)
    printed = capsys.readouterr().out.splitlines()
    await _close(names)

    assert names["expected"]
    assert printed == names["expected"]


async def test_the_hooks_are_called(names: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    """What the page attaches to an adapter tells of a failover, and stops another."""
    await _run(names)
    capsys.readouterr()

    await ask(names["llm"])
    with pytest.raises(Exception, match="status 400"):
        await ask(names["strict"])
    await _close(names)

    assert "gpt healthy cooling_down http_503 5.0" in (printed := capsys.readouterr().out)
    assert "from gpt to llama" in printed
