"""Units of work: what some commands of one actor came to, ready to commit, and who hears what afterwards. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import structs

from actors.runtime.deadlines import deadline_of, too_late
from actors.runtime.kind import Kind
from actors.runtime.parking import noted, parking, waiting
from actors.runtime.turn import Loaded, Pending, Turn, TurnBroke, Watch, detail_of, plain, run_turn, settled
from eventstore.store import InboxRow, NewEvent, Unit
from protocol.codec import encode
from protocol.message import Refusal, tag_of
from protocol.reply import Reply
from protocol.runtime import BODY_QUOTED_BYTES_MAX, CommandQuarantined
from protocol.subjects import Address, partition_of

BROKE = "broke"  # The code of a quarantined command's reply.


@dataclass
class Work:
    """One unit on its way through a commit, with what follows. `error`: its one command broke its actor."""

    unit: Unit
    commands: list[Pending]
    turn: Turn | None = None
    error: str = ""

    @property
    def address(self) -> Address:
        """The actor whose commands these are."""
        return self.commands[0].address

    def answers(self, first_position: int) -> list[tuple[str, Reply]]:
        """Inbox and reply of everyone who asked, once the unit stands at that position."""
        if self.turn is not None:
            return [(inbox, _at(reply, first_position + offset)) for inbox, reply, offset in self.turn.replies]
        return [(p.envelope.reply_to, self._refusal_of(p)) for p in self.commands if p.envelope.reply_to]

    def _refusal_of(self, pending: Pending) -> Reply:
        if self.error:
            return Reply("quarantined", pending.id, str(pending.address), code=BROKE, message=self.error)
        row = self.unit.settled[self.commands.index(pending)]
        code, _, message = row.detail.partition(": ")
        return Reply(row.outcome, pending.id, str(pending.address), code=code, message=message)


def decide(
    kind: Kind[Any],
    address: Address,
    loaded: Loaded,
    commands: list[Pending],
    now: datetime,
    watch: Watch | None = None,
) -> tuple[list[Work], list[Pending]]:
    """The commands as one unit, and those that must be decided later: from a command that broke its turn on.

    Only what is decided first is quarantined, on committed state, and nothing that came before it is left: those before
    a killer are a unit without it.
    """
    if watch is not None:
        watch.commands = commands
    try:
        turn = run_turn(kind, address, loaded, commands, now, watch)
    except TurnBroke as broke:
        if not broke.index:
            return [quarantine(commands[0], broke.error)], commands[1:]
        works, later = decide(kind, address, loaded, commands[: broke.index], now, watch)
        return works, [*later, *commands[broke.index :]]
    return [Work(turn.unit(), commands, turn)], []


def refuse(commands: Sequence[Pending], refusal: Refusal) -> Work:
    """All of one actor's commands refused without asking it; what was found wanting on the way in keeps its reason."""
    address = commands[0].address
    rows = tuple(settled(p, "refused", detail_of(p.refusal or refusal)) for p in commands)
    return Work(Unit(partition_of(address), address, None, rows), list(commands))


def quarantine(killer: Pending, error: str) -> Work:
    """The killer is settled, and its actor parked with it; its bytes go into the log, in the stream of its actor's
    partition."""
    error = plain(error)
    address, partition = killer.address, partition_of(killer.address)
    body = killer.body if len(killer.body) <= BODY_QUOTED_BYTES_MAX else b""
    event = CommandQuarantined(address.kind, address.name, killer.id, killer.type, error, body)
    unit = Unit(
        partition,
        Address(address.project, "runtime", str(partition)),
        None,  # Any version: nobody decides on this stream.
        (settled(killer, "quarantined", error),),
        (NewEvent(tag_of(event), encode(event), killer.at, killer.correlation, killer.id),),
        parks=(parking(killer, error),),
        waits=(waiting(killer),),
        traces=noted(killer),
    )
    return Work(unit, [killer], error=error)


def expired_in(commands: Sequence[Pending], ids: Collection[str]) -> list[Pending]:
    """The commands, those among `ids` to be refused: the store says that their deadlines have passed."""
    return [
        structs.replace(p, refusal=too_late(deadline)) if p.id in ids and (deadline := deadline_of(p.envelope)) else p
        for p in commands
    ]


def known_answer(row: InboxRow) -> Reply:
    """The outcome of a command that was settled before."""
    outcome: Any = row.outcome
    code, _, message = (BROKE, "", row.detail) if outcome == "quarantined" else row.detail.partition(": ")
    return Reply(outcome, row.id, str(row.address), row.first_position, (), True, code, message)


def _at(reply: Reply, position: int) -> Reply:
    if not reply.events:
        return reply
    return Reply(reply.outcome, reply.id, reply.actor, position, reply.events, reply.known, reply.code, reply.message)
