"""What histories were made of, in PostgreSQL: keeps the promises of `eventstore/histories.py`."""

from collections.abc import AsyncGenerator, Collection, Sequence

from eventstore.histories import (
    EventlessCommand,
    KeptCommand,
    PendingClass,
    PendingWork,
    Place,
    SettledCommand,
    check_class,
)
from eventstore.postgres.connections import Pool
from eventstore.postgres.sessions import session
from eventstore.postgres.statements import Statements, statement
from protocol.subjects import Address

_PENDING: dict[PendingClass, str] = {
    "send": "all_pending_sends",
    "timer": "all_pending_timers",
    "effect": "all_pending_effects",
    "parked": "all_pending_parked",
}


PAGE_ROWS = 1_000  # Without their bytes.


class PostgresHistories:
    """Over the tables of one schema."""

    def __init__(self, pool: Pool, dsn: str, schema: str) -> None:
        self._run = Statements(pool)
        self._dsn, self._schema = dsn, schema

    async def commands(self, address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        where = (address.project, address.kind, address.name)
        rows = await self._run.rows("accepted_commands", *where, list(ids))
        return {row["id"]: SettledCommand(row["id"], row["type"], row["body"]) for row in rows}

    async def eventless(self) -> AsyncGenerator[Sequence[EventlessCommand]]:
        async with session(self._dsn, self._schema, "read commands that led to nothing", reading=True) as connection:
            rows = await connection.cursor(statement("eventless_commands"))
            while page := await rows.fetch(PAGE_ROWS):
                yield [
                    EventlessCommand(
                        r["id"], r["outbox"], Address(r["project"], r["kind"], r["name"]), r["type"], r["outcome"],
                        r["detail"], r["at"], r["low"], r["stood"], r["high"],
                    )
                    for r in page
                ]  # fmt: skip

    async def kept(self, project: str, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], KeptCommand]:
        columns = ([id_ for id_, _ in keys], [outbox for _, outbox in keys])
        rows = await self._run.rows("kept_inbox", project, *columns)
        return {(r["id"], r["outbox"]): KeptCommand(r["type"], r["headers"], r["body"]) for r in rows}

    async def pending(self, what: PendingClass, after: Place, limit: int) -> list[PendingWork]:
        check_class(what)
        rows = await self._run.rows(_PENDING[what], *after, limit)
        return [
            PendingWork(what, Address(r["project"], r["kind"], r["name"]), r["key"], r["type"], r["body"], r["sender"])
            for r in rows
        ]
