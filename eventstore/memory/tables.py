"""What the in-memory store holds: the tables of the PostgreSQL schema as plain values. One event loop, no locks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from eventstore import chain
from eventstore.records import Fence, InboxRow, NewEffect, NewEvent, NewTimer, PendingSend, Recorded, Unit
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
class Waiting:
    """An outbox row."""

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

    def free(self, now: datetime) -> bool:
        return self.due <= now and (self.claimed_until is None or self.claimed_until < now)

    def give_back(self) -> None:
        self.worker = self.claim = self.claimed_until = None


@dataclass
class Tables:
    """Everything. The methods are the few writes that more than one caller makes."""

    events: list[Recorded] = field(default_factory=list[Recorded])
    streams: dict[Address, Stream] = field(default_factory=dict[Address, Stream])
    links: list[chain.Link] = field(default_factory=list[chain.Link])
    partitions: dict[int, Partition] = field(default_factory=dict[int, Partition])
    # By project, id and outbox id (0: an external command).
    inbox: dict[tuple[str, str, int], InboxRow] = field(default_factory=dict[tuple[str, str, int], InboxRow])
    outbox: dict[int, Waiting] = field(default_factory=dict[int, Waiting])
    timers: dict[tuple[Address, str], TimerRow] = field(default_factory=dict[tuple[Address, str], TimerRow])
    effects: dict[tuple[str, str], EffectRow] = field(default_factory=dict[tuple[str, str], EffectRow])
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    last_id: int = 0

    @property
    def head(self) -> int:
        return len(self.events)

    def version(self, address: Address) -> int:
        stream = self.streams.get(address)
        return stream.version if stream else 0

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

    def seal(self, after: int) -> None:
        """Link everything after position `after` into the chain, as one commit."""
        if self.head == after:
            return
        digest = chain.digest(
            chain.event_bytes(
                chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body
            )
            for e in self.events[after:]
        )
        previous = self.links[-1].root if self.links else b""
        self.links.append(chain.Link(after + 1, self.head, digest, chain.root(previous, after + 1, self.head, digest)))

    def send(self, send: PendingSend, partition: int, now: datetime) -> None:
        self.outbox[send.outbox_id] = Waiting(send, partition, now)

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
