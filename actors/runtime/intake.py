"""From the road into the mailboxes: external commands as they come, sends as outbox rows read in their written order.

A doorbell only names an actor: its rows are read from the store, oldest first, so a send can neither be lost with the
broker nor overtake an older one. A stream that is not the one we settled (its witness differs) is read from its
beginning; what was settled before is known to the store and refused there. The feed holds the owned partitions only; it
is opened again when one is gained, whose commands wait in the stream and the outbox meanwhile. Personal text is sealed
on its way in: what is put into a mailbox holds none.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any

import anyio
import structlog

from actors.runtime.cursor import Cursors
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import Mailboxes, from_message, from_row
from actors.runtime.metrics import UNKNOWN_KIND, RuntimeMetrics
from actors.runtime.ports import Bus, BusUnavailable, Clock, CommandFeed, FeedLost, StoredMessage
from actors.runtime.pressure import Pressure
from actors.runtime.score import Score
from actors.runtime.sealing import Sealer, may_be_personal
from actors.runtime.turn import Pending, plain
from eventstore.store import EventStore, Lease, PendingSend, StoreUnavailable
from protocol.codec import encode
from protocol.envelope import BadHeader, from_headers
from protocol.reply import Reply
from protocol.subjects import Address, BadSubject, parse_stored_subject, stored_partition

ROWS_MAX = 1_000  # Outbox rows read at once.
RECEIVERS_MAX = 500  # Actors whose rows are read when a partition becomes ours; the sweeper rings for further ones.
HOWEVER_YOUNG_S = -1.0
WITNESSES_CONCURRENT_MAX = 16
RETRY_FIRST_S = 0.1
RETRY_S_MAX = 2.0
CLOSE_S_MAX = 2.0
BAD_ADDRESS = "bad-address"  # The code of a command for a name no actor can have.

log = structlog.get_logger("intake")


class Intake:
    """Reads the feed and the outbox into the mailboxes."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        kinds: Kinds,
        mailboxes: Mailboxes,
        cursors: Cursors,
        clock: Clock,
        metrics: RuntimeMetrics | None = None,
        sealer: Sealer | None = None,
        score: Score | None = None,
        pressure: Pressure | None = None,
        learn: Callable[[Collection[int]], Awaitable[None]] | None = None,
    ) -> None:
        self._store, self._bus, self._kinds = store, bus, kinds
        self._sealer = sealer or Sealer()
        self._score = score
        self._metrics = metrics or RuntimeMetrics(kinds=kinds)
        self._mailboxes, self._cursors, self._clock = mailboxes, cursors, clock
        self._pressure = pressure or Pressure(mailboxes, cursors, bus, self._metrics)
        self._learn = learn  # What must be known of partitions before anything of theirs is taken in.
        self._new: set[int] = set()  # Partitions whose outbox rows nobody has looked for yet.
        self._stirred = anyio.Event()
        self._reading: anyio.CancelScope | None = None

    def gained(self, leases: Sequence[Lease]) -> None:
        """These partitions are ours from now on: what waits for them is read."""
        self._cursors.gain(leases)
        self._new.update(lease.partition for lease in leases)
        if self._learn is not None:
            for lease in leases:
                self._mailboxes.pause(lease.partition)
        self._stirred.set()
        if self._reading is not None:
            self._reading.cancel()

    def lost(self, partitions: Collection[int]) -> None:
        """These are not ours any more: what waits for them here is forgotten."""
        self._cursors.lose(partitions)
        self._mailboxes.lose(partitions)
        self._pressure.lose(partitions)
        self._new.difference_update(partitions)

    async def run(self) -> None:
        delay_s = RETRY_FIRST_S
        while True:
            await self._some()
            try:
                feed = await self._open()
                delay_s = RETRY_FIRST_S
                try:
                    await self._drain(feed)
                finally:
                    await self._close(feed)
            except (FeedLost, BusUnavailable, StoreUnavailable) as error:
                log.warning("intake.reopens", error=str(error))
                self._metrics.intake_reopens.inc()
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _some(self) -> None:
        """Wait until there is a partition to read."""
        while not self._cursors.stored():
            self._stirred = anyio.Event()
            await self._stirred.wait()

    async def _open(self) -> CommandFeed:
        """A feed of the stream we settled. The consumer comes first: the witnesses then speak of what it reads."""
        while True:
            self._stirred = anyio.Event()  # What is gained from here on needs another feed.
            self._cursors.replay_from_store()
            self._mailboxes.forget_external()
            feed = await self._bus.open_feed(self._cursors.lowest()[0], sorted(self._cursors.stored()))
            try:
                wrong = await self._wrong_witnesses()
            except BaseException:
                await self._close(feed)
                raise
            if not wrong:
                return feed
            log.warning("intake.stream_recreated", partitions=len(wrong))
            await self._close(feed)
            self._cursors.rewind(wrong)

    async def _wrong_witnesses(self) -> list[int]:
        """Is the message at each cursor still the one we settled there? If not, the stream was lost and made anew."""
        places = self._cursors.stored()
        found: dict[int, str] = {}
        limiter = anyio.CapacityLimiter(WITNESSES_CONCURRENT_MAX)

        async def look(cursor: int) -> None:
            async with limiter:
                found[cursor] = await self._bus.witness_at(cursor)

        wanted = sorted({cursor for cursor, _ in places.values() if cursor})
        if len(wanted) == 1:
            await look(wanted[0])
        elif wanted:
            await _together(look, wanted)
        return [p for p, (cursor, witness) in places.items() if cursor and found[cursor] != witness]

    async def _close(self, feed: CommandFeed) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S_MAX):
            await feed.close()

    async def _drain(self, feed: CommandFeed) -> None:
        """Read the feed until a partition is gained."""
        await self._look_for_mail()
        while not self._stirred.is_set():
            messages: list[StoredMessage] = []
            with anyio.CancelScope() as self._reading:
                messages = await feed.next()
            self._reading = None
            rung: dict[Address, None] = {}
            arrived = [command for message in messages for command in await self._accepted(message, rung)]
            for command in await self._sealer.seal(arrived):
                self._mailboxes.put(command)
            self._pressure.arrived()
            await self.fetch(list(rung))
            await self._pressure.room()

    async def _look_for_mail(self) -> None:
        """Who had these partitions before may have heard the doorbells of what waits in them."""
        if self._new:
            partitions, self._new = sorted(self._new), set()
            try:
                if self._learn is not None:
                    await self._learn(partitions)
                    self._mailboxes.resume(partitions)
                await self.fetch(await self._store.overdue_sends(partitions, HOWEVER_YOUNG_S, RECEIVERS_MAX))
            except BaseException:
                self._new.update(p for p in partitions if p in self._cursors.stored())
                raise

    async def _accepted(self, message: StoredMessage, rung: dict[Address, None]) -> list[Pending]:
        """The message as a command; none when it was a doorbell, is not new, or has no address."""
        partition = stored_partition(message.subject, self._bus.root)
        witness = message.witness(self._bus.stream)
        if not self._cursors.expects(partition, message.sequence, witness):
            return []
        generation = self._cursors.generation
        try:
            _, address = parse_stored_subject(message.subject, self._bus.root)
        except BadSubject as error:
            self._cursors.see(partition, message.sequence, witness, personal=True)
            await self._turn_away(message, str(error))
            self._cursors.settle(partition, message.sequence, generation)
            return []
        if message.rings:
            # The rows are in the store whatever happens to this message: it is settled by having been heard.
            rung[address] = None
            self._cursors.see(partition, message.sequence, witness)
            self._cursors.settle(partition, message.sequence, generation)
            return []
        command = from_message(
            self._kinds, address, message.identity(self._bus.stream), message.sequence, generation, message.headers,
            message.body, message.at, self._clock(),
        )  # fmt: skip
        self._cursors.see(partition, message.sequence, witness, may_be_personal(command))
        return [] if self._pressure.turns_away(command) else [command]

    async def _turn_away(self, message: StoredMessage, error: str) -> None:
        """Nothing can be kept of a command for a name no actor can have; its asker is told."""
        log.warning("intake.no_address", subject=message.subject, error=error)
        self._metrics.turned_away(UNKNOWN_KIND, BAD_ADDRESS)
        traceparent = ""
        try:
            envelope = from_headers(message.headers)
            inbox, traceparent = envelope.reply_to, envelope.traceparent
        except BadHeader as bad:
            inbox = bad.reply_to
        if inbox:
            id_ = message.identity(self._bus.stream)
            reply = Reply("refused", id_, plain(message.subject), code=BAD_ADDRESS, message=plain(error))
            await self._bus.reply(inbox, encode(reply), traceparent)

    async def fetch(self, receivers: list[Address]) -> None:
        """Read the outbox rows of those actors into their mailboxes, in written order. What waits for a parked one is
        not read again and again."""
        receivers = [receiver for receiver in receivers if not self._mailboxes.parked(receiver)]
        if not receivers:
            return
        rows = await self._store.pending_sends(receivers, ROWS_MAX)
        if len(rows) == ROWS_MAX and len(receivers) > 1:
            # One actor's many rows must not hide the others'. What does not fit now is rung for again by the sweeper.
            for receiver in receivers:
                await self._pressure.room()
                await self._take(await self._store.pending_sends([receiver], ROWS_MAX))
        else:
            await self._take(rows)

    async def _take(self, rows: list[PendingSend]) -> None:
        for row in rows if self._score is None else await self._score.admit(rows):
            self._mailboxes.put(from_row(self._kinds, row))


async def _together(look: Callable[[int], Coroutine[Any, Any, None]], wanted: Sequence[int]) -> None:
    """Look at each; the first failure as itself."""
    try:
        async with anyio.create_task_group() as group:
            for cursor in wanted:
                group.start_soon(look, cursor)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
