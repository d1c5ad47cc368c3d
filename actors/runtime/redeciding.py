"""One actor's commands decided again, in the order of its events, on the states they met.

A command that led to events met the state before them. Of one that led to nothing the log says only between which
commits it came: it is tried on every state that its actor had in between, and differs if no one of them gives what was
decided then. States are tried as they come by, so that only one is held.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from actors.runtime.differences import (
    CROWDED,
    CUT,
    NO_ROW,
    NOT_KEPT,
    RETIRED,
    WITHHELD,
    Comparison,
    Difference,
    changed_fields,
    type_known,
)
from actors.runtime.following import Otherwise, cause_differs
from actors.runtime.kind import Kind, Kinds
from actors.runtime.mailboxes import CANCEL, from_message, from_row
from actors.runtime.recovered import Recovered
from actors.runtime.reenact import PAGE_EVENTS
from actors.runtime.relive import Decision, Life, Redecided, decided, place_of
from actors.runtime.turn import Pending
from eventstore.histories import EventlessCommand, KeptCommand
from eventstore.store import EventStore, PendingSend, Recorded
from protocol.message import Command
from protocol.subjects import Address

EVENTLESS_MAX = 200  # Commands that led to nothing, read with their bytes at a time.
OPEN_MAX = 10_000  # Of one actor, that wait for a later state to be tried on.
END = 2**63
_FIRING = "timer:"
_OUTCOME = ":outcome"
_UNREAD = frozenset(("malformed", "internal", "unknown-kind"))  # Refusals of what no core has seen.


class _Open:
    """A command that led to nothing, and what today's code made of it so far."""

    __slots__ = ("decision", "pending", "row", "same", "version")
    decision: Decision | None  # Of those that differ that on the likeliest state; None: none was tried yet.

    def __init__(self, row: EventlessCommand, pending: Pending) -> None:
        self.row, self.pending = row, pending
        self.decision = None
        self.version = 0  # Of its actor on that state.
        self.same = False


class Redeciding:
    """An actor of that kind; what is found goes into `found`."""

    def __init__(self, store: EventStore, kinds: Kinds, address: Address, recovered: Recovered, found: Comparison):
        self._store, self._kinds, self._recovered, self._found = store, kinds, recovered, found
        self._kind: Kind[Any] = kinds[address.kind]
        self._address, self._life = address, Life(self._kind, address)
        self._position = 0  # Of the last event that was lived.
        self._pages: Iterator[list[EventlessCommand]] = recovered.eventless(address, EVENTLESS_MAX)
        self._next: deque[_Open] = deque()
        self._open: list[_Open] = []

    async def run(self, upto: int) -> None:
        """Everything up to that version. StoreUnavailable."""
        turn: Redecided | None = None
        while self._life.version < upto:
            page = await self._store.read_stream(self._address, self._life.version, PAGE_EVENTS, upto)
            if not page:
                break
            ids = {recorded.causation for recorded in page}
            kept = await self._store.histories.commands(self._address, ids)
            for recorded in page:
                if turn is None or turn.id != recorded.causation:
                    self._end(turn)
                    await self._between(recorded.position - 1)
                    self._caused(recorded)
                    turn = Redecided(self._kind, self._address, recorded, self._life.state)
                    turn.find(kept.get(turn.id), self._recovered, self._life.timers)
                self._life.live(recorded)
                turn.recorded.append(self._life.last)
                self._position = recorded.position
        if turn is not None and self._within(turn.first.position) and await self._cut(turn):
            self._found.skipped[CUT] += 1
        else:
            self._end(turn)
        await self._between(END)

    async def _cut(self, turn: Redecided) -> bool:
        """Whether the command has events beyond what is looked at."""
        following = await self._store.read_stream(self._address, self._life.version, 1)
        return bool(following) and following[0].causation == turn.id

    # What led to events.

    def _within(self, position: int) -> bool:
        return self._found.first <= position <= self._found.last

    def _caused(self, recorded: Recorded) -> None:
        place = place_of(self._address.project, recorded.causation)
        if place is not None and place.effect:
            self._recovered.add_known(self._address.project, place.effect)
        if self._within(recorded.position):
            self._reacts(cause_differs(self._address, recorded.causation, self._recovered), recorded.position)

    def _reacts(self, found: Otherwise | None, position: int) -> None:
        if found is not None:
            self._found.differs(reaction(found, position))

    def _end(self, turn: Redecided | None) -> None:
        """Decide the command of some events again."""
        if turn is None or not self._within(turn.first.position):
            return
        outside = "@" not in turn.id and not turn.id.startswith(_FIRING)
        if turn.command is None:
            in_inbox = outside or turn.id.endswith(_OUTCOME)
            self._found.skipped[NO_ROW if in_inbox else NOT_KEPT] += 1
            return
        tag, body = turn.command
        if tag not in self._kind.decides and tag != CANCEL:
            self._found.skipped[RETIRED] += 1
            return
        self._found.compared[self._kind.name, tag] += 1
        first = turn.first
        pending = self._heard(turn.id, tag, KeptCommand(tag, b"{}", body), first.at, outside)
        decision = _decided(self._kind, turn.state, pending)
        then = Decision(tuple(turn.recorded))
        if decision != then:
            fields = tuple(changed_fields(then.events, decision.events))
            self._found.differs(
                Difference(
                    "decision", self._address, tag, turn.id, turn.version, first.position, first.at, _words(then),
                    _words(decision), fields,
                )
            )  # fmt: skip

    # What led to nothing.

    async def _between(self, upto: int) -> None:
        """The state is what it is from the last event on, up to that position."""
        waiting, self._open = self._open, []
        for each in waiting:
            self._try(each, upto)
        while await self._fill() and self._next[0].row.low <= upto:
            self._try(self._next.popleft(), upto)

    async def _fill(self) -> bool:
        """See that the next command is at hand; False: there is none."""
        while not self._next:
            page = next(self._pages, None)
            if page is None:
                return False
            keys = [(row.id, row.outbox_id) for row in page]
            kept = await self._store.histories.kept(self._address.project, keys)
            for row in page:
                self._take(row, kept.get((row.id, row.outbox_id)))
        return True

    def _take(self, row: EventlessCommand, kept: KeptCommand | None) -> None:
        unread = row.detail.partition(":")[0] in _UNREAD
        if kept is None:
            self._found.skipped[NO_ROW] += 1
        elif _withheld(kept.body):
            self._found.skipped[WITHHELD] += 1
        elif row.type not in self._kind.decides and row.type != CANCEL and not unread:
            self._found.skipped[RETIRED] += 1
        else:
            if row.outbox_id:
                self._reacts(cause_differs(self._address, row.id, self._recovered), row.stood)
            self._next.append(_Open(row, self._heard(row.id, row.type, kept, row.at, not row.outbox_id)))

    def _try(self, each: _Open, upto: int) -> None:
        """Decide on the state there is, if it can have met it; and be done with it if there is no further one."""
        row = each.row
        if row.high >= self._position and not each.same:
            decision = _decided(self._kind, self._life.state, each.pending)
            each.same = not (decision.broke or decision.events) and decision.refused == _refused(row)
            if each.decision is None or self._position <= row.stood <= upto:
                each.decision, each.version = decision, self._life.version
        if each.same or row.high <= upto:
            self._finish(each)
        elif len(self._open) < OPEN_MAX:
            self._open.append(each)
        else:
            self._found.skipped[CROWDED] += 1

    def _finish(self, each: _Open) -> None:
        row, tag = each.row, type_known(self._kind, each.row.type)
        self._found.compared[self._kind.name, tag] += 1
        if each.same:
            return
        code = _refused(row)
        then = _words(Decision(refused=code))
        now = _words(each.decision or Decision())
        self._found.differs(
            Difference("decision", self._address, tag, row.id, each.version, row.stood, row.at, then, now)
        )

    def _heard(self, id_: str, tag: str, kept: KeptCommand, at: Any, outside: bool) -> Pending:
        """The command as it comes in today, whenever its deadline was."""
        if outside:
            headers = msgspec.json.decode(kept.headers or b"{}", type=dict[str, str])
            return from_message(self._kinds, self._address, id_, 0, 0, headers, kept.body, at, at)
        send = PendingSend(0, id_, self._address, "", tag, kept.body, at, "", "")
        return from_row(self._kinds, send)


def reaction(found: Otherwise, position: int) -> Difference:
    """What an event wanted otherwise, as a difference."""
    what = found.what.removeprefix("react: ")
    return Difference(
        "reaction", found.sender, "react", what, found.version, position, None, found.expected, found.now
    )  # fmt: skip


def _decided(kind: Kind[Any], state: Any, pending: Pending) -> Decision:
    def read() -> Command:
        if pending.refusal is not None:
            raise pending.refusal
        assert pending.command is not None, "what comes in is decoded or refused"
        return pending.command

    return decided(kind, state, pending.id, read)


def _withheld(body: bytes) -> bool:
    """Whether the inbox keeps only how many bytes there were (sealing.py)."""
    return body.startswith(b'{"withheld_bytes":')


def _words(decision: Decision) -> str:
    return "silence" if decision == Decision() else str(decision)


def _refused(row: EventlessCommand) -> str:
    """The code of its refusal; "": it was silent."""
    return row.detail.partition(":")[0] if row.outcome == "refused" else ""
