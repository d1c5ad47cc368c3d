"""What the boards are read as, of a real PostgreSQL: agents with queue and uptime, what blocks a role, a history."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from projections import agent_board, artifacts, decisions, task_board, task_history, timeline
from projections.projector import Projector
from projections.queries import Queries
from projections.storing import columns_of, made, select_sql
from projections.view import View
from tests.kit.board_run import BEGIN, Happened, arbitrary_run, recorded, small_run, troubled_run
from tests.kit.folds import rows_of

BOARDS: tuple[View, ...] = (
    task_board.VIEW, task_history.VIEW, agent_board.VIEW, artifacts.VIEW, decisions.VIEW, timeline.VIEW,
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def fold(store: PostgresStore, run: list[Happened]) -> Queries:
    for happened in run:
        await store.append(happened.address, [happened.new()])
    await Projector(store, store.pool, BOARDS, page_events=7).catch_up()
    return Queries(store, store.pool)


@pytest.mark.parametrize("seed", range(3))
async def test_the_tables_hold_what_a_fold_in_memory_gives(store: PostgresStore, seed: int) -> None:
    run = [*troubled_run(), *arbitrary_run(seed, 200)]
    await fold(store, run)
    schema = await store.pool.fetchval("select current_schema()")
    for view in BOARDS:
        for table in view.tables:
            records = await store.pool.fetch(select_sql(schema, table))
            stored = {table.key_of(row): row for row in (made(table, columns_of(table), each) for each in records)}
            assert stored, table.name
            assert stored == {table.key_of(row): row for row in rows_of(view, table, run)}, table.name


async def test_an_agents_figures_are_those_of_its_time(store: PostgresStore) -> None:
    run = troubled_run()
    parked = next(n for n, each in enumerate(run) if each.address.kind == "runtime")
    queries = await fold(store, run[: parked + 1])
    known = next(each.second for each in run if each.new().type == "registry.registered.v1")
    (row,) = await queries.agents("demo", at=BEGIN + timedelta(seconds=known + 10))
    assert (row.queue_depth, row.parked, row.average_seconds, row.errors) == (2, 1, None, 0)
    since_parked = known + 10 - run[parked].second
    assert row.uptime == pytest.approx(1 - since_parked / 10)

    queries = await fold(store, run[parked + 1 :])
    (row,) = await queries.agents("demo", at=BEGIN + timedelta(seconds=known + 100))
    assert (row.queue_depth, row.parked, row.done, row.in_flight) == (0, 0, 1, 1)
    assert row.average_seconds == 11.0
    assert row.uptime == pytest.approx(1 - 3 / 100), "parked for one second, and for two"
    (early,) = await queries.agents("demo", at=BEGIN)
    assert early.uptime is None, "it was not known yet"
    (today,) = await queries.agents("demo")
    assert today.uptime == pytest.approx(1.0, abs=1e-3)
    assert await queries.agents("other") == []


async def test_a_role_names_what_blocks_it_and_whom_it_blocks(store: PostgresStore) -> None:
    run = troubled_run()
    over = next(n for n, each in enumerate(run) if each.new().type == "role.delivered.v1")
    queries = await fold(store, run[:over])
    detail = await queries.task("demo", "t1")
    assert detail is not None
    assert [(row.role, row.status, row.blocked_by, row.blocks) for row in detail.roles] == [
        ("tester", "working", (), ("decision-maker",)),
        ("decision-maker", "waiting", ("tester",), ()),
    ]
    queries = await fold(store, run[over : over + 1])
    detail = await queries.task("demo", "t1")
    assert detail is not None
    assert [(row.role, row.needs, row.blocked_by, row.blocks) for row in detail.roles] == [
        ("tester", (), (), ()),
        ("decision-maker", ("tester",), (), ()),
    ]


async def test_a_history_is_read_page_by_page(store: PostgresStore) -> None:
    queries = await fold(store, [*small_run(), *small_run(project="other")])
    whole = await queries.task_history("demo", "t1")
    assert [line.position for line in whole] == [
        row.position for row in rows_of(task_history.VIEW, task_history.HISTORY, small_run())
    ]
    assert (whole[0].happened, whole[0].event, whole[0].at) == ("submitted", "task/t1@1", BEGIN)
    assert (whole[-1].happened, whole[-1].detail) == ("concluded", "completed, hold")
    pages = [await queries.task_history("demo", "t1", limit=10)]
    while pages[-1]:
        pages.append(await queries.task_history("demo", "t1", after=pages[-1][-1].position, limit=10))
    assert [line for page in pages for line in page] == whole
    assert await queries.task_history("demo", "t9") == []


async def test_what_one_command_led_to_is_one_range_of_the_timeline(store: PostgresStore) -> None:
    """By the plan of PostgreSQL: the key's index and nothing to sort."""
    run = troubled_run()
    await fold(store, run)
    connection = await store.pool.acquire()
    try:
        await connection.execute("set enable_seqscan = off")
        statement = "select position, type from timeline where project = $1 and correlation = $2 order by position"
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain {statement}", "demo", "t3"))
        rows = await connection.fetch(statement, "demo", "t3")
    finally:
        await store.pool.release(connection)
    assert "timeline_pkey" in plan
    assert "Sort" not in plan
    assert [row["position"] for row in rows] == [each.position for each in recorded(run) if each.correlation == "t3"]
