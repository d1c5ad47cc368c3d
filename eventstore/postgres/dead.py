"""Parked actors, dead letters and attempts in PostgreSQL: keeps the promises of `eventstore/dead.py`."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from eventstore.dead import (
    PAGE_ROWS_MAX,
    DeadLetter,
    Kept,
    ParkedActor,
    Released,
    Suspect,
    keeper_of,
    quarantined,
    release_event,
)
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from eventstore.records import Waiting
from protocol.codec import encode
from protocol.message import tag_of
from protocol.runtime import CommandQuarantined
from protocol.subjects import Address, partition_of


class PostgresDead:
    """What broke in one schema. Releasing goes by the pool for commits, whose statements wait for the log's lock."""

    def __init__(self, pool: Pool, committing: Pool) -> None:
        self._run, self._commits = Statements(pool), Statements(committing, pool)

    async def parked(
        self, project: str, kind: str | None = None, after: Address | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[ParkedActor]:
        last = (None, None) if after is None else (after.kind, after.name)
        return [_parked(row) for row in await self._run.rows("parked_actors", project, kind, *last, limit)]

    async def parked_actor(self, address: Address) -> ParkedActor | None:
        rows = await self._run.rows("parked_actor", address.project, address.kind, address.name)
        return _parked(rows[0]) if rows else None

    async def parked_in(self, partitions: Collection[int]) -> list[ParkedActor]:
        return [_parked(row) for row in await self._run.rows("parked_in", list(partitions))]

    async def kept(self, address: Address, after: int = 0, limit: int = PAGE_ROWS_MAX) -> list[Kept]:
        rows = await self._run.rows("kept_commands", address.project, address.kind, address.name, after, limit)
        return [
            Kept(
                row["id"],
                Waiting(
                    address, row["key"], row["type"], row["body"], row["headers"], row["at"], row["correlation"],
                    row["deadline"], row["reply_to"],
                ),
                row["killer"],
                row["expired"],
            )
            for row in rows
        ]  # fmt: skip

    async def letters(
        self, project: str, kind: str | None = None, before: int | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[DeadLetter]:
        rows = await self._run.rows("dead_letters", project, kind, tag_of(CommandQuarantined), before, limit)
        return [quarantined(project, row["position"], row["at"], row["body"]) for row in rows]

    async def retry(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        return await self._release(address, True, late, by)

    async def drop(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        return await self._release(address, False, late, by)

    async def _release(self, address: Address, again: bool, late: bool, by: str) -> Released | None:
        while (found := await self.parked_actor(address)) is not None:
            event = release_event(address, found.killer, again, late, by)
            partition = partition_of(address)
            rows = await self._commits.rows(
                "release_actor", address.project, address.kind, address.name, partition, found.killer, again, late,
                tag_of(event), datetime.now(UTC), encode(event),
            )  # fmt: skip
            if rows:
                row = rows[0]
                reference = keeper_of(address).reference(row["event_version"])
                return Released(reference, row["event_position"], row["sent"], row["expired"])
        return None

    async def attempts(self, partitions: Collection[int]) -> dict[Suspect, int]:
        rows = await self._run.rows("attempts", list(partitions))
        return {Suspect(row["partition"], row["project"], row["id"], row["outbox"]): row["count"] for row in rows}

    async def attempt(self, suspects: Collection[Suspect]) -> None:
        await self._run.rows("attempt", *_columns(suspects))

    async def forget_attempts(self, suspects: Collection[Suspect]) -> None:
        await self._run.rows("forget_attempts", *_columns(suspects))

    async def clear_attempts(self, partitions: Collection[int]) -> None:
        await self._run.rows("clear_attempts", list(partitions))

    async def mail_upto(self, partitions: Collection[int]) -> dict[int, int]:
        return {row["partition"]: row["upto"] for row in await self._run.rows("mail_upto", list(partitions))}

    async def mail_waits(self, upto: Sequence[tuple[int, int]]) -> set[int]:
        rows = await self._run.rows("mail_waits", [partition for partition, _ in upto], [id_ for _, id_ in upto])
        return {row["partition"] for row in rows}


def _parked(row: asyncpg.Record) -> ParkedActor:
    # The killer is among what is kept, and the first of it.
    return ParkedActor(
        Address(row["project"], row["kind"], row["name"]), row["reason"], row["at"], row["killer"] or "",
        max(0, row["commands"] - 1), row["sends"],
    )  # fmt: skip


def _columns(suspects: Collection[Suspect]) -> tuple[list[Any], ...]:
    ordered = sorted(set(suspects))  # Two processes lock them in one order.
    return (
        [s.partition for s in ordered],
        [s.project for s in ordered],
        [s.id for s in ordered],
        [s.outbox_id for s in ordered],
    )
