"""The log in PostgreSQL. Keeps the promises of `store.py`; migrations/0002_commit.sql has the one deciding function.

A lost connection is StoreUnavailable: whether the commit in flight happened is then unknown, and the identical batch
sent again finds itself (its commands are known). The pools reconnect by themselves.
"""

import hashlib
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID

import anyio
import asyncpg

from eventstore.checks import check_after, check_append, check_batch, check_sha256
from eventstore.postgres.batch import arguments
from eventstore.postgres.connections import CONNECT_TIMEOUT_S, Listener, Pool, borrowed, errors, pools
from eventstore.postgres.migrate import migrate
from eventstore.postgres.statements import Statements, statement
from eventstore.store import (
    PAGE_EVENTS_MAX,
    Batch,
    ClaimedEffect,
    EffectOutcome,
    InboxRow,
    Lease,
    NewEvent,
    PendingSend,
    Recorded,
    Selection,
    StoreError,
    Verdict,
    VersionConflict,
)
from protocol.subjects import Address

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_VERSION_CONFLICT = "P0409"  # Raised by append_plain.


class PostgresStore:
    """An EventStore on one schema of one PostgreSQL database. Open with `async with PostgresStore.open(...)`."""

    def __init__(self, general: Pool, committing: Pool, listener: Listener, schema: str) -> None:
        self.pool = general
        self.schema = schema
        self._run = Statements(general)
        self._committing = committing
        self._listener = listener

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, schema: str = "troupe", prepare: bool = True) -> "AsyncGenerator[Self]":
        """Connect, bring the schema up to date (`prepare`) and close at the end. StoreUnavailable when unreachable."""
        if not _SCHEMA.fullmatch(schema):
            raise StoreError(f"the schema name {schema!r} must be lower-case letters, digits and _, at most 41 long")
        if prepare:
            async with errors("prepare the schema"):
                connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
                try:
                    await migrate(connection, schema)
                finally:
                    await connection.close(timeout=CONNECT_TIMEOUT_S)
        listener = Listener(dsn, f"{schema}_log")
        async with pools(dsn, schema) as (general, committing):
            try:
                yield cls(general, committing, listener, schema)
            finally:
                await listener.close()

    async def head(self) -> int:
        return int(await self._run.value("head"))

    async def read(
        self,
        after: int,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        selection: Selection | None = None,
    ) -> list[Recorded]:
        check_after(after)
        s = selection or Selection()
        types = None if s.types is None else list(s.types)
        rows = await self._run.rows("read", after, limit, upto, s.project, s.kind, s.name, types, s.correlation)
        return [_recorded(row) for row in rows]

    async def read_stream(self, address: Address, after: int = 0, limit: int = PAGE_EVENTS_MAX) -> list[Recorded]:
        check_after(after)
        rows = await self._run.rows("read_stream", address.project, address.kind, address.name, after, limit)
        return [_recorded(row) for row in rows]

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        with anyio.move_on_after(timeout_s):
            await self._listener.ready()
            woken = self._listener.next
            if await self.head() <= position:
                await woken.wait()
            return True
        return False

    async def append(self, address: Address, events: Sequence[NewEvent], expected: int | None = None) -> int:
        check_append(address, events)
        fields = list(zip(*((e.type, e.at, e.correlation, e.causation, e.body) for e in events), strict=True))
        columns = fields or [()] * 5
        name = f"append to {address}"
        async with borrowed(self.pool) as connection, errors(name):
            try:
                position: int = await connection.fetchval(
                    statement("append"), address.project, address.kind, address.name, expected, *columns
                )
            except asyncpg.PostgresError as error:
                if error.sqlstate == _VERSION_CONFLICT:
                    raise VersionConflict(f"{name}: {error}") from error
                raise
        return position

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        check_batch(batch)
        async with borrowed(self._committing) as connection, errors("commit"):
            rows = await connection.fetch(statement("commit"), *arguments(batch))
        return tuple(Verdict(row["status"], row["first_position"], tuple(row["known"])) for row in rows)

    async def broken_links(self, after: int = 0, upto: int | None = None, limit: int = 100) -> list[tuple[int, int]]:
        """Stretches of the log (first and last position) in `after < position <= upto` that the hash chain does not
        vouch for, at most `limit`. Reads every event in the range: page through a long log."""
        check_after(after)
        end = await self.head() if upto is None else upto
        return [(row[0], row[1]) for row in await self._run.rows("broken_links", after, end, limit)]

    async def acquire(self, partitions: Collection[int], owner: UUID, ttl_s: float, takeover: bool) -> list[Lease]:
        await self._run.rows("create_partitions", list(partitions))
        rows = await self._run.rows("acquire", list(partitions), owner, ttl_s, takeover)
        return [Lease(row["id"], row["epoch"], row["owner"], row["cursor"], row["witness"]) for row in rows]

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
                row["correlation"], row["causation"], row["outcome_of"],
            )
            for row in await self._run.rows("pending_sends", *fields, limit)
        ]  # fmt: skip

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        return [_address(row) for row in await self._run.rows("overdue_sends", list(partitions), older_than_s, limit)]

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        return [
            ClaimedEffect(
                _address(row), row["key"], row["effect_kind"], row["safety"], row["body"], row["at"],
                row["correlation"], row["causation"], row["attempts"], row["claim"],
            )
            for row in await self._run.rows("claim_effects", list(kinds), worker, ttl_s, limit)
        ]  # fmt: skip

    async def extend_claims(self, worker: UUID, ttl_s: float) -> int:
        return await self._run.count("extend_claims", worker, ttl_s)

    async def release_claims(self, keep: UUID) -> int:
        return await self._run.count("release_claims", keep)

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

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float) -> bool:
        return await self._run.count("retry_effect", effect.address.project, effect.key, effect.claim, delay_s) == 1

    async def fire_timers(self, limit: int) -> list[Address]:
        return [_address(row) for row in await self._run.rows("fire_timers", limit)]

    async def next_timer_s(self) -> float | None:
        value: float | None = await self._run.value("next_timer")
        return value

    async def put_blob(self, project: str, content: bytes) -> str:
        digest = hashlib.sha256(content)
        await self._run.rows("put_blob", project, digest.digest(), content)
        return digest.hexdigest()

    async def get_blob(self, project: str, sha256: str) -> bytes | None:
        content: bytes | None = await self._run.value("get_blob", project, check_sha256(sha256))
        return content


def _address(row: asyncpg.Record) -> Address:
    return Address(row["project"], row["kind"], row["name"])


def _recorded(row: asyncpg.Record) -> Recorded:
    return Recorded(
        row["position"],
        _address(row),
        row["version"],
        row["tag"],
        row["at"],
        row["correlation"],
        row["causation"],
        row["body"],
    )
