"""Effects that do not simply run to their end, in PostgreSQL: keeps the promises of `eventstore/effects.py`."""

from collections.abc import Collection
from uuid import UUID

import asyncpg

from eventstore.effects import OPEN_EFFECTS_MAX, Answer, Held, OpenEffect
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from eventstore.records import ClaimedEffect, EffectOutcome
from protocol.subjects import Address


class PostgresEffects:
    """The effects of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def hold(self, effects: Collection[ClaimedEffect], ttl_s: float) -> dict[UUID, Held]:
        columns = ([e.address.project for e in effects], [e.key for e in effects], [e.claim for e in effects])
        rows = await self._run.rows("hold_effects", *columns, ttl_s)
        return {row["claim"]: Held(row["withdrawn"], row["note"]) for row in rows}

    async def carry_out(self, limit: int) -> list[str]:
        return [row["effect_kind"] for row in await self._run.rows("carry_out_orders", limit)]

    async def claim_decided(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        rows = await self._run.rows("claim_decided_effects", list(kinds), worker, ttl_s, limit)
        return [claimed(row) for row in rows]

    async def doubt(self, effect: ClaimedEffect, note: str, told: EffectOutcome | None, partition: int) -> bool:
        command = (None, None, None) if told is None else (told.type, told.at, told.body)
        named = (effect.address.project, effect.key, effect.claim)
        return await self._run.value("doubt_effect", *named, note, partition, *command) == 1

    async def listed(self, project: str | None = None, doubted: bool = False) -> list[OpenEffect]:
        state = "unknown" if doubted else None
        return [_open(row) for row in await self._run.rows("open_effects", project, state, None, OPEN_EFFECTS_MAX)]

    async def find(self, project: str, key: str) -> OpenEffect | None:
        rows = await self._run.rows("open_effects", project, None, key, 1)
        return _open(rows[0]) if rows else None

    async def settle(self, project: str, key: str, answer: Answer, note: str) -> str | None:
        value: str | None = await self._run.value("settle_effect", project, key, answer, note)
        return value


def claimed(row: asyncpg.Record) -> ClaimedEffect:
    """A row of an effect that was claimed just now."""
    return ClaimedEffect(
        _address(row), row["key"], row["effect_kind"], row["safety"], row["body"], row["at"], row["correlation"],
        row["causation"], row["attempts"], row["claim"], row["state"], row["note"], row["trace"],
    )  # fmt: skip


def _open(row: asyncpg.Record) -> OpenEffect:
    return OpenEffect(
        _address(row), row["key"], row["effect_kind"], row["safety"], row["at"], row["correlation"], row["attempts"],
        row["claimed"], row["state"], row["note"], row["body"],
    )  # fmt: skip


def _address(row: asyncpg.Record) -> Address:
    return Address(row["project"], row["kind"], row["name"])
