"""A connection that the server ends while it rests: the next call takes another, and nobody notices."""

import anyio
import asyncpg

from eventstore.postgres.connections import Kept, _gone  # pyright: ignore[reportPrivateUsage]
from eventstore.postgres.store import PostgresStore
from tests.kit.company import PATIENCE_S

PID = "select pg_backend_pid()"


async def test_a_kept_connection_that_was_ended_is_replaced(database: str) -> None:
    """(Found by bin/torture: after a restart of PostgreSQL a worker ended with an error of the driver's.)"""
    async with PostgresStore.open(database) as store:
        kept, outside = Kept(), await asyncpg.connect(database)
        try:
            for _ in range(3):
                async with kept.lend(store.pool) as connection:
                    pid = await connection.fetchval(PID)
                assert await outside.fetchval("select pg_terminate_backend($1, 5000)", pid)
                with anyio.fail_after(PATIENCE_S):
                    while not _gone(connection):
                        await anyio.sleep(0.005)
                async with kept.lend(store.pool) as connection:
                    assert await connection.fetchval(PID) != pid
        finally:
            await kept.give_back()
            await outside.close()
