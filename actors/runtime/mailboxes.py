"""Commands on their way in: what the road brought, decoded or refused, waiting in order for its actor's turn.

In memory only. After a crash the feed begins again at the cursor and outbox rows are still in the store.
"""

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from heapq import nsmallest

import anyio

from actors.runtime.deadlines import deadline_refusal
from actors.runtime.kind import Kinds
from actors.runtime.priority import Box, rank
from actors.runtime.traces import given_by
from actors.runtime.turn import Pending, plain
from eventstore.store import PendingSend
from protocol.codec import Malformed, UnknownTag, Vocabulary, read_tag
from protocol.envelope import BadHeader, Envelope, from_headers, parse_time
from protocol.message import Command, Refusal, tag_of
from protocol.runtime import CancelCommand
from protocol.subjects import Address, partition_of

TYPE_LENGTH_MAX = 128  # Characters kept of what was sent as a type.
CANCEL = tag_of(CancelCommand)
_cancels: Vocabulary[Command] = Vocabulary((CancelCommand,))
# A decoder's words about a value that is none of the allowed ones: the value is content, its place is enough.
_QUOTED = re.compile(r"(Invalid (?:enum )?value) '.*?'(?= - at `|$)", re.DOTALL)


class Mailboxes:
    """Queues by actor, and which actors are ready for a turn."""

    def __init__(self) -> None:
        self._boxes: dict[Address, Box] = {}
        self._arrivals = 0  # Commands that came.
        self._front = 0  # Below 0: the rank of what was put back last.
        self._ready: OrderedDict[Address, None] = OrderedDict()
        self._rows: set[int] = set()
        self._parked: dict[Address, str] = {}
        self._kept: dict[Address, int] = {}  # Of parked actors whose commands the store keeps: how many those are.
        self._paused: dict[
            int, dict[Address, None]
        ] = {}  # Partitions that are let go, with who would be ready in them.
        self._stirred = anyio.Event()
        self.waiting = 0  # Commands, and
        self.bytes = 0  # those of their bodies.

    def put(self, pending: Pending) -> None:
        """Queue a command. An outbox row that is queued already is not queued twice; one for a parked actor is left in
        the store."""
        if pending.outbox_id:
            if pending.outbox_id in self._rows or pending.address in self._parked:
                return
            self._rows.add(pending.outbox_id)
        box = self._boxes.get(pending.address)
        if box is None:
            box = self._boxes[pending.address] = Box()
        self._arrivals += 1
        # Behind what it withdraws: then that stays withdrawn, even if this process dies between their commits.
        withdraws = box.withdraw(pending.command.id) if isinstance(pending.command, CancelCommand) else None
        box.put(pending, rank(pending, self._arrivals), withdraws)
        self.waiting += 1
        self.bytes += len(pending.body)
        self._make_ready(pending.address)

    def take(self, address: Address, limit: int) -> list[Pending]:
        """The next commands of an actor, at most `limit`, no id twice: a repetition waits until its first has been
        settled, and is then known. What was given back is taken alone: were it joined by a repetition each time, it
        would lose its turn each time."""
        self._ready.pop(address, None)
        box = self._boxes.get(address)
        taken: list[Pending] = []
        ids: set[str] = set()
        ranks_below = 0 if box is not None and box.size and box.rank < 0 else math.inf
        while box is not None and box.size and len(taken) < limit and box.rank < ranks_below:
            if (id_ := box.peek().id) in ids:
                break
            ids.add(id_)
            taken.append(box.pop())
        self._less(taken)
        return taken

    def give_back(self, address: Address, commands: Iterable[Pending]) -> None:
        """Put taken commands back in front, in order."""
        kept = list(commands)
        box = self._boxes.setdefault(address, Box())
        for pending in reversed(kept):
            self._front -= 1
            box.put_back(pending, self._front)
            self.bytes += len(pending.body)
        self.waiting += len(kept)

    def done(self, address: Address, settled: Iterable[Pending]) -> None:
        """A turn of this actor is over; those commands will never come again."""
        for pending in settled:
            self._rows.discard(pending.outbox_id)
        if (box := self._boxes.get(address)) is not None and box.size:
            self._make_ready(address)
        else:
            self._boxes.pop(address, None)
            self._ready.pop(address, None)

    def pause(self, partition: int) -> None:
        """Begin nothing more in that partition, until it is lost or resumed."""
        waiting = {address: None for address in self._ready if partition_of(address) == partition}
        self._paused[partition] = waiting
        for address in waiting:
            del self._ready[address]

    def resume(self, partitions: Collection[int]) -> None:
        """Begin again in these."""
        for partition in partitions:
            for address in self._paused.pop(partition, ()):
                if address in self._boxes:
                    self._make_ready(address)

    def lose(self, partitions: Collection[int]) -> None:
        """These partitions are another process's: nothing waits here for their actors."""
        for address in [address for address in self._boxes if partition_of(address) in partitions]:
            self._drop(address, lambda _: True)
        self.unpark(partitions)
        for partition in partitions:
            self._paused.pop(partition, None)

    def park(self, address: Address, reason: str, kept: int | None = None) -> None:
        """Leave an actor alone until its partition is lost: what others sent it stays in the outbox, in order. So a
        parked actor holds up no cursor and no neighbour. `kept` is how many commands from outside the store keeps for
        it; None: it keeps none, they are to be refused."""
        self._parked[address] = reason
        if kept is not None:
            self._kept[address] = kept
        self._drop(address, lambda pending: pending.outbox_id > 0)

    def unpark(self, partitions: Collection[int]) -> None:
        """Nothing is known any more of who is parked in these partitions."""
        for address in [address for address in self._parked if partition_of(address) in partitions]:
            del self._parked[address]
            self._kept.pop(address, None)

    def keep(self, address: Address, count: int) -> None:
        """The store keeps so many more commands for a parked actor."""
        if address in self._kept:
            self._kept[address] += count

    def kept(self, address: Address) -> int | None:
        """How many commands from outside are kept for this parked actor; None: it is not parked, or none are."""
        return self._kept.get(address)

    @property
    def parked_count(self) -> int:
        """How many actors are parked here."""
        return len(self._parked)

    def parked(self, address: Address) -> str:
        """Why this actor is parked ("": it is not)."""
        return self._parked.get(address, "")

    def ready(self, limit: int) -> list[Address]:
        """Actors whose turn may begin, at most `limit`: if there are more, those with the best that waits."""
        if len(self._ready) <= limit:
            return list(self._ready)
        return nsmallest(limit, self._ready, key=lambda address: self._boxes[address].rank)

    def count(self, address: Address) -> int:
        """How many commands wait for that actor."""
        box = self._boxes.get(address)
        return 0 if box is None else box.size

    def next(self, address: Address) -> Pending | None:
        """What that actor would be given next; None: nothing waits for it."""
        box = self._boxes.get(address)
        return None if box is None or not box.size else box.peek()

    @property
    def any_ready(self) -> bool:
        """May some actor's turn begin?"""
        return bool(self._ready)

    async def wait(self, until: float = math.inf) -> None:
        """Until some actor is ready, or until that time of the event loop. A bare timer: a cancel scope around each
        wait would take longer than many a turn."""
        if self._ready:
            return
        self._stirred = anyio.Event()
        timer = asyncio.get_running_loop().call_at(until, self._stirred.set) if until < math.inf else None
        try:
            await self._stirred.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def forget_external(self) -> None:
        """The feed begins again: what came from it will come again, outbox rows stay."""
        for address in list(self._boxes):
            self._drop(address, lambda pending: pending.outbox_id == 0)

    def _less(self, gone: Collection[Pending]) -> None:
        self.waiting -= len(gone)
        self.bytes -= sum(len(pending.body) for pending in gone)

    def forget_rows(self) -> None:
        """A turn has failed, and with it what it had taken: every outbox row may come again, and none be passed over
        for a later one."""
        self._rows.clear()

    def _make_ready(self, address: Address) -> None:
        if self._paused and (paused := self._paused.get(partition_of(address))) is not None:
            paused[address] = None
            return
        self._ready[address] = None
        self._stirred.set()

    def _drop(self, address: Address, unwanted: Callable[[Pending], bool]) -> None:
        box = self._boxes.get(address)
        if box is not None:
            dropped = box.drop(unwanted)
            self._rows.difference_update(pending.outbox_id for pending in dropped)
            self._less(dropped)
        if box is None or not box.size:
            self._boxes.pop(address, None)
            self._ready.pop(address, None)


def from_row(kinds: Kinds, row: PendingSend) -> Pending:
    """An outbox row as a command. Its bytes are ours, so what cannot be decoded was written by another version."""
    command, refusal = _decode(kinds, row.to, row.body, external=False)
    return Pending(
        row.to, row.id, row.type, row.body, row.at, row.correlation, Envelope(id=row.id, causation=row.causation),
        command, refusal, outbox_id=row.outbox_id, outcome_of=row.outcome_of, sender=row.sender, trace=row.trace,
    )  # fmt: skip


def from_message(
    kinds: Kinds, address: Address, identity: str, sequence: int, generation: int,
    headers: dict[str, str], body: bytes, at: datetime, now: datetime,
) -> Pending:  # fmt: skip
    """A message somebody published as a command, or as its own refusal: bad input is answered, never dropped."""
    command: Command | None = None
    refusal: Refusal | None = None
    envelope = Envelope()
    try:
        envelope = from_headers(headers)
    except BadHeader as error:
        envelope = Envelope(reply_to=error.reply_to)
        refusal = Refusal("bad-header", str(error))
    if refusal is None:
        command, refusal = _decode(kinds, address, body, external=True)
    if refusal is None and envelope.deadline:
        refusal = deadline_refusal(parse_time(envelope.deadline), now)
    kind = kinds.get(address.kind)
    correlation = address.name if kind is None or kind.correlates or not envelope.correlation else envelope.correlation
    return Pending(
        address, identity, _tag(body), body, at, correlation, envelope, command, refusal,
        sequence=sequence, generation=generation, trace=given_by(envelope),
    )  # fmt: skip


def _decode(kinds: Kinds, address: Address, body: bytes, external: bool) -> tuple[Command | None, Refusal | None]:
    kind = kinds.get(address.kind)
    if kind is None:
        known = ", ".join(sorted(kinds))
        return None, Refusal("unknown-kind", f"there is no kind {address.kind!r}; the kinds here are {known}")
    try:
        command = kind.command_vocabulary.decode(body)
    except Malformed as error:
        if isinstance(error, UnknownTag) and error.tag == CANCEL:
            return _decode_cancel(address, body)
        said = _QUOTED.sub(r"\1", str(error))
        return None, Refusal("malformed", f"{address}: {said}")
    if external and not isinstance(command, kind.external):
        return None, Refusal(
            "internal", f"{_tag(body)} is a word between actors; {address.kind} takes it from nobody else"
        )
    return command, None


def _decode_cancel(address: Address, body: bytes) -> tuple[Command | None, Refusal | None]:
    """A word that every actor's subject takes, whatever its kind."""
    try:
        return _cancels.decode(body, CANCEL), None
    except Malformed as error:
        return None, Refusal("malformed", f"{address}: {error}")


def _tag(body: bytes) -> str:
    """The type as the inbox keeps it ("": none that can be read)."""
    try:
        return plain(read_tag(body))[:TYPE_LENGTH_MAX]
    except Malformed:
        return ""
