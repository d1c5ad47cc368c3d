"""Where a view's tables live: made, built anew beside the old ones, and swapped. Every step is one transaction.

A view is always created in a schema of its own, `<schema>_next_<view>`, and moved into the installation's schema when
it is ready: at once when there was none, after it has caught up when an older version (or an older build of the same
version) is being read. So a reader sees the old build whole or the new one whole. A crash at any moment leaves either
the old state or the new one, and the building one goes on from its own checkpoint, the row `<view>.next` of the table
`views`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

import anyio
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from eventstore.store import StoreUnavailable
from projections.errors import TRANSIENT, NewerView, ViewMissing, database
from projections.statement import sql
from projections.view import View

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

CONNECT_TIMEOUT_S = 10.0
ROLLBACK_TIMEOUT_S = 2.0
LONG_S_MAX = 3_600.0  # Of one statement over all the rows of a table.
# A swap queued behind a long read would block every read after it: rather try later. Longer than deadlock_timeout,
# after which an autovacuum that stands in the way gives in.
SWAP_LOCK_TIMEOUT_MS = 1_500
SWAP_TRIES_MAX = 5
SWAP_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Target:
    """The tables to fold into: their checkpoint's row in `views`, its position, which build it is, and the schema (as
    SQL writes it) that they are in. `home` is the installation's schema, of everything beside views. The tables are
    empty at the position `begins`. `apart`: the schema that rows of tables with `once` go to instead ("": none)."""

    row: str
    version: int
    build: int
    position: int
    schema: str
    home: str
    building: bool
    begins: int = 0
    apart: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of `views`."""

    version: int
    build: int
    position: int


async def prepare(pool: Pool, view: View) -> Target:
    """The tables this version of the view folds into now, made if need be. NewerView when this version is outdated."""
    async with transaction(pool, f"prepare the view {view.name}") as connection:
        schema = await locked(connection)
        served = await checkpoint(connection, view.name)
        building = await checkpoint(connection, next_of(view))
        if served and served.version == view.version:
            # Also while another build is under way: until the swap this is what readers read.
            return _served(view, served, schema)
        for found in filter(None, (served, building)):
            if found.version > view.version:
                raise NewerView(
                    f"the view {view.name} is at version {found.version}, this program knows version {view.version}: "
                    "it stops folding here; update it, or go on with the newer ones"
                )
        if not building or building.version < view.version:
            building = await _create_beside(connection, view, schema)
        if not served:
            return _served(view, await _move(connection, view, schema, building), schema)
        return _building(view, building, schema)


async def rebuilding(pool: Pool, view: View) -> Target:
    """The tables of a new build of the view, beside the served ones of whatever version; one that was begun before is
    gone on with. NewerView."""
    async with transaction(pool, f"rebuild the view {view.name}") as connection:
        schema = await locked(connection)
        served = await checkpoint(connection, view.name)
        building = await checkpoint(connection, next_of(view))
        for found in filter(None, (served, building)):
            if found.version > view.version:
                raise NewerView(f"the view {view.name} is at version {found.version}, newer than {view.version}")
        if not building or building.version < view.version:
            building = await _create_beside(connection, view, schema)
        return _building(view, building, schema)


async def swap(pool: Pool, view: View) -> bool:
    """Put the build beside in the place of the served one. False while the served one is ahead of it. StoreUnavailable
    when somebody keeps reading the served one."""
    for _ in range(SWAP_TRIES_MAX - 1):
        try:
            return await _swap(pool, view)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                raise
            await anyio.sleep(SWAP_PAUSE_S)
    return await _swap(pool, view)


async def _swap(pool: Pool, view: View) -> bool:
    async with transaction(pool, f"swap the view {view.name}") as connection:
        await connection.execute(f"set local lock_timeout = {SWAP_LOCK_TIMEOUT_MS}")
        schema = await locked(connection)
        served = await checkpoint(connection, view.name)
        building = await checkpoint(connection, next_of(view))
        if not building or building.version != view.version:
            return False  # Another process has swapped it, or builds a newer one.
        if served and served.position > building.position:
            return False  # The old build is still being folded; readers must never be taken back.
        await _move(connection, view, schema, building)
        return True


@asynccontextmanager
async def transaction(pool: Pool, doing: str, begin: str = "begin") -> AsyncGenerator[Connection]:
    """One transaction on a connection of its own; StoreUnavailable for what may succeed later.

    Plain statements: asyncpg's own transaction cannot be ended cleanly after a cancellation at its begin or end.
    """
    async with database(doing), pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            await connection.execute(begin)
            yield connection
            ended = await connection.execute("commit")
        except BaseException:
            # Shielded: a cancelled scope would cancel the rollback too. What cannot be rolled back has lost its
            # connection, and with it the transaction; the pool replaces it.
            with anyio.move_on_after(ROLLBACK_TIMEOUT_S, shield=True), suppress(*TRANSIENT):
                await connection.execute("rollback")  # After a cancelled begin it may be one too many: only a warning.
            raise
        if ended != "COMMIT":
            raise StoreUnavailable(f"{doing}: PostgreSQL answered {ended} to the commit")


async def locked(connection: Connection) -> str:
    """Wait for every other process that makes, moves or drops views here; the installation's schema."""
    await connection.execute(sql("lock_views"))
    return await home(connection)


async def home(connection: Connection) -> str:
    """The installation's schema. ViewMissing."""
    schema: str | None = await connection.fetchval("select current_schema()")
    if schema is None:
        raise ViewMissing("the installation's schema is not on the search path: open the store with its schema first")
    return schema


async def checkpoint(connection: Connection, row: str) -> Checkpoint | None:
    """Where it stands, locked against projectors that would advance it meanwhile."""
    found = await connection.fetchrow(sql("read_checkpoint"), row)
    return Checkpoint(found["version"], found["build"], found["position"]) if found else None


async def _create_beside(connection: Connection, view: View, schema: str) -> Checkpoint:
    await forget_ranges(connection, view, schema)
    return await create(connection, view, beside_of(schema, view), next_of(view), 0)


async def forget_ranges(connection: Connection, view: View, schema: str) -> None:
    """Drop what ranges were folded into: they were put together, or the build went on without them."""
    for row in await connection.fetch(sql("forget_ranges"), view.name):
        if row["number"] > 1:
            await connection.execute(f'drop schema if exists "{beside_of(schema, view, row["number"])}" cascade')
            await connection.execute(sql("forget_view"), next_of(view, row["number"]))


async def create(connection: Connection, view: View, schema: str, row: str, position: int) -> Checkpoint:
    """Empty tables of the view in a schema of that name, made anew, with a checkpoint in `row`."""
    await connection.execute(f'drop schema if exists "{schema}" cascade')  # What an abandoned build left.
    await connection.execute(f'create schema "{schema}"')
    await create_tables(connection, view, f'"{schema}"')
    for table in await _tables(connection, schema, None):
        # The comment says whose the table is, so that a later version drops exactly what this one made.
        await connection.execute(f'comment on table "{schema}"."{table}" is \'{_owner(view)}\'')
    await connection.execute(sql("forget_quarantines"), row)
    build = await connection.fetchval(sql("set_checkpoint"), row, view.version, position)
    return Checkpoint(view.version, build, position)


async def create_tables(connection: Connection, view: View, schema: str) -> None:
    """The tables of a view in a schema (as SQL writes it)."""
    await connection.execute(f"set local search_path to {schema}, public")
    await connection.execute(sql(view.schema))
    await connection.execute("reset search_path")


async def _move(connection: Connection, view: View, schema: str, building: Checkpoint) -> Checkpoint:
    beside = beside_of(schema, view)
    await forget_ranges(connection, view, schema)
    for table in await _tables(connection, schema, _owner(view)):
        await connection.execute(f'drop table "{schema}"."{table}"')
    for table in await _tables(connection, beside, None):
        await connection.execute(f'alter table "{beside}"."{table}" set schema "{schema}"')
    await connection.execute(f'drop schema "{beside}"')
    await connection.execute(sql("forget_view"), next_of(view))
    await connection.execute(sql("forget_quarantines"), view.name)
    await connection.execute(sql("rename_quarantines"), next_of(view), view.name)
    build = await connection.fetchval(sql("set_checkpoint"), view.name, view.version, building.position)
    return Checkpoint(view.version, build, building.position)


def _served(view: View, found: Checkpoint, schema: str) -> Target:
    home = f'"{schema}"'
    return Target(view.name, view.version, found.build, found.position, home, home, building=False)


def _building(view: View, found: Checkpoint, schema: str) -> Target:
    beside = f'"{beside_of(schema, view)}"'
    return Target(next_of(view), view.version, found.build, found.position, beside, f'"{schema}"', building=True)


async def _tables(connection: Connection, schema: str, owner: str | None) -> list[str]:
    rows: Sequence[asyncpg.Record] = await connection.fetch(sql("list_tables"), schema, owner)
    return [row["name"] for row in rows]


def beside_of(schema: str, view: View, number: int = 1) -> str:
    """The schema that a view is built in; the ranges of the log after the first have one each. At most 63 bytes."""
    return f"{schema}_next_{view.name}" if number == 1 else f"{schema}_r{number}_{view.name}"


def next_of(view: View, number: int = 1) -> str:
    """The row in `views` of the build beside, or of a range of it."""
    return f"{view.name}.next" + (f".{number}" if number > 1 else "")


def _owner(view: View) -> str:
    return f"troupe view {view.name}"
