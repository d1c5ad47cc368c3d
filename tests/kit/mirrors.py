"""Mirrors of logs on a real NATS, and what must be true of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from actors.embedded.servers import Servers
from actors.runtime.mirror import Mirror, MirrorMetrics
from actors.runtime.mirrored import Trimming, mirrored
from actors.runtime.nats_bus import utc_now
from actors.runtime.nats_feed import NatsFeed
from actors.runtime.nats_mirror import NatsEvents
from actors.runtime.ports import FeedLost, StoredMessage
from eventstore.store import EventStore, Recorded
from tests.kit.company import PATIENCE_S
from tests.kit.units import actor, event

WIDE = Trimming(timedelta(days=7).total_seconds(), 64 * 1024 * 1024)


class Mirrors:
    """Publishers of one log's mirror on one server, and a reader of it."""

    def __init__(self, servers: Servers, client: Client, root: str, trimming: Trimming = WIDE) -> None:
        self.servers, self.client, self.root, self.trimming = servers, client, root, trimming
        self.name = f"EVENTS_{root}"

    def of(self, store: EventStore, metrics: MirrorMetrics | None = None, trimming: Trimming | None = None) -> Mirror:
        """One process's publisher."""
        kept = trimming or self.trimming
        url, token = self.servers.nats_url, self.servers.nats_token
        return Mirror(
            store, lambda: NatsEvents.open(url, token, self.root, kept), self.root, kept, utc_now, metrics
        )  # fmt: skip

    @asynccontextmanager
    async def running(self, *mirrors: Mirror) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            for mirror in mirrors:
                group.start_soon(mirror.run)
            yield
            group.cancel_scope.cancel()

    async def until(self, last: int) -> None:
        """Until the stream's last message has that sequence."""
        with anyio.fail_after(PATIENCE_S):
            while await self.last() != last:
                await anyio.sleep(0.01)  # A stream rings no bell for what is deleted and made anew.

    async def last(self) -> int:
        """-1: there is no stream."""
        try:
            return (await self.client.jetstream(timeout=2.0).stream_info(self.name)).state.last_seq
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
            return -1

    async def read(self) -> list[StoredMessage]:
        """All messages there are."""
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=30.0)
        info = await self.client.jetstream().add_consumer(self.name, config)
        feed, found = await NatsFeed.open(self.client, self.name, info.name), list[StoredMessage]()
        try:
            with anyio.fail_after(PATIENCE_S):
                while len(found) < (info.num_pending or 0):
                    found.extend(await feed.next())
        finally:
            await feed.close()
        return found

    async def check(self, store: EventStore, first: int = 1) -> list[StoredMessage]:
        """The stream is the log from `first` on, or becomes it in time: every position, in order, each with its
        event."""
        deadline = anyio.current_time() + PATIENCE_S
        while True:
            await self.until(await store.head())
            try:
                return await self._checked(store, first)
            except (AssertionError, FeedLost, TimeoutError, nats.errors.Error, nats.js.errors.Error):
                if anyio.current_time() > deadline:
                    raise
            await anyio.sleep(0.01)  # It is being made anew.

    async def _checked(self, store: EventStore, first: int) -> list[StoredMessage]:
        messages, events = await self.read(), await whole(store)
        assert [message.sequence for message in messages] == list(range(first, len(events) + 1))
        for message, recorded in zip(messages, events[first - 1 :], strict=True):
            wanted = mirrored(recorded, self.root)
            assert message.subject == wanted.subject
            assert message.body == recorded.body
            assert wanted.headers.items() <= message.headers.items()
        return messages


async def whole(store: EventStore) -> list[Recorded]:
    events: list[Recorded] = []
    while page := await store.read(len(events)):
        events.extend(page)
    return events


async def grow(store: EventStore, count: int, name: str = "m1") -> None:
    """Append so many events, in several commits."""
    for begin in range(0, count, 100):
        await store.append(actor(name), [event(n) for n in range(begin, min(begin + 100, count))])
