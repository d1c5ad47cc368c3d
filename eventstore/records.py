"""What goes into the log and comes out of it: the values of the port and their limits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from eventstore.carried import Answer, NewAsk, Parking, Waiting
from eventstore.traces import Traced
from protocol.subjects import Address

PAGE_EVENTS_MAX = 2_000  # Rows of one read; a reader asks again from the last position.
EVENT_BYTES_MAX = 512 * 1024  # A bigger event is content: store it as a blob and keep its hash.
ID_LENGTH_MAX = (
    512  # Characters of a command id, an event type, a timer's or an effect's key: they are keys of indexes.
)
EffectState = Literal["", "withdrawn", "unknown", "done", "failed", "again"]
"""What became of an effect besides being wanted and performed: see effects.py."""
APPEND_EVENTS_MAX = 10_000  # Of one call: the others wait while it is written.
APPEND_BYTES_MAX = 16 * 1024 * 1024  # Of bodies, of one call.
ANY_VERSION = None  # An append that is right whatever the version of its stream.
NO_STREAM = 0  # An append that is right only if nobody has written to its stream before.


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event about to be written. `at` is the time of the command that caused it, `causation` that command's id.
    A Struct, as all that a busy process makes for each event: a frozen dataclass takes several times as long."""

    type: str
    body: bytes
    at: datetime
    correlation: str
    causation: str


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event of the log. A Struct, since readers make millions."""

    position: int
    address: Address
    version: int
    type: str
    at: datetime
    correlation: str
    causation: str
    body: bytes

    @property
    def reference(self) -> str:
        return self.address.reference(self.version)


class StreamWrite(msgspec.Struct, frozen=True, gc=False):
    """Events for the end of one stream, right only at version `expected`; without events it is only checked."""

    address: Address
    events: tuple[NewEvent, ...]
    expected: int | None = ANY_VERSION


class Append(msgspec.Struct, frozen=True, gc=False):
    """Writes to streams of one project, each stream once, that happen together or not at all.

    What makes a repetition known is its `id` (scoped by project; its own space, apart from command ids), or else that
    every write with events expects a version. Without either the same append again is written again.
    """

    writes: tuple[StreamWrite, ...]
    id: str = ""


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The fate of one append. Its events lie side by side, from `first_position` to `last_position` (0: it has none).

    committed: now. known: before, there; the very same events. conflict: a stream is not at the expected version.
    fenced: a stream belongs to an actor, and takes only commits of units. taken: its id stands for other events.
    `detail` says which and what to do, of the last three.
    """

    status: Literal["committed", "known", "conflict", "fenced", "taken"]
    first_position: int = 0
    last_position: int = 0
    detail: str = ""


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A command whose fate the unit decides. `outbox_id` is its outbox row (0: it came from outside, from COMMANDS).

    External commands and effect outcomes (`keep`) leave an inbox row with bytes and outcome; a plain send leaves none,
    its row's absence says it was accepted. With a `deadline` it is right only until then, by the store's clock.
    """

    id: str
    type: str
    outcome: Literal["accepted", "silent", "refused", "quarantined", "parked"]
    detail: str = ""
    outbox_id: int = 0
    keep: bool = True
    sequence: int = 0
    headers: bytes = b""
    body: bytes = b""
    deadline: datetime | None = None


class NewSend(msgspec.Struct, frozen=True, gc=False):
    """A message for another actor. The row is the message; JetStream carries a copy."""

    id: str
    to: Address
    partition: int
    sender: str
    type: str
    body: bytes
    at: datetime
    correlation: str
    causation: str


@dataclass(frozen=True, slots=True)
class NewTimer:
    """A command to this unit's own actor at `due`. The same key again replaces the earlier timer."""

    key: str
    due: datetime
    type: str
    body: bytes
    correlation: str
    causation: str


@dataclass(frozen=True, slots=True)
class NewEffect:
    """Work in the world, wanted by an event. `key` ("tools/t1@3.0") is its idempotency key."""

    key: str
    effect_kind: str
    safety: Literal["idempotent", "repeatable", "once"]
    body: bytes
    at: datetime
    correlation: str
    causation: str


class Unit(msgspec.Struct, frozen=True, gc=False):
    """What some commands to one stream came to. `expected` is the stream's version before (None: not checked).

    A unit settles at least one command or expects a version: otherwise a repetition could not be told. No command is
    in it twice. `cancels` apply before `timers`.
    """

    partition: int
    address: Address
    expected: int | None
    settled: tuple[Settled, ...]
    events: tuple[NewEvent, ...] = ()
    sends: tuple[NewSend, ...] = ()
    timers: tuple[NewTimer, ...] = ()
    cancels: tuple[str, ...] = ()
    effects: tuple[NewEffect, ...] = ()
    asks: tuple[NewAsk, ...] = ()
    answers: tuple[Answer, ...] = ()
    parks: tuple[Parking, ...] = ()
    waits: tuple[Waiting, ...] = ()
    traces: tuple[Traced, ...] = ()

    @property
    def carries(self) -> bool:
        """Whether there is anything in it that few units have."""
        return bool(self.asks or self.answers or self.parks or self.waits or self.traces)


@dataclass(frozen=True, slots=True)
class Fence:
    """A partition as its owner holds it, and how far the owner has settled it once this batch commits.

    `cursor` is moved only if no unit of the partition loses.
    """

    partition: int
    epoch: int
    owner: UUID
    cursor: int
    witness: str


@dataclass(frozen=True, slots=True)
class Batch:
    fences: tuple[Fence, ...]
    units: tuple[Unit, ...]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The fate of one unit. `first_position` is that of its first event (0: it had none).

    fenced: its partition has another owner now. known: a command in it was settled before; `known` names them (ids) and
    the rest must be decided again. expired: the deadline of a command in it has passed, by the store's clock; `known`
    names them. conflict: its stream moved on. In that order, the first that holds.

    Of several units in one batch that would write one stream (or expect a version of it), or settle one command, only
    the first that could commit does; a later one is known if that first settled its command, and else a conflict.
    """

    status: Literal["committed", "fenced", "known", "expired", "conflict"]
    first_position: int = 0
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition as it stands in the store. `clean`: it was free, so who had it before had let it go; else a process
    died with it, or may still believe that it is its own."""

    partition: int
    epoch: int
    owner: UUID | None
    cursor: int
    witness: str
    clean: bool = True


@dataclass(frozen=True, slots=True)
class PendingSend:
    """An outbox row not yet accepted by its receiver. `outcome_of` is the effect it answers ("" for a plain send).
    `trace` is the one that was given to what it follows from ("": none was)."""

    outbox_id: int
    id: str
    to: Address
    sender: str
    type: str
    body: bytes
    at: datetime
    correlation: str
    causation: str
    outcome_of: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedEffect:
    """An effect this worker may perform until `claim` ends. `attempt` counts from 1. `state` is what it was before, and
    `note` says why (effects.py). `trace` as that of a send."""

    address: Address
    key: str
    effect_kind: str
    safety: Literal["idempotent", "repeatable", "once"]
    body: bytes
    at: datetime
    correlation: str
    causation: str
    attempt: int
    claim: UUID
    state: EffectState = ""
    note: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class EffectOutcome:
    """The command an effect came to, for the actor that wanted it."""

    type: str
    body: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class InboxRow:
    """How an external command or an effect's outcome was settled before."""

    id: str
    address: Address
    type: str
    outcome: str
    detail: str
    first_position: int
    events: int


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream as it stands. `number` grows in the order in which streams were first written to, with gaps; `fenced`:
    it belongs to an actor."""

    number: int
    address: Address
    version: int
    fenced: bool
