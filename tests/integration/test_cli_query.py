"""`troupe query`: what it prints of a real log, and what a running company answers to the same question over NATS."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from actors.cli.client import Asker
from actors.cli.exits import Exit
from actors.cli.main import main
from actors.host import Settings, company
from actors.keyrings import MasterFiles
from eventstore.postgres.store import PostgresStore
from projections.listings import LISTINGS
from protocol.personal import ERASED, is_sealed
from protocol.query import Answer
from protocol.subjects import Address, query_subject
from protocol.task import SubmitTask, TaskSubmitted
from tests.kit.board_run import Happened, small_run
from tests.kit.company import PATIENCE_S
from tests.kit.keys import sealed
from tests.kit.units import NOON

CONTACT = "anna@example.org"


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[PostgresStore]:
    """A log with one run, and with a task whose contact is sealed; the command line reads it."""
    state = tmp_path / "state"
    for name, value in (("POSTGRES_URL", database), ("PROJECT", "demo"), ("STATE", str(state))):
        monkeypatch.setenv(f"TROUPE_{name}", value)
    monkeypatch.delenv("TROUPE_MASTER_KEY", raising=False)
    async with PostgresStore.open(database) as store:
        keyring = await MasterFiles(state).keyring(store)
        submitted = TaskSubmitted("greet", "", "p1", await sealed(keyring, "p1", CONTACT))
        for happened in (*small_run(), Happened(Address("demo", "task", "t9"), submitted, "t9", 1_000)):
            await store.append(happened.address, [happened.new()])
        yield store


def ask(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["query", *arguments, "--json"]) == Exit.OK
    said = capfd.readouterr().out
    assert said.count("\n") == 1
    return json.loads(said)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["query", *arguments])
    said = capfd.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    return code, said.err


def test_without_a_view_the_views_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["query"]) == Exit.OK
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(LISTINGS)
    assert main(["query", "--json"]) == Exit.OK
    told = {each["view"]: each for each in json.loads(capfd.readouterr().out)}
    assert told["task_board"] == {
        "view": "task_board", "filters": ["task", "status"], "time": "submitted_at", "fails": True,
    }  # fmt: skip


def test_a_view_is_asked_by_page_filter_and_failure(log: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    whole = ask(capfd, "task_history", "--limit", "500")
    assert (whole["view"], whole["position"], whole["next"]) == ("task_history", len(small_run()) + 1, "")
    rows, after = list[Any](), ""
    while True:
        page = ask(capfd, "task_history", "--limit", "7", "--after", after)
        rows += page["rows"]
        if not (after := page["next"]):
            break
    assert rows == whole["rows"]
    failed = ask(capfd, "task_board.roles", "--failed", "--where", "task=t1")["rows"]
    assert {row["status"] for row in failed} == {"failed"}
    (tester,) = (row for row in failed if row["role"] == "tester")
    assert ask(capfd, "task_board.roles", "--where", "task=t1", "--where", "role=tester")["rows"] == [tester]
    late = ask(capfd, "task_board", "--since", "2026-01-31T12:16:00Z", "--until", "2026-02-01T00:00:00+00:00")
    assert [row["task"] for row in late["rows"]] == ["t9"]
    assert ask(capfd, "task_board", "--project", "other")["rows"] == []


def test_it_is_a_table_for_people(log: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "task_board.roles", "--where", "task=t1", "--limit", "2"]) == Exit.OK
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert (len(lines), "role" in lines[0], "project" in lines[0]) == (3, True, False)
    assert "--after " in said.err
    assert main(["query", "decisions", "--where", "what=plan"]) == Exit.OK
    assert '"tester"' in capfd.readouterr().out


def test_personal_text_is_opened_as_everywhere(
    log: PostgresStore, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ("task_board", "--where", "task=t9")
    (row,) = ask(capfd, *asked)["rows"]
    assert (row["person"], row["contact"]) == ("p1", CONTACT)
    assert is_sealed(ask(capfd, *asked, "--sealed")["rows"][0]["contact"])
    (tmp_path / "state/secrets/master").unlink()
    assert main(["query", *asked, "--json"]) == Exit.OK
    said = capfd.readouterr()
    assert is_sealed(json.loads(said.out)["rows"][0]["contact"])
    assert "as it is stored" in said.err


@pytest_asyncio.fixture(loop_scope="session")
async def forgotten(log: PostgresStore, tmp_path: Path) -> None:
    await MasterFiles(tmp_path / "state").reading(log).forget("demo", "p1", NOON.replace(year=2100))


def test_what_was_forgotten_is_erased(forgotten: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(capfd, "task_board", "--where", "task=t9")["rows"][0]["contact"] == ERASED


def test_a_position_is_waited_for(log: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    head = ask(capfd, "event_counts")["position"]
    assert ask(capfd, "event_counts", "--at-least", str(head))["position"] == head
    code, said = refused(capfd, "event_counts", "--at-least", str(head + 1), "--wait", "0.05")
    assert (code, f"stands at {head}" in said) == (Exit.UNAVAILABLE, True)


MISTAKES = (
    ("nope", "ask for agent_board,"),
    ("task_board --where status", "NAME=VALUE"),
    ("task_board --where =x", "NAME=VALUE"),
    ("task_board --where contact=x", "use task, status"),
    ("task_board.roles --where role=tester", "only together with task"),
    ("task_board --limit 0", "--limit 0"),
    ("task_board --limit 501", "--after"),
    ("task_board --since yesterday", "--since 'yesterday'"),
    ("task_board --until 2026-01-31T12:00:00", "no time zone"),
    ("task_board --after x", "no cursor of task_board"),
    ("timeline --failed", "ever failed"),
    ("usage --where day=tomorrow", "day='tomorrow'"),
    ("task_board --wait 0", "timeout_s"),
)


def test_a_mistake_is_told_in_one_line(log: PostgresStore, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, words in MISTAKES:
        code, said = refused(capfd, *arguments.split())
        assert (code, words in said) == (Exit.USAGE, True), said


async def test_who_writes_reads_its_own_write_over_nats(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state", project="demo", advisories_url="http://127.0.0.1:9", metrics_port=0)
    async with (
        company(settings) as running,
        Asker.open(running.nats_url, running.nats_token, settings.root) as asker,
    ):
        for number in range(5):
            name = f"t{number}"
            reply = await asker.command(Address("demo", "task", name), SubmitTask("greet", "", "p1", CONTACT))
            asked = {"project": "demo", "where": {"task": name}, "at_least": reply.position}
            said = await asker.client.request(
                query_subject("task_board", settings.root), msgspec.json.encode(asked), timeout=PATIENCE_S
            )
            assert said.headers is None, said.headers
            assert CONTACT.encode() not in said.data
            answer = msgspec.json.decode(said.data, type=Answer)
            assert answer.position >= reply.position
            assert [(row["task"], row["title"], is_sealed(row["contact"])) for row in answer.rows] == [
                (name, "greet", True)
            ]
