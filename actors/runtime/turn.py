"""One turn: some commands of one actor, decided in a row on its state, as one unit that commits whole or not at all.

Pure but for the clock reading it is given. Nothing here is visible to anyone before the store has committed the unit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from actors.runtime.deadlines import ask_deadline, deadline_of
from actors.runtime.follow import encoded, followed
from actors.runtime.kind import Cancel, Kind
from actors.runtime.later import ended, heard, withdrawn
from actors.runtime.traces import place, traceparent
from eventstore.store import Answer, NewAsk, NewEffect, NewEvent, NewSend, NewTimer, Settled, Traced, Unit
from eventstore.traces import RESENT
from protocol.codec import encode
from protocol.envelope import Envelope, to_headers
from protocol.message import Command, Event, Refusal
from protocol.reply import Reply
from protocol.runtime import CancelCommand
from protocol.subjects import Address, partition_of
from protocol.trace import TraceContext

EVENTS_MAX = 256  # One command that causes more is a broken core, not a big decision.
DETAIL_LENGTH_MAX = 2_000  # Characters of what is said of a refusal or a broken turn.


class Pending(msgspec.Struct, frozen=True):
    """A command waiting for its turn. `outbox_id` > 0: an outbox row; otherwise `sequence` is its place in COMMANDS.

    `refusal` is set when it was already found wanting on the way in (malformed, unknown, expired). `trace` is the one
    that was given to it or to what it follows from ("": none was).
    """

    address: Address
    id: str
    type: str
    body: bytes
    at: datetime
    correlation: str
    envelope: Envelope
    command: Command | None = None
    refusal: Refusal | None = None
    outbox_id: int = 0
    outcome_of: str = ""
    sender: str = ""  # Of an outbox row: who wrote it.
    sequence: int = 0
    generation: int = 0
    trace: str = ""

    @property
    def place(self) -> TraceContext:
        """Where in its trace this command is processed."""
        return place(self.trace, self.address.project, self.correlation, "process", self.id)

    @property
    def traceparent(self) -> str:
        """That place, as a header has it."""
        return traceparent(self.trace, self.address.project, self.correlation, "process", self.id)

    @property
    def about(self) -> dict[str, str]:
        """What a log line about this command says of it."""
        return {
            "correlation": self.correlation,
            "trace_id": self.place.trace_id,
            "actor": str(self.address),
            "command": self.id,
        }


class Loaded(msgspec.Struct, frozen=True):
    """An actor's committed state and the version of its stream."""

    state: Any
    version: int


class Watch:
    """What is being decided: set before a turn begins, for whoever looks on."""

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.commands: Sequence[Pending] = ()


class TurnBroke(Exception):
    """A core raised something else than a Refusal, or said nonsense. The command at `index` is the killer."""

    def __init__(self, index: int, error: str) -> None:
        super().__init__(error)
        self.index = index
        self.error = plain(error)


class Turn:
    """What deciding came to: the unit to commit, the state after it, and who hears what afterwards.

    `replies` are an inbox, what it is told, and where the first event it speaks of stands in the unit (from 0).
    """

    __slots__ = (
        "address", "answers", "asks", "before", "cancels", "effects", "events", "kind", "now", "replies", "sends",
        "settled", "state", "timers", "traces", "version",
    )  # fmt: skip

    def __init__(self, kind: Kind[Any], address: Address, before: Loaded, now: datetime) -> None:
        self.kind, self.address, self.before, self.now = kind, address, before, now
        self.state, self.version = before.state, before.version
        self.settled: list[Settled] = []
        self.events: list[NewEvent] = []
        self.sends: list[NewSend] = []
        self.timers: dict[str, NewTimer] = {}
        self.cancels: list[str] = []
        self.effects: list[NewEffect] = []
        self.asks: list[NewAsk] = []
        self.answers: list[Answer] = []
        self.traces: list[Traced] = []
        self.replies: list[tuple[str, Reply, int]] = []

    def unit(self) -> Unit:
        return Unit(
            partition=partition_of(self.address),
            address=self.address,
            expected=self.before.version if self.events else None,
            settled=tuple(self.settled),
            events=tuple(self.events),
            sends=tuple(self.sends),
            timers=tuple(self.timers.values()),
            cancels=tuple(self.cancels),
            effects=tuple(self.effects),
            asks=tuple(self.asks),
            answers=tuple(self.answers),
            traces=tuple(self.traces),
        )

    def take(self, index: int, pending: Pending) -> None:
        """Decide one command on the state so far."""
        first = self.version + 1
        try:
            if pending.refusal is not None:
                raise pending.refusal
            assert pending.command is not None, "intake decodes a command or refuses it"
            command = heard(self.kind, pending.command, pending.id)
            decided = () if command is None else self.kind.decide(self.state, command)
        except Refusal as refusal:
            self._settle(pending, "refused", first, refusal)
            return
        except Exception as error:
            raise TurnBroke(index, f"decide: {type(error).__name__}: {error}") from error
        if pending.trace:
            self._trace(pending, len(decided))
        if len(decided) > EVENTS_MAX:
            raise TurnBroke(index, f"decide: {len(decided)} events for one command, limit {EVENTS_MAX}")
        try:
            for event in decided:
                self._apply(event, pending)
        except Exception as error:
            raise TurnBroke(index, f"event, evolve or react: {type(error).__name__}: {error}") from error
        if isinstance(pending.command, CancelCommand):
            id_ = pending.command.id
            self.answers.append(Answer(id_, encode(ended(id_, self.address, withdrawn(id_)))))
        if decided and pending.envelope.reply_to and type(pending.command) in self.kind.later:
            self.settled.append(settled(pending, "accepted"))
            deadline = ask_deadline(pending.envelope, self.now)
            self.asks.append(NewAsk(pending.id, pending.envelope.reply_to, deadline, pending.correlation))
        else:
            self._settle(pending, "accepted" if decided else "silent", first)

    def _trace(self, pending: Pending, events: int) -> None:
        """The next events belong to the trace that the command came with, and so does what is told its asker later."""
        stored = pending.place.stored
        keys = [self.address.reference(self.version + n) for n in range(1, events + 1)]
        if events and pending.envelope.reply_to and type(pending.command) in self.kind.later:
            keys.append(pending.id)
        self.traces.extend(Traced(key, stored) for key in keys)

    def _apply(self, event: Event, pending: Pending) -> None:
        tag, body = encoded(event)
        # State is folded from what will be read back: a replay comes to the same, and an event that cannot be read
        # back breaks this turn instead of every later one.
        event = self.kind.event_vocabulary.decode(body, tag)
        self.events.append(NewEvent(tag, body, pending.at, pending.correlation, pending.id))
        self.state = self.kind.evolve(self.state, event)
        self.version += 1
        reactions = self.kind.react(self.state, event)
        if not reactions:
            return
        for what in followed(reactions, self.address, self.version, self.now, pending.correlation):
            match what:
                case NewSend():
                    self.sends.append(what)
                case NewTimer(key=key):
                    self.timers[key] = what
                case Cancel(key):
                    self.timers.pop(key, None)
                    self.cancels.append(key)
                case NewEffect():
                    self.effects.append(what)
                case Answer():
                    self.answers.append(what)

    def _settle(self, pending: Pending, outcome: Any, first: int, refusal: Refusal | None = None) -> None:
        self.settled.append(settled(pending, outcome, "" if refusal is None else detail_of(refusal)))
        if pending.envelope.reply_to:
            references = tuple(self.address.reference(v) for v in range(first, self.version + 1))
            code, message = (refusal.code, plain(refusal.message)) if refusal else ("", "")
            reply = Reply(outcome, pending.id, str(self.address), events=references, code=code, message=message)
            self.replies.append((pending.envelope.reply_to, reply, first - self.before.version - 1))


def detail_of(refusal: Refusal) -> str:
    """A refusal as the inbox keeps it; `code: message`."""
    return f"{refusal.code}: {plain(refusal.message)}"


def plain(text: str) -> str:
    """`text` as every store, log and reply can hold it: bounded, and without what no text column takes."""
    cut = text if len(text) <= DETAIL_LENGTH_MAX else text[: DETAIL_LENGTH_MAX - 1] + "…"
    if cut.isascii() and "\0" not in cut:
        return cut
    return cut.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def settled(pending: Pending, outcome: Any, detail: str = "") -> Settled:
    """The row that settles a command; external ones, effect outcomes, what broke its actor and what waited for a parked
    one leave their bytes in the inbox."""
    external = pending.outbox_id == 0
    return Settled(
        id=pending.id,
        type=pending.type,
        outcome=outcome,
        detail=detail,
        outbox_id=pending.outbox_id,
        keep=external
        or bool(pending.outcome_of)
        or outcome == "quarantined"
        or pending.envelope.causation.startswith(RESENT),
        sequence=pending.sequence,
        headers=encode(to_headers(pending.envelope)),
        body=pending.body,
        # What is refused is refused, late or not.
        deadline=deadline_of(pending.envelope) if outcome in ("accepted", "silent") else None,
    )


def run_turn(
    kind: Kind[Any],
    address: Address,
    before: Loaded,
    commands: Sequence[Pending],
    now: datetime,
    watch: "Watch | None" = None,
) -> Turn:
    """Decide `commands` in order. TurnBroke names the one that broke; nothing of this turn may then be used. `watch` is
    shown the turn before it begins."""
    turn = Turn(kind, address, before, now)
    if watch is not None:
        watch.turn = turn
    for index, pending in enumerate(commands):
        turn.take(index, pending)
    return turn
