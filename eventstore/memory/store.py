"""The log in memory: a full adapter with the promises of `store.py`, but that nothing survives the process.

For simulations and tests that need no server. One event loop; every call is atomic. Time comes from `now`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint

from eventstore.appending import append_one, one_write
from eventstore.checks import check_append, check_appends, check_batch
from eventstore.memory.appending import append_all
from eventstore.memory.archive import MemoryArchive, MemoryAudit
from eventstore.memory.asks import MemoryAsks
from eventstore.memory.backlog import MemoryBacklog
from eventstore.memory.blobs import MemoryBlobs
from eventstore.memory.commit import commit_batch
from eventstore.memory.dead import MemoryDead
from eventstore.memory.effects import MemoryEffects, claim_rows
from eventstore.memory.fork import MemoryForks
from eventstore.memory.gaps import MemoryGaps
from eventstore.memory.histories import MemoryHistories
from eventstore.memory.leases import MemoryLeases
from eventstore.memory.reading import MemoryLog
from eventstore.memory.snapshots import MemorySnapshots
from eventstore.memory.subject_keys import MemorySubjectKeys
from eventstore.memory.tables import EffectRow, Partition, Tables, TimerRow
from eventstore.memory.traces import MemoryTraces
from eventstore.memory.workers import MemoryWorkers
from eventstore.records import Append, Appended
from eventstore.store import (
    Batch,
    ClaimedEffect,
    EffectOutcome,
    InboxRow,
    Lease,
    NewEvent,
    PendingSend,
    Verdict,
)
from protocol.subjects import Address


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore(MemoryLog):
    """An EventStore in this process."""

    def __init__(self, now: Callable[[], datetime] = _utc_now, tables: Tables | None = None) -> None:
        super().__init__(tables or Tables())
        self._now = now
        self._tables.now = now
        self.blobs = MemoryBlobs(self._tables, now)
        self.archive = MemoryArchive(self._tables, self.blobs, self._ring)
        self.audit = MemoryAudit(self._tables, self.blobs)
        self.gaps = MemoryGaps(self._tables)
        self.backlog = MemoryBacklog(self._tables, now)
        self.snapshots = MemorySnapshots(self._tables)
        self.keys = MemorySubjectKeys(self._tables, now, self._ring)
        self.workers = MemoryWorkers(self._tables, now)
        self.dead = MemoryDead(self._tables, now, self._ring)
        self.leases = MemoryLeases(self._tables, now)
        self.histories = MemoryHistories(self._tables)
        self.effects = MemoryEffects(self._tables, now)
        self.asks = MemoryAsks(self._tables, now)
        self.traces = MemoryTraces(self._tables)
        self.forks = MemoryForks(self._tables, now, self._forked)

    async def append(
        self, address: Address, events: Sequence[NewEvent], expected: int | None = None, id: str = ""
    ) -> int:
        async def submit(append: Append) -> Appended:
            return (await self.append_all([append]))[0]

        append = one_write(address, events, expected, id)
        check_append(append)
        return await append_one(submit, append) or await self.head()

    async def append_all(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        check_appends(appends)
        await checkpoint()
        before = self._tables.head
        verdicts = append_all(self._tables, appends)
        self._ring(before)
        return verdicts

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
            former = row.owner
            free = former in (None, owner) or row.expires_at is None or row.expires_at < now
            if free or takeover:
                row.epoch, row.owner, row.expires_at = row.epoch + 1, owner, now + timedelta(seconds=ttl_s)
                leases.append(Lease(id_, row.epoch, owner, row.cursor, row.witness, former is None))
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
        # What comes last wins: an external command over an outcome of the same name, and over both what became of a
        # command that had broken its actor or waited for it, and was decided after all.
        rows.sort(key=lambda pair: (pair[1].outcome not in ("quarantined", "parked"), -pair[0]))
        return {row.id: row for _, row in rows}

    async def pending_sends(self, to: Collection[Address], limit: int) -> list[PendingSend]:
        await checkpoint()
        wanted = set(to)
        rows = [w.send for w in self._tables.outbox.values() if w.send.to in wanted][:limit]
        traces = [self._tables.trace(send.to.project, send.id, send.causation) for send in rows]
        return [replace(send, trace=trace) if trace else send for send, trace in zip(rows, traces, strict=True)]

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        await checkpoint()
        before = self._now() - timedelta(seconds=older_than_s)
        waiting = (w for w in self._tables.outbox.values() if w.send.to not in self._tables.parked)
        overdue = (w for w in waiting if w.partition in partitions and w.written_at < before)
        return list(dict.fromkeys(w.send.to for w in overdue))[:limit]

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        await checkpoint()
        return claim_rows(self._tables, self._now(), kinds, worker, ttl_s, limit, ("", "again"))

    async def release_claims(self, keep: Collection[UUID]) -> int:
        await checkpoint()
        rows = [row for row in self._tables.effects.values() if row.claim is not None and row.worker not in keep]
        for row in rows:
            row.give_back()
        return len(rows)

    async def finish_effect(self, effect: ClaimedEffect, outcome: EffectOutcome, partition: int) -> bool:
        await checkpoint()
        if self._claimed(effect) is None:
            return False
        del self._tables.effects[effect.address.project, effect.key]
        self._tables.effects.pop((effect.address.project, f"{effect.key}:deadline"), None)
        sender = f"{effect.address.kind}/{effect.address.name}"
        send = PendingSend(
            self._tables.next_id(), f"{effect.key}:outcome", effect.address, sender, outcome.type, outcome.body,
            outcome.at, effect.correlation, effect.key, effect.key,
        )  # fmt: skip
        self._tables.send(send, partition, self._now())
        return True

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float, tried: bool = True) -> bool:
        await checkpoint()
        row = self._claimed(effect)
        if row is None:
            return False
        row.give_back()
        row.attempts -= 0 if tried else 1
        row.due = self._now() + timedelta(seconds=delay_s)
        return True

    async def fire_timers(self, limit: int, partitions: Collection[int] | None = None) -> list[Address]:
        await checkpoint()
        now = self._now()
        due = sorted(
            (row for row in self._timers(partitions) if row.timer.due <= now),
            key=lambda row: (row.timer.due, row.id),
        )[:limit]
        for row in due:
            del self._tables.timers[row.address, row.timer.key]
            self._tables.send(_firing(self._tables.next_id(), row, now), row.partition, now)
        return list(dict.fromkeys(row.address for row in due))

    async def next_timer_s(self, partitions: Collection[int] | None = None) -> float | None:
        await checkpoint()
        due = min((row.timer.due for row in self._timers(partitions)), default=None)
        return None if due is None else (due - self._now()).total_seconds()

    def _timers(self, partitions: Collection[int] | None) -> list[TimerRow]:
        rows = self._tables.timers.values()
        return [row for row in rows if partitions is None or row.partition in partitions]

    def _forked(self, tables: Tables, family: MemoryForks) -> "MemoryStore":
        store = MemoryStore(self._now, tables)
        store.keys = self.keys
        store.forks.family = family.family
        return store

    def _held(self, partitions: Collection[int], owner: UUID) -> dict[int, Partition]:
        rows = self._tables.partitions
        return {id_: rows[id_] for id_ in set(partitions) if id_ in rows and rows[id_].owner == owner}

    def _claimed(self, effect: ClaimedEffect) -> EffectRow | None:
        row = self._tables.effects.get((effect.address.project, effect.key))
        return row if row is not None and row.claim == effect.claim else None


def _firing(id_: int, row: TimerRow, now: datetime) -> PendingSend:
    t, sender = row.timer, f"{row.address.kind}/{row.address.name}"
    return PendingSend(
        id_, f"timer:{t.key}:{row.id}", row.address, sender, t.type, t.body, now, t.correlation, t.causation
    )
