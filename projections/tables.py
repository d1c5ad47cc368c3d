"""Where a view's tables live: made, built anew beside the old ones, and swapped. Every step is one transaction.

A view is always created in a schema of its own, `<schema>_next_<view>`, and moved into the installation's schema when
it is ready: at once when there was none, after it has caught up when an older version is being read. So a reader sees
the old version whole or the new version whole. A crash at any moment leaves either the old state or the new one, and
the building one goes on from its own checkpoint, the row `<view>.next` of the table `views`.
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
SWAP_LOCK_TIMEOUT_MS = 1_000  # A swap queued behind a long read would block every read after it: rather try later.


@dataclass(frozen=True, slots=True)
class Target:
    """The tables to fold into: their checkpoint's row in `views`, its position, and the search path that finds them."""

    row: str
    version: int
    position: int
    search_path: str
    building: bool


async def prepare(pool: Pool, view: View) -> Target:
    """The tables this version of the view folds into now, made if need be. NewerView when this version is outdated."""
    async with transaction(pool, f"prepare the view {view.NAME}") as connection:
        schema = await _locked(connection)
        beside = _beside(schema, view)
        served = await _checkpoint(connection, view.NAME)
        building = await _checkpoint(connection, _next(view))
        if served and served[0] == view.VERSION:
            # Also while a newer version is being built: until the swap this is what readers read.
            return Target(view.NAME, view.VERSION, served[1], _path(schema), building=False)
        for version, _ in filter(None, (served, building)):
            if version > view.VERSION:
                raise NewerView(
                    f"the view {view.NAME} is at version {version}, this program knows version {view.VERSION}: "
                    "it stops folding here; update it, or go on with the newer ones"
                )
        if building and building[0] < view.VERSION:
            await connection.execute(sql("forget_view"), _next(view))
            building = None
        if not building:
            await _create(connection, view, beside)
            building = (view.VERSION, 0)
        if not served:
            await _move(connection, view, schema, beside, position=building[1])
            return Target(view.NAME, view.VERSION, building[1], _path(schema), building=False)
        return Target(_next(view), view.VERSION, building[1], _path(beside, schema), building=True)


async def swap(pool: Pool, view: View) -> bool:
    """Put the building version in the place of the served one. False while the served one is ahead of it."""
    async with transaction(pool, f"swap the view {view.NAME}") as connection:
        await connection.execute(f"set local lock_timeout = {SWAP_LOCK_TIMEOUT_MS}")
        schema = await _locked(connection)
        served = await _checkpoint(connection, view.NAME)
        building = await _checkpoint(connection, _next(view))
        if not building or building[0] != view.VERSION:
            return False  # Another process has swapped it, or builds a newer one.
        if served and served[1] > building[1]:
            return False  # The old version is still being folded; readers must never be taken back.
        await _move(connection, view, schema, _beside(schema, view), building[1])
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


async def _locked(connection: Connection) -> str:
    """Wait for every other process that makes, moves or drops views here; the installation's schema."""
    schema: str | None = await connection.fetchval(sql("lock_views"))
    if schema is None:
        raise ViewMissing("the installation's schema is not on the search path: open the store with its schema first")
    return schema


async def _checkpoint(connection: Connection, row: str) -> tuple[int, int] | None:
    """Version and position, locked against projectors that would advance it meanwhile."""
    found = await connection.fetchrow(sql("read_checkpoint"), row)
    return (found["version"], found["position"]) if found else None


async def _create(connection: Connection, view: View, beside: str) -> None:
    await connection.execute(f'drop schema if exists "{beside}" cascade')  # What an abandoned build left.
    await connection.execute(f'create schema "{beside}"')
    await connection.execute(f"set local search_path to {_path(beside)}")
    await connection.execute(sql(view.SCHEMA))
    for table in await _tables(connection, beside, None):
        # The comment says whose the table is, so that a later version drops exactly what this one made.
        await connection.execute(f'comment on table "{beside}"."{table}" is \'{_owner(view)}\'')
    await connection.execute("reset search_path")
    await connection.execute(sql("set_checkpoint"), _next(view), view.VERSION, 0)


async def _move(connection: Connection, view: View, schema: str, beside: str, position: int) -> None:
    for table in await _tables(connection, schema, _owner(view)):
        await connection.execute(f'drop table "{schema}"."{table}"')
    for table in await _tables(connection, beside, None):
        await connection.execute(f'alter table "{beside}"."{table}" set schema "{schema}"')
    await connection.execute(f'drop schema "{beside}"')
    await connection.execute(sql("forget_view"), _next(view))
    await connection.execute(sql("set_checkpoint"), view.NAME, view.VERSION, position)


async def _tables(connection: Connection, schema: str, owner: str | None) -> list[str]:
    rows: Sequence[asyncpg.Record] = await connection.fetch(sql("list_tables"), schema, owner)
    return [row["name"] for row in rows]


def _beside(schema: str, view: View) -> str:
    return f"{schema}_next_{view.NAME}"


def _next(view: View) -> str:
    return f"{view.NAME}.next"


def _owner(view: View) -> str:
    return f"troupe view {view.NAME}"


def _path(*schemas: str) -> str:
    return ", ".join(f'"{schema}"' for schema in schemas) + ", public"
