"""Snapshots in memory. Keeps the promises of `eventstore/snapshots.py`, but that nothing survives the process."""

from anyio.lowlevel import checkpoint

from eventstore.memory.tables import Tables
from eventstore.snapshots import Snapshot, check_snapshot
from protocol.subjects import Address


class MemorySnapshots:
    """The snapshots of one store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.rows = tables.snapshots

    async def put(self, snapshot: Snapshot) -> bool:
        check_snapshot(snapshot)
        await checkpoint()
        address = snapshot.address
        last = self._tables.version(address)
        known = self.rows[address][0].version if address in self.rows else 0
        if snapshot.version > last or snapshot.version < known <= last:
            return False
        self.rows[address] = (snapshot, snapshot.sha256)
        return True

    async def get(self, address: Address, schema: str) -> Snapshot | None:
        await checkpoint()
        found, sha256 = self.rows.get(address, (None, b""))
        if found is None or found.schema != schema or found.version > self._tables.version(address):
            return None
        return found if found.sha256 == sha256 else None

    async def drop(self, address: Address) -> None:
        await checkpoint()
        self.rows.pop(address, None)
