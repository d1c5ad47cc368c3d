"""Decides yesterday's commands again with today's code, and says which decisions differ: `troupe fork --compare`.

For every command of a range whose bytes are still had, what this process's code decides on the state before it is
compared with what was decided then: events (as today's code reads them), a refusal (by its code), or silence.

- What led to events is found by its events; its bytes are in the inbox, or its sender or its timer is asked again.
- What led to nothing is found by its inbox row. The log does not say after which event of its actor it came, only
  between which commits. It differs if it is decided otherwise on *every* state that the actor had in between: what is
  named does differ. (So it may be missed where the code differs on some of them only; clocks that were set back while
  the company ran can put a command beside its place.)
- What actors sent and wanted: a send or an effect that happened and that `react` no longer comes to, one that is under
  way and would be another, and an effect that is wanted today and never was. A send that is made today and never was
  cannot be told from one that was taken silently: it is not looked for. Nor is a command from an actor, or a timer's,
  that led to nothing: it left no row.
- What cannot be compared is counted, by reason. So is everything of an actor whose history today's code cannot live,
  which is a difference itself.

Nothing is written and no effect performed; a company may run meanwhile. Memory is bounded by the biggest states and by
NAMED_MAX: what was sent, and what led to nothing, is kept on disk (recovered.py).
"""

from contextlib import aclosing

from actors.runtime.differences import (
    CUT,
    NO_KIND,
    NO_ROW,
    PARKED,
    QUARANTINED,
    UNLIVABLE,
    Comparison,
    Difference,
    circumstance,
)
from actors.runtime.following import Otherwise, pending_differs
from actors.runtime.kind import Kinds
from actors.runtime.recovered import Recovered
from actors.runtime.redeciding import EVENTLESS_MAX, Redeciding, reaction
from actors.runtime.relive import FIRST_EVENT, Unlivable, place_of
from actors.runtime.walk import Walk, recover
from eventstore.effects import DEADLINE, WITHDRAW
from eventstore.histories import FIRST, EventlessCommand, PendingClass
from eventstore.store import EventStore
from protocol.subjects import Address

PENDING_MAX = 500  # Of one page.
# An effect that ends meanwhile becomes a send, and that a row of the inbox: in this order it is seen somewhere.
_CLASSES: tuple[PendingClass, ...] = ("effect", "send", "timer", "parked")


class Compare:
    """One comparison of the commands at the positions `first` to `last` of a log that ends at `head`; `kind`: to actors
    of that kind only."""

    def __init__(self, store: EventStore, kinds: Kinds, first: int, last: int, head: int, kind: str = "") -> None:
        self._store, self._kinds, self._kind = store, kinds, kind
        self._walk, self._to_the_end = Walk(store), last == head
        self._unlivable: dict[Address, Unlivable] = {}
        self.found = Comparison(first, last)

    async def run(self) -> Comparison:
        """StoreUnavailable when the log cannot be read."""
        with Recovered.opened() as recovered:
            await self._walk.each(lambda address: self._recover(address, recovered))
            async with aclosing(self._store.histories.eventless()) as pages:
                async for page in pages:
                    recovered.add_eventless([row for row in page if self._wanted(row)])
            await self._walk.each(lambda address: self._actor(address, recovered))
            for address in recovered.addresses():
                if recovered.version_of(address) is None and address not in self._unlivable:
                    await self._without_history(address, recovered)
            if self._to_the_end:  # What was under way at an earlier moment nobody knows.
                await self._pending(recovered)
                await self._new_effects(recovered)
        return self.found

    def _wanted(self, row: EventlessCommand) -> bool:
        """Whether it is to be compared; what cannot be is counted."""
        f = self.found
        if row.stood < f.first - 1 or row.stood > f.last or (row.stood == f.last and not self._to_the_end):
            return False
        if row.outcome == "quarantined":  # Its row is the keeper's, not the actor's.
            if not self._kind:
                f.skipped[QUARANTINED] += 1
            return False
        if not self._meant(row.address):
            return False
        code = circumstance(row.detail) if row.outcome == "refused" else ""
        if row.outcome == "parked":
            f.skipped[PARKED] += 1
        elif code:
            f.skipped[f"they were refused for their circumstances ({code})"] += 1
        elif row.high > f.last:
            f.skipped[CUT] += 1
        else:
            return True
        return False

    async def _recover(self, address: Address, recovered: Recovered) -> None:
        kind = self._kinds.get(address.kind)
        if kind is None:
            self._unlivable[address] = Unlivable(FIRST_EVENT, "the kind", address.kind, NO_KIND)
            return
        try:
            async for events in recover(self._store, kind, address, recovered, self.found.last):
                self.found.events += events * self._meant(address)
        except Unlivable as error:
            self._unlivable[address] = error

    async def _actor(self, address: Address, recovered: Recovered) -> None:
        """Every command of one actor."""
        if not self._meant(address):
            return
        error, upto = self._unlivable.get(address), recovered.version_of(address)
        if error is not None:
            await self._not_lived(address, error, recovered)
        elif upto is not None:
            self.found.actors += upto > 0
            await Redeciding(self._store, self._kinds, address, recovered, self.found).run(upto)

    async def _not_lived(self, address: Address, error: Unlivable, recovered: Recovered) -> None:
        events = await self._store.read_stream(address, error.version - 1, 1)
        if not events or events[0].position > self.found.last:
            return
        reason = NO_KIND if error.now == NO_KIND else UNLIVABLE
        self.found.actors += 1
        self.found.skipped[reason] += sum(len(page) for page in recovered.eventless(address, EVENTLESS_MAX))
        self.found.differs(
            Difference(
                "history", address, "history", error.what, error.version, events[0].position, events[0].at,
                error.expected, error.now,
            )
        )  # fmt: skip

    async def _without_history(self, address: Address, recovered: Recovered) -> None:
        """Commands to an actor that has no event."""
        if address.kind in self._kinds:
            await Redeciding(self._store, self._kinds, address, recovered, self.found).run(0)
        else:  # Refused for that then, in all likelihood, as today.
            self.found.skipped[NO_KIND] += sum(len(page) for page in recovered.eventless(address, EVENTLESS_MAX))

    # What actors sent and wanted.

    async def _pending(self, recovered: Recovered) -> None:
        for what in _CLASSES:
            place = FIRST
            while page := await self._store.histories.pending(what, place, PENDING_MAX):
                for work in page:
                    recovered.add_known(work.address.project, work.key.removesuffix(":outcome"))
                    self._reacts(await pending_differs(work, recovered, self._store))
                place = page[-1].place

    async def _new_effects(self, recovered: Recovered) -> None:
        """Effects that are wanted today, that are not under way, and whose outcome nobody ever heard. Of a log that was
        restored from an archive that is not known: it has no inbox."""
        if self.found.skipped[NO_ROW]:
            return
        for page in recovered.effects_between(self.found.first, self.found.last, PENDING_MAX):
            for project in dict.fromkeys(project for project, _, _ in page):
                wanted = {key: kind for each, key, kind in page if each == project and kind not in (DEADLINE, WITHDRAW)}
                heard = await self._store.inbox(project, [f"{key}:outcome" for key in wanted])
                for key, kind in wanted.items():
                    place = place_of(project, key, of_effect=True)
                    if f"{key}:outcome" not in heard and place is not None:
                        what = f"the effect {key}"
                        self._reacts(Otherwise(place.sender, place.version, what, "none", f"it is wanted ({kind})"))

    def _reacts(self, found: Otherwise | None) -> None:
        if found is not None and self._meant(found.sender):
            self.found.differs(reaction(found, 0))

    def _meant(self, address: Address) -> bool:
        return not self._kind or address.kind == self._kind
