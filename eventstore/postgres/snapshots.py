"""Snapshots in PostgreSQL: the table and function of migrations/0007_snapshots.sql. Keeps the promises of
`eventstore/snapshots.py`."""

from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from eventstore.snapshots import Snapshot, check_snapshot
from protocol.subjects import Address


class PostgresSnapshots:
    """The snapshots of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def put(self, snapshot: Snapshot) -> bool:
        check_snapshot(snapshot)
        fields = (snapshot.version, snapshot.schema, snapshot.sha256, snapshot.body)
        return bool(await self._run.value("put_snapshot", *_key(snapshot.address), *fields))

    async def get(self, address: Address, schema: str) -> Snapshot | None:
        rows = await self._run.rows("get_snapshot", *_key(address), schema)
        if not rows:
            return None
        found = Snapshot(address, rows[0]["version"], schema, rows[0]["body"])
        return found if found.sha256 == rows[0]["sha256"] else None

    async def drop(self, address: Address) -> None:
        await self._run.rows("drop_snapshot", *_key(address))


def _key(address: Address) -> tuple[str, str, str]:
    return address.project, address.kind, address.name
