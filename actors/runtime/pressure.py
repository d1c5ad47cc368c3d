"""Back-pressure: whatever is published, a process holds a bounded number of commands, and who must wait is told.

- More than OPEN_COMMANDS_MAX open commands, or WAITING_BYTES_MAX of them: the feed rests, and so does reading what
  actors sent each other, until commits have made room; one read of either comes on top. What is published meanwhile
  waits in COMMANDS, and when that is full the broker refuses it to its publisher.
- More than ACTOR_COMMANDS_MAX waiting for one actor: a further one is turned away, if its sender can be told: `refused`
  with the code "busy" and `retry_after_s`. It leaves no trace, so the same id may be sent again. One whose sender named
  no inbox waits in its turn: dropping it would break an order that nobody hears of.

A command that was turned away is never applied later: its sender is told once the stored cursor has passed it, so that
no process reads it again. Until then it counts as open. What a crash takes from here is read, and decided on, anew. Who
sent it twice and had one of the two accepted hears of that one: "busy" says that the id is unknown to the store.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping

import anyio
import structlog

from actors.runtime.asks import Known
from actors.runtime.cursor import Cursors
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus
from actors.runtime.turn import Pending
from protocol.codec import encode
from protocol.reply import BUSY, Reply
from protocol.subjects import Address, partition_of

OPEN_COMMANDS_MAX = 4_096  # Of one process; beyond it the feed rests.
WAITING_BYTES_MAX = 64 * 1024 * 1024  # The same for the bodies of those that wait for their turn.
ACTOR_COMMANDS_MAX = 2_048  # Waiting for one actor.
RETRY_AFTER_S = 1.0  # A backlog of ACTOR_COMMANDS_MAX is worked off in about that time.
LOOK_AGAIN_S = 1.0  # Nothing rests on it, should somebody make room and not say so.

log = structlog.get_logger("pressure")


class Pressure:
    """One per process."""

    def __init__(self, mailboxes: Mailboxes, cursors: Cursors, bus: Bus, metrics: RuntimeMetrics | None = None) -> None:
        self._mailboxes, self._cursors, self._bus = mailboxes, cursors, bus
        self._metrics = metrics or RuntimeMetrics()
        self._held: dict[int, deque[Pending]] = {}  # By partition, in the order of their sequences.
        self._passed: list[Pending] = []  # Those that no process reads again.
        self._holding = 0
        self._coming: Counter[Address] = Counter()  # Of the read under way: they are not in a mailbox yet.
        self._eased = anyio.Event()

    @property
    def crowded(self) -> bool:
        """Is more open than this process shall hold?"""
        if self._mailboxes.bytes > WAITING_BYTES_MAX:
            return True
        return self._cursors.open_count + self._mailboxes.waiting + self._holding > OPEN_COMMANDS_MAX

    async def room(self) -> None:
        """Wait until there is room for more."""
        while self.crowded:
            self._eased = anyio.Event()
            with anyio.move_on_after(LOOK_AGAIN_S):
                await self._eased.wait()

    def ease(self) -> None:
        """There may be room now."""
        self._eased.set()

    def turns_away(self, pending: Pending) -> bool:
        """Must this command, which has just come in and is open, be sent again later? Then it is settled."""
        waiting = self._mailboxes.count(pending.address) + self._coming[pending.address]
        if not pending.envelope.reply_to or waiting < ACTOR_COMMANDS_MAX:
            self._coming[pending.address] += 1
            return False
        partition = partition_of(pending.address)
        self._held.setdefault(partition, deque()).append(pending)
        self._holding += 1
        self._cursors.settle(partition, pending.sequence, pending.generation)
        return True

    def arrived(self) -> None:
        """What was not turned away is in its mailbox now."""
        self._coming.clear()

    async def tell(self, known: Callable[[str, Mapping[str, str]], Awaitable[Known]]) -> None:
        """Answer those whom the stored cursors have passed; `known` says who was settled before. StoreUnavailable: to
        be called again."""
        if not self._holding:
            return
        self._sort()
        while self._passed:
            project = self._passed[-1].address.project
            asked = {p.id: p.envelope.reply_to for p in self._passed if p.address.project == project}
            settled = await known(project, asked)
            told = [p for p in self._passed if p.address.project == project]
            self._passed = [p for p in self._passed if p.address.project != project]
            self._holding -= len(told)
            self._note([pending for pending in told if pending.id not in settled])
            for pending in told:
                reply = settled[pending.id] if pending.id in settled else encode(busy(pending))
                if reply is not None:
                    await self._bus.reply(pending.envelope.reply_to, reply, pending.traceparent)

    def _sort(self) -> None:
        """Find those that the stored cursors have passed, and forget those of an earlier feed: they come again."""
        stored, generation = self._cursors.stored(), self._cursors.generation
        for partition, held in self._held.items():
            cursor = stored[partition][0] if partition in stored else 0
            while held and (held[0].generation != generation or held[0].sequence <= cursor):
                pending = held.popleft()
                if pending.generation == generation:
                    self._passed.append(pending)
                else:
                    self._holding -= 1

    def lose(self, partitions: Collection[int]) -> None:
        """Whoever has these partitions now reads what was turned away here, and decides on it."""
        for partition in partitions:
            self._holding -= len(self._held.pop(partition, ()))
        self.ease()

    def _note(self, told: Collection[Pending]) -> None:
        for address in dict.fromkeys(pending.address for pending in told):
            count = sum(pending.address == address for pending in told)
            self._metrics.turned_away(address.kind, BUSY, count)
            log.warning("pressure.busy", actor=str(address), turned_away=count)


def busy(pending: Pending) -> Reply:
    """What the sender of a command that was turned away is told."""
    message = (
        f"{pending.address} has {ACTOR_COMMANDS_MAX} commands waiting: this one was turned away and is unknown here; "
        f"send it again under the same id in {RETRY_AFTER_S:g} s or later, and what follows it after it"
    )
    return Reply("refused", pending.id, str(pending.address), code=BUSY, message=message, retry_after_s=RETRY_AFTER_S)
