"""The feed of commands from a JetStream pull consumer without acks: pipelined pulls, a heartbeat, bounded memory.

nats-py's own `fetch` hangs across a server restart; this asks by hand and gives up as soon as a heartbeat is missed,
the connection was replaced, the server says the consumer is gone, or a message was lost between the server and here
(the consumer's own count has a gap). Opening it again from the cursor loses nothing. At most PULL_MESSAGES wait here:
no more are asked for.
"""

import asyncio
import json
from datetime import UTC, datetime
from typing import Self

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from actors.runtime.nats_client import hear
from actors.runtime.nats_parser import parse_headers
from actors.runtime.ports import FeedLost, StoredMessage

PULL_MESSAGES = 500  # Asked for at once; asked for again when half have come.
PULL_EXPIRES_S = 30
HEARTBEAT_S = 5
SILENCE_S_MAX = 3 * HEARTBEAT_S  # Nothing at all for that long: the feed is broken.
ACK_PREFIX = b"$JS.ACK."  # The reply subject of what a consumer delivers; a status has none.
_STATUS = "NATS/1.0 "


class NatsFeed:
    """A CommandFeed on one ephemeral consumer."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._queue: list[StoredMessage] = []
        self._asked = 0
        self._delivered = 0
        self._lost = ""
        # A plain future, and one timer for many waits: a turn of a quiet actor waits for little else than this.
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._watch = self._loop.call_later(SILENCE_S_MAX, self._listen_for_silence)

    @classmethod
    async def open(cls, client: Client, stream: str, consumer: str) -> Self:
        feed = cls(client, stream, consumer)
        try:
            feed._subscription = await hear(client, feed._inbox, feed._receive)
            await feed._pull()
        except BaseException:
            feed._watch.cancel()
            raise
        return feed

    async def next(self) -> list[StoredMessage]:
        while not self._queue:
            if self._lost:
                raise FeedLost(self._lost)
            # Before the pull: what comes during it must not be waited for again.
            self._waiter = self._loop.create_future()
            await self._pull()
            await self._waiter
        messages, self._queue = self._queue, []
        await self._pull()
        return messages

    def lose(self, reason: str) -> None:
        """The feed cannot go on; `next` gives out what has come and then says so."""
        self._lost = self._lost or reason
        self._watch.cancel()
        self._stir()

    async def close(self) -> None:
        self.lose("closed")
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
            except (nats.errors.Error, OSError) as error:
                self._lost = f"closing: {error}"

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _listen_for_silence(self) -> None:
        ends_in_s = self._heard_at + SILENCE_S_MAX - self._loop.time()
        if ends_in_s <= 0:
            self.lose(f"no word from NATS for {SILENCE_S_MAX} s")
        else:
            self._watch = self._loop.call_later(ends_in_s, self._listen_for_silence)

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

    def _receive(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self._heard_at = self._loop.time()
        if not reply.startswith(ACK_PREFIX):  # Not the header: a publisher may send one named Status.
            self._on_status(headers)
        elif not self._lost:
            self._asked -= 1
            self._on_message(subject, reply, headers, body)
        self._stir()

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        try:
            sequence, delivery, at = _delivered(reply)
        except (IndexError, ValueError, OverflowError, OSError):
            self.lose(f"a message came with the reply subject {reply.decode('utf-8', 'replace')!r}")
            return
        self._delivered += 1
        if delivery != self._delivered:
            self.lose(f"{delivery - self._delivered} messages were dropped before sequence {sequence}")
            return
        named = parse_headers(headers) if headers else {}
        self._queue.append(StoredMessage(sequence, subject.decode("utf-8", "replace"), named, body, at))

    def _on_status(self, headers: bytes) -> None:
        first = headers.decode("utf-8", "replace").partition("\r\n")[0].removeprefix(_STATUS)
        status, _, description = first.partition(" ")
        if status in ("", "100"):  # Nothing of the server's; a heartbeat.
            return
        if status in ("404", "408"):  # The pull expired: what it did not bring is no longer asked for.
            pending = parse_headers(headers).get("Nats-Pending-Messages", "")
            self._asked = max(0, self._asked - int(pending)) if pending.isdecimal() else 0
            return
        self.lose(f"NATS says {status} {description}".rstrip())


def _delivered(reply: bytes) -> tuple[int, int, datetime]:
    """Sequence in the stream, the consumer's own, and the stored time, from a delivery's reply subject.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<ns>.<pending>`, or the same with domain and
    account hash after `ACK` and possibly more at the end. Source: NATS ADR-15. Whole microseconds: a float holds those
    of a time before the year 2242 exactly, once they are counted.
    """
    fields = reply.split(b".")
    at = 5 if len(fields) == 9 else 7
    return (
        int(fields[at]),
        int(fields[at + 1]),
        datetime.fromtimestamp(int(fields[at + 2]) // 1_000 / 1_000_000, UTC),
    )
