"""Commands on their way in: what the road brought, decoded or refused, waiting in order for its actor's turn.

In memory only. After a crash the feed begins again at the cursor and outbox rows are still in the store.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import datetime

import anyio

from actors.runtime.kind import Kinds
from actors.runtime.turn import Pending, plain
from eventstore.store import PendingSend
from protocol.codec import Malformed, read_tag
from protocol.envelope import BadHeader, Envelope, from_headers, parse_time
from protocol.message import Command, Refusal
from protocol.subjects import Address

OPEN_COMMANDS_MAX = 4_096  # Open commands of one process; beyond it the feed waits.
TYPE_LENGTH_MAX = 128  # Characters kept of what was sent as a type.
# A decoder's words about a value that is none of the allowed ones: the value is content, its place is enough.
_QUOTED = re.compile(r"(Invalid (?:enum )?value) '.*?'(?= - at `|$)", re.DOTALL)


class Mailboxes:
    """Queues by actor, and which actors are ready for a turn."""

    def __init__(self) -> None:
        self._boxes: dict[Address, deque[Pending]] = {}
        self._ready: OrderedDict[Address, None] = OrderedDict()
        self._rows: set[int] = set()
        self._parked: dict[Address, str] = {}
        self._stirred = anyio.Event()
        self.waiting = 0

    def put(self, pending: Pending) -> None:
        """Queue a command. An outbox row that is queued already is not queued twice; one for a parked actor is left in
        the store."""
        if pending.outbox_id:
            if pending.outbox_id in self._rows or pending.address in self._parked:
                return
            self._rows.add(pending.outbox_id)
        self._boxes.setdefault(pending.address, deque()).append(pending)
        self.waiting += 1
        self._ready[pending.address] = None
        self._stirred.set()

    def take(self, address: Address, limit: int) -> list[Pending]:
        """The first commands of an actor, at most `limit`, no id twice: a repetition waits until its first has been
        settled, and is then known."""
        self._ready.pop(address, None)
        box = self._boxes.get(address, deque())
        taken: list[Pending] = []
        ids: set[str] = set()
        while box and len(taken) < limit and box[0].id not in ids:
            ids.add(box[0].id)
            taken.append(box.popleft())
        self.waiting -= len(taken)
        return taken

    def give_back(self, address: Address, commands: Iterable[Pending]) -> None:
        """Put taken commands back in front, in order."""
        kept = list(commands)
        self._boxes.setdefault(address, deque()).extendleft(reversed(kept))
        self.waiting += len(kept)

    def done(self, address: Address, settled: Iterable[Pending]) -> None:
        """A turn of this actor is over; those commands will never come again."""
        for pending in settled:
            self._rows.discard(pending.outbox_id)
        if self._boxes.get(address):
            self._ready[address] = None
            self._stirred.set()
        else:
            self._boxes.pop(address, None)
            self._ready.pop(address, None)

    def park(self, address: Address, reason: str) -> None:
        """Leave an actor alone until the process starts anew: what others sent it stays in the outbox, in order; what
        comes from outside is to be refused. So a parked actor holds up no cursor and no neighbour."""
        self._parked[address] = reason
        self._drop(address, lambda pending: pending.outbox_id > 0)

    def parked(self, address: Address) -> str:
        """Why this actor is parked ("": it is not)."""
        return self._parked.get(address, "")

    def ready(self, limit: int) -> list[Address]:
        return [address for address, _ in zip(self._ready, range(limit), strict=False)]

    async def wait(self) -> None:
        """Until some actor is ready."""
        while not self._ready:
            self._stirred = anyio.Event()
            await self._stirred.wait()

    def forget_external(self) -> None:
        """The feed begins again: what came from it will come again, outbox rows stay."""
        for address in list(self._boxes):
            self._drop(address, lambda pending: pending.outbox_id == 0)

    def _drop(self, address: Address, unwanted: Callable[[Pending], bool]) -> None:
        box = self._boxes.get(address, deque())
        kept = deque(pending for pending in box if not unwanted(pending))
        self._rows.difference_update(pending.outbox_id for pending in box if unwanted(pending))
        self.waiting -= len(box) - len(kept)
        if kept:
            self._boxes[address] = kept
        else:
            self._boxes.pop(address, None)
            self._ready.pop(address, None)


def from_row(kinds: Kinds, row: PendingSend) -> Pending:
    """An outbox row as a command. Its bytes are ours, so what cannot be decoded was written by another version."""
    command, refusal = _decode(kinds, row.to, row.body, external=False)
    return Pending(
        row.to, row.id, row.type, row.body, row.at, row.correlation, Envelope(id=row.id, causation=row.causation),
        command, refusal, outbox_id=row.outbox_id, outcome_of=row.outcome_of,
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
    if refusal is None and envelope.deadline and parse_time(envelope.deadline) < now:
        refusal = Refusal(
            "expired", f"the deadline {envelope.deadline} had passed when the command's turn came; send it anew"
        )
    kind = kinds.get(address.kind)
    correlation = address.name if kind is None or kind.correlates or not envelope.correlation else envelope.correlation
    return Pending(
        address, identity, _tag(body), body, at, correlation, envelope, command, refusal,
        sequence=sequence, generation=generation,
    )  # fmt: skip


def _decode(kinds: Kinds, address: Address, body: bytes, external: bool) -> tuple[Command | None, Refusal | None]:
    kind = kinds.get(address.kind)
    if kind is None:
        known = ", ".join(sorted(kinds))
        return None, Refusal("unknown-kind", f"there is no kind {address.kind!r}; the kinds here are {known}")
    try:
        command = kind.command_vocabulary.decode(body)
    except Malformed as error:
        said = _QUOTED.sub(r"\1", str(error))
        return None, Refusal("malformed", f"{address}: {said}")
    if external and not isinstance(command, kind.external):
        return None, Refusal(
            "internal", f"{_tag(body)} is a word between actors; {address.kind} takes it from nobody else"
        )
    return command, None


def _tag(body: bytes) -> str:
    """The type as the inbox keeps it ("": none that can be read)."""
    try:
        return plain(read_tag(body))[:TYPE_LENGTH_MAX]
    except Malformed:
        return ""
