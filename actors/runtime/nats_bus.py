"""The bus on NATS JetStream: commands in by an ack-none pull consumer, doorbells and replies out.

No correctness rests here. A lost connection reconnects for ever; the feed then reports FeedLost and is opened again
from the cursor. `flush` is no barrier and publishes are not awaited: the outbox sweeper repeats what was lost.
"""

import math
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Self

import anyio
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
)

from actors.runtime.nats_client import CONNECT_S_MAX, RECONNECT_WAIT_S, TolerantClient, connect
from actors.runtime.nats_feed import NatsFeed
from actors.runtime.nats_messages import Unanswered, commands_stream, stored_message, traced
from actors.runtime.nats_messages import erase as erase_messages
from actors.runtime.nats_writer import Unwritable, Writer
from actors.runtime.ports import NO_TRACES, BusUnavailable, CommandFeed, FeedLost
from protocol.subjects import (
    PARTITIONS,
    ROOT,
    Address,
    check_token,
    command_subject,
    dead_subject,
    effect_subject,
    stored_subjects,
)

STREAM = "COMMANDS"
SCHEMA = "troupe"  # The log of a state folder's first company; that of every other one, a fork's too, keeps to itself.
STREAM_BYTES_MAX = 1024**3  # Full: publishers are told to wait; it is purged below the lowest cursor.
FORK_STREAM_BYTES_MAX = 64 * 1024**2  # The server sets it aside, and there may be many forks.
REQUEST_TIMEOUT_S = 5.0
STORE_TIMEOUT_S = 3.0  # For one small message; the server takes milliseconds.
CONSUMER_IDLE_S = 60.0

log = structlog.get_logger("bus")
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)
_PROBE = Address("troupe", "runtime", "probe")  # No actor: its doorbell finds no mail.


def stream_of(root: str) -> str:
    """The stream that holds the commands below `root`."""
    return STREAM if root == ROOT else f"{STREAM}_{root}"


def root_of(schema: str) -> str:
    """The first token of every subject of the company on that log: another's hears nothing of it."""
    return ROOT if schema == SCHEMA else f"{ROOT}-{schema}"


class NatsBus:
    """A Bus on one NATS connection. Open with `async with NatsBus.open(...)`.

    Every `root` has a stream of its own, so that several installations can share an account.
    """

    def __init__(self, url: str, token: str, root: str, stream_bytes_max: int) -> None:
        self.client: Client = TolerantClient()
        self._url, self._token, self._root, self._stream_bytes_max = url, token, root, stream_bytes_max
        self._stream = stream_of(root)
        self._feeds: set[NatsFeed] = set()
        self._wakes: dict[str, Callable[[], None]] = {}
        self._writer = Writer(lambda: self.client)
        self._closing = False
        self._trouble = ""  # What the client said last.

    @property
    def root(self) -> str:
        return self._root

    @property
    def stream(self) -> str:
        return self._stream

    @property
    def _js(self) -> JetStreamContext:
        return self.client.jetstream(timeout=REQUEST_TIMEOUT_S)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, token: str = "", root: str = ROOT, stream_bytes_max: int = STREAM_BYTES_MAX, anew: bool = False
    ) -> "AsyncGenerator[Self]":
        """Connect and see that COMMANDS is there as we need it; `anew` without what another company left in it.
        BusUnavailable when that cannot be."""
        bus = cls(url, token, check_token("root", root), stream_bytes_max)
        try:
            await bus._connect()
        except _FAILED as error:
            why = str(error) or bus._trouble or f"no answer within {CONNECT_S_MAX:g} s"
            raise BusUnavailable(f"cannot connect to NATS at {url}: {why}; is nats-server running?") from error
        try:
            if anew:
                await bus.remove_stream()
            await bus.ensure_stream()
            yield bus
        finally:
            bus._closing = True
            bus._writer.flush()
            with anyio.CancelScope(shield=True), anyio.move_on_after(REQUEST_TIMEOUT_S):
                await bus.client.close()

    async def _connect(self) -> None:
        async def reconnected() -> None:
            log.info("nats.reconnected")
            self._lose_feeds("the connection to NATS was replaced")

        async def disconnected() -> None:
            log.warning("nats.disconnected")

        async def failed(error: Exception) -> None:
            self._trouble = f"{type(error).__name__}: {error}"
            log.warning("nats.error", error=self._trouble)

        self.client = await connect(
            self._url,
            self._token,
            reconnected=reconnected,
            disconnected=disconnected,
            closed=self._closed,
            failed=failed,
        )
        for kind in self._wakes:
            await self._subscribe(kind)

    async def _closed(self) -> None:
        """nats-py gives a connection up for good at some words of the server (a refused token, an error it does not
        know); a company that outlives its server's bad hour needs a new one."""
        while not self._closing:
            log.warning("nats.closed", error=str(self.client.last_error))
            self._lose_feeds("the connection to NATS was closed")
            await anyio.sleep(RECONNECT_WAIT_S)
            try:
                await self._connect()
            except _FAILED as error:
                log.warning("nats.connect_failed", error=str(error))
                continue
            if self._closing:
                await self.client.close()
            return

    def _lose_feeds(self, reason: str) -> None:
        for feed in self._feeds:
            feed.lose(reason)
        self._feeds.clear()

    async def ensure_stream(self) -> None:
        """Create COMMANDS, or see that the one there has our subject transform."""
        try:
            await self._js.add_stream(commands_stream(self.stream, self.root, self._stream_bytes_max))
        except nats.js.errors.BadRequestError as error:
            raise BusUnavailable(
                f"the stream {self.stream} exists with other settings ({error.description}): "
                "it belongs to something else or to another version; use another NATS account or remove it"
            ) from error
        except _FAILED as error:
            raise BusUnavailable(f"cannot create the stream {self.stream}: {error}") from error

    async def remove_stream(self) -> None:
        """Remove COMMANDS with all that is in it, if it is there."""
        try:
            await self._js.delete_stream(self.stream)
        except nats.js.errors.NotFoundError:
            return
        except _FAILED as error:
            raise BusUnavailable(f"cannot remove the stream {self.stream}: {error}") from error

    async def open_feed(self, after: int, partitions: Sequence[int] = ()) -> CommandFeed:
        if not self.client.is_connected:  # What is asked now would be sent to a server that is only just waking up.
            raise BusUnavailable(f"cannot read the stream {self.stream}: there is no connection to NATS")
        await self.ensure_stream()
        try:
            state = (await self._js.stream_info(self.stream)).state
            info = await self._js.add_consumer(
                self.stream,
                ConsumerConfig(
                    ack_policy=AckPolicy.NONE,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=max(after + 1, state.first_seq, 1),
                    filter_subjects=_filter(partitions, self.root),
                    inactive_threshold=CONSUMER_IDLE_S,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
            feed = await NatsFeed.open(self.client, self.stream, info.name)
        except (*_FAILED, FeedLost) as error:
            raise BusUnavailable(f"cannot read the stream {self.stream}: {error}") from error
        self._feeds = {feed}  # There is one reader; what it had before is closed.
        return feed

    async def witness_at(self, sequence: int) -> str:
        try:
            found = await stored_message(self.client, self.stream, sequence, REQUEST_TIMEOUT_S)
        except (*_FAILED, Unanswered) as error:
            raise BusUnavailable(f"cannot read message {sequence} of {self.stream}: {error}") from error
        return "" if found is None else found.witness(self.stream)

    async def last_sequence(self) -> int:
        try:
            return (await self._js.stream_info(self.stream)).state.last_seq
        except _FAILED as error:
            raise BusUnavailable(f"cannot look at the stream {self.stream}: {error}") from error

    async def purge_below(self, sequence: int) -> None:
        try:
            await self._js.purge_stream(self.stream, seq=sequence)
        except _FAILED as error:
            raise BusUnavailable(f"cannot purge the stream {self.stream}: {error}") from error

    async def erase(self, sequences: Collection[int]) -> None:
        try:
            await erase_messages(self._js, self.stream, sequences)
        except _FAILED as error:
            raise BusUnavailable(f"cannot erase messages of the stream {self.stream}: {error}") from error

    async def refusal(self) -> str:
        """Why the stream stores no message now; "" when it stored one, is full by its own limits, or cannot be asked.

        A stream whose disk was full once takes nothing, and says nothing, until its server is started again.
        """
        try:
            await self._js.publish(
                command_subject(_PROBE, self.root), b"", timeout=STORE_TIMEOUT_S, headers={"Troupe-Outbox": "1"}
            )
        except nats.js.errors.APIError as error:
            said = error.description or str(error)
            return "" if "maximum" in said else said
        except _FAILED as error:
            return await self._silent(error)
        return ""

    async def _silent(self, error: Exception) -> str:
        """A server that answers while its stream does not is worth a word; one out of reach is another matter."""
        try:
            await self.client.flush(timeout=math.ceil(STORE_TIMEOUT_S))
        except _FAILED:
            return ""
        return f"the stream {self.stream} takes no message ({type(error).__name__}: {error})"

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        for receiver in receivers:
            headers = {"Troupe-Outbox": "1", **traced(traces.get(receiver, ""))}
            await self._publish(command_subject(receiver, self.root), b"", headers)

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        for kind in kinds:
            await self._publish(effect_subject(kind, self.root), b"", traced(traces.get(kind, "")))

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        for kind in kinds:
            self._wakes[kind] = wake
            await self._subscribe(kind)

    async def _subscribe(self, kind: str) -> None:
        async def rung(_: Msg) -> None:
            self._wakes[kind]()

        await self.client.subscribe(effect_subject(kind, self.root), cb=rung)

    async def reply(self, inbox: str, body: bytes, traceparent: str = "") -> None:
        await self._publish(inbox, body, traced(traceparent))

    async def bury(self, address: Address, body: bytes, headers: dict[str, str]) -> None:
        await self._publish(dead_subject(address, self.root), body, headers)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self._writer.publish(subject, body, headers)
        except (*_FAILED, Unwritable, ValueError) as error:
            log.warning("nats.publish_failed", subject=subject, error=f"{type(error).__name__}: {error}")


def _filter(partitions: Sequence[int], root: str) -> list[str] | None:
    """The subjects of those partitions; None when it is all of them: the server then compares nothing."""
    if not partitions or len(partitions) == PARTITIONS:
        return None
    return [stored_subjects(partition, root) for partition in partitions]


def utc_now() -> datetime:
    return datetime.now(UTC)
