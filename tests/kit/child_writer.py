"""A process that appends one event after another and says so: `python -m tests.kit.child_writer DSN NAME [hold|flood]`.

With `hold` it takes the log's lock in a transaction of its own and keeps it, as a careless person with psql does. With
`flood` it asks for far more than a socket holds, under the log's lock, on a connection that commits; and freezes before
it has read any of it.
"""

import asyncio
import os
import signal
import sys

import anyio
import asyncpg

from eventstore.postgres.store import PostgresStore
from protocol.subjects import Address
from tests.kit.units import event

FLOOD_SQL = "select lock_log(), repeat('x', 1000000) from generate_series(1, 100)"


async def append_for_ever(dsn: str, name: str) -> None:
    address = Address("demo", "note", name)
    async with PostgresStore.open(dsn, prepare=False) as store:
        n = 0
        while True:
            position = await store.append(address, [event(n, name)], n, f"{name}-{n}")
            n += 1
            sys.stdout.write(f"{n} {position}\n")
            sys.stdout.flush()


async def hold(dsn: str) -> None:
    settings = {"search_path": "troupe, public", "application_name": "careless"}
    connection = await asyncpg.connect(dsn, server_settings=settings)
    await connection.execute("begin")
    await connection.execute("select lock_log()")
    sys.stdout.write(f"{connection.get_server_pid()} 0\n")
    sys.stdout.flush()
    await anyio.sleep_forever()


async def flood(dsn: str) -> None:
    async with PostgresStore.open(dsn, prepare=False) as store:
        commits = store._commits  # pyright: ignore[reportPrivateUsage]
        async with commits.connection("flood") as connection:
            sys.stdout.write(f"{connection.get_server_pid()} 0\n")
            sys.stdout.flush()
            asked = asyncio.ensure_future(connection.execute(FLOOD_SQL))
            await asyncio.sleep(0)  # It is on its way to the server; of the answer nothing was read.
            os.kill(os.getpid(), signal.SIGSTOP)
            await asked


if __name__ == "__main__":
    if sys.argv[3:] == ["hold"]:
        anyio.run(hold, sys.argv[1])
    elif sys.argv[3:] == ["flood"]:
        anyio.run(flood, sys.argv[1])
    else:
        anyio.run(append_for_ever, sys.argv[1], sys.argv[2])
