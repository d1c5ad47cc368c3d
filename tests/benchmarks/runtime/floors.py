"""What an ask cannot be quicker than: one request over NATS, and one commit of PostgreSQL. A process of its own.

- echo: answers every request at once, by nats-py. It is told where, and serves until its input ends.
- request: requests to the echo, one after another, each timed.
- insert: commits of one row of some 250 bytes into a plain table with a primary key, one after another, each timed.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import asyncpg
import msgspec
import nats
from nats.aio.msg import Msg

from tests.benchmarks.report import percentile

SUBJECT = "floor.echo"
BODY = b"x" * 180
TABLE = "create table if not exists public.floor (id bigserial primary key, at timestamptz default now(), body bytea)"
INSERT = "insert into public.floor (body) values ($1)"


class Where(msgspec.Struct):
    nats_url: str
    nats_token: str
    postgres_dsn: str


class Timed(msgspec.Struct):
    """How many there were in how many seconds, and how long each took."""

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float


async def repeat(seconds: float, once: Callable[[], Awaitable[Any]]) -> Timed:
    """`once` after `once` for about so long."""
    took: list[float] = []
    started = before = perf_counter()
    while before < started + seconds:
        await once()
        now = perf_counter()
        took.append(1e3 * (now - before))
        before = now
    return Timed(len(took), before - started, percentile(took, 0.50), percentile(took, 0.99))


async def _line() -> bytes:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.readline)


def _say(what: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


async def main(role: str) -> None:
    where = msgspec.json.decode(await _line(), type=Where)
    if role == "insert":
        connection: Any = await asyncpg.connect(where.postgres_dsn)
        await connection.execute(TABLE)
        insert = await connection.prepare(INSERT)
        while line := await _line():
            _say(await repeat(msgspec.json.decode(line, type=float), lambda: insert.fetch(BODY)))
        await connection.close()
        return
    client = await nats.connect(where.nats_url, token=where.nats_token)
    if role == "echo":

        async def answer(message: Msg) -> None:
            await message.respond(message.data)

        await client.subscribe(SUBJECT, cb=answer)
        await client.flush()
        _say("ready")
        await _line()
    else:
        while line := await _line():
            seconds = msgspec.json.decode(line, type=float)
            _say(await repeat(seconds, lambda: client.request(SUBJECT, BODY, timeout=5)))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
