"""`verify_view`: a view is compared with a fold of its own log, also while it is folded, rebuilt, or left behind."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import anyio
import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent
from projections import task_board, tool_runs, usage
from projections.errors import PoisonEvent, ViewMissing
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.rebuild import rebuild
from projections.verify import verify_view
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, arbitrary_run, small_run
from tests.kit.views import append, running

POISON = NewEvent("tools.called.v1", b'{"type":"tools.called.v1"}', BEGIN, "t1", "c1")


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def temporary(store: PostgresStore) -> int:
    found: int = await store.pool.fetchval("select count(*) from pg_class where relpersistence = 't'")
    return found


async def test_a_view_is_equal_while_it_is_folded_and_built_anew(store: PostgresStore) -> None:
    """Every round sees the view at one position, whatever is written and swapped in meanwhile."""
    await append(store, small_run())
    positions: list[int] = []

    async def write() -> None:
        for seed in range(4):
            await append(store, arbitrary_run(seed, 40))
            await rebuild(store, store.pool, task_board.VIEW)

    await Projector(store, store.pool, VIEWS).catch_up()
    async with running(Projector(store, store.pool, VIEWS, page_events=5)), anyio.create_task_group() as group:
        group.start_soon(write)
        for _ in range(6):
            verified = await verify_view(store, store.pool, task_board.VIEW)
            assert verified.differing == 0
            positions.append(verified.position)
    assert positions == sorted(positions)
    assert await temporary(store) == 0


async def test_a_changed_a_missing_and_an_invented_row_are_named(store: PostgresStore) -> None:
    await append(store, small_run())
    await Projector(store, store.pool, [usage.VIEW]).catch_up()
    await store.pool.execute("update llm_usage set tokens_in = tokens_in + 1 where role = 'tester'")
    await store.pool.execute("delete from llm_usage_agents where role = 'architect'")
    await store.pool.execute(
        "insert into llm_usage_agents (project, task, role, agent, position, at) "
        "values ('demo', 'x', 'y', 'z', 3, now())"
    )
    found = await verify_view(store, store.pool, usage.VIEW)
    assert found.differing == len(found.differences) >= 3
    shapes = {(row.table, row.served is None, row.folded is None) for row in found.differences}
    assert shapes == {
        ("llm_usage", False, False), ("llm_usage_agents", True, False), ("llm_usage_agents", False, True),
    }  # fmt: skip
    (standing,) = await Queries(store, store.pool).standing()
    assert (standing.verified_differences, standing.verified_position) == (found.differing, await store.head())
    await rebuild(store, store.pool, usage.VIEW)
    (standing,) = await Queries(store, store.pool).standing()
    assert standing.verified_at is None, "nothing is said of the new tables"


async def test_what_is_left_out_is_compared_too(store: PostgresStore) -> None:
    view = replace(tool_runs.VIEW, on_error="quarantine")
    await append(store, small_run())
    await store.append(Address("demo", "tools", "t9"), [POISON])
    await append(store, small_run(task="t2"))
    await Projector(store, store.pool, [view]).catch_up()
    assert (await verify_view(store, store.pool, view)).differing == 0
    await store.pool.execute("delete from view_quarantines")
    (gone,) = (await verify_view(store, store.pool, view)).differences
    assert (gone.table, gone.key["name"], gone.served) == ("view_quarantines", "t9", None)
    assert await temporary(store) == 0


async def test_a_view_that_is_not_there_or_stopped(store: PostgresStore) -> None:
    with pytest.raises(ViewMissing, match="not there"):
        await verify_view(store, store.pool, usage.VIEW)
    await append(store, small_run())
    await Projector(store, store.pool, [usage.VIEW]).catch_up()
    with pytest.raises(ViewMissing, match="at version"):
        await verify_view(store, store.pool, replace(usage.VIEW, version=usage.VIEW.version + 1))
    # Behind an event that it cannot fold a view is compared up to where it stands.
    await Projector(store, store.pool, [tool_runs.VIEW]).catch_up()
    await store.append(Address("demo", "tools", "t9"), [POISON])
    with pytest.raises(PoisonEvent):
        await Projector(store, store.pool, [tool_runs.VIEW]).catch_up()
    verified = await verify_view(store, store.pool, tool_runs.VIEW)
    assert (verified.differing, verified.position) == (0, await store.head() - 1)
