"""Named leases in PostgreSQL: the table of migrations/0014_leases.sql. Keeps the promises of `eventstore/leases.py`."""

from uuid import UUID

from eventstore.leases import NamedLease, check_lease_name
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements


class PostgresLeases:
    """The named leases of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def take(self, name: str, owner: UUID, ttl_s: float) -> NamedLease:
        check_lease_name(name)
        while True:
            rows = await self._run.rows("take_lease", name, owner, ttl_s)
            if rows:  # Else another took it while this statement waited for the row; now it can be seen.
                row = rows[0]
                return NamedLease(name, row["owner"], row["epoch"], row["expires_in_s"])

    async def give_back(self, name: str, owner: UUID) -> None:
        await self._run.rows("give_back_lease", name, owner)
