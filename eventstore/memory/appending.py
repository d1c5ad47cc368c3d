"""Appends to the in-memory log, one after the other: the verdicts of migrations/0005_append.sql."""

from collections.abc import Sequence
from datetime import datetime

from eventstore.appending import APPEND_ID_PREFIX, events_in, print_of, refusal
from eventstore.memory.tables import Kept, Tables
from eventstore.records import Append, Appended, InboxRow, NewEvent, Recorded, StreamWrite


def append_all(tables: Tables, appends: Sequence[Append]) -> tuple[Appended, ...]:
    """Judge and write each append; what was written is one link of the chain."""
    before, now = tables.head, tables.now()
    link = len(tables.links) + 1
    verdicts = tuple(_append(tables, append, now, link) for append in appends)
    tables.seal(before)
    return verdicts


def _append(tables: Tables, append: Append, now: datetime, link: int) -> Appended:
    known = _by_id(tables, append) if append.id else None
    if known is not None:
        return known
    for write in append.writes:
        stream = tables.streams.get(write.address)
        if stream is not None and stream.fenced:
            return Appended("fenced", detail=refusal("fenced", append, write, 0))
    for write in append.writes:
        found = tables.version(write.address)
        if write.expected not in (None, found):
            repeated = None if append.id else _repeated(tables, append)
            return repeated or Appended("conflict", detail=refusal("conflict", append, write, found))
    return _write(tables, append, now, link)


def _by_id(tables: Tables, append: Append) -> Appended | None:
    row = tables.inbox.get((append.writes[0].address.project, APPEND_ID_PREFIX + append.id, 0))
    if row is None:
        return None
    if row.type != "append" or row.detail != print_of(append):
        return Appended("taken", detail=refusal("taken", append, None, 0))
    return Appended("known", row.first_position, row.first_position + row.events - 1 if row.events else 0)


def _repeated(tables: Tables, append: Append) -> Appended | None:
    """Where the very same events already lie side by side."""
    writes = [write for write in append.writes if write.events]
    if not writes or any(_there(tables, write) is None for write in writes):
        return None
    found = [row for write in writes for row in _there(tables, write) or []]
    wanted = [event for write in writes for event in write.events]
    first = found[0].position
    same = all(_same(row, event, first + n) for n, (row, event) in enumerate(zip(found, wanted, strict=True)))
    return Appended("known", first, first + len(found) - 1) if same else None


def _there(tables: Tables, write: StreamWrite) -> list[Recorded] | None:
    """What a stream has where these events would be; None if it has not moved past them."""
    stream = tables.streams.get(write.address)
    if stream is None or write.expected is None or write.expected + len(write.events) > stream.version:
        return None
    return stream.events[write.expected : write.expected + len(write.events)]


def _same(row: Recorded, event: NewEvent, position: int) -> bool:
    return row.position == position and event == NewEvent(row.type, row.body, row.at, row.correlation, row.causation)


def _write(tables: Tables, append: Append, now: datetime, link: int) -> Appended:
    first, count = tables.head + 1, events_in(append)
    for write in append.writes:
        tables.write(write.address, write.events, fenced=False)
    first_position = first if count else 0
    if append.id:
        address = append.writes[0].address
        key = (address.project, APPEND_ID_PREFIX + append.id, 0)
        detail = print_of(append)
        tables.inbox[key] = InboxRow(key[1], address, "append", "accepted", detail, first_position, count)
        tables.kept[key] = Kept(link, now, b"")
    return Appended("committed", first_position, tables.head if count else 0)
