"""A process that appends one event after another and says so: `python -m tests.kit.child_writer DSN NAME [hold]`.

With `hold` it takes the log's lock in a transaction of its own and keeps it, as a careless person with psql does.
"""

import sys

import anyio
import asyncpg

from eventstore.postgres.store import PostgresStore
from protocol.subjects import Address
from tests.kit.units import event


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


if __name__ == "__main__":
    if sys.argv[3:] == ["hold"]:
        anyio.run(hold, sys.argv[1])
    else:
        anyio.run(append_for_ever, sys.argv[1], sys.argv[2])
