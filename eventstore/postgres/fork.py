"""Forks in PostgreSQL: a schema beside the original's, made in one transaction. Keeps the promises of
`eventstore/forking.py`.

The transaction sees one snapshot of the original, which goes on meanwhile. Rows are copied within the server; what is
under way is staged in a temporary table and settled against the log by joins, so that nothing grows in this process.
In the statements of sql/fork/ the schema `origin` stands for the original's.
"""

import re
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from eventstore.errors import StoreError
from eventstore.forking import (
    SCORE_MAX,
    STREAMS_MAX,
    Fork,
    ForkedStream,
    RecordedOutcome,
    Wanted,
    check_fork,
    missing,
    taken,
)
from eventstore.postgres.connections import CONNECT_TIMEOUT_S, Pool, errors
from eventstore.postgres.migrate import apply_migrations
from eventstore.postgres.statements import Statements, statement
from eventstore.records import Recorded
from protocol.subjects import Address, partition_of

if TYPE_CHECKING:
    from eventstore.store import EventStore

_ORIGIN = re.compile(r"\borigin\.")
# Each statement after those it builds upon. $1 is the position, where one is used.
_COPIED = (
    "event_types", "events", "streams", "links", "cut_link", "inbox", "clip_inbox", "outcomes", "score",
    "parked_actors", "parked_commands", "past_parkings", "past_waits", "sent_again", "blobs", "blob_chunks",
    "blob_names", "mark_outcomes", "numbers", "stage",
)  # fmt: skip
_SETTLED = ("analyze", "settle_sends", "settle_timers", "settle_effects", "settle_outcomes")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Opener: TypeAlias = "Callable[[str, str], AbstractAsyncContextManager[EventStore]]"


class PostgresForks:
    """The forks of one schema. `open_store` opens a store on a DSN and a schema."""

    def __init__(self, dsn: str, schema: str, pool: Pool, open_store: Opener) -> None:
        self._dsn, self._schema, self._open = dsn, schema, open_store
        self._run = Statements(pool)

    @asynccontextmanager
    async def creating(self, position: int, name: str, live: bool = False) -> "AsyncGenerator[PostgresDraft]":
        async with self._connected(f"fork {self._schema} at {position} as {name}") as connection:
            # Not the driver's own transaction: whatever goes wrong, the connection is ended, and the fork with it.
            await connection.execute("begin isolation level repeatable read")
            check_fork(position, await connection.fetchval(_sql("fork/head", self._schema)), name)
            try:
                await connection.execute(f'create schema "{name}"')
            except (asyncpg.DuplicateSchemaError, asyncpg.UniqueViolationError) as error:  # The latter when waited for.
                raise taken(name) from error
            await apply_migrations(connection, name)
            at = await connection.fetchval(_sql("fork/position_at", self._schema), position)
            created_at = await connection.fetchval(_sql("fork/mark", self._schema), self._schema, position, at, live)
            for copied in _COPIED:
                text = _sql(f"fork/{copied}", self._schema)
                await connection.execute(text, *([position] if "$1" in text else []))
            yield PostgresDraft(connection, self._schema, Fork(name, self._schema, position, at, live, created_at))
            for settled in _SETTLED:
                await connection.execute(statement(f"fork/{settled}"))
            await connection.execute("commit")

    async def listed(self) -> list[Fork]:
        async with self._connected("list the forks") as connection:
            found = [await _this(connection, row["name"]) for row in await connection.fetch(statement("fork/schemas"))]
        return [fork for fork in found if fork is not None]

    async def drop(self, name: str) -> None:
        if name == self._schema:
            raise StoreError(f"cannot drop {name!r} from within: open the log that it was made from")
        async with self._connected(f"drop the fork {name}") as connection, connection.transaction():
            named = name in [row["name"] for row in await connection.fetch(statement("fork/schemas"))]
            if not named or await _this(connection, name) is None:
                raise missing(name)
            if await connection.fetchval(statement("fork/running")):
                raise StoreError(f"somebody is running on the fork {name!r}: stop that company first")
            for row in await connection.fetch(statement("fork/beside"), name):
                await connection.execute(f'drop schema "{row["name"]}" cascade')
            await connection.execute(f'drop schema "{name}" cascade')

    @asynccontextmanager
    async def opened(self, name: str) -> "AsyncGenerator[EventStore]":
        if all(fork.name != name for fork in await self.listed()):
            raise missing(name)
        async with self._open(self._dsn, name) as store:
            yield store

    async def this(self) -> Fork | None:
        rows = await self._run.rows("fork/this")
        return _fork(rows[0]) if rows else None

    async def resume(self) -> bool:
        return bool(await self._run.value("fork/resume"))

    async def recorded(self, project: str, key: str) -> RecordedOutcome | None:
        rows = await self._run.rows("fork/recorded", project, key)
        return RecordedOutcome(rows[0]["work"], rows[0]["type"], rows[0]["body"]) if rows else None

    async def score(self, address: Address, after: int) -> Sequence[tuple[int, str]]:
        stream = (address.project, address.kind, address.name)
        rows = await self._run.rows("fork/read_score", *stream, after, SCORE_MAX)
        return [(row["version"], row["causation"]) for row in rows]

    async def effects_open(self, kinds: Collection[str]) -> bool:
        return bool(await self._run.value("fork/effects_open", list(kinds)))

    @asynccontextmanager
    async def _connected(self, doing: str) -> AsyncGenerator[Connection]:
        """A connection for this alone, with the server's own settings: what copies a log must scan it."""
        async with errors(doing):
            connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "troupe fork"}
            )
            try:
                yield connection
            finally:
                connection.terminate()


class PostgresDraft:
    """A fork in the transaction that makes it."""

    def __init__(self, connection: Connection, origin: str, fork: Fork) -> None:
        self._connection, self._origin = connection, origin
        self._pages: list[int] = [0]  # The number of the stream before each page.
        self.fork = fork

    async def streams(self, page: int) -> Sequence[ForkedStream]:
        rows = await self._connection.fetch(_sql("fork/list_streams", self._origin), self._pages[page], STREAMS_MAX)
        if rows and len(self._pages) == page + 1:
            self._pages.append(rows[-1]["id"])
        return [ForkedStream(Address(row["project"], row["kind"], row["name"]), row["version"]) for row in rows]

    async def history(self, address: Address, after: int, limit: int) -> Sequence[Recorded]:
        rows = await self._connection.fetch(
            _sql("fork/history", self._origin), address.project, address.kind, address.name, after, limit
        )
        return [
            Recorded(
                row["position"], address, row["version"], row["tag"], row["at"], row["correlation"], row["causation"],
                row["body"],
            )
            for row in rows
        ]  # fmt: skip

    async def want(self, wanted: Wanted) -> None:
        actor = (wanted.address.project, wanted.address.kind, wanted.address.name)
        if wanted.sends:
            rows = [
                (position, s.to.project, s.to.kind, s.to.name, s.partition, s.id, s.sender, s.type, s.at, s.correlation,
                 s.causation, s.body)
                for position, s in wanted.sends
            ]  # fmt: skip
            await self._connection.execute(statement("fork/want_sends"), *_columns(rows))
        if wanted.timers:
            timers = [(t.key, t.due, t.type, t.correlation, t.causation, t.body) for t in wanted.timers]
            partition = partition_of(wanted.address)
            await self._connection.execute(statement("fork/want_timers"), *actor, partition, *_columns(timers))
        if wanted.effects:
            effects = [
                (f.key, f.effect_kind, f.safety, f.at, f.correlation, f.causation, f.body) for f in wanted.effects
            ]
            await self._connection.execute(statement("fork/want_effects"), *actor, *_columns(effects))

    async def worked(self, project: str, works: Sequence[tuple[str, bytes]]) -> None:
        if works:
            await self._connection.execute(statement("fork/worked"), project, *_columns(works))


async def keys_of(connection: Connection, schema: str) -> str:
    """The schema whose subject keys the log in `schema` uses; its own, but for a fork."""
    if await connection.fetchval("select to_regclass($1)", f'"{schema}".fork') is None:
        return schema  # Of an earlier version, which is not to be brought up to date now.
    return await connection.fetchval(_sql("fork/keys", schema)) or schema


async def _this(connection: Connection, schema: str) -> Fork | None:
    await connection.execute(f'set search_path to "{schema}"')
    row = await connection.fetchrow(statement("fork/this"))
    return None if row is None else _fork(row)


def _fork(row: asyncpg.Record) -> Fork:
    return Fork(
        row["name"], row["origin"], row["position"], row["at"], row["live"], row["created_at"], row["resumed_at"]
    )


def _sql(name: str, origin: str) -> str:
    """The statement with the original's schema in its place."""
    return _ORIGIN.sub(f'"{origin}".', statement(name))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
