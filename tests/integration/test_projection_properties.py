"""For every view, by property, on a real PostgreSQL: whatever happened, and however it is folded, the rows are those of
one fold in memory. And a build that ends at any of its awaits, killed or cancelled, is gone on with as if it had not.

The log is in memory here, so that an example costs nothing but what the view does.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import anyio
import anyio.to_process
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from actors.embedded.servers import Servers
from eventstore.postgres.store import PostgresStore
from eventstore.store import Log, Recorded, Selection
from projections import ranges, tool_runs
from projections.fold import folded
from projections.projector import Projector
from projections.quarantine import QUARANTINES, quarantined
from projections.queries import VIEWS
from projections.ranges import in_ranges
from projections.rebuild import rebuild
from projections.rows import Rows
from projections.storing import columns_of, made, select_sql
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.subjects import Address
from tests.kit.board_run import arbitrary_run, recorded, small_run
from tests.kit.drawn_events import EVENTS, runs
from tests.kit.mortal import Killed, Life, mortal
from tests.kit.servers import drop_database, fresh_database

EXAMPLES = 4  # Of each view.
AWAITS_MAX = 500

TableRows = dict[Table[Any], dict[tuple[Any, ...], Row]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(servers: Servers) -> AsyncGenerator[PostgresStore]:
    """With the tables of every view, for all tests here."""
    dsn = await fresh_database(servers)
    async with PostgresStore.open(dsn) as opened:
        await Projector(opened, opened.pool, VIEWS).catch_up()
        yield opened
    await drop_database(servers, dsn)


class Listed:
    """A log of these events: what views ask of one."""

    def __init__(self, events: Sequence[Recorded], store: PostgresStore) -> None:
        self._events, self._store = events, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def head(self) -> int:
        return len(self._events)

    async def read(
        self,
        after: int,
        limit: int = 500,
        upto: int | None = None,
        selection: Selection | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        assert not backward
        wanted = selection.types if selection else ()
        page = self._events[after:upto]
        return [event for event in page if not wanted or event.type in wanted][:limit]

    @asynccontextmanager
    async def open(self, dsn: str, schema: str) -> AsyncGenerator["Listed"]:
        """As a process of its own would open the store."""
        assert (dsn, schema) == (self._store.dsn, self._store.schema)
        yield self


async def emptied(store: PostgresStore, view: View) -> None:
    """As if nothing had been folded: the tables stay."""
    names = [table.name for table in view.tables]
    cleared = "".join(f"delete from {name};" for name in [*names, "view_quarantines"])
    await store.pool.execute(f"{cleared} update views set position = 0 where name = '{view.name}'")


async def in_database(store: PostgresStore, view: View) -> TableRows:
    found: TableRows = {}
    for table in view.tables:
        records = await store.pool.fetch(select_sql(store.schema, table))
        rows = [made(table, columns_of(table), record) for record in records]
        found[table] = {table.key_of(row): row for row in rows}
    return found


def test_every_type_that_a_view_reads_is_drawn() -> None:
    assert {event for view in VIEWS for event in view.types} <= set(EVENTS)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # Each example takes tables: what fails is rather cut down by hand.
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_along_at_once_rebuilt_in_ranges_and_in_memory_are_the_same(
    store: PostgresStore, view: View, data: st.DataObject
) -> None:
    # Half of them what the view reads, half of them anything.
    log = recorded([*data.draw(runs(view.types or EVENTS)), *data.draw(runs(EVENTS, 0, 20))])
    whole = folded(view, log)
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=4, max_size=4))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(log) - 1), max_size=3)))

    await emptied(store, view)
    for upto, size in zip([*cuts, len(log)], sizes, strict=False):  # Each by a projector that begins anew.
        await Projector(as_log(log[:upto], store), store.pool, [view], page_events=size).catch_up()
    assert await in_database(store, view) == whole

    await emptied(store, view)
    async with anyio.create_task_group() as group:
        for size in sizes[:2]:
            group.start_soon(Projector(as_log(log, store), store.pool, [view], page_events=size).catch_up)
    assert await in_database(store, view) == whole

    await rebuild(as_log(log, store), store.pool, view, page_events=sizes[2])
    assert await in_database(store, view) == whole

    if view.by_ranges:
        await rebuilt_in_ranges(Listed(log, store), view, count=len(cuts) + 1)
        assert await in_database(store, view) == whole
        assert put_together(view, log, cuts) == whole


def as_log(events: Sequence[Recorded], store: PostgresStore) -> Log:
    return cast(Log, Listed(events, store))


async def rebuilt_in_ranges(log: Listed, view: View, count: int) -> None:
    """As a company does, but that no process is started: one is what test_ranges.py looks at."""
    fold_range: Any = vars(ranges)["_fold_range"]

    async def here(_: object, work: object, **options: object) -> tuple[str, ...]:
        return await fold_range(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio.to_process, "run_sync", here)
        patch.setattr(ranges, "PostgresStore", log)
        build = in_ranges(cast(PostgresStore, log), count, events_min=1)
        await rebuild(cast(Log, log), log.pool, view, build)


def put_together(view: View, log: list[Recorded], cuts: list[int]) -> TableRows:
    """Ranges cut anywhere, each folded on its own, then merged in the order of the log."""
    whole: TableRows = {table: {} for table in view.tables}
    for first, last in pairwise([0, *cuts, len(log)]):
        for table, rows in folded(view, log[first:last]).items():
            for key, row in rows.items():
                before = whole[table].setdefault(key, row)
                if before is not row:
                    assert table.merge is not None
                    table.merge(before, row)
                    before.position, before.at = row.position, row.at
    return whole


ODD = Address("demo", "tools", "t1")


def _breaks(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    tool_runs.VIEW.project(recorded, event, rows)
    if recorded.address == ODD and recorded.version > 2:
        raise ValueError("half of it is done")


class Cancelled(Life):
    """Not the process ends, but its work is cancelled: before what is awaited has happened, or right after it."""

    def __init__(self, ends_at: int, after: bool, scope: anyio.CancelScope) -> None:
        super().__init__(ends_at, after)
        self._at, self._late, self._scope = ends_at, after, scope

    async def spend(self, work: Any, cut: Any = None) -> Any:
        self.awaits += 1
        if self.awaits == self._at and not self._late:
            self._scope.cancel()
        done = await work()
        if self.awaits == self._at and self._late:
            self._scope.cancel()
        return done


@pytest.mark.parametrize("after", [False, True], ids=["before-it-happened", "after-it-happened"])
@pytest.mark.parametrize("end", ["killed", "cancelled"])
async def test_a_rebuild_with_a_quarantine_that_ends_at_any_await_is_gone_on_with(
    store: PostgresStore, end: str, after: bool
) -> None:
    """The rows, what is left out, and the swap: each await of it once; what was served stays until then."""
    log = recorded([*small_run(), *arbitrary_run(3, 30)])
    view = replace(tool_runs.VIEW, on_error="quarantine", project=_breaks)
    left = [event for event in log if event.address == ODD and event.version > 2]
    whole = folded(tool_runs.VIEW, [event for event in log if event not in left])
    source = as_log(log, store)
    await emptied(store, view)
    await Projector(source, store.pool, [view], page_events=40).catch_up()
    served = await store.pool.fetchval("select build from views where name = 'tool_runs'")
    for ends_at in range(1, AWAITS_MAX):
        over = await ended(source, store, view, end, ends_at, after)
        assert await in_database(store, view) == whole, f"what is read after the end at await {ends_at}"
        await rebuild(source, store.pool, view, page_events=40)
        assert await in_database(store, view) == whole, f"what came of going on after await {ends_at}"
        (one,) = await quarantined(store.pool, view.name)
        assert (one.events, one.position) == (len(left), left[-1].position)
        if not over:
            break
    else:
        pytest.fail("it never comes to its end")
    assert ends_at > 30, "it ended at every await of a build that takes some"
    built = await store.pool.fetchval("select build from views where name = 'tool_runs'")
    assert built > served
    assert await store.pool.fetchval(f"select count(*) from {QUARANTINES.name}") == 1
    assert await store.pool.fetchval("select count(*) from views where name like '%.next%'") == 0


async def ended(log: Log, store: PostgresStore, view: View, end: str, ends_at: int, after: bool) -> bool:
    """A rebuild that ends at that await; False: it was through before."""
    scope = anyio.CancelScope()
    life = Cancelled(ends_at, after, scope) if end == "cancelled" else Life(ends_at, after)
    with scope:
        mortal_log, pool = mortal(log, store.pool, life)
        try:
            await rebuild(mortal_log, pool, view, page_events=40)
        except Killed:
            assert end == "killed"
    return life.over
