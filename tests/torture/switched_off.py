"""Guarantees of the store switched off, each in the way in which it could be broken: the checkers must then fail.

For the workers of a torture run only; nothing that ships can be told to do this.
"""

from collections.abc import Collection
from uuid import UUID

import asyncpg
import msgspec.structs

from eventstore.postgres.store import PostgresStore
from eventstore.store import Batch, Fence, Settled, Verdict

_FENCES = "select id, epoch, owner from troupe.partitions where id = any ($1::integer[])"


class WithoutInbox(PostgresStore):
    """Nothing is remembered of the commands that were settled: a repetition is taken for a new one."""

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        units = tuple(
            msgspec.structs.replace(unit, settled=tuple(_forgettable(row) for row in unit.settled))
            for unit in batch.units
        )
        return await super().commit(Batch(batch.fences, units))


def _forgettable(row: Settled) -> Settled:
    return row if row.outbox_id else msgspec.structs.replace(row, keep=False)


class WithoutFence(PostgresStore):
    """Whoever commits is taken for the owner, and is never told that it is not."""

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        rows = await self.pool.fetch(_FENCES, [fence.partition for fence in batch.fences])
        current = {row["id"]: row for row in rows if row["owner"] is not None}
        fences = tuple(_pretended(fence, current.get(fence.partition)) for fence in batch.fences)
        return await super().commit(Batch(fences, batch.units))

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        await super().renew(partitions, owner, ttl_s)
        return set(partitions)


def _pretended(fence: Fence, row: "asyncpg.Record | None") -> Fence:
    if row is None:
        return fence
    return Fence(fence.partition, row["epoch"], row["owner"], fence.cursor, fence.witness)


_STORES = {"": PostgresStore, "inbox": WithoutInbox, "fence": WithoutFence}
GUARANTEES = tuple(name for name in _STORES if name)


def store_without(guarantee: str) -> type[PostgresStore]:
    """The adapter without that guarantee ("": as it is)."""
    return _STORES[guarantee]
