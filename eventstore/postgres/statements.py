"""The store's SQL, one statement a file, read once, and how it is run on a pool."""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from eventstore.errors import LogLocked, StoreError
from eventstore.postgres.connections import Connection, Pool, borrowed, errors

STATEMENT_SHOWN_MAX = 80  # Characters of another session's statement.
Lend = Callable[[Pool], AbstractAsyncContextManager[Connection]]
_VALUE = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)  # A text in quotes, or its beginning.
_FOLDER = Path(__file__).parents[1] / "sql"


@cache
def statement(name: str) -> str:
    """The text of sql/<name>.sql."""
    return (_FOLDER / f"{name}.sql").read_text("utf-8")


class Statements:
    """Runs sql/<name>.sql on connections of one pool; errors as the port promises them. Who holds a lock is asked for
    on a connection of `general` (None: of the same pool). `lend` lends the pool's connections."""

    def __init__(self, pool: Pool, general: "Pool | None" = None, lend: "Lend | None" = None) -> None:
        self.pool = pool
        self._general = general or pool
        self._lend: Lend = lend or borrowed

    @asynccontextmanager
    async def connection(self, doing: str) -> AsyncGenerator[Connection]:
        """A connection for the call that `doing` names. LogLocked names who holds the lock."""
        try:
            async with self._lend(self.pool) as connection, errors(doing):
                yield connection
        except LogLocked as error:
            raise LogLocked(f"{error}; {await self._holder()}") from error

    async def rows(self, name: str, *args: Any) -> list[asyncpg.Record]:
        async with self.connection(name) as connection:
            return await connection.fetch(statement(name), *args)

    async def value(self, name: str, *args: Any) -> Any:
        async with self.connection(name) as connection:
            return await connection.fetchval(statement(name), *args)

    async def count(self, name: str, *args: Any) -> int:
        """How many rows the statement wrote."""
        async with self.connection(name) as connection:
            status = await connection.execute(statement(name), *args)
        return int(status.rsplit(" ", 1)[-1])

    async def _holder(self) -> str:
        try:
            async with borrowed(self._general) as connection, errors("find who holds the lock"):
                row = await connection.fetchrow(statement("lock_holder"))
        except StoreError as error:
            return f"who holds the lock could not be found out ({error})"
        if row is None:
            return "whoever held the lock has let it go meanwhile: try again"
        return (
            f"the lock is held by {who_is(row)}: if it does not let go, end it with "
            f"`select pg_terminate_backend({row['pid']})`, then send the same again"
        )


def who_is(row: asyncpg.Record) -> str:
    """Who a session is and what it does; of its statement the beginning, without values."""
    host = f"{row['client_addr']}:{row['client_port']}" if row["client_addr"] else "the server's own machine"
    since = f", which began at {row['xact_start']:%Y-%m-%d %H:%M:%S} UTC" if row["xact_start"] else ""
    ran = " ".join(_VALUE.sub("…", row["query"] or "").split())[:STATEMENT_SHOWN_MAX]
    return (
        f"process {row['pid']} (application {row['application_name']!r}, user {row['usename']}, from {host}), "
        f"{row['state'] or 'in a state that only its own user may see'}{since}, last statement: {ran or 'unknown'}"
    )
