"""What a history was made of, written as promises: for whoever decides it again. It is reached as `store.histories`.

Of a command that came from outside, and of an effect's outcome, the inbox keeps the bytes: `commands` gives them. A
plain send leaves none; who made it can be asked again. `eventless` goes through those that led to nothing; where the
log stood then is known as closely as the times of commits tell. `pending` is what is still to come: whatever the code
of today has written for the code of tomorrow to read.

Nothing here writes. What is read while a company runs may be of several moments.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from eventstore.errors import BadInput
from protocol.subjects import Address

PendingClass = Literal["send", "timer", "effect", "parked"]
PENDING_CLASSES: tuple[PendingClass, ...] = ("send", "timer", "effect", "parked")


@dataclass(frozen=True, slots=True)
class SettledCommand:
    """A command that its actor accepted, as it came."""

    id: str
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class EventlessCommand:
    """A command of the inbox that led to no event of its actor: silent, refused, waiting for a parked actor, or
    quarantined. `outbox_id` 0: it came from outside.

    It was decided when the log was at position `low` or later, `high` or earlier; most likely at `stood`. What is in
    between are the commits right before and after it, and its own.
    """

    id: str
    outbox_id: int
    address: Address
    type: str
    outcome: str
    detail: str
    at: datetime
    low: int
    stood: int
    high: int


@dataclass(frozen=True, slots=True)
class KeptCommand:
    """A command as the inbox keeps it, whatever came of it."""

    type: str
    headers: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Something written for later. `address`: whom it concerns, the receiver of a send, the actor of a timer or an
    effect, who is parked. `key`: the id of a send or of a command that waits for a parked actor, the key of a timer or
    an effect. `type`: the tag of the command, or the kind of the effect. `sender` is that of a send."""

    what: PendingClass
    address: Address
    key: str
    type: str
    body: bytes
    sender: str = ""

    @property
    def place(self) -> "Place":
        """Where the next page begins."""
        return self.address.project, self.address.kind, self.address.name, self.key


Place = tuple[str, str, str, str]
FIRST: Place = ("", "", "", "")


class Histories(Protocol):
    """What is kept of commands, and what is under way."""

    async def commands(self, address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        """Those of `ids` that this actor accepted and whose bytes are kept. StoreUnavailable."""
        ...

    def eventless(self) -> AsyncGenerator[Sequence[EventlessCommand]]:
        """All that led to nothing, in pages and in no order, of one moment. Close it. StoreUnavailable."""
        ...

    async def kept(self, project: str, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], KeptCommand]:
        """The rows of the inbox with those ids and outbox ids. StoreUnavailable."""
        ...

    async def pending(self, what: PendingClass, after: Place, limit: int) -> list[PendingWork]:
        """The next `limit` rows of that class, in the order of project, kind, name and key. StoreUnavailable, BadInput
        for a class that there is not."""
        ...


def check_class(what: str) -> None:
    """BadInput for a class that there is not."""
    if what not in PENDING_CLASSES:
        raise BadInput(f"there is no pending work called {what!r}: the classes are {', '.join(PENDING_CLASSES)}")
