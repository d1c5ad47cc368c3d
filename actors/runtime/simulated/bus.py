"""One process's connection to the simulated broker: a Bus. Once the process is dead, nothing goes through it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from random import Random
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from actors.runtime.ports import NO_TRACES, BusUnavailable, CommandFeed, FeedLost, StoredMessage
from actors.runtime.simulated.broker import ROOT, STREAM, Broker, Feed, Line
from actors.runtime.simulated.faults import DELAY_S_MIN
from protocol.subjects import Address, command_subject, dead_subject


class Living(Protocol):
    """Whose connection it is. `check` raises when that process is dead."""

    def check(self) -> None: ...


class SimulatedFeed:
    """A CommandFeed of one process."""

    def __init__(self, owner: Living, broker: Broker, feed: Feed) -> None:
        self._owner, self._broker, self._feed = owner, broker, feed

    async def next(self) -> list[StoredMessage]:
        while True:
            self._owner.check()
            if taken := self._feed.take():
                return taken
            if self._feed.lost:
                raise FeedLost(self._feed.lost)
            await self._feed.wait()

    async def close(self) -> None:
        self._broker.close(self._feed)
        self._owner.check()


class SimulatedBus:
    """A Bus on one connection, of one process."""

    def __init__(self, owner: Living, broker: Broker, chance: Random) -> None:
        self._owner, self._broker, self._chance = owner, broker, chance
        self._out: Line = broker.line()
        self._in: Line = broker.line()

    @property
    def root(self) -> str:
        return ROOT

    @property
    def stream(self) -> str:
        return STREAM

    async def open_feed(self, after: int, partitions: Sequence[int] = ()) -> CommandFeed:
        await self._round_trip("read the stream")
        return SimulatedFeed(self._owner, self._broker, self._broker.open(self._in, after, partitions))

    async def witness_at(self, sequence: int) -> str:
        await self._round_trip(f"read message {sequence}")
        return self._broker.witness_at(sequence)

    async def last_sequence(self) -> int:
        await self._round_trip("look at the stream")
        return self._broker.last

    async def purge_below(self, sequence: int) -> None:
        await self._round_trip("purge the stream")
        self._broker.purge_below(sequence)

    async def erase(self, sequences: Collection[int]) -> None:
        await self._round_trip("erase messages")
        self._broker.erase(sequences)

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        self._owner.check()
        for receiver in receivers:
            self._broker.publish(self._out, command_subject(receiver, ROOT), b"", {"Troupe-Outbox": "1"})
        await self._hand_over()

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        self._owner.check()
        for kind in kinds:
            self._broker.ring(self._out, kind)
        await self._hand_over()

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        self._owner.check()
        for kind in kinds:
            self._broker.listen(self._owner, self._in, kind, wake, copy_context())
        await self._hand_over()

    async def reply(self, inbox: str, body: bytes, traceparent: str = "") -> None:
        self._owner.check()
        self._broker.reply(self._out, inbox, body)
        await self._hand_over()

    async def bury(self, address: Address, body: bytes, headers: dict[str, str]) -> None:
        self._owner.check()
        self._broker.bury(self._out, dead_subject(address, ROOT), body, headers)
        await self._hand_over()

    def cut(self, until: float) -> None:
        """Nothing goes through this connection before that time."""
        self._out.cut_until = self._in.cut_until = until
        self._broker.lose_feeds("the connection was cut", self._in)

    def hang_up(self) -> None:
        """The process has died."""
        self._broker.unlisten(self._owner)
        self._broker.lose_feeds("its process has died", self._in)

    async def _round_trip(self, what: str) -> None:
        self._owner.check()
        await anyio.sleep(self._chance.uniform(DELAY_S_MIN, self._broker.faults.delay_s))
        self._owner.check()
        if self._out.cut:
            raise BusUnavailable(f"cannot {what}: the broker is away")

    async def _hand_over(self) -> None:
        """What is said is in the connection's buffer; others may run before this one goes on."""
        await checkpoint()
        self._owner.check()
