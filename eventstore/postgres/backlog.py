"""What waits in the store, in PostgreSQL: keeps the promises of `eventstore/backlog.py`."""

from eventstore.backlog import COUNTED_MAX, EffectsOpen, Waits
from eventstore.effects import DEADLINE, WITHDRAW
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements


class PostgresBacklog:
    """The backlog of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def waits(self) -> Waits:
        (row,) = await self._run.rows("backlog_waits", COUNTED_MAX)
        return Waits(**dict(row))

    async def effects(self) -> list[EffectsOpen]:
        return [
            EffectsOpen(row["effect_kind"], row["standing"], row["count"], max(0.0, row["oldest_s"]))
            for row in await self._run.rows("backlog_effects", COUNTED_MAX, [WITHDRAW, DEADLINE])
        ]
