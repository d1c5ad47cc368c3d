"""`troupe upgrade check`: what it says of a log that this version goes on with, and of one that it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from actors import casting
from actors.cli.exits import Exit
from actors.cli.main import main
from actors.cli.upgrade import WORKS
from actors.host import assemble
from actors.roles.playbook import load_playbooks
from actors.runtime.kind import Kinds
from actors.services.metrics import ServiceMetrics
from actors.services.tools import effects as tools
from actors.services.tools.catalogue import CATALOGUE
from eventstore.postgres.store import PostgresStore
from protocol.memory import Remember
from tests.kit.counting import KINDS, Add
from tests.kit.turns import Turns

MINE: Kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))


@pytest.fixture
def written(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, Any, Kinds], None]:
    """Tell an actor of the log something."""
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)

    async def tell(kind: str, command: Any, kinds: Kinds) -> None:
        async with PostgresStore.open(database) as store:
            await (await Turns.of(store, kinds)).tell(kind, "one", command)

    return lambda kind, command, kinds: anyio.run(tell, kind, command, kinds)


def test_a_log_that_goes_on_and_one_that_does_not(
    written: Callable[[str, Any, Kinds], None], capfd: pytest.CaptureFixture[str]
) -> None:
    written("memory", Remember("note", "architect", "t1", "text"), MINE)
    assert main(["upgrade", "check"]) == Exit.OK
    heard = capfd.readouterr()
    assert heard.out == ""
    assert "1 actors with 1 events; 1 commands decided again" in heard.err
    assert "Nothing would diverge." in heard.err
    written("counter", Add(1), KINDS)  # By a version that had such a kind.
    assert main(["upgrade", "check"]) == Exit.DIVERGENCE
    said = capfd.readouterr().out.splitlines()
    assert said == ["demo/counter/one  version 1  the kind: expected counter; now there is none of that name"]
    assert main(["upgrade", "check", "--kind", "memory", "--sample", "3"]) == Exit.OK
    capfd.readouterr()
    assert main(["upgrade", "check", "--json"]) == Exit.DIVERGENCE
    answer = json.loads(capfd.readouterr().out)
    assert answer["diverging"] == [
        {
            "actor": "demo/counter/one",
            "version": 1,
            "what": "the kind",
            "expected": "counter",
            "now": "there is none of that name",
        }
    ]
    assert (answer["actors"], answer["commands_decided"], answer["pending"]) == (1, 1, 0)
    assert main(["upgrade", "check", "--kind", "nonsense"]) == Exit.USAGE
    assert "memory" in capfd.readouterr().err
    assert main(["upgrade", "check", "--sample", "-1"]) == Exit.USAGE


def test_the_works_are_those_of_the_performers() -> None:
    nothing: Any = object()
    metrics = ServiceMetrics(CollectorRegistry(), CATALOGUE)
    ports = tools.Ports(nothing, CATALOGUE, Path(), nothing, {})
    _, performers = assemble(load_playbooks(tools=CATALOGUE.keys()), ports, nothing, metrics)
    assert {kind: performer.work for kind, performer in performers.items()} == WORKS
