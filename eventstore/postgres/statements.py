"""The store's SQL, one statement a file, read once, and how it is run on a pool."""

from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from eventstore.postgres.connections import Pool, borrowed, errors

_FOLDER = Path(__file__).parents[1] / "sql"


@cache
def statement(name: str) -> str:
    """The text of sql/<name>.sql."""
    return (_FOLDER / f"{name}.sql").read_text("utf-8")


class Statements:
    """Runs sql/<name>.sql on connections of one pool; errors as the port promises them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def rows(self, name: str, *args: Any) -> list[asyncpg.Record]:
        async with borrowed(self.pool) as connection, errors(name):
            return await connection.fetch(statement(name), *args)

    async def value(self, name: str, *args: Any) -> Any:
        async with borrowed(self.pool) as connection, errors(name):
            return await connection.fetchval(statement(name), *args)

    async def count(self, name: str, *args: Any) -> int:
        """How many rows the statement wrote."""
        async with borrowed(self.pool) as connection, errors(name):
            status = await connection.execute(statement(name), *args)
        return int(status.rsplit(" ", 1)[-1])
