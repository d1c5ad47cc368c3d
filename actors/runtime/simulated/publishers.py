"""Those who send commands in a simulation, and remember what they sent and what they heard.

A command counts as accepted when its sender was told so, never because the broker took it. Who needs that insists: it
sends the same command again, under the same id, until it is answered.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import msgspec

from actors.runtime.ports import Clock
from actors.runtime.simulated.broker import ROOT, Broker
from actors.runtime.simulated.tracks import given_to
from protocol.codec import encode
from protocol.envelope import Envelope, format_time, to_headers
from protocol.message import Command
from protocol.reply import BUSY, Reply
from protocol.subjects import Address, command_subject

INSIST_FIRST_S = 0.7  # Until a command is sent again, and longer each time:
INSIST_LONGER = 1.5  # who repeats faster than the road carries only makes it longer.
INSIST_S_MAX = 6.0
GIVES_UP_AT_S = 150.0  # Of virtual time: everything has worked again for most of that.
LATE_S_MAX = 30.0  # How long after its deadline an asker still listens: an answer by then is late, none is a loss.


@dataclass
class Published:
    """A command as its sender saw it. `number` counts what this sender sent to anybody; times are virtual seconds.

    `deadline_s` is the virtual time it was to be answered by (None: none was named). `insisted`: it was sent until it
    was answered. `copies` say where it was stored: how often the stream had been made anew before, and the sequence.
    """

    id: str
    to: Address
    sender: str
    number: int
    body: bytes
    first_sent_s: float
    insisted: bool
    deadline_s: float | None = None
    answered_s: float | None = None
    ended_s: float | None = None
    replies: list[Reply] = field(default_factory=list[Reply])
    copies: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    reply_lost: bool = False

    @property
    def inbox(self) -> str:
        """Where its replies go."""
        return f"_INBOX.{self.sender}.{self.number}"

    @property
    def outcome(self) -> str:
        """What the sender was told first ("": nothing)."""
        return next((r.outcome for r in self.replies if r.code != BUSY), "")


class Publisher:
    """One sender on a connection of its own. `told` is where it writes down what it sends."""

    def __init__(self, name: str, broker: Broker, clock: Clock, told: dict[str, Published]) -> None:
        self.name = name
        self._broker, self._clock, self._told = broker, clock, told
        self._out, self._in = broker.line(), broker.line()
        self._number = 0
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def tell(self, to: Address, command: Command | bytes, id: str = "") -> Published:
        """Send it once, and wait for nothing."""
        published = self._new(to, command, id, insisted=False)
        self._send(published, {})
        return published

    async def insist(self, to: Address, command: Command | bytes, id: str = "") -> Published:
        """Send it until it is answered by more than "busy", or it is GIVES_UP_AT_S."""
        published = self._new(to, command, id, insisted=True)
        wait_s = INSIST_FIRST_S
        with anyio.move_on_after(max(0.0, GIVES_UP_AT_S - anyio.current_time())):
            while not published.outcome:
                self._send(published, self._heard_at(published))
                with anyio.move_on_after(wait_s):
                    await self._heard(published)
                wait_s = min(wait_s * INSIST_LONGER, INSIST_S_MAX)
        published.ended_s = self._broker.loop.time()
        return published

    async def ask(self, to: Address, command: Command | bytes, deadline_s: float, id: str = "") -> Published:
        """Send it once, with a deadline that many seconds ahead, and wait for the reply."""
        published = self._new(to, command, id, insisted=False)
        published.deadline_s = self._broker.loop.time() + deadline_s
        deadline = format_time(self._clock() + timedelta(seconds=deadline_s))
        self._send(published, self._heard_at(published), deadline)
        with anyio.move_on_after(deadline_s + LATE_S_MAX):
            while not published.outcome:
                await self._heard(published)
        published.ended_s = self._broker.loop.time()
        return published

    async def again(self, published: Published) -> None:
        """Send the same command once more, whatever became of it."""
        self._send(published, self._heard_at(published))

    def _new(self, to: Address, command: Command | bytes, id: str, insisted: bool) -> Published:
        self._number += 1
        id_ = id or f"{self.name}-{self._number}"
        body = command if isinstance(command, bytes) else encode(command)
        published = Published(id_, to, self.name, self._number, body, self._broker.loop.time(), insisted)
        self._told[id_] = published
        return published

    def _send(self, published: Published, reply_to: dict[str, str], deadline: str = "") -> None:
        given = given_to(published.id)
        envelope = Envelope(
            id=published.id, sender=self.name, deadline=deadline, **reply_to,
            traceparent=given.traceparent if given else "", tracestate=given.state if given else "",
        )  # fmt: skip
        subject = command_subject(published.to, ROOT)
        self._broker.publish(self._out, subject, published.body, to_headers(envelope))

    def _heard_at(self, published: Published) -> dict[str, str]:
        self._broker.subscribe(published.inbox, self._in, lambda body: self._hear(published, body))
        return {"reply_to": published.inbox}

    def _hear(self, published: Published, body: bytes) -> None:
        published.replies.append(msgspec.json.decode(body, type=Reply))
        if published.outcome and published.answered_s is None:
            published.answered_s = self._broker.loop.time()
        waiting = self._waiting.pop(published.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _heard(self, published: Published) -> None:
        self._waiting[published.id] = self._broker.loop.create_future()
        await self._waiting[published.id]
