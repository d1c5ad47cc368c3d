"""Says, before a deploy, which actors the new code would tell another story about: `troupe upgrade check`.

Every stored history is lived again under the code of this process, and compared with what is recorded:

- Each event can be read (retired tags are upcast), and `evolve` and `react` get through it.
- Each command whose bytes are still to be had (kept in the inbox, sent by an actor that can be asked again, set as a
  timer) is decided on the state before it, and leads to the same events. Events are compared as the new code reads
  them, so a retired tag whose upcast says the same is no difference. What is decided no more (`Kind.decides`), or of
  which nothing was kept, is counted as not checked; of commands that led to no event nothing can be said.
- Each send and effect that an event names as its cause, and each that is under way, is still what `react` comes to.
- Whatever is under way (sends, timers, effects, what waits for a parked actor) can be read and decided.

Nothing is written, and a company may run meanwhile: what came after a history was read is left out. Histories are read
several at a time, a page at a time; what was sent is kept on disk (recovered.py). So memory is bounded by the biggest
states and by the number of diverging actors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from actors.runtime.following import Otherwise, cause_differs, pending_differs
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import CANCEL
from actors.runtime.recovered import Recovered
from actors.runtime.reenact import PAGE_EVENTS
from actors.runtime.relive import FIRST_EVENT, Life, Redecided, Unlivable, redecided
from actors.runtime.walk import Walk, recover
from eventstore.effects import DEADLINE, WITHDRAW
from eventstore.histories import FIRST, PENDING_CLASSES, PendingClass, PendingWork
from eventstore.store import EventStore, Recorded
from protocol.codec import Malformed
from protocol.subjects import Address

PENDING_MAX = 500  # Of one page.
DIVERGING_MAX = 10_000  # Actors that are named; beyond it they are only counted.

Works = Mapping[str, type[msgspec.Struct]]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing that would differ. `version` is that of the event (0: it is about work under way)."""

    address: Address
    version: int
    what: str
    expected: str
    now: str


@dataclass
class Checked:
    """What a check came to. `decided` commands were decided again; `unkept` ones could not be, since nothing of them
    was kept or their sender was not read; `retired` ones are decided no more."""

    actors: int = 0
    events: int = 0
    decided: int = 0
    unkept: int = 0
    retired: int = 0
    pending: int = 0
    unnamed: int = 0
    diverging: dict[Address, Divergence] = field(default_factory=dict[Address, Divergence])


class UpgradeCheck:
    """One check. `works` are the kinds of effects there are performers for, with the work they understand. `kind`: say
    only what concerns actors of that kind. `sample`: look at so many of each kind (0: at all)."""

    def __init__(self, store: EventStore, kinds: Kinds, works: Works, kind: str = "", sample: int = 0) -> None:
        self._store, self._kinds, self._works = store, kinds, works
        self._kind, self._walk = kind, Walk(store, sample)
        self.checked = Checked()

    async def run(self) -> Checked:
        """StoreUnavailable when the log cannot be read."""
        with Recovered.opened() as recovered:
            await self._walk.each(lambda address: self._live(address, recovered))
            await self._walk.each(lambda address: self._redecide(address, recovered))
            for what in PENDING_CLASSES:
                await self._pending(what, recovered)
        return self.checked

    # What they come to.

    async def _live(self, address: Address, recovered: Recovered) -> None:
        """The whole history under the new code, and what it sent and wanted."""
        kind = self._kinds.get(address.kind)
        if kind is None:
            self._diverges(Divergence(address, FIRST_EVENT, "the kind", address.kind, "there is none of that name"))
            return
        self.checked.actors += self._meant(address)
        try:
            async for events in recover(self._store, kind, address, recovered):
                self.checked.events += events * self._meant(address)
        except Unlivable as error:
            self._diverges(Divergence(address, error.version, error.what, error.expected, error.now))

    async def _redecide(self, address: Address, recovered: Recovered) -> None:
        """Every command of which the bytes are to be had, on the state before it."""
        kind, last = self._kinds.get(address.kind), recovered.version_of(address)
        if kind is None or last is None:
            return
        life, turn = Life(kind, address), None
        while life.version < last:
            page = await self._store.read_stream(address, life.version, PAGE_EVENTS, last)
            kept = await self._store.histories.commands(address, {recorded.causation for recorded in page})
            for recorded in page:
                if turn is None or turn.id != recorded.causation:
                    self._end(turn)
                    self._compare_cause(recorded, recovered)
                    turn = Redecided(kind, address, recorded, life.state)
                    turn.find(kept.get(turn.id), recovered, life.timers)
                life.live(recorded)
                turn.recorded.append(life.last)
        self._end(turn)

    def _end(self, turn: Redecided | None) -> None:
        """Decide the command of some events again."""
        if turn is None or not self._meant(turn.address):
            return
        if turn.command is None:
            self.checked.unkept += 1
        elif turn.command[0] not in turn.kind.decides and turn.command[0] != CANCEL:
            self.checked.retired += 1
        else:
            self.checked.decided += 1
            differs = redecided(turn)
            if differs is not None:
                what = f"decide {turn.command[0]} ({turn.id})"
                self._diverges(Divergence(turn.address, turn.version, what, *differs))

    def _compare_cause(self, recorded: Recorded, recovered: Recovered) -> None:
        """A send or an effect that happened is one that `react` still comes to."""
        self._differs(cause_differs(recorded.address, recorded.causation, recovered))

    def _differs(self, found: Otherwise | None) -> None:
        if found is not None:
            self._diverges(Divergence(found.sender, found.version, found.what, found.expected, found.now))

    # What is under way.

    async def _pending(self, what: PendingClass, recovered: Recovered) -> None:
        place = FIRST
        while page := await self._store.histories.pending(what, place, PENDING_MAX):
            for work in page:
                if self._meant(work.address):
                    self.checked.pending += 1
                    wrong = self._unreadable(work)
                    if wrong is not None:
                        self._diverges(Divergence(work.address, 0, f"{what} {work.key}", *wrong))
                self._differs(await pending_differs(work, recovered, self._store))
            place = page[-1].place

    def _unreadable(self, work: PendingWork) -> tuple[str, str] | None:
        """Why nobody could take up what is under way: what was expected, what there is now."""
        kind = self._kinds.get(work.address.kind)
        if kind is None:
            return work.address.kind, "there is no kind of that name"
        if work.what == "effect":
            return self._unperformable(work)
        if work.type == CANCEL:
            return None
        if work.type not in kind.decides:
            return work.type, f"{kind.name} decides no such command"
        try:
            kind.command_vocabulary.decode(work.body, work.type)
        except Malformed as error:
            return work.type, str(error)
        return None

    def _unperformable(self, work: PendingWork) -> tuple[str, str] | None:
        if work.type in (DEADLINE, WITHDRAW):
            return None
        understood = self._works.get(work.type)
        if understood is None:
            return work.type, "there is no performer for that kind of effect"
        try:
            msgspec.json.decode(work.body, type=understood)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return work.type, f"its performer cannot read the work: {error}"
        return None

    def _meant(self, address: Address) -> bool:
        return not self._kind or address.kind == self._kind

    def _diverges(self, found: Divergence) -> None:
        """Keep the first of each actor: of its history, else of what is under way."""
        if not self._meant(found.address):
            return
        before = self.checked.diverging.get(found.address)
        if before is None and len(self.checked.diverging) >= DIVERGING_MAX:
            self.checked.unnamed += 1
        elif before is None or (found.version or 2**63) < (before.version or 2**63):
            self.checked.diverging[found.address] = found
