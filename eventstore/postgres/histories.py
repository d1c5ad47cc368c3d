"""What histories were made of, in PostgreSQL: keeps the promises of `eventstore/histories.py`."""

from collections.abc import Collection

from eventstore.histories import PendingClass, PendingWork, Place, SettledCommand, check_class
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from protocol.subjects import Address

_PENDING: dict[PendingClass, str] = {
    "send": "all_pending_sends",
    "timer": "all_pending_timers",
    "effect": "all_pending_effects",
    "parked": "all_pending_parked",
}


class PostgresHistories:
    """Over the tables of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def commands(self, address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        where = (address.project, address.kind, address.name)
        rows = await self._run.rows("accepted_commands", *where, list(ids))
        return {row["id"]: SettledCommand(row["id"], row["type"], row["body"]) for row in rows}

    async def pending(self, what: PendingClass, after: Place, limit: int) -> list[PendingWork]:
        check_class(what)
        rows = await self._run.rows(_PENDING[what], *after, limit)
        return [
            PendingWork(what, Address(r["project"], r["kind"], r["name"]), r["key"], r["type"], r["body"], r["sender"])
            for r in rows
        ]
