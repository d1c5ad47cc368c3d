"""What the runtime needs of a message bus, written as promises. NATS keeps them; tests may bring a simulated one.

The bus is the road, never the arbiter: it may lose, repeat and delay. Nothing but speed rests on it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from protocol.subjects import Address

_ID = re.compile(r"(?!timer:)[!-?A-~]{1,200}")  # Printable ASCII without "@".
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BELL = "Troupe-Outbox"
_MICROSECOND = timedelta(microseconds=1)
NO_TRACES: Mapping[Any, str] = MappingProxyType({})


class BusUnavailable(Exception):
    """The bus cannot be reached now; try again when it is back."""


class FeedLost(Exception):
    """The feed of commands broke (server restarted, consumer gone): open it again."""


class StoredMessage(msgspec.Struct, frozen=True):
    """A message of the COMMANDS stream. `headers` are as received; `at` is when the stream stored it, in whole
    microseconds (further digits cut off, so that every way of reading a message gives the same)."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes
    at: datetime

    @property
    def rings(self) -> bool:
        """Is it a doorbell: the copy of an outbox row?"""
        return _BELL in self.headers or _BELL.lower() in map(str.lower, self.headers)

    def witness(self, stream: str) -> str:
        """Stream, sequence and stored time: no message of a recreated stream has the same."""
        return f"{stream}-{self.sequence}-{(self.at - _EPOCH) // _MICROSECOND}"

    def identity(self, stream: str) -> str:
        """`ce-id`, or what stands in for it: the witness.

        Ids of ours name an event ("tools/t1@3.0") or a timer ("timer:late:7"); one from outside that could be mistaken
        for those is not used, nor one with characters that not every store and log can hold.
        """
        for name, value in self.headers.items():
            if name.lower() == "ce-id" and _ID.fullmatch(value.strip()):
                return value.strip()
        return self.witness(stream)


class CommandFeed(Protocol):
    """Commands from one sequence on, in order."""

    async def next(self) -> list[StoredMessage]:
        """The next messages (at least one); waits for them. FeedLost when it cannot go on."""
        ...

    async def close(self) -> None: ...


class Bus(Protocol):
    """The road in and out."""

    @property
    def root(self) -> str:
        """The first token of every subject."""
        ...

    @property
    def stream(self) -> str:
        """The name of the stream that holds commands."""
        ...

    async def open_feed(self, after: int, partitions: Sequence[int] = ()) -> CommandFeed:
        """Commands of these partitions (none: of all) with a sequence above `after`, of the stream as it is now (made
        anew if it was lost). BusUnavailable when it cannot be opened now."""
        ...

    async def witness_at(self, sequence: int) -> str:
        """The witness of the message with that sequence, "" if there is none. BusUnavailable when it cannot be
        asked."""
        ...

    async def last_sequence(self) -> int:
        """The highest sequence that the stream of commands has given (0: none yet). BusUnavailable."""
        ...

    async def purge_below(self, sequence: int) -> None:
        """Drop the commands below `sequence`; the one at it stays, as the witness. BusUnavailable."""
        ...

    async def erase(self, sequences: Collection[int]) -> None:
        """Drop these messages so that nothing is left of them on the broker's disk either; those that are not there
        are passed over. BusUnavailable."""
        ...

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        """Tell the owners of these actors that outbox rows wait for them. May be lost. `traces`: a traceparent for
        those receivers of which is known what waits."""
        ...

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        """Tell effect workers that there is work; `traces` likewise. May be lost."""
        ...

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        """Call `wake` when one of those kinds is rung."""
        ...

    async def reply(self, inbox: str, body: bytes, traceparent: str = "") -> None:
        """Answer an asker; the traceparent names the command that is answered. May be lost; the asker's time-out then
        means unknown."""
        ...

    async def bury(self, address: Address, body: bytes, headers: dict[str, str]) -> None:
        """Copy a command that broke its actor to the dead-letter subject."""
        ...


Clock = Callable[[], datetime]
