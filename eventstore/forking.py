"""The port of forks, written as promises. Two adapters keep them; it is reached as `store.forks`.

A fork is a log of its own that begins as the original's up to a position. What every adapter promises:

- Its events, positions, versions and links are the original's, byte for byte, up to that position. Where the position
  lies inside a commit, that commit is sealed anew as the part of it that is there; every root before it stays.
- External commands and outcomes that were settled by then are settled in it; those that came later are not known to it.
- Nothing of it touches the original's log, and nothing that is appended to either is seen by the other.
- It is there whole or not at all: what a crash leaves of one that was being made is nothing.
- Actors that were parked by then are parked in it, with what was kept for them by then, whatever became of them since.
  Of those that went on by then, what had waited and was not decided yet is sent to them. Nobody waits in it for the
  answer to an ask: those who asked are told by the original.
- Nobody owns its partitions, its views are not built, and it has no snapshots. It has all blobs, since what is to come
  may name any of them.
- The keys of data subjects stay where they are: a fork reads sealed text with the original's keys, so a subject is
  forgotten in the original and in all its forks at once, from wherever that is asked. The log of the original says so.

What was under way (sends, timers, effects) is no part of the log. Whoever knows the actors says it while the fork is
being made, in a `Draft`; the store takes out what the log shows to be settled. Outcomes of effects that the original
heard later are kept aside: `recorded` gives them to whoever would have to perform the same work again. So is, for each
stream, the order in which the original took its later commands (`score`).
"""

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from eventstore.errors import NoSuchLog, StoreError
from eventstore.records import NewEffect, NewSend, NewTimer, Recorded
from protocol.subjects import Address

if TYPE_CHECKING:
    from eventstore.store import EventStore

STREAMS_MAX = 500  # Streams of one page.
SCORE_MAX = 2_000  # Events of one page of a score.
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork: what it is called, what it was made from, up to which position, and when that position was committed.

    `live`: effects of which nothing is recorded are performed; otherwise they end with a word that says so.
    `resumed_at` is when it was first run, from then on it has a time of its own.
    """

    name: str
    origin: str
    position: int
    at: datetime
    live: bool
    created_at: datetime
    resumed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ForkedStream:
    """An actor's stream in the original, and its version in the fork (0: it began later)."""

    address: Address
    version: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the events of one stream of the fork wanted, in their order: sends with the position of the event, the
    timers that are left, effects. The store leaves out what the log shows to be settled."""

    address: Address
    sends: tuple[tuple[int, NewSend], ...] = ()
    timers: tuple[NewTimer, ...] = ()
    effects: tuple[NewEffect, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """What an effect came to in the original. `work` is the SHA-256 of the work it was the outcome of."""

    work: bytes
    type: str
    body: bytes


class Draft(Protocol):
    """A fork being made, over one unchanging view of the original. Nobody else sees it yet."""

    @property
    def fork(self) -> Fork: ...

    async def streams(self, page: int) -> Sequence[ForkedStream]:
        """Page number `page` (from 0) of the original's streams that belong to actors, also those that began after the
        position; empty after the last."""
        ...

    async def history(self, address: Address, after: int, limit: int) -> Sequence[Recorded]:
        """The stream in the original with `version > after`, at most `limit`, also what came after the position."""
        ...

    async def want(self, wanted: Wanted) -> None:
        """Add what is under way. Sends become outbox rows in the order of the events that wanted them."""
        ...

    async def worked(self, project: str, works: Sequence[tuple[str, bytes]]) -> None:
        """Effects of the original by key, with the SHA-256 of their work: only then is their outcome of use."""
        ...


class Forks(Protocol):
    """The forks of a store, and what a fork knows of its original."""

    def creating(self, position: int, name: str, live: bool = False) -> AbstractAsyncContextManager[Draft]:
        """Make a fork of this store up to `position`; it is there when the block ends, and never if it raises.

        StoreError for a position below 0 or beyond the head, for a name that is taken or cannot be one.
        """
        ...

    async def listed(self) -> list[Fork]:
        """Every fork in the database, by name, also those of other logs and of forks."""
        ...

    async def drop(self, name: str) -> None:
        """Remove a fork and all that is in it. NoSuchLog when there is no fork of that name, StoreError when it is this
        very store, or when somebody is running on it. Forks made from it stay."""
        ...

    def opened(self, name: str) -> "AbstractAsyncContextManager[EventStore]":
        """The fork as a store. NoSuchLog when there is none of that name."""
        ...

    async def this(self) -> Fork | None:
        """What this store is a fork of; None for an original."""
        ...

    async def resume(self) -> bool:
        """Let a fork's time go on: its timers are moved by what passed since its position was committed. True the first
        time; afterwards, and in an original, nothing happens."""
        ...

    async def recorded(self, project: str, key: str) -> RecordedOutcome | None:
        """What the effect of that key came to in the original after the fork's position."""
        ...

    async def score(self, address: Address, after: int) -> Sequence[tuple[int, str]]:
        """Version and cause of the events that the original's actor committed after the fork's position, those with
        `version > after`, in order, at most SCORE_MAX; empty in an original."""
        ...

    async def effects_open(self, kinds: Collection[str]) -> bool:
        """Whether any effect of those kinds has not come to its outcome."""
        ...


def check_fork(position: int, head: int, name: str) -> None:
    """StoreError for a fork that cannot be made of a log with that head."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"the fork's name {name!r} must be lower-case letters, digits and _, at most 41 long")
    if not 0 <= position <= head:
        raise StoreError(f"cannot fork at {position}: choose a position from 0 to {head}, the log's head")


def taken(name: str) -> StoreError:
    return StoreError(f"there is something called {name!r} already: choose another name, or drop the fork of that name")


def missing(name: str) -> NoSuchLog:
    return NoSuchLog(f"there is no fork called {name!r}: list the forks to see what there is")
