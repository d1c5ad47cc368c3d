"""Those who send commands, and remember what they sent and what they heard.

A PubAck says nothing: a command counts as accepted when its sender was told so, and whoever insists sends it again,
under the same id, until then. Their own connections lie on a wire that is cut and stalled too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

import anyio
import msgspec
import nats.errors
from nats.aio.msg import Msg

from actors.runtime.nats_client import TolerantClient, connect
from protocol.codec import encode
from protocol.envelope import Envelope, to_headers
from protocol.message import Command, tag_of
from protocol.reply import BUSY, Reply
from protocol.subjects import Address, command_subject

INSIST_EVERY_S = 0.7
RECONNECT_S = 0.2
PUBLISH_S_MAX = 2.0  # A publish that blocks on a stalled connection is as good as lost.
_FAILED = (nats.errors.Error, OSError, TimeoutError)


@dataclass
class Told:
    """A command as its sender saw it: `Sent` of the checkers. Times are of this process's monotonic clock.

    `copies` are filled in for a command that was sent exactly once: it then stands in the stream where its number says,
    among those of its sender. `deadline_s` and `ended_s` belong to asks: how long it might take, and when it was over.
    `later`: it is answered when what it began has ended.
    """

    id: str
    to: Address
    sender: str
    number: int
    insisted: bool
    first_sent_s: float
    answered_s: float | None = None
    replies: list[Reply] = field(default_factory=list[Reply])
    published: int = 0
    deadline_s: float | None = None
    ended_s: float | None = None
    not_stored: bool = False
    later: bool = False
    heard: anyio.Event = field(default_factory=anyio.Event)

    @property
    def copies(self) -> list[tuple[int, int]]:
        return [(0, self.number)] if self.insisted and self.published == 1 else []

    @property
    def outcome(self) -> str:
        """What the sender was told first ("": nothing, or only that it is to try again)."""
        return next((reply.outcome for reply in self.replies if reply.code != BUSY), "")

    def hear(self, reply: Reply) -> None:
        self.replies.append(reply)
        if self.answered_s is None and reply.code != BUSY:
            self.answered_s = anyio.current_time()
        self.heard.set()


class Office:
    """All senders of a run, on one connection that is made again for ever."""

    def __init__(self, url: Callable[[], str], token: str, root: str) -> None:
        self._url, self._token, self._root = url, token, root
        self._client: TolerantClient | None = None
        self._inbox = ""
        self._connecting = anyio.Lock()
        self._numbers: dict[str, count[int]] = {}
        self._tokens: dict[str, Told] = {}
        self.told: dict[str, Told] = {}
        self.duplicates = 0

    def new(self, sender: str, to: Address, insisted: bool = True, later: bool = False) -> Told:
        """A command that is about to be sent. Its number counts what this sender sent."""
        number = next(self._numbers.setdefault(sender, count(1)))
        told = Told(f"{sender}-{number}", to, sender, number, insisted, anyio.current_time(), later=later)
        self.told[told.id] = self._tokens[told.id] = told
        return told

    async def publish(self, told: Told, command: Command, priority: str = "") -> None:
        """Send it once; it may be lost."""
        told.published += 1
        envelope = Envelope(
            id=told.id, sender=told.sender, priority=priority, reply_to=f"{self._inbox}.{told.id}", source="torture"
        )
        headers = to_headers(envelope, tag_of(command), str(told.to))
        try:
            with anyio.fail_after(PUBLISH_S_MAX):
                client = await self._connected()
                # The inbox is known only now, if this was the first.
                headers["Troupe-Reply-To"] = f"{self._inbox}.{told.id}"
                await client.publish(command_subject(told.to, self._root), encode(command), headers=headers)
        except _FAILED:
            return

    async def insist(self, told: Told, command: Command, priority: str = "") -> None:
        """Send it until it is answered. What was sent once already is waited for first."""
        if not told.published:
            await self.publish(told, command, priority)
        while not told.outcome:
            told.heard = anyio.Event()
            with anyio.move_on_after(INSIST_EVERY_S):
                await told.heard.wait()
            if told.outcome:
                return
            if told.replies and told.replies[-1].retry_after_s:
                await anyio.sleep(told.replies[-1].retry_after_s)
            await self.publish(told, command, priority)

    async def repeat(self, told: Told, command: Command, times: int, chance: Random) -> None:
        """Send it again although it may have been answered."""
        for _ in range(times):
            await anyio.sleep(chance.uniform(0, INSIST_EVERY_S))
            self.duplicates += 1
            await self.publish(told, command)

    async def close(self) -> None:
        if self._client is not None:
            with anyio.move_on_after(PUBLISH_S_MAX):
                await self._client.close()

    async def _connected(self) -> TolerantClient:
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                client = await connect(
                    self._url(), self._token, reconnected=_passed, disconnected=_passed, closed=_passed, failed=_ignored
                )
                self._inbox = client.new_inbox()
                await client.subscribe(f"{self._inbox}.*", cb=self._hear)
                self._client = client
            return self._client

    async def _hear(self, message: Msg) -> None:
        told = self._tokens.get(message.subject.rpartition(".")[2])
        if told is not None:
            told.hear(msgspec.json.decode(message.data, type=Reply))


async def _passed() -> None:
    """nats-py connects again by itself."""


async def _ignored(_: Exception) -> None:
    """The servers are killed on purpose; who is not answered sends again."""
