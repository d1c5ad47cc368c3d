"""What histories were made of, in memory: keeps the promises of `eventstore/histories.py`."""

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence

from anyio.lowlevel import checkpoint

from eventstore.histories import (
    EventlessCommand,
    KeptCommand,
    PendingClass,
    PendingWork,
    Place,
    SettledCommand,
    check_class,
)
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

    async def eventless(self) -> AsyncGenerator[Sequence[EventlessCommand]]:
        await checkpoint()
        links = self._tables.links
        for (_, id_, outbox), row in list(self._tables.inbox.items()):
            if row.outcome != "quarantined" and (row.events or (row.type == "append" and row.outcome == "accepted")):
                continue
            kept = self._tables.kept[row.address.project, id_, outbox]
            before = links[kept.link - 1] if kept.link else None
            after = links[kept.link] if kept.link < len(links) else None
            low, stood = (before.first_position - 1, before.last_position) if before else (0, 0)
            high = after.last_position if after else self._tables.head
            yield [
                EventlessCommand(
                    id_, outbox, row.address, row.type, row.outcome, row.detail, kept.at, low, stood, high
                )
            ]  # fmt: skip

    async def kept(self, project: str, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], KeptCommand]:
        await checkpoint()
        found = ((key, self._tables.inbox.get((project, *key))) for key in keys)
        rows = self._tables.kept
        return {
            key: KeptCommand(row.type, rows[project, *key].headers, rows[project, *key].body)
            for key, row in found
            if row is not None
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
