"""`troupe replay --state` and `--diff`, and `troupe trace`: what they say of a real log, without a company."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors import casting
from actors.cli.exits import Exit
from actors.cli.main import main
from actors.cli.trace import gather
from actors.keyrings import MasterFiles
from actors.roles.playbook import load_playbooks
from actors.runtime.kind import Kinds
from actors.services.tools.catalogue import CATALOGUE
from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent
from projections import timeline
from projections.moments import moments
from projections.projector import Projector
from protocol.memory import Memory, Remembered
from protocol.personal import ERASED, is_sealed
from protocol.subjects import Address
from protocol.task import SubmitTask, TaskConcluded, TaskSubmitted
from tests.kit.board_run import Happened
from tests.kit.keys import sealed
from tests.kit.turns import Turns
from tests.kit.units import NOON

MINE: Kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
CONTACT = "anna@example.org"
COMPANY = [
    Address("demo", kind, name)
    for kind, name in (("orchestrator", "t1"), ("memory", "main"), ("registry", "main"), ("router", "t1"))
]


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[PostgresStore]:
    """An empty log that the command line reads."""
    for name, value in (("POSTGRES_URL", database), ("PROJECT", "demo"), ("STATE", str(tmp_path / "state"))):
        monkeypatch.setenv(f"TROUPE_{name}", value)
    monkeypatch.delenv("TROUPE_MASTER_KEY", raising=False)
    async with PostgresStore.open(database) as store:
        yield store


@pytest_asyncio.fixture(loop_scope="session")
async def histories(log: PostgresStore, tmp_path: Path) -> PostgresStore:
    """A task at positions 1 and 3, memories at 2 and 4, and an event of tomorrow's code at 5; the contact is sealed."""
    keyring = await MasterFiles(tmp_path / "state").keyring(log)
    contact = await sealed(keyring, "p1", CONTACT)
    task, memory = Address("demo", "task", "t1"), Address("demo", "memory", "main")
    run = (
        (task, TaskSubmitted("greet\x1b", "", "p1", contact)),
        (memory, Remembered(Memory("/srv", "tester", "t0", "its tests fail"))),
        (task, TaskConcluded("completed")),
        (memory, Remembered(Memory("/srv", "tester", "t1", "its tests pass"))),
    )
    for second, (address, event) in enumerate(run):
        await log.append(address, [Happened(address, event, "t1", second).new()])
    tomorrow = NewEvent("registry.of_tomorrow.v1", b"{}", NOON, "t1", "c")
    await log.append(Address("demo", "registry", "main"), [tomorrow])
    return log


def shown(capfd: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK) -> Any:
    assert main(["replay", "--state", *arguments, "--json"]) == code
    said = capfd.readouterr().out
    assert said.count("\n") == 1
    return json.loads(said)


def test_a_state_at_any_position(histories: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    now = shown(capfd, "task", "t1")
    assert (now["position"], now["version"], now["event"], now["state"]["phase"]) == (5, 2, 3, "concluded")
    assert now["made"] == {"snapshot": 0, "events_folded": 2}
    then = shown(capfd, "task", "t1", "--at", "2")
    assert (then["position"], then["version"], then["event"], then["state"]["phase"]) == (2, 1, 1, "active")
    assert main(["replay", "--state", "task", "t1", "--at", "2"]) == Exit.OK
    told = capfd.readouterr()
    assert "\x1b" not in told.out
    assert json.loads(told.out) == then, "the same, in lines for people"
    assert "version 1, whose event is at 1; folded from 1 events" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("task nobody", Exit.NOT_FOUND, "demo/task/nobody has no event"),
        ("task t1 --at 9", Exit.NOT_FOUND, "--at 9: the log's last position is 5"),
        ("task t1 --at 0", Exit.USAGE, "--at 0: positions count from 1"),
        ("memory main --at 1", Exit.NOT_FOUND, "was not there at position 1: its first event is at 2"),
        ("memory main --diff 0 1", Exit.NOT_FOUND, "was not there at position 1"),
        ("memory main --diff 2 9", Exit.NOT_FOUND, "--diff 9: the log's last position is 5"),
        (
            "registry main",
            Exit.DIVERGENCE,
            "this version cannot fold the history of demo/registry/main: registry/main@1",
        ),
    ],
)
def test_what_there_is_not_is_said(
    histories: PostgresStore, arguments: str, code: Exit, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--state", *arguments.split()]) == code
    told = capfd.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err


def test_personal_text_is_opened_as_in_a_replay(
    histories: PostgresStore, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert shown(capfd, "task", "t1")["state"]["contact"] == CONTACT
    assert is_sealed(shown(capfd, "task", "t1", "--sealed")["state"]["contact"])
    changed = shown(capfd, "task", "t1", "--diff", "0", "1")
    assert {"op": "replace", "path": "/contact", "value": CONTACT, "before": ""} in changed["changes"]
    assert changed["events"][0]["body"]["contact"] == CONTACT
    (tmp_path / "state/secrets/master").unlink()
    assert main(["replay", "--state", "task", "t1", "--json"]) == Exit.OK
    told = capfd.readouterr()
    assert is_sealed(json.loads(told.out)["state"]["contact"])
    assert "as it is stored" in told.err


@pytest_asyncio.fixture(loop_scope="session")
async def forgotten(histories: PostgresStore, tmp_path: Path) -> None:
    await MasterFiles(tmp_path / "state").reading(histories).forget("demo", "p1", NOON.replace(year=2100))


def test_what_was_forgotten_is_erased(forgotten: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(capfd, "task", "t1", "--at", "1")["state"]["contact"] == ERASED


def test_what_changed_between_two_positions(histories: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    found = shown(capfd, "memory", "main", "--diff", "2", "4")
    assert (found["positions"], found["versions"]) == ([2, 4], [1, 2])
    (change,) = found["changes"]
    assert (change["op"], change["path"], change["value"]["text"]) == ("add", "/memories/1", "its tests pass")
    assert [(each["position"], each["event"]) for each in found["events"]] == [(4, "memory/main@2")]
    assert main(["replay", "--state", "task", "t1", "--diff", "1", "3"]) == Exit.OK
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "demo/task/t1 from position 1 (version 1) to 3 (version 2)"
    assert lines[1].split()[0] == "3"
    assert lines[-1] == '/phase: "active" -> "concluded"'
    assert main(["replay", "--state", "task", "t1", "--diff", "3", "5"]) == Exit.OK
    assert capfd.readouterr().out.splitlines()[-1] == "The state is the same."


def test_a_folder_and_an_actor_may_both_be_named(
    histories: PostgresStore, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "another"))
    folder = str(tmp_path / "state")
    assert shown(capfd, folder, "--state", "task", "t1")["state"]["contact"] == CONTACT
    assert main(["replay", "--state", folder, "--to", "1"]) == Exit.OK
    assert json.loads(capfd.readouterr().out)["body"]["contact"] == CONTACT


@pytest_asyncio.fixture(loop_scope="session")
async def work(log: PostgresStore) -> PostgresStore:
    """A task as far as its first completion, which is under way, and events of others before and behind."""
    turns, other = await Turns.of(log, MINE), Address("demo", "task", "t0")
    await log.append(Address("demo", "notes", "n1"), [NewEvent("x.y.v1", b"{}", NOON, "t0", "c")] * 5)
    await turns.tell("task", "t1", SubmitTask("greet"))
    await turns.deliver(*COMPANY)
    await turns.tell("task", other.name, SubmitTask("another"))
    return log


def test_a_trace_of_what_is_under_way(work: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "t1", "--json"]) == Exit.OK
    told = json.loads(capfd.readouterr().out)
    root, orchestrator = told["steps"][:2]
    assert (root["origin"], root["type"], root["outcome"]) == ("outside", "task.submit.v1", "accepted")
    assert (orchestrator["parent"], orchestrator["cause"]) == (1, "task/t1@1")
    assert [each["type"] for each in orchestrator["events"]] == ["role.assigned.v1"]
    types = [each["type"] for step in told["steps"] for each in step["events"]]
    assert types[-1] == "router.completion_asked.v1"
    assert told["events"] == len(types)
    assert not [step for step in told["steps"] if step["unattached"]]
    (effect,) = told["waiting"]
    assert (effect["kind"], effect["cause"], effect["claimed"]) == ("completion", "router/t1@1", False)
    assert main(["trace", "t1"]) == Exit.OK
    text = capfd.readouterr().out
    assert "task  submitted  <- task.submit.v1 from outside, task-1" in text
    assert "completion router/t1@1.0: waits, attempt 0" in text
    assert f"{len(told['steps'])} commands led to {len(types)} events" in text
    assert main(["trace", "nothing"]) == Exit.NOT_FOUND
    assert "no event of the project demo has the correlation nothing" in capfd.readouterr().err


async def test_the_timeline_spares_looking_at_the_whole_log(work: PostgresStore) -> None:
    assert await moments(work.pool, "demo", "t1", 9) == (0, []), "it was never built"
    without = await gather(work, "demo", "t1")
    await Projector(work, work.pool, [timeline.VIEW]).catch_up()
    head = await work.head()
    positions = [each.position for step in without.steps for each in step.events]
    assert await moments(work.pool, "demo", "t1", 99) == (head, sorted(positions))
    assert await moments(work.pool, "demo", "t1", 2) == (head, sorted(positions)[:2])
    late = Address("demo", "notes", "n2")
    await work.append(late, [NewEvent("x.y.v1", b"{}", NOON, of, "late") for of in ("t0", "t1")])
    found = await gather(work, "demo", "t1")
    assert found.head == head + 2
    assert [step.first.position for step in found.steps] == [
        *(step.first.position for step in without.steps), head + 2
    ], "what the timeline does not have yet is looked for"  # fmt: skip
