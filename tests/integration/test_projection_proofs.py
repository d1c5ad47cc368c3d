"""Whatever way a view was folded, its rows are those of one fold of the log in memory: for every view, on a real
PostgreSQL. Also when its projector is killed at any await, when several fold at once, when an event is poisonous, and
while a new version is built under load."""

import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import Log, NewEvent, Recorded
from projections import agent_board, folding, task_board, tool_runs
from projections.errors import PoisonEvent, ViewMissing
from projections.fold import folded
from projections.projector import Projector
from projections.quarantine import quarantined
from projections.queries import VIEWS, Queries
from projections.rebuild import rebuild
from projections.rows import Rows as RowsInHand
from projections.storing import columns_of, made, select_sql
from projections.table import Row, Table
from projections.verify import verify_view
from projections.view import View
from protocol.message import Event
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, Happened, arbitrary_run, small_run, troubled_run
from tests.kit.mortal import Killed, Life, mortal
from tests.kit.views import NEWER, SIGNAL_S, append, at_version, running

Rows = dict[Table[Any], dict[tuple[Any, ...], Row]]
POISON = NewEvent("tools.called.v1", b'{"type":"tools.called.v1"}', BEGIN, "t1", "c1")


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def in_database(store: PostgresStore, view: View) -> Rows:
    found: Rows = {}
    for table in view.tables:
        records = await store.pool.fetch(select_sql(store.schema, table))
        rows = [made(table, columns_of(table), record) for record in records]
        found[table] = {table.key_of(row): row for row in rows}
    return found


async def check(store: PostgresStore, views: Sequence[View] = VIEWS) -> None:
    """The rows of every view are those of the log folded in memory."""
    log = await store.read(0, 100_000)
    assert len(log) == await store.head()
    for view in views:
        assert await in_database(store, view) == folded(view, log), view.name


def drawn(seed: int) -> list[Happened]:
    """Whole runs, and events in orders that no company would produce."""
    chance = random.Random(seed)
    parts = [small_run(), troubled_run(), arbitrary_run(seed, 150), small_run(task="t2"), arbitrary_run(seed + 99, 60)]
    chance.shuffle(parts)
    return [each for part in parts for each in part]


class Stutter:
    """The log, which hands out events again that it has handed out before."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self._log, self._chance = log, chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def read(self, after: int, limit: int = 500, upto: int | None = None) -> list[Recorded]:
        again = self._chance.randint(0, min(after, limit - 1))
        return await self._log.read(after - again, limit, upto)


@pytest.mark.parametrize("seed", range(5))
async def test_folded_along_twice_rebuilt_and_in_memory_are_the_same(store: PostgresStore, seed: int) -> None:
    chance, run = random.Random(seed), drawn(seed)
    while run:
        size = chance.randint(1, 120)
        await append(store, run[:size])
        run = run[size:]
        log: Any = Stutter(store, chance) if chance.random() < 0.5 else store
        await Projector(log, store.pool, VIEWS, page_events=chance.randint(2, 60)).catch_up()
    await check(store)
    for view in VIEWS:
        await rebuild(store, store.pool, view, page_events=chance.randint(1, 90))
        assert (await verify_view(store, store.pool, view)).differing == 0
    await check(store)


async def forgotten(store: PostgresStore, views: Sequence[View]) -> None:
    """As if nothing had ever been folded."""
    names = [
        row[0] for row in await store.pool.fetch("select nspname from pg_namespace where nspname like 'troupe\\_%'")
    ]
    for name in names:
        await store.pool.execute(f'drop schema "{name}" cascade')
    for table in [table.name for view in views for table in view.tables]:
        await store.pool.execute(f"drop table if exists {table}")
    await store.pool.execute("delete from views")


@pytest.mark.parametrize("after", [False, True], ids=["before-it-happened", "after-it-happened"])
async def test_a_projector_killed_at_any_await_resumes_right(store: PostgresStore, after: bool) -> None:
    await append(store, small_run())
    view, ends_at = task_board.VIEW, 0
    while True:
        ends_at += 1
        life = Life(ends_at, after)
        log, pool = mortal(store, store.pool, life)
        try:
            await Projector(log, pool, [view], page_events=25).catch_up()
        except* Killed:
            pass
        if not life.over:
            break
        await Projector(store, store.pool, [view], page_events=25).catch_up()
        await check(store, [view])
        await forgotten(store, [view])
    assert ends_at > 30, "it was killed at every await of a run that takes some"


async def test_a_process_killed_in_the_middle_goes_on(store: PostgresStore, database: str) -> None:
    await append(store, [*small_run(), *arbitrary_run(5, 300)])
    chance, reached = random.Random(5), list[int]()
    for _ in range(4):
        command = [sys.executable, "-P", "-m", "tests.kit.folding_child", database]
        async with await anyio.open_process(command, stderr=None) as child:
            assert child.stdout is not None
            await child.stdout.receive(1)  # It folds.
            await anyio.sleep(chance.uniform(0.1, 0.6))  # Not a wait: wherever it is then, it is killed.
            if child.returncode is None:
                os.kill(child.pid, signal.SIGKILL)
        reached.append(await lowest(store))
    assert reached == sorted(reached)
    await Projector(store, store.pool, VIEWS).catch_up()
    await check(store)


async def lowest(store: PostgresStore) -> int:
    positions = {row.name: row.position for row in await Queries(store, store.pool).views()}
    return min(positions.get(view.name, 0) for view in VIEWS)


async def test_three_projectors_at_once(store: PostgresStore) -> None:
    three = [Projector(store, store.pool, VIEWS, page_events=size) for size in (3, 7, 50)]
    async with running(*three):
        head = await append(store, [*drawn(3)])
        await Queries(store, store.pool).at_least(head, timeout_s=SIGNAL_S)
    assert [projector.failures for projector in three] == [{}, {}, {}]
    await check(store)


async def test_one_that_is_frozen_in_the_middle_of_a_page_is_overtaken(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock of the checkpoint; the database ends its transaction, and it goes on when it wakes up."""
    monkeypatch.setattr(folding, "FROZEN_MS_MAX", 200)
    view = agent_board.VIEW
    await append(store, small_run())
    await Projector(store, store.pool, [view]).catch_up()
    head = await append(store, small_run(task="t2"))
    frozen, thawed = anyio.Event(), anyio.Event()
    write = folding.store

    async def freezing(*args: Any) -> None:
        if not frozen.is_set():
            frozen.set()
            await thawed.wait()
        await write(*args)

    monkeypatch.setattr(folding, "store", freezing)
    first = Projector(store, store.pool, [view])
    async with running(first):
        await frozen.wait()
        async with running(Projector(store, store.pool, [view])):
            await Queries(store, store.pool).at_least(head, [view], timeout_s=SIGNAL_S)
        await check(store, [view])
        thawed.set()
        head = await append(store, small_run(task="t3"))
        await Queries(store, store.pool).at_least(head, [view], timeout_s=SIGNAL_S)
    assert first.failures == {}
    await check(store, [view])


async def test_a_poisonous_event_stops_its_view_and_no_other(store: PostgresStore) -> None:
    await append(store, small_run())
    position = await store.append(Address("demo", "tools", "t9"), [POISON])
    await append(store, small_run(task="t2"))
    stopped = {view.name for view in VIEWS if POISON.type in view.tags}
    for _ in range(2):  # Also when it is tried again.
        with pytest.raises(PoisonEvent) as caught:
            await Projector(store, store.pool, VIEWS, page_events=40).catch_up()
        assert (caught.value.position, caught.value.reason != "") == (position, True)
        assert {row.name: row.position for row in await Queries(store, store.pool).views()} == {
            view.name: position - 1 if view.name in stopped else await store.head() for view in VIEWS
        }
    log = await store.read(0, 100_000)
    for view in VIEWS:
        whole = [event for event in log if view.name not in stopped or event.position < position]
        assert await in_database(store, view) == folded(view, whole), view.name


async def test_a_poisonous_stream_is_left_out_and_listed_and_folded_by_a_mended_view(store: PostgresStore) -> None:
    odd = Address("demo", "tools", "t9")
    await append(store, [*small_run(task="t9"), *small_run(task="t9"), *small_run(task="t2")])
    log = await store.read(0, 100_000)
    poison = next(event for event in log[60:] if event.address == odd and event.type == POISON.type)

    def broken(recorded: Recorded, event: Event | None, rows: RowsInHand) -> None:
        tool_runs.VIEW.project(recorded, event, rows)
        if recorded.position == poison.position:
            raise ValueError("half of it is done")

    view = replace(tool_runs.VIEW, on_error="quarantine", project=broken)
    keeper = Projector(store, store.pool, [view], page_events=9)
    await keeper.catch_up()
    await Projector(store, store.pool, [view], page_events=9).catch_up()  # One that begins knows of it.

    left = [event for event in log if event.address == odd and event.position >= poison.position]
    (one,) = await quarantined(store.pool, view.name)
    assert (one.kind, one.name, one.first_position) == ("tools", "t9", poison.position)
    assert (one.events, one.position, one.reason) == (len(left), left[-1].position, "ValueError: half of it is done")
    assert await in_database(store, view) == folded(tool_runs.VIEW, [event for event in log if event not in left])
    (standing,) = await Queries(store, store.pool).standing()
    assert (standing.quarantined, standing.lag_events, keeper.failures) == (1, 0, {})

    # Its later events are left out as well, also by a projector that has seen the stream before.
    await append(store, small_run(task="t9"))
    await keeper.catch_up()
    (more,) = await quarantined(store.pool, view.name)
    assert (more.events > one.events, more.first_position) == (True, poison.position)
    await rebuild(store, store.pool, replace(tool_runs.VIEW, on_error="quarantine"))
    assert await quarantined(store.pool, view.name) == []
    await check(store, [tool_runs.VIEW])


async def test_a_version_raised_under_load_leaves_no_moment_without_an_answer(store: PostgresStore) -> None:
    view = task_board.VIEW
    await append(store, small_run())
    await Projector(store, store.pool, [view]).catch_up()
    queries, newer = Queries(store, store.pool), at_version(view, NEWER)
    seen, head = list[tuple[int, int]](), 0

    async def look() -> None:
        while True:
            async with store.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
                (view_row,) = await connection.fetch("select version, position from views where name = 'task_board'")
                last: int = await connection.fetchval("select coalesce(max(position), 0) from tasks")
                assert last <= view_row["position"]
            seen.append((view_row["version"], view_row["position"]))
            assert await queries.tasks("demo"), "there is always an answer"

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        async with running(Projector(store, store.pool, [view], page_events=10)):
            for seed in range(3):
                await append(store, arbitrary_run(seed, 30))
            async with running(Projector(store, store.pool, [newer], page_events=10)):
                for seed in range(3, 9):
                    head = await append(store, arbitrary_run(seed, 30))
                await queries.at_least(head, [newer], timeout_s=SIGNAL_S)
        group.cancel_scope.cancel()
    assert [position for _, position in seen] == sorted(position for _, position in seen)
    assert {version for version, _ in seen} == {view.version, NEWER}
    await check(store, [newer])
    with pytest.raises(ViewMissing, match="at version"):
        await verify_view(store, store.pool, view)
