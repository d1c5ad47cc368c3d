"""Anchors: signed heads of the log as messages on the bus, a place outside the database.

A root covers every event before it. So whoever changes an event, and computes the whole chain anew, contradicts every
anchor that was made since that event, for as long as one of them is kept anywhere. The Notary makes one at the start of
a company, every ANCHOR_EVERY_S while the log grows, and at a clean stop; a kill leaves at most that much without one.

The stream ANCHORS keeps them: in files, without an end, and it lets nobody delete or purge a message. Whoever may
administer NATS can still remove the stream: copy anchors to where another hand keeps them (`troupe audit sign`).
Nothing of the company depends on anchors. An outage is logged, and the next anchor covers what it missed.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from actors.runtime.nats_feed import NatsFeed
from actors.runtime.ports import BusUnavailable, Clock, FeedLost
from eventstore.errors import BadHead, StoreError
from eventstore.heads import SignedHead, Signer
from eventstore.store import EventStore
from protocol.subjects import ROOT, anchor_subject

STREAM = "ANCHORS"
ANCHOR_EVERY_S = 300.0
ANCHOR_BYTES_MAX = 4_096
# About 200,000 anchors. Beyond it the oldest go: each later one covers what they covered.
ANCHORS_BYTES_MAX = 64 * 1024**2
LAST_ANCHOR_S_MAX = 3.0  # A clean stop waits no longer for it.
REQUEST_TIMEOUT_S = 5.0
READ_S_MAX = 60.0
CONSUMER_IDLE_S = 60.0

logger = structlog.get_logger("anchors")
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class AnchorStream:
    """The anchors of one log, called `log`. `client` gives the connection there is now.

    Every `root` has a stream of its own.
    """

    def __init__(self, client: Callable[[], Client], log: str, root: str = ROOT) -> None:
        self._client, self.log = client, log
        self.name = STREAM if root == ROOT else f"{STREAM}_{root}"
        self._subjects = anchor_subject(">", root)
        self._subject = anchor_subject(log, root)

    async def put(self, head: SignedHead) -> None:
        """Keep a head. BusUnavailable when it is not known to be kept."""
        stream = self._client().jetstream(timeout=REQUEST_TIMEOUT_S)
        config = StreamConfig(
            name=self.name,
            subjects=[self._subjects],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=ANCHORS_BYTES_MAX,
            max_msg_size=ANCHOR_BYTES_MAX,
            deny_delete=True,
            deny_purge=True,
        )
        try:
            await stream.add_stream(config)
            await stream.publish(self._subject, head.line(), stream=self.name)
        except _FAILED as error:
            raise BusUnavailable(f"cannot keep an anchor in the stream {self.name}: {error}") from error

    async def read(self) -> list[bytes]:
        """Every message there is, in the order they were put; none without a stream. BusUnavailable."""
        try:
            with anyio.fail_after(READ_S_MAX):
                return await self._read()
        except nats.js.errors.NotFoundError:
            return []
        except (*_FAILED, FeedLost) as error:
            raise BusUnavailable(f"cannot read the stream {self.name}: {error}") from error

    async def _read(self) -> list[bytes]:
        client, found = self._client(), list[bytes]()
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.ALL,
            filter_subject=self._subject,
            inactive_threshold=CONSUMER_IDLE_S,
            mem_storage=True,
        )
        info = await client.jetstream(timeout=REQUEST_TIMEOUT_S).add_consumer(self.name, config)
        feed = await NatsFeed.open(client, self.name, info.name)
        try:
            while len(found) < (info.num_pending or 0):
                found.extend(message.body for message in await feed.next())
        finally:
            await feed.close()
        return found


class Notary:
    """Signs the head of the log and has it kept."""

    def __init__(self, store: EventStore, anchors: AnchorStream, signer: Signer, clock: Clock) -> None:
        self._store, self._anchors, self._signer, self._clock = store, anchors, signer, clock
        self._anchored = 0

    async def run(self) -> None:
        while True:
            await self.anchor()
            await anyio.sleep(ANCHOR_EVERY_S)

    async def anchor(self) -> None:
        """Anchor the head, if it has moved since the last time."""
        try:
            head = await sign_head(self._store, self._signer, self._anchors.log, self._clock)
            if head is not None and head.position > self._anchored:
                await self._anchors.put(head)
                self._anchored = head.position
        except (StoreError, BusUnavailable) as error:
            logger.warning("anchors.waits", error=str(error))

    async def last(self) -> None:
        """Anchor what a clean stop leaves, in bounded time."""
        with anyio.move_on_after(LAST_ANCHOR_S_MAX, shield=True):
            await self.anchor()


@asynccontextmanager
async def notarized(store: EventStore, anchors: AnchorStream, signer: Signer, clock: Clock) -> AsyncGenerator[None]:
    """Have the log anchored inside the block, and once more at its end."""
    notary = Notary(store, anchors, signer, clock)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(notary.run)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
    finally:
        await notary.last()


async def sign_head(store: EventStore, signer: Signer, log: str, clock: Clock) -> SignedHead | None:
    """The head of the log, signed now; None for a log without events."""
    position, root = await store.audit.head()
    return signer.sign(log, position, root, clock()) if position else None


class Anchored:
    """What anchors say of a log: compare it with `against`."""

    def __init__(self, lines: list[bytes], key: str) -> None:
        self.foreign = 0  # Messages that are no head, or signed by another key: whoever may publish can put them.
        self.heads: list[SignedHead] = []
        for line in lines:
            try:
                head = SignedHead.parse(line)
            except BadHead:
                self.foreign += 1
                continue
            if head.key == key and head.holds():
                self.heads.append(head)
            else:
                self.foreign += 1

    async def against(self, store: EventStore) -> SignedHead | None:
        """The first anchor, by position, that the log as it is now contradicts."""
        roots = await store.audit.roots_at({head.position for head in self.heads})
        wrong = (head for head in self.heads if roots.get(head.position) != head.root)
        return min(wrong, key=lambda head: head.position, default=None)
