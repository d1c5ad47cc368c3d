"""Whether a view is what its log says: it is folded again aside, and compared row by row.

Everything happens in one transaction that sees the view as it stood at one position, and writes to temporary tables
only. So the view may be read and folded meanwhile, and nothing is left behind whatever happens. What it costs: the
server cannot clean up after what came in the meantime until it is done.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from eventstore.store import Log
from projections import tables
from projections.errors import ViewMissing
from projections.folding import Folding, fold_upto
from projections.quarantine import QUARANTINES
from projections.statement import sql
from projections.table import Table
from projections.tables import LONG_S_MAX, Connection, Pool, Target
from projections.view import View

DIFFERENCES_MAX = 100  # That are named of one table; all are counted.
PAGE_EVENTS = 2_000
ASIDE = "pg_temp"
BEGIN = "begin isolation level repeatable read"


class Difference(msgspec.Struct, frozen=True):
    """A row that is not what the fold comes to. `position` is the last event that touched it, by the fold if it has
    the row; `served` or `folded` is None where the row is missing."""

    view: str
    table: str
    key: dict[str, Any]
    position: int
    served: dict[str, Any] | None
    folded: dict[str, Any] | None


class Verified(msgspec.Struct, frozen=True):
    """What came of it: the view's rows as of `position`; of `differing` rows the first ones are in `differences`."""

    view: str
    version: int
    position: int
    rows: int
    differing: int
    differences: tuple[Difference, ...]


async def verify_view(log: Log, pool: Pool, view: View) -> Verified:
    """Fold the view up to where it stands and compare. What came of it is kept beside the view's position.

    ViewMissing for a view that is not there in this version, PoisonEvent for one that cannot be folded,
    StoreUnavailable.
    """
    async with tables.transaction(pool, f"verify the view {view.name}", BEGIN) as connection:
        await _hold(connection, view)
        found = await connection.fetchrow(sql("show_view"), view.name)
        if found is None or found["version"] != view.version:
            there = "not there" if found is None else f"at version {found['version']}"
            raise ViewMissing(f"the view {view.name} is {there}, not at version {view.version}: start the company once")
        home = f'"{await tables.home(connection)}"'
        await connection.execute("savepoint aside")
        await tables.create_tables(connection, view, ASIDE)
        await connection.execute(sql("aside_quarantines"))
        position: int = found["position"]
        target = Target(view.name, view.version, found["build"], 0, ASIDE, ASIDE, building=True)
        folding = _Aside(connection, pool, view, target)
        await fold_upto(log, folding, position, PAGE_EVENTS)
        compared = [
            await _compared(connection, view, table, home)
            for table in (*view.tables, *((QUARANTINES,) if view.on_error == "quarantine" else ()))
        ]
        # The connection is the pool's: on it, temporary tables would be found before the view's own.
        await connection.execute("rollback to savepoint aside")
    differing, rows = sum(one[0] for one in compared), sum(one[1] for one in compared)
    async with tables.transaction(pool, f"record that the view {view.name} was verified") as connection:
        await connection.execute(sql("record_verification"), view.name, found["build"], position, differing)
    return Verified(view.name, view.version, position, rows, differing, tuple(d for one in compared for d in one[2]))


async def _hold(connection: Connection, view: View) -> None:
    """From here on no other build can take the place of these tables. Before the transaction sees anything: else it
    might see the place of one build and the rows of another."""
    try:
        await connection.execute(f"lock table {', '.join(table.name for table in view.tables)} in access share mode")
    except asyncpg.UndefinedTableError as error:
        raise ViewMissing(f"the view {view.name} is not there: start the company once, it builds it") from error


class _Aside(Folding):
    """Folds into the temporary tables of one transaction, which nobody else sees."""

    def __init__(self, connection: Connection, pool: Pool, view: View, target: Target) -> None:
        super().__init__(pool, view, target)
        self._connection = connection

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Connection]:
        yield self._connection

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[Connection]:
        await self._connection.execute("savepoint page")
        try:
            yield self._connection
        except BaseException:
            await self._connection.execute("rollback to savepoint page")
            raise
        await self._connection.execute("release savepoint page")

    async def _advance(self, connection: Connection, position: int) -> None:
        pass  # Its checkpoint is nobody's business.


async def _compared(
    connection: Connection, view: View, table: Table[Any], home: str
) -> tuple[int, int, list[Difference]]:
    """How many rows differ, how many the fold has, and the first that differ."""
    keys = ", ".join(table.key)
    aside = f"{ASIDE}.{table.name}"
    if table is QUARANTINES:  # It holds those of every view.
        await connection.execute(sql("aside_served").format(table=f"{home}.{table.name}", view=view.name))
        served = f"{ASIDE}.served_quarantines"
    else:
        served = f"{home}.{table.name}"
    compared = sql("compare_tables").format(served=served, folded=aside, keys=keys)
    rows = await connection.fetch(compared, DIFFERENCES_MAX, timeout=LONG_S_MAX)
    count: int = await connection.fetchval(sql("count_rows").format(table=aside))
    differences = [_difference(view, table, row["served"], row["folded"]) for row in rows]
    return (rows[0]["differing"] if rows else 0), count, differences


def _difference(view: View, table: Table[Any], served: str | None, folded: str | None) -> Difference:
    there, made = (None if text is None else msgspec.json.decode(text) for text in (served, folded))
    row: dict[str, Any] = made or there or {}
    return Difference(view.name, table.name, {name: row[name] for name in table.key}, row["position"], there, made)
