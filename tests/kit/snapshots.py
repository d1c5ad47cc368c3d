"""What tests do to snapshots behind the back of their store."""

from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.snapshots import Snapshot
from eventstore.store import EventStore


async def spoil_snapshot(store: EventStore, instead: Snapshot, sealed: bool = False) -> None:
    """Put other values in the place of a stream's snapshot; `sealed`: with the hash that they should have."""
    address = instead.address
    if isinstance(store, PostgresStore):
        await store.pool.execute(
            "update snapshots set version = $1, schema = $2, body = $3, sha256 = case when $4 then $5 else sha256 end "
            "where stream_id = (select id from streams where project = $6 and kind = $7 and name = $8)",
            instead.version, instead.schema, instead.body, sealed, instead.sha256,
            address.project, address.kind, address.name,
        )  # fmt: skip
        return
    assert isinstance(store, MemoryStore)
    rows = store.snapshots.rows
    rows[address] = (instead, instead.sha256 if sealed else rows[address][1])
