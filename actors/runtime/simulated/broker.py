"""The broker of a simulation: the COMMANDS stream, doorbells, inboxes and dead letters, with everything a road may do.

It loses, repeats and delays what it is given, breaks feeds, goes away, and may come back with nothing of what it had:
then the stream begins anew at 1. What one connection says arrives in the order it was said. What is asked of it while
it is away is refused.
"""

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context
from datetime import datetime
from random import Random

from actors.runtime.ports import StoredMessage
from actors.runtime.simulated.faults import DELAY_S_MIN, Faults
from actors.runtime.simulated.loop import VirtualLoop
from actors.runtime.simulated.trace import Trace
from protocol.subjects import BadSubject, effect_subject, parse_command_subject, partition_of, stored_partition

ROOT = "troupe"
STREAM = "COMMANDS"
_APART_S = 1e-7  # Two things that one connection says do not arrive in the same instant.


class Line:
    """One connection to the broker, one way: what is put in comes out in order, some of it never."""

    def __init__(self, broker: "Broker", chance: Random) -> None:
        self._broker, self._chance = broker, chance
        self._last = 0.0
        self.cut_until = 0.0

    @property
    def cut(self) -> bool:
        """Is this connection, or the whole broker, away now?"""
        return self._broker.away or self._broker.loop.time() < self.cut_until

    def carry(self, arrive: Callable[[], None], context: Context | None = None) -> None:
        """Have `arrive` called after a delay, and after everything that was put in before."""
        loop = self._broker.loop
        delay = self._chance.uniform(DELAY_S_MIN, self._broker.faults.delay_s)
        self._last = max(loop.time() + delay, self._last + _APART_S)
        loop.call_at(self._last, arrive, context=context or self._broker.context)


class Feed:
    """A consumer of the stream: a CommandFeed that begins at a sequence and has the messages of some partitions."""

    def __init__(self, broker: "Broker", line: Line, after: int, partitions: Collection[int]) -> None:
        self._broker, self._line = broker, line
        self._partitions = frozenset(partitions)
        self._after = after
        self._coming = False
        self._queue: list[StoredMessage] = []
        self._waiting: asyncio.Future[None] | None = None
        self.lost = ""

    def stir(self) -> None:
        """There may be something new in the stream: it is on its way."""
        if not self._coming and not self.lost and self._broker.last > self._after:
            self._coming = True
            self._line.carry(self._arrive)

    def lose(self, reason: str) -> None:
        """This feed brings nothing any more."""
        self.lost = self.lost or reason
        self._wake()

    def on(self, line: Line) -> bool:
        """Is it a feed of that connection?"""
        return self._line is line

    def take(self) -> list[StoredMessage]:
        """What has come."""
        taken, self._queue = self._queue, []
        return taken

    async def wait(self) -> None:
        """Until something has come, or never will."""
        while not self._queue and not self.lost:
            self._waiting = self._broker.loop.create_future()
            await self._waiting

    def _arrive(self) -> None:
        self._coming = False
        if self.lost:
            return
        found = self._broker.between(self._after, self._partitions)
        self._after = self._broker.last
        if found:
            self._queue.extend(found)
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Broker:
    """What is behind every connection. `context` is nobody's: what the broker does, it does whoever has died. `stored`
    is told the id of every command that the stream takes, how often the stream had been made anew, and the sequence."""

    def __init__(
        self, loop: VirtualLoop, context: Context, chance: Random, faults: Faults, now: Callable[[], datetime],
        trace: Trace, stored: Callable[[str, int, int], None],
    ) -> None:  # fmt: skip
        self.loop, self.context, self.faults = loop, context, faults
        self._chance, self._now, self._trace, self._stored = chance, now, trace, stored
        self._away_until = 0.0
        self.incarnation = 0
        self.last = 0
        self.under_way = 0  # Messages that will be stored.
        self.messages: dict[int, StoredMessage] = {}
        self.dead: list[tuple[str, bytes, dict[str, str]]] = []
        self._feeds: dict[Feed, None] = {}
        self._wakes: dict[str, dict[object, tuple[Line, Callable[[], None], Context]]] = {}
        self._inboxes: dict[str, tuple[Line, Callable[[bytes], None]]] = {}
        self.replies_lost: set[str] = set()  # Inboxes that an answer did not get to.

    def line(self) -> Line:
        """A new connection, one way."""
        return Line(self, self._chance)

    # What is published.

    def publish(self, line: Line, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Put a command or a doorbell on its way to the stream."""
        bell = "Troupe-Outbox" in headers
        if self._gone(line, self.faults.bell_loss if bell else self.faults.loss):
            return
        for _ in range(1 + self._happens(self.faults.duplication)):
            self.under_way += 1
            line.carry(lambda: self._store(subject, body, headers))

    def _store(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        self.under_way -= 1
        if self.away:
            return
        try:
            address = parse_command_subject(subject, ROOT)
            stored = f"{ROOT}.part.{partition_of(address)}.{address.project}.{address.kind}.{address.name}"
        except BadSubject:
            parts = subject.split(".")
            if len(parts) != 5 or not all(parts):
                return  # Not of the stream's subjects.
            # Tokens that are no address are stored as well: anyone may publish.
            stored = f"{ROOT}.part.{abs(sum(body)) % 64}.{'.'.join(parts[2:])}"
        self.last += 1
        message = StoredMessage(self.last, stored, headers, body, self._now())
        self.messages[self.last] = message
        if "Troupe-Outbox" not in headers:
            id_ = message.identity(STREAM)
            self._stored(id_, self.incarnation, self.last)
            self._trace.note(f"stored {self.incarnation}:{self.last} {id_} for {stored}")
        for feed in self._feeds:
            feed.stir()

    # The stream.

    def open(self, line: Line, after: int, partitions: Collection[int]) -> Feed:
        feed = Feed(self, line, after, partitions)
        self._feeds[feed] = None
        feed.stir()
        return feed

    def close(self, feed: Feed) -> None:
        feed.lose("closed")
        self._feeds.pop(feed, None)

    def between(self, after: int, partitions: Collection[int]) -> list[StoredMessage]:
        """The messages above a sequence, of those partitions (none: of all)."""
        later = (self.messages[s] for s in range(after + 1, self.last + 1) if s in self.messages)
        return [m for m in later if not partitions or stored_partition(m.subject, ROOT) in partitions]

    def commands(self) -> list[tuple[int, int, str]]:
        """Partition, sequence and id of every command that the stream still has."""
        return [
            (stored_partition(m.subject, ROOT), m.sequence, m.identity(STREAM))
            for m in self.messages.values()
            if "Troupe-Outbox" not in m.headers
        ]

    def witness_at(self, sequence: int) -> str:
        found = self.messages.get(sequence)
        return found.witness(STREAM) if found else ""

    def purge_below(self, sequence: int) -> None:
        """As JetStream does it: beyond the last message nothing is left, and the next gets at least that sequence."""
        self._trace.note(f"purged below {self.incarnation}:{sequence}")
        self.messages = {s: message for s, message in self.messages.items() if s >= sequence}
        self.last = max(self.last, sequence - 1)

    def erase(self, sequences: Collection[int]) -> None:
        for sequence in sequences:
            self.messages.pop(sequence, None)

    # Doorbells and replies.

    def listen(self, who: object, line: Line, kind: str, wake: Callable[[], None], context: Context) -> None:
        self._wakes.setdefault(kind, {})[who] = (line, wake, context)

    def unlisten(self, who: object) -> None:
        """Whoever that was has died."""
        for listeners in self._wakes.values():
            listeners.pop(who, None)

    def ring(self, line: Line, kind: str) -> None:
        effect_subject(kind, ROOT)  # One that NATS would not take either.
        if not self._gone(line, self.faults.bell_loss):
            line.carry(lambda: self._rung(kind))

    def _rung(self, kind: str) -> None:
        for line, wake, context in self._wakes.get(kind, {}).values():
            if not line.cut:
                line.carry(wake, context)

    def subscribe(self, inbox: str, line: Line, hear: Callable[[bytes], None]) -> None:
        self._inboxes[inbox] = (line, hear)

    def reply(self, line: Line, inbox: str, body: bytes) -> None:
        if self._gone(line, self.faults.reply_loss):
            self.replies_lost.add(inbox)
            return
        line.carry(lambda: self._replied(inbox, body))

    def _replied(self, inbox: str, body: bytes) -> None:
        if inbox not in self._inboxes:
            return
        line, hear = self._inboxes[inbox]
        if line.cut:
            self.replies_lost.add(inbox)
            return
        self._trace.note(f"replied {inbox} {body.decode()}")
        line.carry(lambda: hear(body))

    def bury(self, line: Line, subject: str, body: bytes, headers: dict[str, str]) -> None:
        if not self._gone(line, self.faults.loss):
            line.carry(lambda: self.dead.append((subject, body, headers)))

    # Bad hours.

    def lose_feeds(self, reason: str, line: Line | None = None) -> None:
        """Break every feed, or those of one connection."""
        for feed in [feed for feed in self._feeds if line is None or feed.on(line)]:
            feed.lose(reason)
            self._feeds.pop(feed, None)

    def go_away(self, until: float) -> None:
        """Be out of reach before that time; what is said meanwhile is lost."""
        self._away_until = max(self._away_until, until)
        self.lose_feeds("the connection to the broker was lost")

    @property
    def away(self) -> bool:
        return self.loop.time() < self._away_until

    def wipe(self) -> None:
        """Everything it had is gone; the stream begins anew."""
        self.incarnation += 1
        self.messages, self.last = {}, 0
        self.lose_feeds("the broker lost its disk")

    def _gone(self, line: Line, share: float) -> bool:
        return line.cut or self._happens(share)

    def _happens(self, share: float) -> bool:
        return share > 0.0 and self._chance.random() < share
