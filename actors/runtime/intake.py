"""From the road into the mailboxes: external commands as they come, sends as outbox rows read in their written order.

A doorbell only names an actor: its rows are read from the store, oldest first, so a send can neither be lost with the
broker nor overtake an older one. A stream that is not the one we settled (its witness differs) is read from its
beginning; what was settled before is known to the store and refused there. Personal text is sealed on its way in: what
is put into a mailbox holds none.
"""

import anyio
import structlog

from actors.runtime.cursor import Cursors
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import OPEN_COMMANDS_MAX, Mailboxes, from_message, from_row
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, BusUnavailable, Clock, CommandFeed, FeedLost, StoredMessage
from actors.runtime.score import Score
from actors.runtime.sealing import Sealer, may_be_personal
from actors.runtime.turn import Pending, plain
from eventstore.store import EventStore, StoreUnavailable
from protocol.codec import encode
from protocol.envelope import BadHeader, from_headers
from protocol.reply import Reply
from protocol.subjects import Address, BadSubject, parse_stored_subject

ROWS_MAX = 1_000  # Outbox rows read at once.
RETRY_FIRST_S = 0.1
RETRY_S_MAX = 2.0
CLOSE_S_MAX = 2.0
PAUSE_S = 0.02  # How long the feed rests when too many commands are open.

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
    ) -> None:
        self._store, self._bus, self._kinds = store, bus, kinds
        self._sealer = sealer or Sealer()
        self._score = score
        self._metrics = metrics or RuntimeMetrics(kinds=kinds)
        self._mailboxes, self._cursors, self._clock = mailboxes, cursors, clock

    async def run(self) -> None:
        delay_s = RETRY_FIRST_S
        while True:
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
                self._cursors.replay_from_store()
                self._mailboxes.forget_external()

    async def _open(self) -> CommandFeed:
        """A feed of the stream we settled. The consumer comes first: the witnesses then speak of what it reads."""
        while True:
            feed = await self._bus.open_feed(self._cursors.lowest()[0])
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
        found: dict[int, str] = {}
        wrong: list[int] = []
        for partition, (cursor, witness) in self._cursors.stored().items():
            if cursor and cursor not in found:
                found[cursor] = await self._bus.witness_at(cursor)
            if cursor and found[cursor] != witness:
                wrong.append(partition)
        return wrong

    async def _close(self, feed: CommandFeed) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S_MAX):
            await feed.close()

    async def _drain(self, feed: CommandFeed) -> None:
        while True:
            messages = await feed.next()
            rung: dict[Address, None] = {}
            arrived = [command for message in messages for command in await self._accepted(message, rung)]
            for command in await self._sealer.seal(arrived):
                if may_be_personal(command):
                    self._cursors.personal.add(command.sequence)
                self._mailboxes.put(command)
            await self.fetch(list(rung))
            while self._crowded():  # noqa: ASYNC110 - back-pressure; commits make room
                await anyio.sleep(PAUSE_S)

    def _crowded(self) -> bool:
        return self._cursors.open_count + self._mailboxes.waiting > OPEN_COMMANDS_MAX

    async def _accepted(self, message: StoredMessage, rung: dict[Address, None]) -> list[Pending]:
        """The message as a command; none when it was a doorbell, is not new, or has no address."""
        try:
            partition, address = parse_stored_subject(message.subject, self._bus.root)
        except BadSubject as error:
            self._cursors.heard_content(message.sequence)
            self._cursors.personal.add(message.sequence)
            await self._turn_away(message, str(error))
            return []
        if not self._cursors.see(partition, message.sequence, message.witness(self._bus.stream)):
            return []
        generation = self._cursors.generation
        if any(name.lower() == "troupe-outbox" for name in message.headers):
            # The rows are in the store whatever happens to this message: it is settled by having been heard.
            rung[address] = None
            self._cursors.settle(partition, message.sequence, generation)
            return []
        self._cursors.heard_content(message.sequence)
        return [
            from_message(
                self._kinds, address, message.identity(self._bus.stream), message.sequence, generation, message.headers,
                message.body, message.at, self._clock(),
            )
        ]  # fmt: skip

    async def _turn_away(self, message: StoredMessage, error: str) -> None:
        """Nothing can be kept of a command for a name no actor can have; its asker is told."""
        log.warning("intake.no_address", subject=message.subject, error=error)
        try:
            inbox = from_headers(message.headers).reply_to
        except BadHeader as bad:
            inbox = bad.reply_to
        if inbox:
            id_ = message.identity(self._bus.stream)
            reply = Reply("refused", id_, plain(message.subject), code="bad-address", message=plain(error))
            await self._bus.reply(inbox, encode(reply))

    async def fetch(self, receivers: list[Address]) -> None:
        """Read the outbox rows of those actors into their mailboxes, in written order."""
        if not receivers:
            return
        rows = await self._store.pending_sends(receivers, ROWS_MAX)
        if len(rows) == ROWS_MAX and len(receivers) > 1:
            # One actor's many rows must not hide the others'. What does not fit now is rung for again by the sweeper.
            rows = [row for receiver in receivers for row in await self._store.pending_sends([receiver], ROWS_MAX)]
        for row in rows if self._score is None else await self._score.admit(rows):
            self._mailboxes.put(from_row(self._kinds, row))
