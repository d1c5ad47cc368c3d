"""Gaps beside the log, in PostgreSQL: keeps the promises of `eventstore/gaps.py`."""

from eventstore.gaps import Examined, check_restored, gap
from eventstore.postgres.sessions import Session, session
from eventstore.postgres.statements import statement
from eventstore.verifier import Broken

RANGE_EVENTS = 50_000  # That a statement looks at: about a second on a warm server.
PAGE_ROWS = 10_000  # Of the inbox.


class PostgresGaps:
    """The tables of one schema under examination."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn, self._schema = dsn, schema

    async def find(self, restored_to: int = 0) -> Examined:
        async with session(self._dsn, self._schema, "look for gaps", reading=True) as connection:
            head, migration = await connection.fetchrow(statement("gaps_head")) or (0, "")
            check_restored(restored_to, head)
            broken = await _causes(connection, head, restored_to)
            commands, wrong = await _commands(connection, head)
            broken = broken or wrong
            waiting, wrong = await _waiting(connection)
            broken = broken or wrong
            partitions, wrong = await _cursors(connection)
        return Examined(head, commands, waiting, partitions, migration, broken or wrong)


async def _causes(connection: Session, head: int, restored_to: int) -> Broken | None:
    for after in range(0, head, RANGE_EVENTS):
        row = await connection.fetchrow(
            statement("gaps_causes"), after, min(after + RANGE_EVENTS, head), restored_to
        )  # fmt: skip
        if row is not None:
            return gap(row["wrong"], row["position"], row["project"], row["actor"], row["what"])
    return None


async def _commands(connection: Session, head: int) -> tuple[int, Broken | None]:
    count, found, place = 0, None, ("", "", -1)
    while rows := await connection.fetch(statement("gaps_commands"), *place, PAGE_ROWS, head):
        for row in rows:
            if row["wrong"] is not None and found is None:
                found = gap(row["wrong"], row["first_position"], row["project"], row["actor"], row["id"])
        count += rows[-1]["rows"]
        place = (rows[-1]["project"], rows[-1]["id"], rows[-1]["outbox"])
    return count, found


async def _waiting(connection: Session) -> tuple[int, Broken | None]:
    row = await connection.fetchrow(statement("gaps_waiting"))
    if row is None:
        return 0, None
    return row["rows"], None if row["key"] is None else gap("wanted", 0, row["project"], row["actor"], row["key"])


async def _cursors(connection: Session) -> tuple[int, Broken | None]:
    rows = await connection.fetch(statement("gaps_cursors"))
    wrong = next((row for row in rows if not row["known"]), None)
    return len(rows), None if wrong is None else gap("witness", wrong["cursor"], "", str(wrong["id"]), wrong["witness"])
