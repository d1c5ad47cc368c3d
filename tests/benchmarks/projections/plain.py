"""The plain projector, as one writes it: the same view folded with one transaction for every event.

It reads pages of the log as Troupe's does, and for each event begins, moves its checkpoint, counts the event in the
row of its type, and commits: four statements, prepared once, on one connection. Nothing is looked up or decoded that
the view does not need. It goes on where it stopped, and begins again at the log's end.
"""

from time import perf_counter
from typing import Any, Literal

import asyncpg

from eventstore.store import Log
from projections.statement import sql

Commits = Literal["on", "off"]  # synchronous_commit.
PAGE = 2_000
_CHECKPOINT = "create table checkpoint (name text primary key, position bigint not null)"
_BEGIN_AT = "insert into checkpoint values ('event_counts', 0)"
_MOVE = "update checkpoint set position = $1 where name = 'event_counts'"
_COUNT = """
insert into event_counts as counted (project, kind, type, events, position, at) values ($1, $2, $3, 1, $4, $5)
on conflict (project, kind, type) do update
    set events = counted.events + 1, position = excluded.position, at = excluded.at
"""


class PlainProjector:
    """On a schema of its own. `commits`: whether a commit waits for the disk, as PostgreSQL does unless told."""

    def __init__(self, log: Log, dsn: str, commits: Commits) -> None:
        self._log, self._dsn, self._commits = log, dsn, commits
        self._position = 0

    async def open(self) -> None:
        """Connect, with empty tables."""
        schema = f"plain_{self._commits}"
        settings = {"search_path": schema, "synchronous_commit": self._commits}
        connection: Any = await asyncpg.connect(self._dsn, server_settings=settings)
        await connection.execute(f"create schema {schema}")
        for statement in (sql("event_counts_schema"), _CHECKPOINT, _BEGIN_AT):
            await connection.execute(statement)
        self._connection = connection
        self._move, self._count = await connection.prepare(_MOVE), await connection.prepare(_COUNT)

    async def close(self) -> None:
        await self._connection.close()

    async def fold(self, seconds: float) -> tuple[int, float]:
        """Events folded in about so many seconds, and the exact time."""
        started, folded = perf_counter(), 0
        while True:
            page = await self._log.read(self._position, PAGE)
            if not page:
                await self._connection.execute("truncate event_counts")
                self._position = 0
            for recorded in page:
                address = recorded.address
                await self._connection.execute("begin")
                await self._move.fetch(recorded.position)
                await self._count.fetch(address.project, address.kind, recorded.type, recorded.position, recorded.at)
                await self._connection.execute("commit")
                self._position = recorded.position
                folded += 1
                if (took := perf_counter() - started) > seconds:
                    return folded, took
