"""The port of the log, written as promises. Two adapters keep them, one conformance suite checks both.

What every adapter promises:

- Positions are dense (1, 2, 3, …) and in commit order. A reader that asks for "after p, in order" skips nothing, ever.
- A batch is one transaction. Each unit in it commits whole or not at all, and gets its own verdict; a losing unit never
  takes a winner with it.
- A unit commits only while its partition's fence (epoch and owner token) is current, its stream is at the expected
  version, and none of the commands it settles was settled before.
- Events, sends, timers, effects, the settled commands and the cursor of one unit become visible together.
- What was acknowledged survives the death of every process, and of the machine if its disk survives.
"""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from eventstore.errors import (
    InvalidUnit,
    LogLocked,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnfitServer,
    UnknownStream,
    VersionConflict,
)
from eventstore.records import (
    EVENT_BYTES_MAX,
    ID_LENGTH_MAX,
    PAGE_EVENTS_MAX,
    Batch,
    ClaimedEffect,
    EffectOutcome,
    Fence,
    InboxRow,
    Lease,
    NewEffect,
    NewEvent,
    NewSend,
    NewTimer,
    PendingSend,
    Recorded,
    Selection,
    Settled,
    Unit,
    Verdict,
)
from protocol.subjects import Address

__all__ = [
    "EVENT_BYTES_MAX",
    "ID_LENGTH_MAX",
    "PAGE_EVENTS_MAX",
    "Batch",
    "ClaimedEffect",
    "EffectOutcome",
    "EventStore",
    "Fence",
    "InboxRow",
    "InvalidUnit",
    "Lease",
    "Log",
    "LogLocked",
    "NewEffect",
    "NewEvent",
    "NewSend",
    "NewTimer",
    "PendingSend",
    "Recorded",
    "Selection",
    "Settled",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "UnfitServer",
    "Unit",
    "UnknownStream",
    "Verdict",
    "VersionConflict",
]


class Log(Protocol):
    """The reading side: what projections, audits and the command line use."""

    async def head(self) -> int:
        """The position of the last event (0: empty)."""
        ...

    async def read(
        self,
        after: int,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        selection: Selection | None = None,
    ) -> list[Recorded]:
        """Events with `after < position <= upto` in order, at most `limit`."""
        ...

    async def read_stream(self, address: Address, after: int = 0, limit: int = PAGE_EVENTS_MAX) -> list[Recorded]:
        """Events of one stream with `version > after`, in order, at most `limit`."""
        ...

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until the head may be beyond `position`; False after `timeout_s`. A wake-up is a hint, never a truth,
        and a lost one only delays: ask again."""
        ...

    async def get_blob(self, project: str, sha256: str) -> bytes | None:
        """The bytes with that SHA-256 (hex), or None."""
        ...


class EventStore(Log, Protocol):
    """The writing side: what the runtime uses."""

    async def append(self, address: Address, events: Sequence[NewEvent], expected: int | None = None) -> int:
        """Plain append for imports, tools and tests; returns the last position. VersionConflict, and StoreError for a
        stream that belongs to an actor: those take only fenced commits. After StoreUnavailable it may have happened:
        only with `expected` can it be sent again."""
        ...

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        """Commit a batch; one verdict a unit, in order. After StoreUnavailable the identical batch may be sent again:
        what had been committed is then `known`, and nothing is written twice. InvalidUnit: nothing was sent."""
        ...

    async def acquire(self, partitions: Collection[int], owner: UUID, ttl_s: float, takeover: bool) -> list[Lease]:
        """Own those of `partitions` that are free (or all, with `takeover`); each acquisition begins a new epoch."""
        ...

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        """Extend the leases still held, also one that ran out but that nobody took; the partitions that are."""
        ...

    async def release(self, partitions: Collection[int], owner: UUID) -> None:
        """Give the leases up at once."""
        ...

    async def inbox(self, project: str, ids: Collection[str]) -> dict[str, InboxRow]:
        """How those of `ids` that are known were settled."""
        ...

    async def pending_sends(self, to: Collection[Address], limit: int) -> list[PendingSend]:
        """Outbox rows for these actors in the order they were written, at most `limit`."""
        ...

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        """Receivers of rows that have waited longer than that, oldest first."""
        ...

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        """Take effects nobody holds (or whose claim ran out), oldest first."""
        ...

    async def extend_claims(self, worker: UUID, ttl_s: float) -> int:
        """Heartbeat: extend all claims of this worker; how many there are."""
        ...

    async def release_claims(self, keep: UUID) -> int:
        """Free the claims of every worker but `keep` (for a single-process company under its folder's lock: the others
        are dead)."""
        ...

    async def finish_effect(self, effect: ClaimedEffect, outcome: EffectOutcome, partition: int) -> bool:
        """Write the outcome as a send to the effect's actor and end the effect; False if the claim was lost."""
        ...

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float) -> bool:
        """Give the claim back, to be claimed again after `delay_s`; False if the claim was lost."""
        ...

    async def fire_timers(self, limit: int) -> list[Address]:
        """Turn timers that are due into sends to their actors; the actors to ring."""
        ...

    async def next_timer_s(self) -> float | None:
        """Seconds until the next timer is due (0 or less: now), None without timers."""
        ...

    async def put_blob(self, project: str, content: bytes) -> str:
        """Store bytes once; their SHA-256 in hex."""
        ...
