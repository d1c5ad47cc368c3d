"""What histories were made of, in memory: keeps the promises of `eventstore/histories.py`."""

from collections.abc import Collection, Iterator

from anyio.lowlevel import checkpoint

from eventstore.histories import PendingClass, PendingWork, Place, SettledCommand, check_class
from eventstore.memory.tables import Tables
from protocol.subjects import Address


class MemoryHistories:
    """Over the tables of one store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def commands(self, address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        await checkpoint()
        wanted = set(ids)
        return {
            id_: SettledCommand(id_, row.type, self._tables.kept[project, id_, outbox].body)
            for (project, id_, outbox), row in self._tables.inbox.items()
            if id_ in wanted and row.address == address and row.outcome == "accepted"
        }

    async def pending(self, what: PendingClass, after: Place, limit: int) -> list[PendingWork]:
        check_class(what)
        await checkpoint()
        rows = sorted((work for work in self._every(what) if work.place > after), key=lambda work: work.place)
        return rows[:limit]

    def _every(self, what: PendingClass) -> Iterator[PendingWork]:
        match what:
            case "send":
                for row in self._tables.outbox.values():
                    s = row.send
                    yield PendingWork(what, s.to, s.id, s.type, s.body, s.sender)
            case "timer":
                for row in self._tables.timers.values():
                    yield PendingWork(what, row.address, row.timer.key, row.timer.type, row.timer.body)
            case "effect":
                for row in self._tables.effects.values():
                    yield PendingWork(what, row.address, row.effect.key, row.effect.effect_kind, row.effect.body)
            case "parked":
                for row in self._tables.parked_commands.values():
                    w = row.waiting
                    yield PendingWork(what, w.address, w.id, w.type, w.body)
