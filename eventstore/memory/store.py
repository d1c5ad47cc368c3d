"""The log in memory: a full adapter with the promises of `store.py`, but that nothing survives the process.

For simulations and tests that need no server. One event loop; every call is atomic. Time comes from `now`.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import anyio
from anyio.lowlevel import checkpoint

from eventstore.checks import check_after, check_append, check_batch, check_sha256
from eventstore.memory.commit import commit_batch
from eventstore.memory.tables import EffectRow, Partition, Tables, TimerRow
from eventstore.store import (
    PAGE_EVENTS_MAX,
    Batch,
    ClaimedEffect,
    EffectOutcome,
    InboxRow,
    Lease,
    NewEvent,
    PendingSend,
    Recorded,
    Selection,
    StoreError,
    Verdict,
    VersionConflict,
)
from protocol.subjects import Address


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """An EventStore in this process."""

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now
        self._tables = Tables()
        self._woken = anyio.Event()

    async def head(self) -> int:
        await checkpoint()
        return self._tables.head

    async def read(
        self,
        after: int,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        selection: Selection | None = None,
    ) -> list[Recorded]:
        check_after(after)
        await checkpoint()
        wanted = selection or Selection()
        page: list[Recorded] = []
        for recorded in self._tables.events[after:upto]:
            if len(page) == limit:
                break
            if _selects(wanted, recorded):
                page.append(recorded)
        return page

    async def read_stream(self, address: Address, after: int = 0, limit: int = PAGE_EVENTS_MAX) -> list[Recorded]:
        check_after(after)
        await checkpoint()
        stream = self._tables.streams.get(address)
        return stream.events[after : after + limit] if stream else []

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        woken = self._woken
        with anyio.move_on_after(timeout_s):
            if self._tables.head <= position:
                await woken.wait()
            return True
        return False

    async def append(self, address: Address, events: Sequence[NewEvent], expected: int | None = None) -> int:
        check_append(address, events)
        await checkpoint()
        stream = self._tables.streams.get(address)
        if stream is not None and stream.fenced:
            raise StoreError(f"append to {address}: the stream belongs to an actor; send the actor a command instead")
        version = self._tables.version(address)
        if expected is not None and expected != version:
            raise VersionConflict(
                f"append to {address}: expected version {expected}, found {version}; read the stream again"
            )
        before = self._tables.head
        self._tables.write(address, events, fenced=False)
        self._tables.seal(before)
        self._ring(before)
        return self._tables.head

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        check_batch(batch)
        await checkpoint()
        before = self._tables.head
        verdicts = commit_batch(self._tables, batch, self._now())
        self._ring(before)
        return verdicts

    async def acquire(self, partitions: Collection[int], owner: UUID, ttl_s: float, takeover: bool) -> list[Lease]:
        await checkpoint()
        now = self._now()
        leases: list[Lease] = []
        for id_ in sorted(set(partitions)):
            row = self._tables.partitions.setdefault(id_, Partition())
            free = row.owner is None or row.expires_at is None or row.expires_at < now
            if free or takeover:
                row.epoch, row.owner, row.expires_at = row.epoch + 1, owner, now + timedelta(seconds=ttl_s)
                leases.append(Lease(id_, row.epoch, owner, row.cursor, row.witness))
        return leases

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        await checkpoint()
        held = self._held(partitions, owner)
        for row in held.values():
            row.expires_at = self._now() + timedelta(seconds=ttl_s)
        return set(held)

    async def release(self, partitions: Collection[int], owner: UUID) -> None:
        await checkpoint()
        for row in self._held(partitions, owner).values():
            row.owner = row.expires_at = None

    async def inbox(self, project: str, ids: Collection[str]) -> dict[str, InboxRow]:
        await checkpoint()
        wanted = set(ids)
        rows = [
            (outbox_id, row)
            for (owner, id_, outbox_id), row in self._tables.inbox.items()
            if owner == project and id_ in wanted
        ]
        # An external command comes last, so that it wins over an outcome of the same name.
        return {row.id: row for _, row in sorted(rows, key=lambda pair: -pair[0])}

    async def pending_sends(self, to: Collection[Address], limit: int) -> list[PendingSend]:
        await checkpoint()
        wanted = set(to)
        return [w.send for w in self._tables.outbox.values() if w.send.to in wanted][:limit]

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        await checkpoint()
        before = self._now() - timedelta(seconds=older_than_s)
        overdue = (w for w in self._tables.outbox.values() if w.partition in partitions and w.written_at < before)
        return list(dict.fromkeys(w.send.to for w in overdue))[:limit]

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        await checkpoint()
        now = self._now()
        free = [row for row in self._tables.effects.values() if row.effect.effect_kind in kinds and row.free(now)]
        free.sort(key=lambda row: (row.effect.at, row.effect.key))
        return [_claim(row, worker, now + timedelta(seconds=ttl_s)) for row in free[:limit]]

    async def extend_claims(self, worker: UUID, ttl_s: float) -> int:
        await checkpoint()
        rows = [row for row in self._tables.effects.values() if row.worker == worker]
        for row in rows:
            row.claimed_until = self._now() + timedelta(seconds=ttl_s)
        return len(rows)

    async def release_claims(self, keep: UUID) -> int:
        await checkpoint()
        rows = [row for row in self._tables.effects.values() if row.claim is not None and row.worker != keep]
        for row in rows:
            row.give_back()
        return len(rows)

    async def finish_effect(self, effect: ClaimedEffect, outcome: EffectOutcome, partition: int) -> bool:
        await checkpoint()
        if self._claimed(effect) is None:
            return False
        del self._tables.effects[effect.address.project, effect.key]
        sender = f"{effect.address.kind}/{effect.address.name}"
        send = PendingSend(
            self._tables.next_id(), f"{effect.key}:outcome", effect.address, sender, outcome.type, outcome.body,
            outcome.at, effect.correlation, effect.key, effect.key,
        )  # fmt: skip
        self._tables.send(send, partition, self._now())
        return True

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float) -> bool:
        await checkpoint()
        row = self._claimed(effect)
        if row is None:
            return False
        row.give_back()
        row.due = self._now() + timedelta(seconds=delay_s)
        return True

    async def fire_timers(self, limit: int) -> list[Address]:
        await checkpoint()
        now = self._now()
        due = sorted(
            (row for row in self._tables.timers.values() if row.timer.due <= now),
            key=lambda row: (row.timer.due, row.id),
        )[:limit]
        for row in due:
            del self._tables.timers[row.address, row.timer.key]
            self._tables.send(_firing(self._tables.next_id(), row, now), row.partition, now)
        return list(dict.fromkeys(row.address for row in due))

    async def next_timer_s(self) -> float | None:
        await checkpoint()
        due = min((row.timer.due for row in self._tables.timers.values()), default=None)
        return None if due is None else (due - self._now()).total_seconds()

    async def put_blob(self, project: str, content: bytes) -> str:
        await checkpoint()
        sha256 = hashlib.sha256(content).hexdigest()
        self._tables.blobs[project, sha256] = content
        return sha256

    async def get_blob(self, project: str, sha256: str) -> bytes | None:
        await checkpoint()
        return self._tables.blobs.get((project, check_sha256(sha256).hex()))

    def _held(self, partitions: Collection[int], owner: UUID) -> dict[int, Partition]:
        rows = self._tables.partitions
        return {id_: rows[id_] for id_ in set(partitions) if id_ in rows and rows[id_].owner == owner}

    def _claimed(self, effect: ClaimedEffect) -> EffectRow | None:
        row = self._tables.effects.get((effect.address.project, effect.key))
        return row if row is not None and row.claim == effect.claim else None

    def _ring(self, before: int) -> None:
        if self._tables.head > before:
            self._woken.set()
            self._woken = anyio.Event()


def _selects(s: Selection, recorded: Recorded) -> bool:
    address = recorded.address
    return (
        (s.project is None or s.project == address.project)
        and (s.kind is None or s.kind == address.kind)
        and (s.name is None or s.name == address.name)
        and (s.types is None or recorded.type in s.types)
        and (s.correlation is None or s.correlation == recorded.correlation)
    )


def _claim(row: EffectRow, worker: UUID, until: datetime) -> ClaimedEffect:
    row.worker, row.claim, row.claimed_until, row.attempts = worker, uuid4(), until, row.attempts + 1
    e = row.effect
    return ClaimedEffect(
        row.address, e.key, e.effect_kind, e.safety, e.body, e.at, e.correlation, e.causation, row.attempts, row.claim
    )


def _firing(id_: int, row: TimerRow, now: datetime) -> PendingSend:
    t, sender = row.timer, f"{row.address.kind}/{row.address.name}"
    return PendingSend(
        id_, f"timer:{t.key}:{row.id}", row.address, sender, t.type, t.body, now, t.correlation, t.causation
    )
