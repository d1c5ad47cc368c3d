"""Builds a view in ranges of the log side by side, each in a process of its own, and puts the ranges together.

Only for a view whose tables say how (`View.by_ranges`). The first range is folded into the tables of the build beside,
every other into tables of its own, in a schema `<schema>_r<number>_<view>`, but for rows that are only ever added:
those go to the build at once. Then they are merged in the order of the log, each in one transaction with the checkpoint
of the build. So after a kill at any moment the same call goes on: a range from its own checkpoint, the merging at the
range it was at. Between two builders at once the checkpoints decide, as between two projectors.
"""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
import anyio.to_process

from eventstore.postgres.store import PostgresStore
from eventstore.store import Log, StoreError, StoreUnavailable
from projections import tables
from projections.errors import PoisonEvent, ProjectionError, ViewMissing
from projections.folding import Folding, Overtaken, fold_upto
from projections.projector import Build
from projections.statement import sql
from projections.storing import columns_of, load, made, select_sql, store
from projections.table import Row, Table
from projections.tables import Connection, Pool, Target
from projections.view import View

RANGE_EVENTS_MIN = 50_000  # A process takes about a second to start: as long as folding this many.
RANGES_MAX = 64
PAGE_EVENTS = 2_000
MERGE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Range:
    """Positions from `first` to `last`, folded up to `position` by now."""

    number: int
    first: int
    last: int
    version: int
    build: int
    position: int


@dataclass(frozen=True, slots=True)
class _Work:
    """What a process needs to know to fold one range. The DSN holds a password: it goes through a pipe."""

    dsn: str
    schema: str
    module: str
    version: int
    number: int


def in_ranges(store: PostgresStore, count: int = 0, events_min: int = RANGE_EVENTS_MIN) -> Build:
    """A Build of up to `count` ranges (0: as many as there are cores) of at least `events_min` events each."""

    async def build(view: View, target: Target) -> None:
        if not view.by_ranges:
            return
        head = await store.head()
        wanted = min(count or os.cpu_count() or 1, RANGES_MAX, head // max(1, events_min))
        ranges = await _planned(store.pool, view, target, wanted, head)
        if ranges:
            await _fold_all(view, ranges, store.dsn, store.schema)
            for each in ranges[1:]:
                await merge(store.pool, view, each)
            async with tables.transaction(store.pool, f"end the ranges of the view {view.name}") as connection:
                await tables.forget_ranges(connection, view, await tables.locked(connection))

    return build


async def _planned(pool: Pool, view: View, target: Target, count: int, head: int) -> list[Range]:
    """The ranges of the build beside: those of before, or new ones where nothing is folded yet; none: not in ranges."""
    async with tables.transaction(pool, f"plan the ranges of the view {view.name}") as connection:
        schema = await tables.locked(connection)
        ranges = await _ranges(connection, view)
        if ranges or count < 2 or target.position:
            return ranges
        bounds = [head * n // count for n in range(count + 1)]
        for number in range(1, count + 1):
            first, last = bounds[number - 1] + 1, bounds[number]
            await connection.execute(sql("add_range"), view.name, number, first, last)
            if number > 1:
                beside, row = tables.beside_of(schema, view, number), tables.next_of(view, number)
                await tables.create(connection, view, beside, row, first - 1)
        return await _ranges(connection, view)


async def _ranges(connection: Connection, view: View) -> list[Range]:
    rows = await connection.fetch(sql("list_ranges"), view.name, tables.next_of(view))
    return [Range(*row) for row in rows]


async def _fold_all(view: View, ranges: Sequence[Range], dsn: str, schema: str) -> None:
    """Every range in a process of its own. PoisonEvent, StoreUnavailable."""
    limiter = anyio.CapacityLimiter(len(ranges))
    said: list[tuple[str, ...]] = []

    async def fold(each: Range) -> None:
        work = _Work(dsn, schema, view.project.__module__, view.version, each.number)
        try:
            said.append(await anyio.to_process.run_sync(_in_process, work, cancellable=True, limiter=limiter))
        except anyio.BrokenWorkerProcess:
            said.append(("unavailable", f"the process that folded range {each.number} of the view {view.name} ended"))

    async with anyio.create_task_group() as group:
        for each in ranges:
            if each.position < each.last:
                group.start_soon(fold, each)
    _raise(said)


def _raise(said: Sequence[tuple[str, ...]]) -> None:
    """The errors of the processes, by what they said: exceptions with several arguments do not cross processes."""
    poisons = sorted((int(rest[1]), rest) for kind, *rest in said if kind == "poison")
    for position, (view, _, reference, type_, reason) in poisons[:1]:
        raise PoisonEvent(view, position, reference, type_, reason)
    for kind, *reasons in said:
        if kind == "failed":
            raise ProjectionError(reasons[0])
        if kind == "unavailable":
            raise StoreUnavailable(reasons[0])


def _in_process(work: _Work) -> tuple[str, ...]:
    """Fold one range. What came of it: ("",), ("unavailable" or "failed", why) or ("poison", view, position, …)."""
    return anyio.run(_fold_range, work)


async def _fold_range(work: _Work) -> tuple[str, ...]:
    view: View = importlib.import_module(work.module).VIEW
    view = replace(view, version=work.version)
    try:
        async with PostgresStore.open(work.dsn, work.schema) as log:
            while not await _fold_on(log, log.pool, view, work.number):
                pass
    except StoreUnavailable as error:
        return ("unavailable", str(error))
    except PoisonEvent as error:
        return ("poison", error.view, str(error.position), error.reference, error.type, error.reason)
    except (StoreError, ProjectionError) as error:
        return ("failed", str(error))
    return ("",)


async def _fold_on(log: Log, pool: Pool, view: View, number: int) -> bool:
    """From the range's checkpoint to its end. False: somebody else folds it too; look again."""
    async with tables.transaction(pool, f"find a range of the view {view.name}") as connection:
        schema = await tables.locked(connection)
        found = [each for each in await _ranges(connection, view) if each.number == number]
    if not found:
        raise ViewMissing(f"the range {number} of the view {view.name} is gone: another process put it together")
    (each,) = found
    target = Target(
        tables.next_of(view, number), each.version, each.build, each.position,
        f'"{tables.beside_of(schema, view, number)}"', f'"{schema}"', building=True, begins=each.first - 1,
        apart=f'"{tables.beside_of(schema, view)}"',
    )  # fmt: skip
    try:
        await fold_upto(log, await Folding.begin(pool, view, target), each.last, PAGE_EVENTS)
    except Overtaken:
        return False
    return True


async def merge(pool: Pool, view: View, each: Range) -> None:
    """Put a folded range to those before it, in one transaction. Once: the checkpoint tells whether it was."""
    async with tables.transaction(pool, f"put the range {each.number} to the view {view.name}") as connection:
        row = tables.next_of(view)
        first = await tables.checkpoint(connection, row)
        if first is None or first.position != each.first - 1:
            return  # Another process has done it.
        schema = await tables.home(connection)
        source = f'"{tables.beside_of(schema, view, each.number)}"'
        into = f'"{tables.beside_of(schema, view)}"'
        for table in view.tables:
            if not table.once:
                await _merge_table(connection, table, source, into)
        await connection.execute(sql("forget_view"), tables.next_of(view, each.number))
        await connection.execute(sql("advance_view"), row, first.version, first.build, first.position, each.last)


async def _merge_table(connection: Connection, table: Table[Row], source: str, into: str) -> None:
    assert table.merge is not None, "a view that is built in ranges says how to merge each table"
    columns = columns_of(table)
    cursor = await connection.cursor(select_sql(source, table))
    while records := await cursor.fetch(MERGE_ROWS):
        later = {table.key_of(row): row for row in (made(table, columns, record) for record in records)}
        earlier = await load(connection, into, table, later.keys())
        merged: list[Row] = []
        for key, row in later.items():
            before = earlier.get(key)
            if before is None:
                merged.append(row)
                continue
            table.merge(before, row)
            before.position, before.at = row.position, row.at
            merged.append(before)
        await store(connection, into, table, merged)
