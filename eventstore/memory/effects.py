"""Effects that do not simply run to their end, in memory: keeps the promises of `eventstore/effects.py`."""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from anyio.lowlevel import checkpoint

from eventstore.effects import OPEN_EFFECTS_MAX, WITHDRAW, Answer, Held, OpenEffect, Order, is_order
from eventstore.memory.tables import EffectRow, Tables
from eventstore.records import ClaimedEffect, EffectOutcome, EffectState, PendingSend

NEVER = datetime.max.replace(tzinfo=UTC)  # When a doubted effect is due.
_PLACE = re.compile(r"[^@]*@(\d+)\.(\d+)")  # Of an effect in its actor's life: version and place.
_orders = msgspec.json.Decoder(Order)


class MemoryEffects:
    """The effects in the tables of one store."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables, self._now = tables, now

    async def hold(self, effects: Collection[ClaimedEffect], ttl_s: float) -> dict[UUID, Held]:
        await checkpoint()
        held: dict[UUID, Held] = {}
        for effect in effects:
            row = self._claimed(effect)
            if row is not None:
                row.claimed_until = self._now() + timedelta(seconds=ttl_s)
                held[effect.claim] = Held(row.state == "withdrawn", row.note)
        return held

    async def carry_out(self, limit: int) -> list[str]:
        await checkpoint()
        now = self._now()
        due = [row for row in self._rows() if is_order(row.effect.effect_kind) and _counts(row, now)]
        kinds: set[str] = set()
        for row in sorted(due, key=lambda row: (row.effect.effect_kind != WITHDRAW, row.effect.at))[:limit]:
            del self._tables.effects[row.address.project, row.effect.key]
            order = _orders.decode(row.effect.body)
            for meant in self._rows():
                if meant.state in ("", "again") and _means(row, order, meant):
                    meant.state, meant.note, meant.due = "withdrawn", order.note, min(meant.due, now)
                    kinds.add(meant.effect.effect_kind)
        return sorted(kinds)

    async def claim_decided(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        await checkpoint()
        return claim_rows(
            self._tables, self._now(), kinds, worker, ttl_s, limit, ("withdrawn", "done", "failed"), attempts=0
        )

    async def doubt(self, effect: ClaimedEffect, note: str, told: EffectOutcome | None, partition: int) -> bool:
        await checkpoint()
        row = self._claimed(effect)
        if row is None:
            return False
        row.give_back()
        row.state, row.note, row.due = "unknown", note, NEVER
        if told is not None:
            send = PendingSend(
                self._tables.next_id(), f"{effect.key}:unknown.{row.attempts}", effect.address,
                f"{effect.address.kind}/{effect.address.name}", told.type, told.body, told.at, effect.correlation,
                effect.key,
            )  # fmt: skip
            self._tables.send(send, partition, self._now())
        return True

    async def listed(self, project: str | None = None, doubted: bool = False) -> list[OpenEffect]:
        await checkpoint()
        rows = [
            row
            for row in self._rows()
            if not is_order(row.effect.effect_kind)
            and project in (None, row.address.project)
            and (not doubted or row.state == "unknown")
        ]
        return [self._open(row) for row in sorted(rows, key=_age)[:OPEN_EFFECTS_MAX]]

    async def find(self, project: str, key: str) -> OpenEffect | None:
        await checkpoint()
        row = self._tables.effects.get((project, key))
        return None if row is None or is_order(row.effect.effect_kind) else self._open(row)

    async def settle(self, project: str, key: str, answer: Answer, note: str) -> str | None:
        await checkpoint()
        row = self._tables.effects.get((project, key))
        if row is None or row.state != "unknown":
            return None
        row.state, row.note, row.due = answer, note, self._now()
        return row.effect.effect_kind

    def _rows(self) -> list[EffectRow]:
        return list(self._tables.effects.values())

    def _claimed(self, effect: ClaimedEffect) -> EffectRow | None:
        row = self._tables.effects.get((effect.address.project, effect.key))
        return row if row is not None and row.claim == effect.claim else None

    def _open(self, row: EffectRow) -> OpenEffect:
        e = row.effect
        claimed = row.claimed_until is not None and row.claimed_until >= self._now()
        return OpenEffect(
            row.address, e.key, e.effect_kind, e.safety, e.at, e.correlation, row.attempts, claimed, row.state,
            row.note, e.body,
        )  # fmt: skip


def claim_rows(
    tables: Tables, now: datetime, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int,
    states: Collection[EffectState], attempts: int = 1,
) -> list[ClaimedEffect]:  # fmt: skip
    """Claim effects of these kinds and states that are due and that nobody holds; each counts as so many attempts."""
    free = [
        row
        for row in tables.effects.values()
        if row.effect.effect_kind in kinds and row.state in states and row.free(now)
    ]
    until = now + timedelta(seconds=ttl_s)
    return [_claim(tables, row, worker, until, attempts) for row in sorted(free, key=_age)[:limit]]


def _claim(tables: Tables, row: EffectRow, worker: UUID, until: datetime, attempts: int) -> ClaimedEffect:
    state = row.state
    row.worker, row.claim, row.claimed_until, row.attempts = worker, uuid4(), until, row.attempts + attempts
    row.state = "" if state == "again" else state
    e = row.effect
    return ClaimedEffect(
        row.address, e.key, e.effect_kind, e.safety, e.body, e.at, e.correlation, e.causation, row.attempts, row.claim,
        state, row.note, tables.trace(row.address.project, e.key, e.causation),
    )  # fmt: skip


def _age(row: EffectRow) -> tuple[datetime, str]:
    return row.effect.at, row.effect.key


def _counts(row: EffectRow, now: datetime) -> bool:
    return row.effect.effect_kind == WITHDRAW or row.effect.at <= now


def _means(row: EffectRow, order: Order, meant: EffectRow) -> bool:
    """Whether the order in that row means that effect."""
    if is_order(meant.effect.effect_kind):
        return False
    if order.key:
        return (meant.address.project, meant.effect.key) == (row.address.project, order.key)
    where = _PLACE.match(meant.effect.key)
    name = meant.effect.key.split(":")[1:2]
    if where is None or meant.address != row.address or name != [order.name]:
        return False
    return (int(where[1]), int(where[2])) < (order.version, order.place)
