"""Asks that are answered later, in PostgreSQL: keeps the promises of `eventstore/asks.py`."""

from collections.abc import Collection, Mapping, Sequence

import asyncpg

from eventstore.asks import Ask
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from protocol.subjects import Address


class PostgresAsks:
    """Asks on one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def answered(self, project: str, ids: Collection[str]) -> list[Ask]:
        return _asks(await self._run.rows("answered_asks", project, list(ids)))

    async def repeat(self, project: str, inboxes: Mapping[str, str]) -> list[Ask]:
        return _asks(await self._run.rows("repeat_asks", project, list(inboxes), list(inboxes.values())))

    async def expire(self, partitions: Collection[int], limit: int) -> list[Ask]:
        return _asks(await self._run.rows("expire_asks", list(partitions), limit))

    async def next_deadline_s(self, partitions: Collection[int]) -> float | None:
        return await self._run.value("next_ask_deadline", list(partitions))

    async def forget(self, partitions: Collection[int], past_s: float, limit: int) -> int:
        return await self._run.count("forget_asks", list(partitions), past_s, limit)


def _asks(rows: Sequence[asyncpg.Record]) -> list[Ask]:
    return [
        Ask(
            r["id"], Address(r["project"], r["kind"], r["name"]), r["reply_to"], r["deadline"], r["correlation"],
            r["answer"], r["trace"],
        )
        for r in rows
    ]  # fmt: skip
