"""The processes of a company, in PostgreSQL: keeps the promises of `eventstore/workers.py`."""

from uuid import UUID

from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from eventstore.workers import CursorPlace, Holding, Roster, Worker

FORGET_AFTER_S = 3600.0  # A row of the dead is kept so long for people who look.


class PostgresWorkers:
    """Workers on one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def beat(self, worker: Worker, ttl_s: float) -> None:
        w = worker
        await self._run.rows("beat", w.id, w.alone, list(w.effects), w.host, w.pid, ttl_s, FORGET_AFTER_S)

    async def roster(self) -> Roster:
        workers = await self._run.rows("live_workers")
        holdings = await self._run.rows("held_partitions")
        return Roster(
            tuple(Worker(r["id"], r["alone"], tuple(r["effects"]), r["host"], r["pid"]) for r in workers),
            tuple(Holding(r["id"], r["owner"], r["expires_in_s"], r["epoch"]) for r in holdings),
        )

    async def leave(self, *workers: UUID) -> None:
        await self._run.rows("leave", list(workers))

    async def lowest(self) -> CursorPlace | None:
        rows = await self._run.rows("lowest_cursor")
        return CursorPlace(rows[0]["id"], rows[0]["cursor"], rows[0]["witness"]) if rows else None
