"""A small company on real servers, somebody who asks it, and the checks that must hold whatever happened to it."""

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.embedded.servers import Servers
from actors.runtime.kind import Kinds, Performers
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ports import Bus, BusUnavailable
from actors.runtime.supervisor import Runtime, running
from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded, StoreError
from protocol.codec import encode
from protocol.message import Command
from protocol.reply import Reply
from protocol.subjects import Address, command_subject, stored_partition
from tests.kit.counting import KINDS

PROJECT = "demo"
PATIENCE_S = 20.0  # A bound on what should happen at once.
INSIST_EVERY_S = 0.4  # How long an insistent asker waits before it sends the same command again.
STREAM_BYTES_MAX = 64 * 1024 * 1024


@asynccontextmanager
async def own_bus(servers: Servers, root: str = "", **options: Any) -> AsyncGenerator[NatsBus]:
    """A bus on a stream that no other test uses; the stream is removed at the end, unless `root` names one to keep."""
    options = {"stream_bytes_max": STREAM_BYTES_MAX} | options
    async with NatsBus.open(servers.nats_url, servers.nats_token, root or fresh_root(), **options) as bus:
        try:
            yield bus
        finally:
            if not root:
                with anyio.CancelScope(shield=True), anyio.move_on_after(PATIENCE_S):
                    await bus.client.jetstream().delete_stream(bus.stream)


def fresh_root() -> str:
    return f"t{secrets.token_hex(5)}"


def at(kind: str, name: str) -> Address:
    return Address(PROJECT, kind, name)


class Asker:
    """Somebody with a NATS connection: publishes commands and hears the replies."""

    def __init__(self, client: Client, root: str) -> None:
        self._client, self._root = client, root
        self._inbox = client.new_inbox()
        self._waiting: dict[str, anyio.Event] = {}
        self.replies: dict[str, list[Reply]] = {}

    async def listen(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._hear)

    async def flush(self) -> None:
        await self._client.flush()

    async def listen_to(self, subject: str) -> Subscription:
        """What is published there from now on."""
        subscription = await self._client.subscribe(subject)
        await self._client.flush()
        return subscription

    async def _hear(self, message: Msg) -> None:
        key = message.subject.rsplit(".", 1)[1]
        self.replies.setdefault(key, []).append(msgspec.json.decode(message.data, type=Reply))
        if key in self._waiting:
            self._waiting[key].set()

    async def publish(self, to: Address | str, body: Command | bytes, key: str = "", **headers: str) -> None:
        """A command; with `key` its reply will be among `replies` under it, and its id is `key` unless given."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            named = {"ce-id": key, "Troupe-Reply-To": f"{self._inbox}.{key}"} | named
        subject = to if isinstance(to, str) else command_subject(to, self._root)
        content = body if isinstance(body, bytes) else encode(body)
        await self._client.publish(subject, content, headers={k: v for k, v in named.items() if v} or None)

    async def ask(self, to: Address | str, body: Command | bytes, key: str = "", **headers: str) -> Reply:
        """Publish once; the reply, which must come in time."""
        key = key or secrets.token_hex(8)
        heard = len(self.replies.get(key, ()))
        await self.publish(to, body, key, **headers)
        with anyio.fail_after(PATIENCE_S):
            return await self.heard(key, heard)

    async def insist(self, to: Address, body: Command, key: str) -> Reply:
        """Publish the same command until it is answered, whatever happens to servers and company meanwhile."""
        with anyio.fail_after(3 * PATIENCE_S):
            while True:
                await self.publish(to, body, key)
                with anyio.move_on_after(INSIST_EVERY_S):
                    return await self.heard(key)

    async def heard(self, key: str, after: int = 0) -> Reply:
        """The reply number `after` (from 0) under that key."""
        while len(self.replies.get(key, ())) <= after:
            self._waiting[key] = anyio.Event()
            await self._waiting[key].wait()
        return self.replies[key][after]


@asynccontextmanager
async def asker(servers: Servers, bus: NatsBus) -> AsyncGenerator[Asker]:
    """Somebody on a connection of their own."""
    client = await nats.connect(
        servers.nats_url,
        token=servers.nats_token,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        error_cb=_ignored,
    )
    try:
        somebody = Asker(client, bus.root)
        await somebody.listen()
        yield somebody
    finally:
        await client.close()


async def _ignored(_: Exception) -> None:
    """The servers are killed under the asker on purpose."""


class Company:
    """One running process and what a test needs around it."""

    def __init__(self, store: PostgresStore, bus: NatsBus, asker: Asker, database: str) -> None:
        self.store, self.bus, self.asker, self.database = store, bus, asker, database

    @asynccontextmanager
    async def runs(
        self, performers: Performers | None = None, bus: Bus | None = None, kinds: Kinds = KINDS, alone: bool = True
    ) -> AsyncGenerator[Runtime]:
        async with running(self.store, bus or self.bus, kinds, performers or {}, utc_now, alone) as runtime:
            yield runtime

    async def reconnected(self) -> None:
        """Wait until everybody's connection stands again, and the stream with it."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                try:
                    await self.bus.ensure_stream()
                    await self.asker.flush()
                    return
                except (BusUnavailable, nats.errors.Error):
                    await anyio.sleep(0.05)

    async def events(self, address: Address, count: int = 0) -> list[Recorded]:
        """The stream of an actor, once it has at least `count` events."""
        position = 0
        with anyio.fail_after(PATIENCE_S):
            while True:
                head = await self.store.head()
                found = await self.store.read_stream(address)
                if len(found) >= count:
                    return found
                position = max(position, head)
                await self.store.wait_beyond(position, 1.0)

    async def bodies(self, address: Address, field: str, count: int = 0) -> list[Any]:
        """One field of each event of a stream."""
        return [msgspec.json.decode(event.body).get(field) for event in await self.events(address, count)]

    async def sql(self, query: str, *args: Any) -> list[Any]:
        rows = await self.store.pool.fetch(query, *args)
        return [tuple(row.values()) if len(row) > 1 else row[0] for row in rows]

    async def quiet(self) -> None:
        """Wait until no send waits any more."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                try:
                    if not await self.sql("select 1 from outbox limit 1"):
                        return
                    await self.store.wait_beyond(await self.store.head(), 0.2)
                except (OSError, StoreError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await anyio.sleep(0.1)

    async def check_log(self) -> None:
        """Positions and versions are dense, the chain vouches for every event, and nothing beside it is missing."""
        events = await self._all()
        assert [event.position for event in events] == list(range(1, len(events) + 1))
        versions: Counter[Address] = Counter()
        for event in events:
            versions[event.address] += 1
            assert event.version == versions[event.address]
        assert (await self.store.audit.verify()).broken is None
        assert (await self.store.gaps.find()).gap is None

    async def check_counters(self, accepted: Collection[str]) -> None:
        """Every accepted id was applied exactly once, and nothing else was."""
        caused = [event.causation for event in await self._all() if event.type == "counter.added.v1"]
        assert sorted(caused) == sorted(accepted)
        rows = await self.sql("select id from inbox where kind = 'counter' and outcome = 'accepted'")
        assert sorted(rows) == sorted(accepted)

    async def check_settled(self) -> None:
        """After a clean stop: nothing is under way, and above every cursor there are doorbells only."""
        assert await self.sql("select key from outbox") == []
        cursors = dict(await self.sql("select id, cursor from partitions"))
        stream = self.bus.client.jetstream()
        state = (await stream.stream_info(self.bus.stream)).state
        assert max(cursors.values()) <= state.last_seq
        for sequence in range(max(min(cursors.values()) + 1, state.first_seq), state.last_seq + 1):
            try:
                message = await stream.get_msg(self.bus.stream, sequence)
            except nats.js.errors.NotFoundError:
                continue  # It was about somebody.
            if sequence > cursors[stored_partition(message.subject or "", self.bus.root)]:
                doorbell = "Troupe-Outbox" in (message.headers or {})
                assert doorbell, f"the command at {sequence} is not settled: {message}"
        for cursor, witness in await self.sql("select distinct cursor, witness from partitions where cursor > 0"):
            assert await self.bus.witness_at(cursor) == witness

    async def _all(self) -> list[Recorded]:
        events: list[Recorded] = []
        while page := await self.store.read(len(events)):
            events.extend(page)
        return events


@asynccontextmanager
async def company(servers: Servers, database: str, root: str = "") -> AsyncGenerator[Company]:
    """Store, bus and asker; `runs` starts the process."""
    async with (
        PostgresStore.open(database) as store,
        own_bus(servers, root) as bus,
        asker(servers, bus) as somebody,
    ):
        yield Company(store, bus, somebody, database)


def accepted(replies: Iterable[Reply]) -> list[str]:
    """The ids that were accepted."""
    return [reply.id for reply in replies if reply.outcome == "accepted"]
