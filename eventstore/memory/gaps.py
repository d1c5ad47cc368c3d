"""Gaps beside the log, in memory: keeps the promises of `eventstore/gaps.py`."""

from collections.abc import Iterator

from anyio.lowlevel import checkpoint

from eventstore.gaps import CAUSE, FIRING, NOBODYS, OUTCOME, PLACE, Examined, Wrong, check_restored, gap
from eventstore.memory.tables import Tables
from eventstore.records import InboxRow, Recorded
from eventstore.verifier import Broken
from protocol.subjects import Address


class MemoryGaps:
    """Over the tables of one store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, restored_to: int = 0) -> Examined:
        await checkpoint()
        t = self._tables
        check_restored(restored_to, t.head)
        found = (*self._causes(restored_to), *self._commands(), *self._waiting(), *self._cursors())
        waiting = len(t.outbox) + len(t.timers) + len(t.effects)
        return Examined(t.head, len(t.inbox), waiting, len(t.partitions), gap=next(iter(found), None))

    def _causes(self, restored_to: int) -> Iterator[Broken]:
        accepted: dict[tuple[str, str], list[InboxRow]] = {}
        for (project, id_, _), row in self._tables.inbox.items():
            if row.outcome == "accepted":
                accepted.setdefault((project, id_), []).append(row)
        for e in self._tables.events:
            a, place = e.address, PLACE.fullmatch(e.causation)
            if not self._tables.streams[a].fenced or a.kind in NOBODYS or e.causation.startswith(FIRING):
                continue
            plain_send = place is not None and place[4] != OUTCOME
            rows = accepted.get((a.project, e.causation), ())
            heard = plain_send or e.position <= restored_to or any(_within(e, row) for row in rows)
            sent = place is None or self._there(Address(a.project, place[1], place[2]), int(place[3]), e.position)
            if not (heard and sent):
                yield gap("sender" if plain_send else "cause", e.position, a.project, f"{a.kind}/{a.name}", e.causation)

    def _commands(self) -> Iterator[Broken]:
        for (project, id_, _), row in sorted(self._tables.inbox.items()):
            wrong = self._wrong(row)
            if wrong is not None:
                yield gap(wrong, row.first_position, project, f"{row.address.kind}/{row.address.name}", id_)

    def _wrong(self, row: InboxRow) -> Wrong | None:
        first, last = row.first_position, row.first_position + row.events - 1
        if row.type == "append" and row.outcome == "accepted":
            return "events" if row.events and not 1 <= first <= last <= self._tables.head else None
        if row.outcome in ("silent", "refused", "parked"):
            return "some" if row.events else None
        if row.outcome == "accepted" and not row.events:
            return "none"
        named = self._tables.events[first - 1 : last] if first > 0 else []
        right = sum(e.causation == row.id and e.address == row.address for e in named)
        return "events" if row.events and right != row.events else None

    def _waiting(self) -> Iterator[Broken]:
        t = self._tables
        wanted = [(w.send.to, w.send.id, w.send.causation) for w in t.outbox.values()]
        wanted += [(row.address, row.timer.key, row.timer.causation) for row in t.timers.values()]
        wanted += [(row.address, row.effect.key, row.effect.causation) for row in t.effects.values()]
        for a, key, causation in sorted(wanted):
            place = CAUSE.fullmatch(causation)
            if place is None or not self._there(Address(a.project, place[1], place[2]), int(place[3])):
                yield gap("wanted", 0, a.project, f"{a.kind}/{a.name}", key)

    def _cursors(self) -> Iterator[Broken]:
        for number, row in sorted(self._tables.partitions.items()):
            start = row.cursor == 0 and not row.witness
            if not start and row.witness.rsplit("-", 2)[1:2] != [str(row.cursor)]:
                yield gap("witness", row.cursor, "", str(number), row.witness)

    def _there(self, address: Address, version: int, before: int | None = None) -> bool:
        """Is that event there, before that position?"""
        stream = self._tables.streams.get(address)
        if stream is None or not 1 <= version <= stream.version:
            return False
        return before is None or stream.events[version - 1].position < before


def _within(e: Recorded, row: InboxRow) -> bool:
    return row.address == e.address and row.first_position <= e.position < row.first_position + row.events
