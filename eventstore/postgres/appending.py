"""Appends as what SQL takes. The usual ones, that expect the version they find, are written by `commit_optimistic`
(0009_commit.sql), which writes all or nothing; whatever may lose is judged by `append_batch` (0005_append.sql)."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from eventstore import chain
from eventstore.appending import APPEND_ID_PREFIX, events_in, leaves_of, print_of, refusal
from eventstore.postgres.batch import Numbers, columns
from eventstore.postgres.connections import Connection
from eventstore.postgres.optimistic import Kept, OptimisticCommits
from eventstore.postgres.statements import statement
from eventstore.records import Append, Appended, Settled, Unit
from protocol.subjects import Address


async def append_all(
    connection: Connection, optimistic: OptimisticCommits, appends: Sequence[Append]
) -> tuple[Appended, ...]:
    """A verdict each. The appends are as checks.py wants them."""
    if not appends:
        return ()
    if _may_all_win(appends):
        head = await optimistic.write(connection, (), _units(appends), _kept(appends), owned=False)
        if head is not None:
            return _all_committed(appends, head)
    return verdicts(appends, await connection.fetch(statement("append_batch"), *arguments(appends)))


def arguments(appends: Sequence[Append]) -> list[Any]:
    """In the order of sql/append_batch.sql; what is subscripted counts from 1."""
    streams: dict[Address, int] = {}
    rows_a: list[tuple[int, int, int]] = []
    rows_w: list[tuple[int, int, int, int, int]] = []
    writes = [(n, write) for n, append in enumerate(appends, start=1) for write in append.writes]
    first = 1
    for n, write in writes:
        stream = streams.setdefault(write.address, len(streams) + 1)
        expected = -1 if write.expected is None else write.expected
        rows_w.append((n, stream, expected, first, len(write.events)))
        first += len(write.events)
    first = 1
    for append in appends:
        rows_a.append((first, len(append.writes), events_in(append)))
        first += len(append.writes)
    tags = Numbers()
    number = tags.number
    rows_e = [
        (n, number(e.type), e.at, e.correlation, e.causation, e.body)
        for n, (_, write) in enumerate(writes, start=1)
        for e in write.events
    ]
    leaves = leaves_of(appends)
    return [
        *columns(3, [(a.project, a.kind, a.name) for a in streams]),
        *columns(3, rows_a),
        *columns(5, rows_w),
        *columns(8, _named(appends)),
        tags.texts,
        *columns(6, rows_e),
        chain.digest_and_marks(leaves) if leaves else None,
    ]


def verdicts(appends: Sequence[Append], rows: Sequence[asyncpg.Record]) -> tuple[Appended, ...]:
    """The rows of sql/append_batch.sql as verdicts."""
    writes = [write for append in appends for write in append.writes]
    found: list[Appended] = []
    for append, row in zip(appends, rows, strict=True):
        status = row["status"]
        if status in ("committed", "known"):
            found.append(Appended(status, row["first_position"], row["last_position"]))
        else:
            lost: int = row["lost"]
            write = writes[lost - 1] if lost else None
            found.append(Appended(status, detail=refusal(status, append, write, row["found"])))
    return tuple(found)


def _may_all_win(appends: Sequence[Append]) -> bool:
    """Whether `commit_optimistic` can check them: each write has events, and expects a version of its own stream."""
    addresses: set[Address] = set()
    writes = 0
    for append in appends:
        for write in append.writes:
            if write.expected is None or not write.events:
                return False
            addresses.add(write.address)
            writes += 1
    return len(addresses) == writes


def _units(appends: Sequence[Append]) -> list[Unit]:
    return [Unit(0, write.address, write.expected, (), write.events) for append in appends for write in append.writes]


def _kept(appends: Sequence[Append]) -> list[Kept]:
    """The rows of the inbox by which appends with an id are known."""
    rows: list[Kept] = []
    before = 0
    for append in appends:
        events = events_in(append)
        if append.id:
            settled = Settled(APPEND_ID_PREFIX + append.id, "append", "accepted", print_of(append))
            rows.append((append.writes[0].address, settled, before + 1, events))
        before += events
    return rows


def _all_committed(appends: Sequence[Append], head: int) -> tuple[Appended, ...]:
    found: list[Appended] = []
    for append in appends:
        events = events_in(append)
        found.append(Appended("committed", head + 1, head + events))
        head += events
    return tuple(found)


def _named(appends: Sequence[Append]) -> list[tuple[Any, ...]]:
    """A row for each append with an id."""
    ids: dict[tuple[str, str], int] = {}
    prints: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for n, append in enumerate(appends, start=1):
        if append.id:
            a, print_ = append.writes[0].address, print_of(append)
            number = ids.setdefault((a.project, append.id), len(ids) + 1)
            print_number = prints.setdefault(print_, len(prints) + 1)
            key = APPEND_ID_PREFIX + append.id
            rows.append((n, a.project, a.kind, a.name, key, print_, number, print_number))
    return rows
