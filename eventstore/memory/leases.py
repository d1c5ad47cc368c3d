"""Named leases in memory: keeps the promises of `eventstore/leases.py`, but that nothing survives the process."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint

from eventstore.leases import NamedLease, check_lease_name
from eventstore.memory.tables import NamedLeaseRow, Tables


class MemoryLeases:
    """Leases in the tables of one store."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._leases, self._now = tables.leases, now

    async def take(self, name: str, owner: UUID, ttl_s: float) -> NamedLease:
        check_lease_name(name)
        await checkpoint()
        now = self._now()
        row = self._leases.setdefault(name, NamedLeaseRow(owner, 1, now))
        if row.owner == owner or row.expires_at <= now:
            row.epoch += row.owner != owner
            row.owner, row.expires_at = owner, now + timedelta(seconds=ttl_s)
        return NamedLease(name, row.owner, row.epoch, (row.expires_at - now).total_seconds())

    async def give_back(self, name: str, owner: UUID) -> None:
        await checkpoint()
        row = self._leases.get(name)
        if row is not None and row.owner == owner:
            row.expires_at = self._now()
