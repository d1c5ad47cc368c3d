"""Troupe's writers: each one task that hands a unit to the coalescer, awaits its verdict and hands in the next.

A unit of the full commit is what the runtime makes of one external command: the command with its bytes and headers for
the inbox (180 bytes, an envelope as the command line sends it), its events (180 bytes each) on the writer's stream at
the expected version, under the partition's fence; the batch moves the cursors and links the chain. After ten events a
writer begins a new stream, as tasks do. Ids are time-ordered, as the command line makes them.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from time import perf_counter, time_ns
from uuid import UUID, uuid4

import anyio

from eventstore.coalescer import Coalescer
from eventstore.postgres.store import PostgresStore
from eventstore.store import Batch, Fence, NewEvent, NewSend, Settled, Unit, Verdict
from protocol.subjects import Address, partition_of
from tests.benchmarks.store.stored import BODY_BYTES, STREAM_EVENTS

PARTITIONS = 64
LEASE_S = 3_600.0


def body(n: int, length: int) -> bytes:
    """JSON of that many bytes."""
    start = b'{"n":%d,"text":"' % n
    return start + b"x" * (length - len(start) - 2) + b'"}'


class Ids:
    """Ids that look and sort like those of RFC 9562 version 7: the time of the first, then a count."""

    def __init__(self) -> None:
        hexed = f"{time_ns() // 1_000_000:012x}"
        self._count, self._prefix = count(), f"{hexed[:8]}-{hexed[8:]}-7{os.urandom(1).hex()}0-8000-"

    def next(self) -> str:
        return f"{self._prefix}{next(self._count):012x}"


_EVENT, _COMMAND = body(1, BODY_BYTES), body(2, BODY_BYTES)
_RECEIVER = Address("bench", "task", "receiver")
_partition = lru_cache(4_096)(partition_of)  # The runtime knows its actors' partitions from the subject.


class Company:
    """Writers under fences that this process holds."""

    def __init__(self, store: PostgresStore, owner: UUID, epochs: dict[int, int]) -> None:
        self._store, self._owner, self._epochs = store, owner, epochs
        self._ids, self._streams, self._sequence = Ids(), count(), count(1)
        self._cursors: dict[int, tuple[int, str]] = dict.fromkeys(epochs, (0, ""))
        self._round = uuid4().hex[:8]
        self._coalescer: Coalescer[Unit, Verdict] = Coalescer(self._commit, lambda unit: len(unit.events))

    @classmethod
    async def of(cls, store: PostgresStore) -> "Company":
        owner = uuid4()
        leases = await store.acquire(range(PARTITIONS), owner, LEASE_S, takeover=True)
        return cls(store, owner, {lease.partition: lease.epoch for lease in leases})

    async def write(self, seconds: float, writers: int, events_each: int, sends: bool = False) -> tuple[int, float]:
        """The full commit: events acknowledged in about so many seconds, and the exact time. `sends`: every unit also
        writes one message for another actor into the outbox."""

        async def commit(address: Address, version: int) -> None:
            verdict = await self._coalescer.submit(self._unit(address, version, events_each, sends))
            assert verdict.status == "committed", verdict

        return await self._together(seconds, writers, events_each, commit)

    async def append(self, seconds: float, writers: int, events_each: int) -> tuple[int, float]:
        """The same by the plain append, which brings writers together by itself."""

        async def append(address: Address, version: int) -> None:
            await self._store.append(address, self._events(self._ids.next(), events_each), version)

        return await self._together(seconds, writers, events_each, append)

    def history(self, events: int) -> Iterator[tuple[Address, NewEvent]]:
        """Events of new streams, to import."""
        for _ in range(events // STREAM_EVENTS):
            address = self._new_stream()
            for event in self._events(self._ids.next(), STREAM_EVENTS):
                yield address, event

    async def _together(
        self, seconds: float, writers: int, events_each: int, put: Callable[[Address, int], Awaitable[None]]
    ) -> tuple[int, float]:
        started, acknowledged = perf_counter(), 0
        until = started + seconds

        async def writer() -> None:
            nonlocal acknowledged
            while True:
                address = self._new_stream()
                for version in range(0, STREAM_EVENTS, events_each):
                    await put(address, version)
                    acknowledged += events_each
                    if perf_counter() > until:
                        return

        async with anyio.create_task_group() as group:
            for _ in range(writers):
                group.start_soon(writer)
        return acknowledged, perf_counter() - started

    def _new_stream(self) -> Address:
        return Address("bench", "task", f"{self._round}-{next(self._streams)}")

    def _events(self, cause: str, events: int) -> tuple[NewEvent, ...]:
        event = NewEvent("task.noted.v1", _EVENT, datetime.now(UTC), cause, cause)
        return (
            (event,)
            if events == 1
            else tuple([NewEvent(event.type, _EVENT, event.at, cause, cause) for _ in range(events)])
        )

    def _unit(self, address: Address, version: int, events: int, sends: bool = False) -> Unit:
        id_, sequence, partition = self._ids.next(), next(self._sequence), _partition(address)
        headers = b'{"ce-specversion":"1.0","ce-id":"%b","ce-source":"troupe-cli"}' % id_.encode()
        settled = Settled(id_, "task.note.v1", "accepted", sequence=sequence, headers=headers, body=_COMMAND)
        self._cursors[partition] = (sequence, id_)
        told = self._events(id_, events)
        sent = (self._send(address, id_, told[0].at),) if sends else ()
        return Unit(partition, address, version, (settled,), told, sent)

    def _send(self, address: Address, cause: str, at: datetime) -> NewSend:
        sender = f"{address.kind}/{address.name}"
        return NewSend(
            f"{cause}.0", _RECEIVER, _partition(_RECEIVER), sender, "task.note.v1", _COMMAND, at, cause, cause
        )

    async def _commit(self, units: Sequence[Unit]) -> Sequence[Verdict]:
        fences = tuple(
            Fence(p, self._epochs[p], self._owner, *self._cursors[p]) for p in {unit.partition for unit in units}
        )
        return await self._store.commit(Batch(fences, tuple(units)))
