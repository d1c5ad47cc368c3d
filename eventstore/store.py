"""The port of the log, written as promises. Two adapters keep them, one conformance suite checks both.

What every adapter promises:

- Positions are dense (1, 2, 3, …) and in commit order. A reader that asks for "after p, in order" skips nothing, ever.
- A batch is one transaction. Each unit in it commits whole or not at all, and gets its own verdict; a losing unit never
  takes a winner with it.
- A unit commits only while its partition's fence (epoch and owner token) is current, its stream is at the expected
  version, none of the commands it settles was settled before, and no deadline of one has passed by the store's clock.
- Events, sends, timers, effects, asks and answers, given traces, parked actors and what waits for them, the settled
  commands and the cursor of one unit become visible together.
- What was acknowledged survives the death of every process, and of the machine if its disk survives.
"""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from eventstore.archive import Archive
from eventstore.asks import Asks
from eventstore.audit import Audit
from eventstore.backlog import Backlog
from eventstore.dead import Dead
from eventstore.effects import Effects
from eventstore.errors import (
    BadInput,
    BlobMissing,
    BlobTooBig,
    FencedStream,
    IdTaken,
    InvalidUnit,
    LogLocked,
    NoSuchLog,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    TamperedBlob,
    UnfitServer,
    UnknownStream,
    VersionConflict,
)
from eventstore.forking import Forks
from eventstore.gaps import Gaps
from eventstore.histories import Histories
from eventstore.leases import Leases
from eventstore.log import Log
from eventstore.records import (
    ANY_VERSION,
    EVENT_BYTES_MAX,
    ID_LENGTH_MAX,
    NO_STREAM,
    PAGE_EVENTS_MAX,
    Answer,
    Append,
    Appended,
    Batch,
    ClaimedEffect,
    EffectOutcome,
    Fence,
    InboxRow,
    Lease,
    NewAsk,
    NewEffect,
    NewEvent,
    NewSend,
    NewTimer,
    Parking,
    PendingSend,
    Recorded,
    Settled,
    StreamInfo,
    StreamWrite,
    Unit,
    Verdict,
    Waiting,
)
from eventstore.selection import Selection
from eventstore.snapshots import Snapshots
from eventstore.subject_keys import SubjectKeys
from eventstore.traces import Traced, Traces
from eventstore.workers import Workers
from protocol.subjects import Address

__all__ = [
    "ANY_VERSION",
    "EVENT_BYTES_MAX",
    "ID_LENGTH_MAX",
    "NO_STREAM",
    "PAGE_EVENTS_MAX",
    "Answer",
    "Append",
    "Appended",
    "BadInput",
    "Batch",
    "BlobMissing",
    "BlobTooBig",
    "ClaimedEffect",
    "EffectOutcome",
    "EventStore",
    "Fence",
    "FencedStream",
    "IdTaken",
    "InboxRow",
    "InvalidUnit",
    "Lease",
    "Log",
    "LogLocked",
    "NewAsk",
    "NewEffect",
    "NewEvent",
    "NewSend",
    "NewTimer",
    "NoSuchLog",
    "Parking",
    "PendingSend",
    "Recorded",
    "Selection",
    "Settled",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "StoreUnreachable",
    "StreamInfo",
    "StreamWrite",
    "TamperedBlob",
    "Traced",
    "UnfitServer",
    "Unit",
    "UnknownStream",
    "Verdict",
    "VersionConflict",
    "Waiting",
]


class EventStore(Log, Protocol):
    """The writing side: what the runtime uses."""

    @property
    def keys(self) -> SubjectKeys:
        """The keys of data subjects: see subject_keys.py, and keyring.py for what is done with them."""
        ...

    @property
    def snapshots(self) -> Snapshots:
        """States of actors, so that they need not be folded from the beginning: see snapshots.py."""
        ...

    @property
    def archive(self) -> Archive:
        """The log as a file, to it and from it: see archive.py."""
        ...

    @property
    def audit(self) -> Audit:
        """Whether every event is what was committed: see audit.py."""
        ...

    @property
    def gaps(self) -> Gaps:
        """Whether what stands beside the events agrees with them: see gaps.py."""
        ...

    @property
    def dead(self) -> Dead:
        """Parked actors, what waits for them, and suspects: see dead.py."""
        ...

    @property
    def backlog(self) -> Backlog:
        """What waits, for whoever watches: see backlog.py."""
        ...

    @property
    def workers(self) -> Workers:
        """The processes of the company: see workers.py."""
        ...

    @property
    def asks(self) -> Asks:
        """Asks that are answered later: see asks.py."""
        ...

    @property
    def effects(self) -> Effects:
        """Effects that are withdrawn, doubted or settled, and the claims that are held: see effects.py."""
        ...

    @property
    def traces(self) -> Traces:
        """The traces that were given: see traces.py."""
        ...

    @property
    def histories(self) -> Histories:
        """What histories were made of, and what is under way: see histories.py."""
        ...

    @property
    def leases(self) -> Leases:
        """Named leases: see leases.py."""
        ...

    @property
    def forks(self) -> Forks:
        """Forks of this log, and what it is a fork of: see forking.py."""
        ...

    async def append(
        self, address: Address, events: Sequence[NewEvent], expected: int | None = None, id: str = ""
    ) -> int:
        """Plain append to one stream, for imports, tools and tests; its last position (the head for no events).
        VersionConflict, FencedStream for an actor's stream, IdTaken. With an id or an expected version a lost outcome
        is looked up (see appending.py); without either, StoreUnavailable leaves it unknown. Calls at the same time
        share a commit."""
        ...

    async def append_all(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Several plain appends in one commit, each over one or many streams; a verdict each, in order, as if they were
        made one after the other. After StoreUnavailable the identical call may be made again: what can be told and had
        happened is then `known`. InvalidUnit: nothing was sent."""
        ...

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        """Commit a batch; one verdict a unit, in order. After StoreUnavailable the identical batch may be sent again:
        what had been committed is then `known`, and nothing is written twice. InvalidUnit: nothing was sent."""
        ...

    async def acquire(self, partitions: Collection[int], owner: UUID, ttl_s: float, takeover: bool) -> list[Lease]:
        """Own those of `partitions` that are free, or were this owner's already (or all, with `takeover`); each
        acquisition begins a new epoch."""
        ...

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        """Extend the leases still held, also one that ran out but that nobody took; the partitions that are."""
        ...

    async def release(self, partitions: Collection[int], owner: UUID) -> None:
        """Give the leases up at once."""
        ...

    async def inbox(self, project: str, ids: Collection[str]) -> dict[str, InboxRow]:
        """How those of `ids` that are known were settled; of one that was decided after all, how it was then."""
        ...

    async def pending_sends(self, to: Collection[Address], limit: int) -> list[PendingSend]:
        """Outbox rows for these actors in the order they were written, at most `limit`."""
        ...

    async def overdue_sends(self, partitions: Collection[int], older_than_s: float, limit: int) -> list[Address]:
        """Receivers of rows that have waited longer than that, oldest first; none that is parked."""
        ...

    async def claim_effects(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        """Take effects nobody holds (or whose claim ran out), oldest first."""
        ...

    async def release_claims(self, keep: Collection[UUID]) -> int:
        """Free the claims of every worker but those in `keep` (who knows that the others are dead)."""
        ...

    async def finish_effect(self, effect: ClaimedEffect, outcome: EffectOutcome, partition: int) -> bool:
        """Write the outcome as a send to the effect's actor and end the effect; False if the claim was lost."""
        ...

    async def retry_effect(self, effect: ClaimedEffect, delay_s: float, tried: bool = True) -> bool:
        """Give the claim back, to be claimed again after `delay_s`; False if the claim was lost. Unless `tried`, it was
        no attempt."""
        ...

    async def fire_timers(self, limit: int, partitions: Collection[int] | None = None) -> list[Address]:
        """Turn timers that are due, of actors in `partitions` (None: in all), into sends to their actors; the actors to
        ring."""
        ...

    async def next_timer_s(self, partitions: Collection[int] | None = None) -> float | None:
        """Seconds until the next timer of those partitions is due (0 or less: now), None without timers."""
        ...
