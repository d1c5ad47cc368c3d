"""What the in-memory store holds: the tables of the PostgreSQL schema as plain values. One event loop, no locks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from eventstore import chain
from eventstore.dead import Suspect
from eventstore.forking import Fork, RecordedOutcome
from eventstore.records import (
    EffectState,
    Fence,
    InboxRow,
    NewAsk,
    NewEffect,
    NewEvent,
    NewTimer,
    PendingSend,
    Recorded,
    Unit,
    Waiting,
)
from eventstore.snapshots import Snapshot
from eventstore.traces import key_of
from eventstore.workers import Worker
from protocol.subjects import Address


@dataclass
class Stream:
    fenced: bool
    events: list[Recorded] = field(default_factory=list[Recorded])

    @property
    def version(self) -> int:
        return len(self.events)


@dataclass
class Partition:
    epoch: int = 0
    owner: UUID | None = None
    expires_at: datetime | None = None
    cursor: int = 0
    witness: str = ""

    def held_by(self, fence: Fence) -> bool:
        return self.owner is not None and (self.epoch, self.owner) == (fence.epoch, fence.owner)


@dataclass(frozen=True)
class OutboxRow:
    """A send that was not accepted yet."""

    send: PendingSend
    partition: int
    written_at: datetime


@dataclass(frozen=True)
class TimerRow:
    id: int
    address: Address
    partition: int
    timer: NewTimer


@dataclass
class EffectRow:
    address: Address
    effect: NewEffect
    due: datetime
    attempts: int = 0
    worker: UUID | None = None
    claim: UUID | None = None
    claimed_until: datetime | None = None
    state: EffectState = ""
    note: str = ""

    def free(self, now: datetime) -> bool:
        return self.due <= now and (self.claimed_until is None or self.claimed_until < now)

    def give_back(self) -> None:
        self.worker = self.claim = self.claimed_until = None


@dataclass(frozen=True)
class Kept:
    """What an inbox row keeps besides what is asked for: the link (from 1) with which the command was settled, or the
    last one before; when; and its bytes."""

    link: int
    at: datetime
    body: bytes
    headers: bytes = b""


@dataclass
class AskRow:
    """An ask that is answered later; `answer` None: it is open."""

    address: Address
    partition: int
    ask: NewAsk
    answer: bytes | None = None


@dataclass(frozen=True)
class ParkedRow:
    """A parked actor. `position`: from which on the log says so; a fork before it does not have the row."""

    partition: int
    reason: str
    at: datetime
    position: int


@dataclass(frozen=True)
class PastParking:
    """A parked actor that went on at the position `until`, by that event (`reference`). `commands` are what was kept
    for it, by number, each with the outbox id that it got (0: it was not sent again)."""

    address: Address
    row: ParkedRow
    commands: "dict[int, tuple[ParkedCommand, int]]"
    until: int
    reference: str


@dataclass(frozen=True)
class ParkedCommand:
    """A command kept for a parked actor; `position` as there."""

    partition: int
    waiting: Waiting
    position: int


@dataclass(frozen=True)
class Blob:
    """Content, when it was put for the last time, and the digests its bytes name."""

    content: bytes
    touched_at: datetime
    names: frozenset[bytes]


@dataclass
class NamedLeaseRow:
    owner: UUID
    epoch: int
    expires_at: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Tables:
    """Everything. The methods are the few writes that more than one caller makes."""

    now: Callable[[], datetime] = _utc_now
    events: list[Recorded] = field(default_factory=list[Recorded])
    streams: dict[Address, Stream] = field(default_factory=dict[Address, Stream])
    links: list[chain.Link] = field(default_factory=list[chain.Link])
    partitions: dict[int, Partition] = field(default_factory=dict[int, Partition])
    # By project, id and outbox id (0: an external command).
    inbox: dict[tuple[str, str, int], InboxRow] = field(default_factory=dict[tuple[str, str, int], InboxRow])
    kept: dict[tuple[str, str, int], Kept] = field(default_factory=dict[tuple[str, str, int], Kept])
    outbox: dict[int, OutboxRow] = field(default_factory=dict[int, OutboxRow])
    timers: dict[tuple[Address, str], TimerRow] = field(default_factory=dict[tuple[Address, str], TimerRow])
    effects: dict[tuple[str, str], EffectRow] = field(default_factory=dict[tuple[str, str], EffectRow])
    # By project and id.
    asks: dict[tuple[str, str], AskRow] = field(default_factory=dict[tuple[str, str], AskRow])
    # By project and key.
    traces: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    parked: dict[Address, ParkedRow] = field(default_factory=dict[Address, ParkedRow])
    parked_commands: dict[int, ParkedCommand] = field(default_factory=dict[int, ParkedCommand])
    past_parkings: list[PastParking] = field(default_factory=list[PastParking])
    attempts: dict[Suspect, int] = field(default_factory=dict[Suspect, int])
    blobs: dict[tuple[str, str], Blob] = field(default_factory=dict[tuple[str, str], Blob])
    # With what it hashed to when it was put.
    snapshots: dict[Address, tuple[Snapshot, bytes]] = field(default_factory=dict[Address, tuple[Snapshot, bytes]])
    # With when each is alive no more.
    workers: dict[UUID, tuple[Worker, datetime]] = field(default_factory=dict[UUID, tuple[Worker, datetime]])
    leases: dict[str, NamedLeaseRow] = field(default_factory=dict[str, NamedLeaseRow])
    last_id: int = 0
    fork: Fork | None = None
    recorded: dict[tuple[str, str], RecordedOutcome] = field(default_factory=dict[tuple[str, str], RecordedOutcome])
    score: dict[Address, list[tuple[int, str]]] = field(default_factory=dict[Address, list[tuple[int, str]]])

    @property
    def head(self) -> int:
        return len(self.events)

    def version(self, address: Address) -> int:
        stream = self.streams.get(address)
        return stream.version if stream else 0

    def trace(self, project: str, id: str, causation: str) -> str:
        """The trace that was given to what a send or an effect follows from ("": none was)."""
        return self.traces.get((project, key_of(id, causation)), "") if self.traces else ""

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def write(self, address: Address, events: Sequence[NewEvent], fenced: bool) -> None:
        """Add events at the end of the log and of their stream."""
        if not events:
            return
        stream = self.streams.setdefault(address, Stream(fenced))
        stream.fenced = stream.fenced or fenced
        for e in events:
            row = Recorded(self.head + 1, address, stream.version + 1, e.type, e.at, e.correlation, e.causation, e.body)
            self.events.append(row)
            stream.events.append(row)

    def seal(self, after: int, at: datetime | None = None) -> None:
        """Link everything after position `after` into the chain, as one commit taken then (None: now)."""
        if self.head == after:
            return
        leaves = [
            chain.leaf(chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body)
            for e in self.events[after:]
        ]
        self.links.append(chain.link(self.links[-1] if self.links else None, after + 1, at or self.now(), leaves))

    def send(self, send: PendingSend, partition: int, now: datetime) -> None:
        self.outbox[send.outbox_id] = OutboxRow(send, partition, now)

    def follow(self, unit: Unit, now: datetime) -> None:
        """The sends, cancels, timers and effects of a unit that won."""
        project = unit.address.project
        for s in unit.sends:
            row = PendingSend(self.next_id(), s.id, s.to, s.sender, s.type, s.body, s.at, s.correlation, s.causation)
            self.send(row, s.partition, now)
        for key in unit.cancels:
            self.timers.pop((unit.address, key), None)
        for timer in unit.timers:
            earlier = self.timers.get((unit.address, timer.key))
            id_ = earlier.id if earlier else self.next_id()
            self.timers[unit.address, timer.key] = TimerRow(id_, unit.address, unit.partition, timer)
        for effect in unit.effects:
            self.effects[project, effect.key] = EffectRow(unit.address, effect, now)

    def carry(self, winners: Sequence[tuple[Unit, int]], now: datetime) -> None:
        """What few units have, of those that won, each with its first position (0: it had no events). All asks are
        opened before any is answered."""
        for unit, _ in winners:
            for ask in unit.asks:
                self.asks.setdefault((unit.address.project, ask.id), AskRow(unit.address, unit.partition, ask))
            for traced in unit.traces:
                self.traces.setdefault((unit.address.project, traced.key), traced.trace)
        for unit, position in winners:
            for answer in unit.answers:
                row = self.asks.get((unit.address.project, answer.ask))
                if row is not None and row.answer is None:
                    row.answer = answer.body
            since = position or self.head
            for parking in unit.parks:
                self.parked.setdefault(parking.address, ParkedRow(unit.partition, parking.reason, now, since))
            for waiting in unit.waits:
                self.parked_commands[self.next_id()] = ParkedCommand(unit.partition, waiting, since)
