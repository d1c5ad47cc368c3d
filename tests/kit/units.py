"""Short words for what goes into a log, for tests of stores."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from eventstore.store import (
    Batch,
    EventStore,
    Fence,
    Lease,
    NewEffect,
    NewEvent,
    NewSend,
    NewTimer,
    Settled,
    Unit,
    Verdict,
)
from protocol.subjects import Address

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def actor(name: str = "a1", kind: str = "task", project: str = "demo") -> Address:
    return Address(project, kind, name)


def event(n: int = 1, causation: str = "c1", type_: str = "task.noted.v1", correlation: str = "run") -> NewEvent:
    return NewEvent(type_, b'{"n":%d}' % n, NOON + timedelta(microseconds=n), correlation, causation)


def external(id_: str = "c1", sequence: int = 0, body: bytes = b"{}") -> Settled:
    return Settled(id_, "task.note.v1", "accepted", sequence=sequence, headers=b"{}", body=body)


def accepts(outbox_id: int, id_: str, keep: bool = False) -> Settled:
    """Settles an outbox row."""
    return Settled(id_, "task.note.v1", "accepted", outbox_id=outbox_id, keep=keep)


def send(id_: str, to: Address, partition: int = 0) -> NewSend:
    return NewSend(id_, to, partition, "task/a1", "task.note.v1", b"{}", NOON, "run", "task/a1@1")


def timer(key: str, due: datetime, body: bytes = b"{}") -> NewTimer:
    return NewTimer(key, due, "task.note.v1", body, "run", "task/a1@1")


def effect(key: str, kind: str = "tool", at: datetime = NOON) -> NewEffect:
    return NewEffect(key, kind, "idempotent", b"{}", at, "run", "task/a1@1")


def unit(
    name: str = "a1",
    expected: int | None = 0,
    command: str | None = "c1",
    events: int | tuple[NewEvent, ...] = 1,
    **more: Any,
) -> Unit:
    """A unit of one external command (None: none) that caused `events` (or so many) events."""
    if isinstance(events, int):
        events = tuple(event(n + 1, command or "none") for n in range(events))
    fields: dict[str, Any] = {
        "partition": 0,
        "address": actor(name),
        "settled": (external(command),) if command is not None else (),
        "events": events,
    }
    return Unit(expected=expected, **(fields | more))


class Owner:
    """Holds partitions of a store and commits under their fences."""

    def __init__(self, store: EventStore, id_: UUID, leases: Sequence[Lease]) -> None:
        self.store = store
        self.id = id_
        self.leases = {lease.partition: lease for lease in leases}

    @classmethod
    async def of(cls, store: EventStore, *partitions: int, takeover: bool = True) -> "Owner":
        id_ = uuid4()
        return cls(store, id_, await store.acquire(partitions or (0,), id_, 3600, takeover))

    def fence(self, partition: int = 0, cursor: int = 0, witness: str = "") -> Fence:
        lease = self.leases[partition]
        return Fence(partition, lease.epoch, self.id, cursor, witness)

    def batch(self, *units: Unit, cursor: int = 0, witness: str = "") -> Batch:
        return Batch(tuple(self.fence(p, cursor, witness) for p in self.leases), units)

    async def commit(self, *units: Unit, cursor: int = 0, witness: str = "") -> tuple[Verdict, ...]:
        return await self.store.commit(self.batch(*units, cursor=cursor, witness=witness))


def statuses(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.status for verdict in verdicts]


async def cursors(store: EventStore, *partitions: int) -> dict[int, tuple[int, str]]:
    """Where partitions stand; takes them over to see."""
    leases = await store.acquire(partitions, uuid4(), 3600, takeover=True)
    return {lease.partition: (lease.cursor, lease.witness) for lease in leases}
