"""What can be seen of a run from outside, real or simulated: what senders were told, who wrote, who was paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eventstore.store import Recorded
from protocol.reply import Reply
from protocol.subjects import Address, BadSubject, parse_reference

RUNTIME = "runtime"  # The kind of the streams in which the runtime tells of commands.


class Sent(Protocol):
    """A command as its publisher saw it; of simulated/publishers.py, or a record of a real one's.

    `copies` say where it was stored, as far as that is known: how often the stream had been made anew before, and the
    sequence there. `insisted`: it was sent until it was answered. Times are seconds of one clock.
    """

    @property
    def id(self) -> str: ...
    @property
    def to(self) -> Address: ...
    @property
    def sender(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def insisted(self) -> bool: ...
    @property
    def first_sent_s(self) -> float: ...
    @property
    def answered_s(self) -> float | None: ...
    @property
    def replies(self) -> Sequence[Reply]: ...
    @property
    def copies(self) -> Sequence[tuple[int, int]]: ...


class Asked(Sent, Protocol):
    """A command with a deadline. `reply_lost`: the road lost what was to answer it."""

    @property
    def deadline_s(self) -> float | None: ...
    @property
    def reply_lost(self) -> bool: ...


class Paid(Protocol):
    """Something that the world did under an effect's key. `attempt` counts from 1."""

    @property
    def project(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def safety(self) -> str: ...
    @property
    def attempt(self) -> int: ...


@dataclass(frozen=True)
class Acquired:
    """A partition was taken: a new epoch of it began."""

    partition: int
    epoch: int
    owner: str


@dataclass(frozen=True)
class Wrote:
    """A unit was committed under that fence."""

    partition: int
    epoch: int
    owner: str
    stream: str


@dataclass(frozen=True)
class Group:
    """The events that one command caused: how many there are side by side from `first` on, in one stream."""

    address: Address
    first: int
    count: int


def groups(log: Sequence[Recorded]) -> dict[tuple[str, str], list[Group]]:
    """What each command caused its actor to do, by project and id: one group if it was applied once. What the runtime
    says of it in streams of its own is none of that."""
    found: dict[tuple[str, str], list[Group]] = {}
    ends: dict[tuple[str, str], tuple[Address, int]] = {}
    for event in log:
        if event.address.kind == RUNTIME:
            continue
        key = (event.address.project, event.causation)
        here = found.setdefault(key, [])
        if here and ends[key] == (event.address, event.version - 1):
            here[-1] = Group(event.address, here[-1].first, here[-1].count + 1)
        else:
            here.append(Group(event.address, event.position, 1))
        ends[key] = (event.address, event.version)
    return found


def send_place(id_: str) -> tuple[str, tuple[int, int]] | None:
    """Who sent it ("rally/r1") and where in its order, by the id of a send ("rally/r1@3.0"); None for other ids."""
    reference, _, n = id_.rpartition(".")
    if not n.isdecimal():
        return None
    try:
        kind, name, version = parse_reference(reference)
    except BadSubject:
        return None
    return f"{kind}/{name}", (version, int(n))
