"""`troupe projection`: where the views stand, whether they are what the log says, and building them anew."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from actors.cli.exits import Exit
from actors.cli.main import main
from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS
from tests.kit.board_run import small_run
from tests.kit.views import append


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str]:
    """The DSN of a log with one run, folded."""
    async with PostgresStore.open(database) as store:
        await append(store, small_run())
        await Projector(store, store.pool, VIEWS).catch_up()
        await append(store, small_run(task="t2")[:3])  # Not folded yet.
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)
    yield database


async def changed(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "troupe"})
    try:
        for statement in statements:
            assert (await connection.execute(statement)).split()[-1] != "0", "nothing was changed"
    finally:
        await connection.close()


def lines(capfd: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK) -> list[Any]:
    assert main(["projection", *arguments, "--json"]) == code
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_where_the_views_stand(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    (rows,) = lines(capfd, "list")
    assert [row["name"] for row in rows] == sorted(view.name for view in VIEWS)
    assert {(row["lag_events"], row["lag_s"] > 0, row["quarantined"]) for row in rows} == {(3, True, 0)}
    assert {row["verified_at"] for row in rows} == {None}
    assert main(["projection", "list"]) == Exit.OK
    assert "never" in capfd.readouterr().out


def test_a_view_that_was_tampered_with_is_found_and_built_anew(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert {row["differing"] for row in lines(capfd, "verify")} == {0}
    change = changed(
        log,
        "update tasks set title = 'another' where task = 't1'",
        "delete from task_roles where role = 'tester'",
        "update agents set done = done + 1 where agent = 'architect-1'",
    )
    asyncio.run(change)
    board, agents = lines(capfd, "verify", "task_board", "agent_board", code=Exit.DIVERGENCE)
    assert (board["differing"], agents["differing"]) == (2, 1)
    found = {row["table"]: row for row in board["differences"]}
    assert found["tasks"]["key"] == {"project": "demo", "task": "t1"}
    assert (found["tasks"]["served"]["title"], found["tasks"]["position"] > 0) == ("another", True)
    assert found["task_roles"]["served"] is None
    (rows,) = lines(capfd, "list")
    assert {row["name"]: row["verified_differences"] for row in rows if row["verified_differences"]} == {
        "task_board": 2, "agent_board": 1,
    }  # fmt: skip
    assert main(["projection", "verify", "task_board"]) == Exit.DIVERGENCE
    said = capfd.readouterr()
    assert 'title is "another", the log says "review' in said.out
    assert "projection rebuild" in said.err
    rebuilt = lines(capfd, "rebuild", "task_board", "agent_board")
    assert [row["view"] for row in rebuilt] == ["task_board", "agent_board"]
    assert {row["differing"] for row in lines(capfd, "verify")} == {0}


def test_an_unknown_view(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("rebuild", "verify"):
        assert main(["projection", command, "task_bored"]) == Exit.NOT_FOUND
        assert "task_board" in capfd.readouterr().err
