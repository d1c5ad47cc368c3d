"""The log in PostgreSQL. Keeps the promises of `store.py`; migrations/0002_commit.sql has the one deciding function.

A lost connection is StoreUnavailable: whether the commit in flight happened is then unknown, and the identical batch
sent again finds itself (its commands are known). The pools reconnect by themselves.
"""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self
from uuid import UUID

import asyncpg

from eventstore.appending import append_one, one_write, weight
from eventstore.checks import check_append, check_appends, check_batch
from eventstore.coalescer import Coalescer
from eventstore.postgres.appending import append_all
from eventstore.postgres.archive import PostgresArchive
from eventstore.postgres.asks import PostgresAsks
from eventstore.postgres.audit import PostgresAudit
from eventstore.postgres.backlog import PostgresBacklog
from eventstore.postgres.batch import arguments, carried, needs_more, traced
from eventstore.postgres.blobs import PostgresBlobs
from eventstore.postgres.connections import CONNECT_TIMEOUT_S, Kept, Listener, Pool, connect, errors, key_pool, pools
from eventstore.postgres.dead import PostgresDead
from eventstore.postgres.effects import PostgresEffects, claimed
from eventstore.postgres.fork import PostgresForks, keys_of
from eventstore.postgres.gaps import PostgresGaps
from eventstore.postgres.histories import PostgresHistories
from eventstore.postgres.leases import PostgresLeases
from eventstore.postgres.migrate import installed, migrate
from eventstore.postgres.optimistic import OptimisticCommits
from eventstore.postgres.reading import PostgresLog
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.postgres.statements import Statements, statement
from eventstore.postgres.subject_keys import PostgresSubjectKeys
from eventstore.postgres.traces import PostgresTraces
from eventstore.postgres.workers import PostgresWorkers
from eventstore.records import Append, Appended
from eventstore.store import (
    Batch,
    ClaimedEffect,
    EffectOutcome,
    InboxRow,
    Lease,
    NewEvent,
    NoSuchLog,
    PendingSend,
    StoreError,
    Verdict,
)
from protocol.subjects import Address

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")


class PostgresStore(PostgresLog):
    """An EventStore on one schema of one PostgreSQL database. Open with `async with PostgresStore.open(...)`."""

    def __init__(
        self, dsn: str, general: Pool, committing: Pool, listener: Listener, schema: str, keys: "Pool | None" = None
    ) -> None:
        super().__init__(general, listener)
        self.pool = general
        self.dsn = dsn  # For processes that help this one: it holds a password.
        self.schema = schema
        self.blobs = PostgresBlobs(general, committing)
        self.archive = PostgresArchive(dsn, schema, self.blobs)
        self.audit = PostgresAudit(dsn, schema, self.blobs)
        self.gaps = PostgresGaps(dsn, schema)
        self.backlog = PostgresBacklog(general)
        self.snapshots = PostgresSnapshots(general)
        self.keys = PostgresSubjectKeys(keys or general)
        self.workers = PostgresWorkers(general)
        self.dead = PostgresDead(general, committing)
        self.leases = PostgresLeases(general)
        self.histories = PostgresHistories(general, dsn, schema)
        self.effects = PostgresEffects(general)
        self.asks = PostgresAsks(general)
        self.traces = PostgresTraces(general)
        self.forks = PostgresForks(dsn, schema, general, type(self).open)
        self._kept = Kept()
        self._commits = Statements(committing, general, self._kept.lend)
        self._optimistic = OptimisticCommits()
        self._appends: Coalescer[Append, Appended] = Coalescer(self._append_checked, weight)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, schema: str = "troupe", prepare: bool = True, must_exist: bool = False
    ) -> "AsyncGenerator[Self]":
        """Connect, bring the schema up to date (`prepare`) and close at the end. StoreUnreachable, StoreRefused,
        UnfitServer; NoSuchLog when it `must_exist` and there is none in that schema."""
        if not _SCHEMA.fullmatch(schema):
            raise StoreError(f"the schema name {schema!r} must be lower-case letters, digits and _, at most 41 long")
        connection = await connect(dsn)
        async with errors("prepare the schema"):
            try:
                if must_exist and not await installed(connection, schema):
                    raise NoSuchLog(f"there is no log called {schema!r}: `troupe fork list` shows the forks there are")
                if prepare:
                    await migrate(connection, schema)
                keys = await keys_of(connection, schema)
            finally:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
        async with AsyncExitStack() as stack:
            general, committing = await stack.enter_async_context(pools(dsn, schema))
            # A fork has no keys of its own: it reads with the original's, and forgets with it.
            borrowed_keys = None if keys == schema else await stack.enter_async_context(key_pool(dsn, keys))
            listener = Listener(dsn, f"{schema}_log")
            stack.push_async_callback(listener.close)
            store = cls(dsn, general, committing, listener, schema, borrowed_keys)
            stack.push_async_callback(store._kept.give_back)
            yield store

    async def append(
        self, address: Address, events: Sequence[NewEvent], expected: int | None = None, id: str = ""
    ) -> int:
        append = one_write(address, events, expected, id)
        check_append(append)  # Before it shares a commit with others.
        return await append_one(self._appends.submit, append) or await self.head()

    async def append_all(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        check_appends(appends)
        return await self._append_checked(appends)

    async def _append_checked(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        async with self._commits.connection("append") as connection:
            return await append_all(connection, self._optimistic, appends)

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        check_batch(batch)
        async with self._commits.connection("commit") as connection:
            verdicts = await self._optimistic.commit(connection, batch)
            if verdicts is not None:
                return verdicts
            if needs_more(batch):
                rows = await connection.fetch(
                    statement("commit_judged"), *arguments(batch), *carried(batch), *traced(batch.units)
                )
            else:
                rows = await connection.fetch(statement("commit"), *arguments(batch))
        return tuple(Verdict(row["status"], row["first_position"], tuple(row["known"])) for row in rows)

    async def acquire(self, partitions: Collection[int], owner: UUID, ttl_s: float, takeover: bool) -> list[Lease]:
        await self._run.rows("create_partitions", list(partitions))
        rows = await self._run.rows("acquire", list(partitions), owner, ttl_s, takeover)
        return [Lease(r["id"], r["epoch"], r["owner"], r["cursor"], r["witness"], r["clean"]) for r in rows]

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        return {row["id"] for row in await self._run.rows("renew", list(partitions), owner, ttl_s)}

    async def release(self, partitions: Collection[int], owner: UUID) -> None:
        await self._run.rows("release", list(partitions), owner)

    async def inbox(self, project: str, ids: Collection[str]) -> dict[str, InboxRow]:
        rows = await self._run.rows("inbox", project, list(ids))
        return {
            row["id"]: InboxRow(
                row["id"],
                _address(row),
                row["type"],
                row["outcome"],
                row["detail"],
                row["first_position"],
                row["events"],
            )
            for row in rows
        }

    async def pending_sends(self, to: Collection[Address], limit: int) -> list[PendingSend]:
        receivers = set(to)
        fields = ([a.project for a in receivers], [a.kind for a in receivers], [a.name for a in receivers])
        return [
            PendingSend(
                row["id"], row["key"], _address(row), row["sender"], row["type"], row["body"], row["at"],
                row["correlation"], row["causation"], row["outcome_of"], row["trace"],
            )
            for row in await self._run.rows("pending_sends", *fields, limit)
        ]  # fmt: skip

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        return [_address(row) for row in await self._run.rows("overdue_sends", list(partitions), older_than_s, limit)]

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        return [claimed(row) for row in await self._run.rows("claim_effects", list(kinds), worker, ttl_s, limit)]

    async def release_claims(self, keep: Collection[UUID]) -> int:
        return await self._run.count("release_claims", list(keep))

    async def finish_effect(self, effect: ClaimedEffect, outcome: EffectOutcome, partition: int) -> bool:
        written = await self._run.count(
            "finish_effect",
            effect.address.project,
            effect.key,
            effect.claim,
            partition,
            outcome.type,
            outcome.at,
            outcome.body,
        )
        return written == 1

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float, tried: bool = True) -> bool:
        named = (effect.address.project, effect.key, effect.claim)
        return await self._run.count("retry_effect", *named, delay_s, tried) == 1

    async def fire_timers(self, limit: int, partitions: Collection[int] | None = None) -> list[Address]:
        wanted = None if partitions is None else list(partitions)
        return [_address(row) for row in await self._run.rows("fire_timers", limit, wanted)]

    async def next_timer_s(self, partitions: Collection[int] | None = None) -> float | None:
        wanted = None if partitions is None else list(partitions)
        value: float | None = await self._run.value("next_timer", wanted)
        return value


def _address(row: asyncpg.Record) -> Address:
    return Address(row["project"], row["kind"], row["name"])
