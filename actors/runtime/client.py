"""Asks, tells and cancels over NATS: how any program speaks to a company.

- `ask` ends with the actor's Reply, which is about what is committed. It publishes again under the same id until that
  comes, since anything may be lost on the way; the company applies an id once. NoReply at the deadline means *unknown*.
- `tell` ends when NATS has stored the command. Accepted is what is committed: who must know, asks.
- `cancel` withdraws a command, or ends its ask.
- What is known at once is said at once: NotStored when no company's stream is there, or when it is full.

A command continues the trace of whoever sends it, if that is given (`new_trace` begins one): its trace id is in what
follows from it. Else the company works one out.

All asks of a client share one subscription. Time and ids are the caller's: a client holds no state that outlives it,
and an ask that was cut off may be made again under its id, by whoever knows that.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from random import Random, SystemRandom
from typing import Self

import anyio
import msgspec
import nats.errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from actors.runtime.client_errors import RETRY_AFTER_S, NoReply, NotStored, TooBig, Unreachable, refusal_in
from actors.runtime.ids import new_id
from actors.runtime.nats_bus import utc_now
from actors.runtime.nats_client import connect
from actors.runtime.ports import Clock
from protocol.codec import encode
from protocol.envelope import Envelope, format_time, to_headers
from protocol.message import Command, tag_of
from protocol.reply import BUSY, Reply
from protocol.runtime import CancelCommand
from protocol.subjects import ROOT, Address, command_subject
from protocol.trace import TraceContext

__all__ = ["ASK_S", "RETRY_AFTER_S", "Client", "NoReply", "NotStored", "TooBig", "Unreachable"]

ASK_S = 15.0
STORE_S = 5.0  # A tell: NATS stores a message in milliseconds.
LATE_S = 1.0  # The company's word that an ask has expired comes up to so much later.
RESEND_S = 3.0  # A commit takes milliseconds; after this long the message or the company is lost, not slow.
RESEND_S_MAX = 30.0
HEADERS_BYTES_MAX = 8 * 1024  # The server counts headers as payload.

REPLY_TO = "Troupe-Reply-To"
_REPLY, _ACK = "reply", "ack"  # What comes to an inbox, by its first token.
_FAILED = (nats.errors.Error, OSError, TimeoutError)


class _Sent:
    """A command on its way, and what was heard of it so far."""

    __slots__ = ("asking", "busy", "published", "refusals", "reply", "stirred", "stored", "unread")

    def __init__(self, asking: bool) -> None:
        self.asking = asking  # Else it is enough that it is stored.
        self.reply: Reply | None = None
        self.busy = 0  # So many of what was published were turned away.
        self.published = 0
        self.refusals: list[NotStored] = []
        self.stored = False
        self.unread = ""
        self.stirred = anyio.Event()

    @property
    def refused(self) -> bool:
        """Is it known that nothing of it was stored?"""
        return 0 < self.published == len(self.refusals)


class Client:
    """Speaks to the company whose subjects begin with `root`, on one connection. Open with `async with`."""

    def __init__(self, connection: Connection, root: str, source: str, clock: Clock, chance: Random) -> None:
        self._connection, self._root, self._source = connection, root, source
        self._clock, self._chance = clock, chance
        self._inbox = f"{connection.new_inbox()}."
        self._sent: dict[str, _Sent] = {}
        self._tokens = count(1)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str = "", root: str = ROOT, source: str = "") -> AsyncGenerator[Self]:
        """A client on a connection of its own, which is made again for ever once it stood. Unreachable."""
        try:
            connection = await connect(
                url, token, reconnected=_passed, disconnected=_passed, closed=_passed, failed=_ignored
            )
        except _FAILED as error:
            raise Unreachable(
                f"cannot reach NATS ({type(error).__name__}: {error}); is nats-server running?"
            ) from error
        try:
            async with cls.on(connection, root, source) as client:
                yield client
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(STORE_S):
                await connection.close()

    @classmethod
    @asynccontextmanager
    async def on(
        cls,
        connection: Connection,
        root: str = ROOT,
        source: str = "",
        clock: Clock = utc_now,
        chance: Random | None = None,
    ) -> AsyncGenerator[Self]:
        """A client on a connection that somebody else opened and closes. `source` names the program. Unreachable."""
        client = cls(connection, root, source, clock, chance or SystemRandom())
        try:
            heard = await connection.subscribe(f"{client._inbox}>", cb=client._hear)
        except _FAILED as error:
            raise Unreachable(f"the connection to NATS is gone ({type(error).__name__}: {error})") from error
        try:
            yield client
        finally:
            if connection.is_connected:
                with anyio.CancelScope(shield=True), anyio.move_on_after(STORE_S):
                    await heard.unsubscribe()

    def new_id(self) -> str:
        """An id for a command, for whoever must know it before it is sent."""
        return new_id(self._clock(), self._chance)

    def new_trace(self) -> TraceContext:
        """A trace that begins with the sender of a command."""
        return TraceContext(f"{self._chance.getrandbits(128) or 1:032x}", f"{self._chance.getrandbits(64) or 1:016x}")

    async def ask(
        self,
        address: Address,
        command: Command | bytes,
        deadline_s: float = ASK_S,
        *,
        id: str = "",
        priority: str = "",
        sender: str = "",
        correlation: str = "",
        trace: TraceContext | None = None,
    ) -> Reply:
        """The Reply of `address` to the command (or to a body as it is), which is not begun after `deadline_s`.

        NoReply when there was none by then; NotStored. A refusal is a Reply: after "busy" the same ask may be made
        again, under its id (`reply.id`), in `retry_after_s`.
        """
        deadline = format_time(self._clock() + timedelta(seconds=deadline_s))
        envelope = self._envelope(id, priority, sender, correlation, trace, deadline)
        sent = await self._send(address, command, envelope, deadline_s + LATE_S)
        if sent.reply is not None:
            return sent.reply
        heard = "" if sent.stored else ", nor a word from NATS that it stored the command (is its disk full?)"
        raise NoReply(f"no answer from {address} within {deadline_s:g} s{heard}{sent.unread}: its outcome is unknown")

    async def tell(
        self,
        address: Address,
        command: Command | bytes,
        *,
        id: str = "",
        priority: str = "",
        sender: str = "",
        correlation: str = "",
        trace: TraceContext | None = None,
    ) -> str:
        """The id of the command, once NATS has stored it. NotStored; NoReply when that is unknown after STORE_S."""
        envelope = self._envelope(id, priority, sender, correlation, trace)
        sent = await self._send(address, command, envelope, STORE_S)
        if sent.stored:
            return envelope.id
        raise NoReply(f"no word from NATS within {STORE_S:g} s that it stored the command for {address}: it may have")

    async def cancel(self, address: Address, id: str, deadline_s: float = ASK_S) -> Reply:
        """Withdraw the command with that id that was sent to `address`; the Reply says that the company heard it. What
        became of the command is what its own asker hears: `refused` with the code "cancelled", or the answer that came
        before. NoReply, NotStored."""
        return await self.ask(address, CancelCommand(id), deadline_s)

    def _envelope(
        self, id: str, priority: str, sender: str, correlation: str, trace: TraceContext | None, deadline: str = ""
    ) -> Envelope:
        return Envelope(
            id=id or self.new_id(),
            time=format_time(self._clock()),
            source=self._source,
            correlation=correlation,
            deadline=deadline,
            priority=priority,
            sender=sender,
            traceparent="" if trace is None else trace.traceparent,
            tracestate="" if trace is None else trace.state,
        )

    async def _send(self, address: Address, command: Command | bytes, envelope: Envelope, within_s: float) -> _Sent:
        """What was heard of a command once that is enough, or after `within_s`. NotStored."""
        body, type_ = (command, "") if isinstance(command, bytes) else (encode(command), tag_of(command))
        if len(body) > self._connection.max_payload - HEADERS_BYTES_MAX:
            most = self._connection.max_payload - HEADERS_BYTES_MAX
            raise TooBig(f"the command for {address} has {len(body)} bytes, limit {most}: store big content as a blob")
        token, sent = str(next(self._tokens)), _Sent(asking=bool(envelope.deadline))
        headers = to_headers(envelope, type_, str(address))
        if sent.asking:
            headers[REPLY_TO] = f"{self._inbox}{_REPLY}.{token}"
        message = (command_subject(address, self._root), body, f"{self._inbox}{_ACK}.{token}", headers)
        self._sent[token] = sent
        try:
            with anyio.move_on_after(within_s):
                await self._insist(sent, message)
        finally:
            del self._sent[token]
        if sent.reply is None and sent.refused:
            last = sent.refusals[-1]
            said = f"NATS did not store the command for {address}, so it was not accepted: {last}"
            raise NotStored(said, last.retry_after_s)
        return sent

    async def _insist(self, sent: _Sent, message: tuple[str, bytes, str, dict[str, str]]) -> None:
        """Publish again and again until the command is answered (or stored, if nobody asks), until it is known that
        NATS takes none of it, or until the connection is closed for good."""
        pause_s = RESEND_S
        while not self._connection.is_closed:
            sent.stirred = anyio.Event()
            sent.published += 1
            try:
                await self._connection.publish(*message)
            except _FAILED:  # There is no connection just now.
                sent.published -= 1
            with anyio.move_on_after(pause_s):
                await sent.stirred.wait()
            if sent.reply is not None or (sent.stored and not sent.asking) or sent.refused:
                return
            pause_s = min(2 * pause_s, RESEND_S_MAX)

    async def _hear(self, message: Msg) -> None:
        which, _, token = message.subject.removeprefix(self._inbox).partition(".")
        sent = self._sent.get(token)
        if sent is None:
            return
        if which == _REPLY:
            try:
                reply = _replies.decode(message.data)
            except msgspec.DecodeError as error:
                sent.unread = f" that this version can read ({error})"
                return
            sent.busy += reply.code == BUSY
            if reply.code == BUSY and sent.busy < sent.published:
                return  # One of two was turned away: what becomes of the other is not known yet.
            sent.reply = reply
        elif (refusal := refusal_in(message.data)) is not None:
            sent.refusals.append(refusal)
        else:
            sent.stored = True
            if sent.asking:
                return  # It goes on waiting.
        sent.stirred.set()


_replies = msgspec.json.Decoder(Reply)


async def _passed() -> None:
    """nats-py connects again by itself; whoever asks publishes again."""


async def _ignored(_: Exception) -> None:
    """What matters of it, the ask finds out by itself."""
