"""Sessions for long reading and bulk writing: a connection of their own, without a limit of time.

Unlike those of the pools they plan with the server's own settings: what reads a whole log must scan it, and its tables
are full by then. The connection is ended, not given back: what it staged goes with it, whatever happened.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from eventstore.postgres.connections import CONNECT_TIMEOUT_S, errors
from eventstore.postgres.statements import statement

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def session(dsn: str, schema: str, doing: str, reading: bool = False) -> AsyncGenerator[Session]:
    """A session on the schema; `reading`: all of it in one snapshot. StoreUnavailable or StoreError, which say what was
    being done."""
    async with errors(doing):
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "application_name": "troupe bulk",
                "search_path": f'"{schema}", public',
                "jit": "off",  # It takes longer to begin than these plans take to run.
            },
        )
        try:
            if reading:
                # Not the driver's own transaction: it would wait for the end of a COPY whose taker has raised.
                await connection.execute("begin isolation level repeatable read, read only")
            yield connection
        finally:
            connection.terminate()


async def copy_out(connection: Session, name: str, *args: object, to: Callable[[bytes], object]) -> None:
    """The rows of sql/<name>.sql in PostgreSQL's binary COPY format, piece by piece."""

    async def sink(piece: bytes) -> None:
        to(piece)

    await connection.copy_from_query(statement(name), *args, output=sink, format="binary")
