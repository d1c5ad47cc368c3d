"""The processes of a company, in memory: keeps the promises of `eventstore/workers.py`."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint

from eventstore.memory.tables import Tables
from eventstore.workers import CursorPlace, Holding, Roster, Worker


class MemoryWorkers:
    """Workers on the tables of one store."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables, self._now = tables, now

    async def beat(self, worker: Worker, ttl_s: float) -> None:
        await checkpoint()
        self._tables.workers[worker.id] = (worker, self._now() + timedelta(seconds=ttl_s))

    async def roster(self) -> Roster:
        await checkpoint()
        now = self._now()
        workers = sorted((w for w, until in self._tables.workers.values() if until > now), key=lambda w: w.id)
        holdings = (
            Holding(id_, row.owner, (row.expires_at - now).total_seconds(), row.epoch)
            for id_, row in sorted(self._tables.partitions.items())
            if row.owner is not None and row.expires_at is not None
        )
        return Roster(tuple(workers), tuple(holdings))

    async def leave(self, *workers: UUID) -> None:
        await checkpoint()
        for worker in workers:
            self._tables.workers.pop(worker, None)

    async def lowest(self) -> CursorPlace | None:
        await checkpoint()
        places = [CursorPlace(id_, row.cursor, row.witness) for id_, row in self._tables.partitions.items()]
        return min(places, key=lambda place: (place.cursor, place.partition), default=None)
