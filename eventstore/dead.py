"""Actors that are parked, what waits for them, and commands that may kill a process, written as promises.

- An actor is parked by the commit that quarantines the command that broke it (`Unit.parks`, `Unit.waits`): that command
  is the first of those kept for it, later ones from outside follow in their order, and what other actors sent it stays
  in the outbox. Who writes its partition next finds it parked.
- `retry` and `drop` end that in one transaction, whether the company runs or not: an event in the stream
  `runtime/<partition>` says so, and what waits becomes sends to the actor: the command that broke it first (`retry`;
  `drop` leaves it quarantined), then what other actors sent, then what came from outside, each in its order. The lease
  of the partition ends with it, so that nobody goes on with an older view of the actor: its owner takes it again.
- An attempt is counted before the command is run, and the count outlives the process. It is a hint for the owner alone:
  a count that is lost, or left over, decides nothing but how often a command that kills its process may do so.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from eventstore.records import Waiting
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.subjects import Address, partition_of

PAGE_ROWS_MAX = 1_000  # Of one page of parked actors, dead letters or waiting commands.


@dataclass(frozen=True, slots=True)
class ParkedActor:
    """An actor that waits for an operator. `killer` is the id of the command that broke it, `reason` what it broke
    with. `commands` came from outside since, `sends` lie in the outbox; neither counts the killer."""

    address: Address
    reason: str
    at: datetime
    killer: str
    commands: int
    sends: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A command that was quarantined, as the log tells it. `position` is that of the event; `body` is empty when it was
    too big to be quoted there (the inbox has it)."""

    position: int
    address: Address
    id: str
    type: str
    error: str
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A command that waits for a parked actor. `number` grows in the order in which they came; `killer`: it broke the
    actor; `expired`: its deadline has passed."""

    number: int
    command: Waiting
    killer: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class Released:
    """An actor that goes on. `reference` is the event that says so (all that was `sent` again has it as its cause);
    `expired` commands were left out, since their deadlines have passed."""

    reference: str
    position: int
    sent: int
    expired: int


@dataclass(frozen=True, slots=True, order=True)
class Suspect:
    """A command that may kill its process. `outbox_id` is 0 for one from outside."""

    partition: int
    project: str
    id: str
    outbox_id: int


class Dead(Protocol):
    """What broke, and what waits for it. Every call may raise StoreUnavailable."""

    async def parked(
        self, project: str, kind: str | None = None, after: Address | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[ParkedActor]:
        """Parked actors of a project (and kind) in the order of their addresses, from beyond `after` on."""
        ...

    async def parked_actor(self, address: Address) -> ParkedActor | None:
        """That one; None: it is not parked."""
        ...

    async def parked_in(self, partitions: Collection[int]) -> list[ParkedActor]:
        """All parked actors of these partitions, for who owns them. `sends` is not counted (0)."""
        ...

    async def kept(self, address: Address, after: int = 0, limit: int = PAGE_ROWS_MAX) -> list[Kept]:
        """What is kept for a parked actor with a number beyond `after`, in order: the killer is the first of all."""
        ...

    async def letters(
        self, project: str, kind: str | None = None, before: int | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[DeadLetter]:
        """Commands that were quarantined (to actors of that kind), the latest first, from below the position `before`
        on; whatever became of their actors since."""
        ...

    async def retry(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        """Have a parked actor go on, its killer first; None: it is not parked. `late`: also what has expired. `by` is
        who wants it so, for the event. After StoreUnavailable ask again: None then says that it had happened."""
        ...

    async def drop(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        """The same without the killer, which stays quarantined."""
        ...

    async def attempts(self, partitions: Collection[int]) -> dict[Suspect, int]:
        """How often each command of these partitions was begun, as far as that was counted."""
        ...

    async def attempt(self, suspects: Collection[Suspect]) -> None:
        """Count one more attempt for each, before it is made."""
        ...

    async def forget_attempts(self, suspects: Collection[Suspect]) -> None:
        """These are settled."""
        ...

    async def clear_attempts(self, partitions: Collection[int]) -> None:
        """Nothing is suspected in these partitions any more."""
        ...

    async def mail_upto(self, partitions: Collection[int]) -> dict[int, int]:
        """The highest outbox id in each of these partitions, without what waits for parked actors; no entry: there is
        none."""
        ...

    async def mail_waits(self, upto: Sequence[tuple[int, int]]) -> set[int]:
        """Of partitions, each with an outbox id: those in which a row up to it waits for an actor that is not
        parked."""
        ...


def release_event(address: Address, killer: str, again: bool, late: bool, by: str) -> ActorRetried | ActorDropped:
    """What the log says of an actor that goes on."""
    made = ActorRetried if again else ActorDropped
    return made(address.kind, address.name, killer, late, by)


def quarantined(project: str, position: int, at: datetime, body: bytes) -> DeadLetter:
    """The dead letter that such an event tells of."""
    event = msgspec.json.decode(body, type=CommandQuarantined)
    address = Address(project, event.kind, event.name)
    return DeadLetter(position, address, event.id, event.command_type, event.error, at, event.body)


def keeper_of(address: Address) -> Address:
    """The stream in which the runtime says what became of that actor's commands."""
    return Address(address.project, "runtime", str(partition_of(address)))
