"""The feed of commands from a JetStream pull consumer without acks: pipelined pulls, a heartbeat, bounded memory.

nats-py's own `fetch` hangs across a server restart; this asks by hand and gives up as soon as a heartbeat is missed,
the connection was replaced, the server says the consumer is gone, or a message was lost between the server and here
(the consumer's own count has a gap). Opening it again from the cursor loses nothing.
"""

import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Self

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.runtime.ports import FeedLost, StoredMessage

PULL_MESSAGES = 500  # Asked for at once; asked for again when half have come.
PULL_EXPIRES_S = 30
HEARTBEAT_S = 5
SILENCE_S_MAX = 3 * HEARTBEAT_S  # Nothing at all for that long: the feed is broken.
PENDING_BYTES_MAX = 2 * PULL_MESSAGES * 1024 * 1024  # What nats-py may hold before it drops: more than we ask for.
ACK_PREFIX = "$JS.ACK."  # The reply subject of what a consumer delivers; a status has none.


class NatsFeed:
    """A CommandFeed on one ephemeral consumer."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._queue: deque[StoredMessage] = deque()
        self._asked = 0
        self._delivered = 0
        self._lost = ""
        self._stirred = anyio.Event()

    @classmethod
    async def open(cls, client: Client, stream: str, consumer: str) -> Self:
        feed = cls(client, stream, consumer)
        feed._subscription = await client.subscribe(
            feed._inbox, cb=feed._receive, pending_bytes_limit=PENDING_BYTES_MAX
        )
        await feed._pull()
        return feed

    async def next(self) -> list[StoredMessage]:
        while not self._queue:
            if self._lost:
                raise FeedLost(self._lost)
            self._stirred = anyio.Event()  # Before the pull: what comes during it must not be waited for again.
            await self._pull()
            with anyio.move_on_after(SILENCE_S_MAX) as waiting:
                await self._stirred.wait()
            if waiting.cancelled_caught:
                raise FeedLost(f"no word from NATS for {SILENCE_S_MAX} s")
        messages = list(self._queue)
        self._queue.clear()
        await self._pull()
        return messages

    def lose(self, reason: str) -> None:
        """The feed cannot go on; `next` gives out what has come and then says so."""
        self._lost = self._lost or reason
        self._stirred.set()

    async def close(self) -> None:
        self.lose("closed")
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
            except (nats.errors.Error, OSError) as error:
                self._lost = f"closing: {error}"

    async def _pull(self) -> None:
        if self._lost or self._asked > PULL_MESSAGES // 2:
            return
        request = {
            "batch": PULL_MESSAGES - self._asked,
            "expires": PULL_EXPIRES_S * 1_000_000_000,
            "idle_heartbeat": HEARTBEAT_S * 1_000_000_000,
        }
        self._asked = PULL_MESSAGES
        try:
            await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        except nats.errors.Error as error:
            raise FeedLost(f"cannot pull: {error}") from error

    async def _receive(self, message: Msg) -> None:
        headers: dict[str, str] = dict(message.headers or {})
        if not message.reply.startswith(ACK_PREFIX):  # Not the header: a publisher may send one named Status.
            self._on_status(headers.get("Status", ""), headers)
        elif not self._lost:
            self._asked -= 1
            self._on_message(message, headers)
        self._stirred.set()

    def _on_message(self, message: Msg, headers: dict[str, str]) -> None:
        sequence = message.metadata.sequence
        self._delivered += 1
        if sequence.consumer != self._delivered:
            self.lose(f"{sequence.consumer - self._delivered} messages were dropped before sequence {sequence.stream}")
            return
        self._queue.append(
            StoredMessage(sequence.stream, message.subject, headers, message.data, _stored_at(message.reply))
        )

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status in ("", "100"):  # Nothing of the server's; a heartbeat.
            return
        if status in ("404", "408"):  # The pull expired: what it did not bring is no longer asked for.
            pending = headers.get("Nats-Pending-Messages", "")
            self._asked = max(0, self._asked - int(pending)) if pending.isdecimal() else 0
            return
        self.lose(f"NATS says {status} {headers.get('Description', '')}".rstrip())


def _stored_at(reply: str) -> datetime:
    """The stored time in a delivery's reply subject. nats-py's own reading goes through a float and is off by some µs.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<ns>.<pending>`, or the same with domain and
    account hash after `ACK` and possibly more at the end. Source: NATS ADR-15.
    """
    fields = reply.split(".")
    nanoseconds = int(fields[7] if len(fields) == 9 else fields[9])
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC) + timedelta(
        microseconds=nanoseconds % 1_000_000_000 // 1_000
    )
