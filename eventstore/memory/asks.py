"""Asks that are answered later, in memory: keeps the promises of `eventstore/asks.py`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter

from anyio.lowlevel import checkpoint

from eventstore.asks import EXPIRED, Ask
from eventstore.memory.tables import AskRow, Tables


class MemoryAsks:
    """Asks on the tables of one store."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables, self._now = tables, now

    async def answered(self, project: str, ids: Collection[str]) -> list[Ask]:
        await checkpoint()
        rows = [self._tables.asks.get((project, id_)) for id_ in ids]
        return [self._ask(row) for row in rows if row is not None and row.answer]

    async def repeat(self, project: str, inboxes: Mapping[str, str]) -> list[Ask]:
        await checkpoint()
        rows = [(self._tables.asks.get((project, id_)), inbox) for id_, inbox in inboxes.items()]
        there = [(row, inbox) for row, inbox in rows if row is not None]
        for row, inbox in there:
            row.ask = replace(row.ask, reply_to=inbox)
        return [self._ask(row) for row, _ in there]

    async def expire(self, partitions: Collection[int], limit: int) -> list[Ask]:
        await checkpoint()
        now = self._now()
        late = [row for row in self._open(partitions) if row.ask.deadline <= now]
        ended = sorted(late, key=lambda row: (row.ask.deadline, row.ask.id))[:limit]
        for row in ended:
            row.answer = EXPIRED
        return [self._ask(row) for row in ended]

    async def next_deadline_s(self, partitions: Collection[int]) -> float | None:
        await checkpoint()
        first = min(self._open(partitions), key=attrgetter("ask.deadline"), default=None)
        return None if first is None else (first.ask.deadline - self._now()).total_seconds()

    async def forget(self, partitions: Collection[int], past_s: float, limit: int) -> int:
        await checkpoint()
        latest = self._now() - timedelta(seconds=past_s)
        gone = [
            key
            for key, row in self._tables.asks.items()
            if row.partition in partitions and row.answer is not None and row.ask.deadline <= latest
        ][:limit]
        for key in gone:
            del self._tables.asks[key]
        return len(gone)

    def _open(self, partitions: Collection[int]) -> list[AskRow]:
        rows = self._tables.asks.values()
        return [row for row in rows if row.partition in partitions and row.answer is None]

    def _ask(self, row: AskRow) -> Ask:
        asked = row.ask
        trace = self._tables.traces.get((row.address.project, asked.id), "")
        return Ask(asked.id, row.address, asked.reply_to, asked.deadline, asked.correlation, row.answer, trace)
