"""`troupe fork --compare`: what it says of a log that today's code decides as it was decided, and of one that it does
not; and the arguments of `troupe fork`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors import casting
from actors.cli.exits import Exit
from actors.cli.main import main
from actors.roles.playbook import load_playbooks
from actors.runtime.kind import Kinds
from actors.services.tools.catalogue import CATALOGUE
from eventstore.postgres.store import PostgresStore
from protocol.memory import Memory, Remember, Remembered
from protocol.message import Event
from tests.kit.turns import Turns

MINE: Kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))


@pytest.fixture
def written(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A log with commands that were accepted, silent and refused. The DSN."""
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)

    async def tell() -> None:
        async with PostgresStore.open(database) as store:
            turns = await Turns.of(store, MINE)
            await turns.tell("memory", "one", Remember("note", "architect", "t1", "text"))
            await turns.tell("memory", "one", Remember("note", "architect", "t1", "text"))
            await turns.tell("memory", "one", Remember("", "architect", "t1", "text"))

    anyio.run(tell)
    return database


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Change what memories decide today."""

    def change(decide: Any) -> None:
        changed = {**MINE, "memory": replace(MINE["memory"], decide=decide)}

        def kinds(_: object) -> Kinds:
            return changed

        monkeypatch.setattr(casting, "kinds", kinds)

    return change


def takes_all(_: Any, command: Remember) -> tuple[Event, ...]:
    return (Remembered(Memory(command.subject, command.role, "t2", command.text)),)


def test_the_code_that_wrote_a_log_decides_it_the_same(written: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fork", "--compare"]) == Exit.OK
    heard = capfd.readouterr()
    assert heard.out == ""
    assert "positions 1 to 1: 3 commands of 1 actors decided again. Every decision is the same." in heard.err
    assert main(["fork", "--compare", "--json"]) == Exit.OK
    answer = json.loads(capfd.readouterr().out)
    assert (answer["compared"], answer["differing"], answer["not_compared"], answer["differences"]) == (3, 0, {}, [])


def test_each_decision_that_differs_is_reported(
    written: str, today: Callable[[Any], None], capfd: pytest.CaptureFixture[str]
) -> None:
    today(takes_all)
    assert main(["fork", "--compare"]) == Exit.DIVERGENCE
    heard = capfd.readouterr()
    said = heard.out.splitlines()
    assert said[0] == "memory.remember.v1 to memory: 3 of 3 would be decided otherwise"
    assert sum("demo/memory/one@1" in line for line in said) == 3
    assert sum(line.startswith("    event 1 memory.remembered.v1: memory: {") for line in said) == 1
    assert said.count("    then: silence") == said.count("    then: refused: empty") == 1
    assert said.count("    now:  memory.remembered.v1") == 2
    assert "3 differences." in heard.err

    assert main(["fork", "--compare", "--kind", "memory", "--json"]) == Exit.DIVERGENCE
    answer = json.loads(capfd.readouterr().out)
    assert answer["groups"] == [{"kind": "memory", "type": "memory.remember.v1", "compared": 3, "differing": 3}]
    by_then = {each["then"]: each for each in answer["differences"]}
    assert by_then.keys() == {"memory.remembered.v1", "silence", "refused: empty"}
    accepted = by_then["memory.remembered.v1"]
    assert (accepted["command"], accepted["position"], accepted["version"]) == ("memory-1", 1, 1)
    (changed,) = accepted["fields"]
    assert (changed["field"], changed["then"]["task"], changed["now"]["task"]) == ("memory", "t1", "t2")
    assert by_then["refused: empty"]["command"] == "memory-3"
    assert all(each["at"] for each in answer["differences"])


def test_a_range_is_compared_alone(
    written: str, today: Callable[[Any], None], capfd: pytest.CaptureFixture[str]
) -> None:
    today(takes_all)
    assert main(["fork", "--compare", "--kind", "task"]) == Exit.OK
    assert main(["fork", "--compare", "--until", "2020-01-01T00:00:00Z"]) == Exit.OK
    assert main(["fork", "--compare", "--since", "2020-01-01T00:00:00Z"]) == Exit.DIVERGENCE
    capfd.readouterr()
    assert main(["fork", "--compare", "--at", "1", "--json"]) == Exit.DIVERGENCE
    answer = json.loads(capfd.readouterr().out)
    assert {each["then"] for each in answer["differences"]} == {"silence", "refused: empty"}
    assert (answer["first"], answer["last"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--compare", "--from", "9"], "positions are 1 to 1"),
        (["--compare", "--from", "0"], "positions are 1 to 1"),
        (["--compare", "--to", "2"], "positions are 1 to 1"),
        (["--compare", "--at", "1", "--from", "1"], "choose one"),
        (["--compare", "--since", "yesterday"], "--since"),
        (["--compare", "--open"], "--compare makes no fork"),
        (["--compare", "--name", "x"], "--compare makes no fork"),
        (["--at", "1", "--from", "1"], "are for --compare"),
        (["--open"], "--at POSITION"),
        ([], "--at POSITION"),
    ],
)
def test_what_cannot_be_asked(
    written: str, arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["fork", *arguments]) == Exit.USAGE
    heard = capfd.readouterr()
    assert (heard.out, heard.err.count("\n")) == ("", 1)
    assert words in heard.err
