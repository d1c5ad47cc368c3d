"""Asks views: one typed request, one typed answer, the same over NATS and on the command line.

The rows and the position up to which their view is folded are one snapshot. `at_least` waits until the view holds that
position, so who has a reply to a command sees what it came to; however many wait, the database is looked at once in
POLL_S for all of them. Nothing is kept between two questions: pages go on behind the row their cursor names.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any

import anyio
import asyncpg
import msgspec

from eventstore.store import StoreError, StoreUnavailable
from projections.errors import BadQuery, QueryBehind, ViewMissing
from projections.listing import Listing
from projections.selecting import cursor, select
from projections.statement import sql
from projections.storing import columns_of
from projections.tables import Pool, transaction
from projections.view import View
from protocol.query import Answer, Fault, FaultCode, Query

POLL_S = 0.02
READS_MAX = 3  # At a time, of the pool's eight connections: the company itself needs the others.
SNAPSHOT = "begin isolation level repeatable read, read only"
_FIELDS: Mapping[str, FaultCode] = {
    "since": "bad-time", "until": "bad-time", "after": "bad-cursor", "limit": "bad-limit", "project": "bad-project",
}  # fmt: skip


def read_query(asked: bytes | Mapping[str, Any]) -> Query:
    """A query of its JSON, or of values that could be JSON. BadQuery."""
    try:
        return msgspec.json.decode(asked, type=Query) if isinstance(asked, bytes) else msgspec.convert(asked, Query)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        said = str(error)
        field = said.partition("`$.")[2].partition("`")[0] or said.partition("field `")[2].partition("`")[0]
        code = _FIELDS.get(field, "malformed")
        if code == "bad-time":
            said += "; write a time with its zone, such as 2026-01-31T12:00:00Z"
        raise BadQuery(Fault(code, f"this is no query: {said}", allowed=Query.__struct_fields__)) from error


class Asking:
    """Asks the views of one installation. `pool` is PostgresStore.pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._standing = _Standing(pool)
        self._reads = anyio.CapacityLimiter(READS_MAX)

    async def ask(self, listing: Listing, query: Query) -> Answer:
        """A page of rows, as values of the listing's row type.

        BadQuery; QueryBehind when the view has not reached `at_least` after `timeout_s`; ViewMissing; StoreUnavailable,
        also when the database takes longer than that.
        """
        statement, arguments = select(listing, query)
        with anyio.move_on_after(query.timeout_s):
            while True:
                if query.at_least:
                    await self._standing.reach(listing.view, query.at_least)
                position, records = await self._read(listing, statement, arguments)
                if position >= query.at_least:
                    return _answer(listing, query, position, records)
        standing = self._standing.of(listing.view)
        if query.at_least and (standing is None or standing < query.at_least):
            stands = "is not there in this version" if standing is None else f"stands at {standing}"
            raise QueryBehind(
                f"after {query.timeout_s:g} s the view {listing.view.name} is not at position {query.at_least}: it "
                f"{stands}. The company folds it while it runs; its log says so if it had to stop",
                standing,
            )
        raise StoreUnavailable(f"read {listing.name}: PostgreSQL gave no answer within {query.timeout_s:g} s")

    async def _read(self, listing: Listing, statement: str, arguments: list[Any]) -> tuple[int, list[asyncpg.Record]]:
        """Where the view stands, and rows, at one moment."""
        view, doing = listing.view, f"read {listing.name}"
        try:
            async with self._reads, transaction(self._pool, doing, SNAPSHOT) as connection:
                position = await connection.fetchval(sql("view_position"), view.name, view.version)
                if position is None:
                    raise ViewMissing(
                        f"the view {view.name} is not there in version {view.version}: start the company of this "
                        "version once, it builds it"
                    )
                return position, await connection.fetch(statement, *arguments)
        except asyncpg.DataError as error:
            said = str(error).splitlines()[0]
            raise BadQuery(Fault("bad-value", f"{doing}: {said}", listing.name)) from error
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            raise ViewMissing(f"{doing}: the view is of another version ({error})") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreError(f"{doing}: {type(error).__name__}: {error}") from error


class _Standing:
    """Where the views stand, for everybody who waits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._looking = anyio.Lock()
        self._positions: dict[tuple[str, int], int] = {}
        self._looked_at = monotonic() - POLL_S

    def of(self, view: View) -> int | None:
        """When somebody looked last; None: the view is not there."""
        return self._positions.get((view.name, view.version))

    async def reach(self, view: View, position: int) -> None:
        """Wait until the view has reached it. StoreUnavailable."""
        while (standing := self.of(view)) is None or standing < position:
            await self._look()

    async def _look(self) -> None:
        """Look, or hear from whoever is just looking."""
        before = self._looked_at
        async with self._looking:
            if self._looked_at != before:
                return
            await anyio.sleep(max(0.0, before + POLL_S - monotonic()))
            async with transaction(self._pool, "read where the views stand") as connection:
                rows = await connection.fetch(sql("list_views"))
            self._positions = {(row["name"], row["version"]): row["position"] for row in rows}
            self._looked_at = monotonic()


def _answer(listing: Listing, query: Query, position: int, records: list[asyncpg.Record]) -> Answer:
    rows = rows_of(listing, records[: query.limit])
    more = len(records) > query.limit
    return Answer(listing.name, position, rows, cursor(listing, rows[-1]) if more else "")


def rows_of(listing: Listing, records: list[asyncpg.Record]) -> tuple[Any, ...]:
    """Rows of the database as values."""
    takes = {column.name: column.take for column in columns_of(listing.table) if column.take is not None}
    return tuple(
        listing.row(**{
            name: takes[name](value) if name in takes and value is not None else value for name, value in record.items()
        })
        for record in records
    )  # fmt: skip
